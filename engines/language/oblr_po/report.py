"""Events that the training experiment tells: curves of a step, the rollout table, everything of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engines.events import Array, Axis, ClaimCheck, Event, Scalar, Table, Text
from engines.language.oblr_po.audit import ESTIMATED, ORACLES, Estimate, Population, parabola
from engines.language.oblr_po.claims import fall, final
from engines.language.oblr_po.method.snr import prompts_for_unit_snr
from engines.language.oblr_po.training import NEEDS_WEIGHTS, StepInfo

SHOWN_ROWS = 32
WORDS = {"OB": "OBLR-PO (estimated b*)", "OB shrunk 0.5": "OBLR-PO, shrunk by half", "OB in-group": "OBLR-PO, in-group",
         "OB logit proxy": "OBLR-PO, logit proxy", "OB head proxy": "OBLR-PO, output head", "none": "no baseline",
         "OB one for the batch": "OBLR-PO, one for the batch"}  # fmt: skip


def step_scalars(series: str, smooth: float, info: StepInfo, step: int, estimator: str) -> Iterator[Event]:
    """All curves of one step of one contender."""
    rewards = info.rewards[np.isfinite(info.rewards)]
    values = {
        "train reward": float(rewards.mean()) if rewards.size else float("nan"),
        "train reward, smoothed": smooth,
        "SNR": info.state.snr,
        "share of the largest rate": info.rho,
        "learning rate": info.rate,
        "gradient variance": info.state.variance if info.state.count else float("nan"),
        "gradient signal": max(info.state.signal, 0.0) if info.state.count else float("nan"),
        "entropy": info.entropy,
        "groups without signal": info.silent_groups,
        "prompts for SNR 1": prompts_for_unit_snr(info.state, len(info.rewards)),
    }
    if estimator in NEEDS_WEIGHTS:
        weights, baselines = info.weights, info.rewards - info.advantages
        values["baseline minus mean reward"] = float(
            np.nanmean(np.abs(baselines - np.nanmean(info.rewards, 1, keepdims=True)))
        )
        values["spread of the weights"] = (
            float(weights.std() / weights.mean()) if weights.mean() > 0 else float("nan")
        )
    if np.isfinite(info.proxy):
        values["correlation of the stand-in"] = info.proxy
    for name, value in values.items():
        yield Scalar(series, name, step, value)
    for part, seconds in info.seconds.items():
        yield Scalar(series, f"time/{part}", step, seconds)


def rollout_table(info: StepInfo) -> Table:
    """The first responses of the newest batch, as the method sees them."""
    group = info.rewards.shape[1]
    rows = []
    for row in range(min(SHOWN_ROWS, info.rewards.size)):
        i, j = divmod(row, group)
        reward, advantage = float(info.rewards[i, j]), float(info.advantages[i, j])
        rows.append(
            [
                info.problems[i].prompt,
                info.rollout.responses[row],
                "right" if reward > 0 else "wrong",
                reward,
                float(info.weights[i, j]),
                reward - advantage,
                advantage,
            ]
        )
    return Table(
        "Rollouts",
        ("prompt", "response", "right or wrong", "reward", "weight", "baseline", "advantage"),
        rows,
    )


def audit_events(
    population: Population, estimates: Mapping[int, Mapping[str, Estimate]], step: int
) -> Iterator[Event]:
    """Arrays, tables and words of one audit."""
    names, groups = [*ORACLES, *ESTIMATED], list(estimates)
    shown = [WORDS.get(name, name) for name in names]
    axes = (Axis("estimator", shown), Axis("responses a prompt", groups))
    for title, pick in _AUDIT_ARRAYS.items():
        values = np.array([[pick(estimates[g][name]) for g in groups] for name in names])
        yield Array(title, step, values, axes)
    for group in groups:
        e = estimates[group]
        yield Scalar(f"{group} responses a prompt", "audit: variance against RLOO", step, e["OB"].ratio)
        yield Scalar(
            f"{group} responses a prompt",
            "audit: exact b* against the mean",
            step,
            e["oracle b*"].variance / e["oracle mean"].variance
            if e["oracle mean"].variance > 0
            else float("nan"),
        )
    yield from _lens(population, step)
    rows = [[WORDS.get(name, name), *(estimates[g][name].variance for g in groups), estimates[groups[-1]][name].cosine]
            for name in names]  # fmt: skip
    columns = (
        "estimator",
        *(f"variance, {g} responses" for g in groups),
        f"cosine to the gradient, {groups[-1]} responses",
    )
    yield Table("Variance audit", columns, rows)
    correlations = [[name, value] for name, value in population.proxy_correlations().items()]
    yield Table(
        "Stand-ins for the gradient norm", ("stand-in", "correlation with the exact norm"), correlations
    )
    yield Text("what the audit says", _verdict(population, estimates, step))


_AUDIT_ARRAYS = {
    "audit variance": lambda e: e.variance,
    "audit half width": lambda e: e.half_width,
    "audit SNR": lambda e: e.snr,
    "audit ratio to RLOO": lambda e: e.ratio,
    "audit ratio low": lambda e: e.ratio_low,
    "audit ratio high": lambda e: e.ratio_high,
}


def _lens(population: Population, step: int) -> Iterator[Event]:
    """Per-prompt baselines, weights of right and wrong answers, the parabola."""
    m = population.moments()
    values = np.stack([m.r, m.optimal_baseline, m.w], 1)
    yield Array(
        "baseline lens",
        step,
        values,
        (
            Axis("prompt", population.prompts),
            Axis("quantity", ["mean reward", "optimal baseline", "mean weight"]),
        ),
    )
    edges = np.linspace(0, float(np.sqrt(population.weights.max())) * 1.0001 + 1e-12, 25)
    right = population.rewards > 0
    norms = np.sqrt(np.maximum(population.weights, 0.0))
    counts = np.stack([np.histogram(norms[mask], edges)[0] / max(1, mask.sum()) for mask in (right, ~right)])
    centres = (edges[1:] + edges[:-1]) / 2
    yield Array(
        "weights by answer",
        step,
        counts,
        (Axis("answer", ["right", "wrong"]), Axis("gradient norm", centres)),
    )
    grid, curve, marks = parabola(population)
    yield Array("variance parabola", step, curve, (Axis("baseline", grid),))
    yield Array("parabola marks", step, np.array(list(marks.values())), (Axis("mark", list(marks)),))


def _verdict(population: Population, estimates: Mapping[int, Mapping[str, Estimate]], step: int) -> str:
    parts = []
    for group, e in estimates.items():
        ob = e["OB"]
        word = (
            "less" if ob.ratio_high < 1 else "more" if ob.ratio_low > 1 else "neither clearly less nor more"
        )
        parts.append(f"{group} responses: {100 * (ob.ratio - 1):+.0f} % ({word})")
    unit = next((g for g, e in estimates.items() if e["RLOO"].snr >= 1), None)
    need = (
        f"RLOO reaches SNR 1 from {unit} responses a prompt"
        if unit
        else "RLOO stays below SNR 1 up to 32 responses a prompt"
    )
    return (f"Step {step}, {len(population.prompts)} fixed prompts. Variance of the estimated optimal baseline against RLOO: "
            f"{'; '.join(parts)}. {need} (variance between prompts not counted).")  # fmt: skip


def audit_claims(
    oracle: Sequence[float], ratios: Sequence[Mapping[tuple[str, int], tuple[float, float, float]]]
) -> Iterator[Event]:
    """Verdicts over all planned audits of the run."""
    count = len(oracle)
    few = "" if count >= 3 else " Fewer than the three that the claim wants."
    if not count:
        yield ClaimCheck(
            "oracle", None, None, None, "No response earned a reward in the audits: nothing to compare."
        )
    else:
        yield ClaimCheck(
            "oracle", max(oracle), 1.0, max(oracle) < 1, f"Largest over {count} checkpoints.{few}"
        )
    for group in (8, 16, 32):
        if not count:
            yield ClaimCheck(
                f"estimated_g{group}", None, None, None, "No response earned a reward in the audits."
            )
            continue
        ratio, low, high = max((r["OB", group] for r in ratios), key=lambda item: item[2])
        yield ClaimCheck(
            f"estimated_g{group}",
            ratio,
            1.0,
            high < 1,
            f"95 % interval {low:.2f} to {high:.2f}, the worst of {count} checkpoints.{few}",
        )


def summary(runners: Sequence[tuple[str, Sequence[np.ndarray], Sequence[float]]]) -> Iterator[Event]:
    """The closing table: where each contender ended."""
    rows = [[series, float(final(history).mean()), fall(history), float(np.mean(used)), float(np.max(used))]
            for series, history, used in runners if history]  # fmt: skip
    columns = (
        "contender",
        "held-out accuracy, last third",
        "largest fall",
        "mean learning rate",
        "largest learning rate",
    )
    yield Table("Where they ended", columns, rows)
