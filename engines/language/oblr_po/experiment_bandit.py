"""The closed-form experiment: a softmax bandit (spec section 6a)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engines.contract import Context
from engines.devices import numpy_generator
from engines.events import Alert, Array, Axis, ClaimCheck, Event, Progress, Scalar, Table
from engines.language.oblr_po.method import softmax_bandit as sb
from engines.language.oblr_po.params import OblrPoParams

GROUP = 8
SERIES = {"none": "No baseline", "mean": "Mean baseline", "RLOO": "RLOO", "b*": "OBLR-PO, exact b*",
          "estimated b*": "OBLR-PO"}  # fmt: skip
TRAINED = ("none", "RLOO", "b*")
ASCENT_STEPS = 200


def run(params: OblrPoParams, context: Context) -> Iterator[Event]:
    """Two arms over p, ten arms at three policies, then exact ascent; ends with two claims."""
    yield Progress(0, 3, "two arms")
    error = yield from _two_arms()
    yield Progress(1, 3, "ten arms")
    worst = yield from _ten_arms(params.bandit_draws, context.seed)
    yield Progress(2, 3, "ascent")
    yield from _ascent(context.seed)
    yield ClaimCheck(
        "closed_form",
        error,
        0.0,
        error < 1e-12,
        "Largest error of b* and of its variance over 99 values of p.",
    )
    ratio, where, margin = worst
    yield ClaimCheck(
        "bound",
        ratio,
        1.0,
        margin >= 1,
        f"Smallest at: {where}; {params.bandit_draws} draws, 3 standard errors allowed.",
    )
    yield Progress(3, 3, "done")


def _two_arms() -> Iterator[Event]:
    """Variance against p for three baselines, and their shape at one p; returns the largest error."""
    error = 0.0
    for p in np.linspace(0.01, 0.99, 99):
        bandit = sb.two_arms(float(p))
        exact, best = sb.variances(bandit, 1), float(bandit.moments().optimal_baseline[0])
        error = max(
            error,
            abs(best - (1 - p)),
            abs(exact["b*"]),
            abs(exact["mean"] - 2 * p * (1 - p) * (1 - 2 * p) ** 2),
        )
        for key in ("none", "mean", "b*"):
            yield Scalar(SERIES[key], "bandit variance", float(p), exact[key])
        yield Scalar("OBLR-PO, exact b*", "bandit baseline", float(p), best)
        yield Scalar("Mean baseline", "bandit baseline", float(p), float(p))
    rows = [
        [p, *(sb.variances(sb.two_arms(p), 1)[key] for key in ("none", "mean", "b*"))]
        for p in (0.1, 0.3, 0.5, 0.9)
    ]
    yield Table("Two arms: exact variance", ("p", "no baseline", "mean baseline", "optimal baseline"), rows)
    return float(error)


def _policies(rewards: np.ndarray) -> dict[str, sb.Bandit]:
    k = len(rewards)
    return {
        "uniform": sb.Bandit(np.zeros(k), rewards),
        "peaked on the worst arm": sb.Bandit(6.0 * np.eye(k)[rewards.argmin()], rewards),
        "peaked on the best arm": sb.Bandit(5.0 * np.eye(k)[rewards.argmax()], rewards),
    }


def _ten_arms(draws: int, seed: int) -> Iterator[Event]:
    """Variance, SNR, share of the rate, gain and bound; returns (smallest gain/bound, where, margin)."""
    rewards = np.random.default_rng(1).random(10)
    rows, worst, ratios = [], (np.inf, "", np.inf), []
    for name, bandit in _policies(rewards).items():
        for key in ("none", "RLOO", "b*", "estimated b*"):
            step = sb.measured_step(bandit, key, GROUP, draws, numpy_generator(seed, "bandit", name, key))
            rows.append(
                [name, SERIES[key], step.variance, step.snr, step.rho, step.gain, step.bound, step.gain_plain]
            )
            ratio, margin = step.gain / step.bound, (step.gain + 3 * step.error) / step.bound
            if ratio < worst[0]:
                worst = (ratio, f"{name}, {SERIES[key]}", margin)
            ratios.append(step.variance)
    columns = (
        "policy",
        "baseline",
        "variance",
        "SNR",
        "share of 1/L",
        "gain of a step",
        "guaranteed",
        "gain at 1/L",
    )
    yield Table("Ten arms: one step at the SNR rate", columns, rows)
    values = np.array(ratios).reshape(3, 4)
    labels = [SERIES[key] for key in ("none", "RLOO", "b*", "estimated b*")]
    axes = (Axis("policy", list(_policies(rewards))), Axis("baseline", labels))
    yield Array("bandit variance by policy", 0, values, axes, keep=False)
    if all(row[7] > row[5] for row in rows):
        yield Alert(
            "bound is conservative",
            0,
            "The plain step 1/L gains more than the SNR step in every line of the table.",
        )
    return worst


def _ascent(seed: int) -> Iterator[Event]:
    """Stochastic ascent from the uniform policy at each baseline's own SNR rate, exact SNR along the way."""
    rewards = np.random.default_rng(1).random(10)
    for key in TRAINED:
        bandit = sb.Bandit(np.zeros(10), rewards)
        rng = numpy_generator(seed, "ascent")
        for step in range(ASCENT_STEPS):
            variance, g_squared = sb.variances(bandit, GROUP)[key], float(bandit.gradient @ bandit.gradient)
            if step % 5 == 0:
                yield Scalar(SERIES[key], "bandit value", step, bandit.value)
                yield Scalar(
                    SERIES[key], "bandit SNR", step, g_squared / variance if variance > 0 else float("inf")
                )
            eta = sb.optimal_step(g_squared, variance, sb.SMOOTHNESS)
            gradient = sb.sampled_gradients(bandit, key, GROUP, 1, rng)[0]
            bandit = sb.Bandit(bandit.logits + eta * gradient, rewards)
