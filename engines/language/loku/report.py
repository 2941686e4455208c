"""Tables and arrays of a run: probes, truth ratios, next tokens, importance, results, utility parts, costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engines.events import Alert, Array, Axis, Event, Scalar, Table, Text
from engines.language import authors
from engines.language.loku import tokens
from engines.language.loku.baselines import LOSS_KEYS
from engines.language.loku.contenders import contenders, tuned_rate, tuning_rows
from engines.language.loku.evaluation import Quality
from engines.language.loku.method.tofu import FEW_QUESTIONS, ForgetQuality, forget_quality
from engines.language.loku.setup import BEFORE, TWIN, Setup
from engines.language.questions import SPLIT_TITLES, spread

if TYPE_CHECKING:
    from engines.language.loku.contest import Outcome
    from engines.language.loku.method.fila import LayerReport

PROBES = {"forget": 6, "retain": 3, "known_authors": 2, "world_facts": 2}
"""How many questions of each split stand in the probe table."""
MOST_TOKENS = 12


def before(setup: Setup) -> Iterator[Event]:
    """What is known before the first contender."""
    corpus = setup.corpus
    yield Text(
        "what is forgotten",
        f"{corpus.name}: {len(corpus.forget)} questions to forget, {len(corpus.retain)} to keep"
        f"{_general(setup)}. Source: {corpus.source}.",
    )
    yield Table(
        "Learning rates tried",
        (
            "contender",
            "rate",
            "seeds",
            "utility at the threshold",
            "forget accuracy",
            "steps",
            "threshold reached",
            "choice",
        ),
        tuning_rows(),
    )
    yield from _untuned(setup)
    setup_views = [(BEFORE, tokens.look(setup.model, setup))]
    if setup.twin is not None:
        setup_views.append((TWIN, tokens.look(setup.twin, setup)))
    setup.views = setup_views
    yield from so_far(setup, [])


def _untuned(setup: Setup) -> Iterator[Event]:
    """Who runs at the one rate although tuned rates were asked for."""
    params = setup.params
    if params.rates == "tuned":
        chosen = contenders(params.losses, params.starts, params.baseline_starts)
        without = [c.series for c in chosen if params.model != authors.MODEL or tuned_rate(c) is None]
        if without:
            words = f"{', '.join(without)} were not tuned and use the one rate {params.learning_rate:g}."
            yield Text("learning rates", words)


def _general(setup: Setup) -> str:
    more = [f"{len(items)} about {SPLIT_TITLES[name]}" for name, items in setup.corpus.splits()
            if name not in ("forget", "retain")]  # fmt: skip
    return f", {' and '.join(more)} measured besides" if more else ""


def so_far(setup: Setup, outcomes: Sequence[Outcome]) -> Iterator[Event]:
    """Probes, truth ratios, next tokens and results with all contenders that have ended."""
    yield _probes(setup, outcomes)
    yield from _ratios(setup, outcomes)
    yield from _next_tokens(setup, outcomes)
    yield _results(setup, outcomes)
    yield _parts(setup, outcomes)
    if outcomes:
        yield _costs(setup, outcomes)
        latest = outcomes[-1]
        if latest.reports:
            yield from _importance(latest.contender.series, latest.reports)
        if latest.attack is not None:
            yield Scalar(latest.contender.series, "fact accuracy before the attack", 0, latest.attack[0])
            yield Scalar(latest.contender.series, "fact accuracy after the attack", 0, latest.attack[1])


def ending(setup: Setup, outcomes: Sequence[Outcome]) -> Iterator[Event]:
    """What must be said at the end: too few questions for a test, and passes that mean nothing."""
    count = len(setup.before.forget.quality_ratios)
    if setup.gold is None:
        yield Text(
            "forget quality", "Not available: it needs a retain-only model, which this task does not have."
        )
    elif count < FEW_QUESTIONS:
        yield Alert(
            "few questions", 0,
            f"Forget quality compares {count} questions; with fewer than about {FEW_QUESTIONS} the test has no power.",
        )  # fmt: skip
    for outcome in outcomes:
        found = quality_test(setup, outcome.quality)
        if found and found.p > 0.05 and outcome.quality.utility < 0.5 * setup.before.utility:
            yield Alert(
                "destroyed, not forgotten", outcome.steps,
                f"{outcome.contender.series} passes the test of forget quality (p = {found.p:.2g}) with a utility of only "
                f"{outcome.quality.utility:.2f}: a destroyed model can pass it.",
            )  # fmt: skip


def quality_test(setup: Setup, quality: Quality) -> ForgetQuality | None:
    """Forget quality against the twin; None without one, or without wrong options."""
    if setup.gold is None or not len(quality.forget.quality_ratios):
        return None
    return forget_quality(quality.forget.quality_ratios, setup.gold.forget.quality_ratios)


def _models(setup: Setup, outcomes: Sequence[Outcome]) -> list[tuple[str, Quality]]:
    """(name, quality) of all models: before, the twin, the contenders."""
    found = [(BEFORE, setup.before)]
    if setup.gold is not None:
        found.append((TWIN, setup.gold))
    return found + [(o.contender.series, o.quality) for o in outcomes]


def _probes(setup: Setup, outcomes: Sequence[Outcome]) -> Table:
    """The same questions answered by every model."""
    models = _models(setup, outcomes)
    rows = []
    for name, sheet in setup.exam.sheets.items():
        answered = [(series, quality.splits[name].answers) for series, quality in models]
        if not answered[0][1]:
            continue
        for k in spread(tuple(range(len(sheet.items))), PROBES[name]):  # type: ignore[arg-type]
            item = sheet.items[k]  # type: ignore[index]
            rows.append([SPLIT_TITLES[name], item.question, item.answer, *(told[k] for _, told in answered)])  # type: ignore[index]
    return Table("Probes", ("kind", "question", "truth", *(series for series, _ in models)), rows)


def _ratios(setup: Setup, outcomes: Sequence[Outcome]) -> Iterator[Event]:
    models = [(name, q) for name, q in _models(setup, outcomes) if len(q.forget.quality_ratios)]
    if not models:
        return
    values = np.stack([np.sort(q.forget.quality_ratios) for _, q in models])
    yield Array(
        "truth ratios", 0, values,
        (Axis("model", [name for name, _ in models]), Axis("question, sorted", list(range(values.shape[1])))), keep=False,
    )  # fmt: skip


def _next_tokens(setup: Setup, outcomes: Sequence[Outcome]) -> Iterator[Event]:
    """Probability of the candidates of any model at the token where the fact is due; one array for each probe."""
    models = [*setup.views, *((o.contender.series, o.tokens) for o in outcomes)]
    for k in range(len(models[0][1])):
        views = [(name, found[k]) for name, found in models]
        target = views[0][1].position.target
        best: dict[int, tuple[str, float]] = {target.id: (f"{target.text.strip()} (true)", 9.0)}
        for _, view in views:
            for token in view.position.top:
                text, most = best.get(token.id, (token.text.strip() or repr(token.text), 0.0))
                best[token.id] = (text, max(most, token.probability))
        shown = sorted(best, key=lambda i: -best[i][1])[:MOST_TOKENS]
        values = np.array([[_chance(view, i) for i in shown] for _, view in views])
        names = _distinct([best[i][0] for i in shown])
        after = f"{views[0][1].question} {views[0][1].prefix} …"
        yield Array("next token", k, values, (Axis("model", [name for name, _ in views]), Axis(after, names)))


def _chance(view: tokens.View, token: int) -> float:
    """Probability of a token; 0 where it is not among the view's candidates (below its fifth)."""
    known = {view.position.target.id: view.position.target.probability}
    known |= {found.id: found.probability for found in view.position.top}
    return known.get(token, 0.0)


def _distinct(names: list[str]) -> list[str]:
    """Names as they are, numbered where two tokens look alike."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _importance(series: str, reports: Sequence[LayerReport]) -> Iterator[Event]:
    """Row weights by layer and target, what rank r takes, and the mean spectra."""
    layers = list(dict.fromkeys(_place(r.name)[0] for r in reports))
    kinds = list(dict.fromkeys(_place(r.name)[1] for r in reports))
    mean = np.full((len(layers), len(kinds)), np.nan)
    spread_ = mean.copy()
    for report in reports:
        where = layers.index(_place(report.name)[0]), kinds.index(_place(report.name)[1])
        mean[where] = float(report.rho.mean())
        spread_[where] = float(report.rho.max() / report.rho.min())
    axes = (Axis("layer", layers), Axis("target", kinds))
    yield Array("row weights", 0, mean, axes, keep=False)
    yield Array("spread of row weights", 0, spread_, axes, keep=False)
    shares = np.array([[r.share, r.plain_share] for r in reports])
    yield Array("share taken by the rank", 0, shares, (
        Axis("matrix", [f"{_place(r.name)[0]} {_place(r.name)[1]}" for r in reports]),
        Axis("of", ["weighted by importance", "plain"]),
    ), keep=False)  # fmt: skip
    size = min(len(r.singular) for r in reports)
    if all(len(r.plain_singular) >= size for r in reports):
        energy = [np.stack([_cumulative(s[:size].numpy()) for s in found])
                  for found in ([r.singular for r in reports], [r.plain_singular for r in reports])]  # fmt: skip
        yield Array("spectra", 0, np.stack([e.mean(0) for e in energy]), (
            Axis("of", ["weighted by importance", "plain"]), Axis("rank", list(range(1, size + 1))),
        ), keep=False)  # fmt: skip
    rows = [[_place(r.name)[0], _place(r.name)[1], float(r.rho.min()), float(r.rho.max()), r.floored, r.above_eps, r.share]
            for r in reports]  # fmt: skip
    yield Table(
        "Importance by layer",
        ("layer", "target", "smallest row weight", "largest", "rows lifted", "share of F_r above epsilon", "share taken by the rank"),
        rows,
    )  # fmt: skip


def _cumulative(singular: np.ndarray) -> np.ndarray:
    total = np.cumsum(singular.astype(np.float64) ** 2)
    return total / total[-1] if total[-1] > 0 else total


def _place(name: str) -> tuple[str, str]:
    """("layer 1", "c_fc") of "transformer.h.1.mlp.c_fc"."""
    numbers = [part for part in name.split(".") if part.isdigit()]
    return (f"layer {numbers[0]}" if numbers else "model"), name.rsplit(".", 1)[-1]


def _results(setup: Setup, outcomes: Sequence[Outcome]) -> Table:
    by_series = {o.contender.series: o for o in outcomes}
    rows = []
    for series, quality in _models(setup, outcomes):
        outcome, forget = by_series.get(series), quality.forget
        test = quality_test(setup, quality)
        attack = outcome.attack if outcome else None
        rows.append(
            [
                series, quality.utility, forget.accuracy, forget.fact, forget.otherwise, forget.probability, forget.rouge,
                forget.extraction, forget.whole, forget.truth, test.statistic if test else None, test.p if test else None, test.log10_p if test else None,
                outcome.epochs if outcome else None, outcome.steps if outcome else None,
                None if outcome is None else "reached" if outcome.reached else "not reached",
                attack[1] if attack else None, outcome.rate if outcome else None,
            ]
        )  # fmt: skip
    return Table(
        "Where they ended",
        (
            "model", "model utility", "forget accuracy", "forget fact accuracy", "asked in other words", "forget probability",
            "forget ROUGE", "extraction strength", "whole answers", "forget truth ratio", "KS statistic", "forget quality p", "log10 p",
            "epochs", "steps", "threshold", "fact accuracy after the attack", "learning rate",
        ),
        rows,
    )  # fmt: skip


def _parts(setup: Setup, outcomes: Sequence[Outcome]) -> Table:
    names = list(setup.before.parts)
    rows = [[series, *(q.parts[name] for name in names), q.utility] for series, q in _models(setup, outcomes)]
    return Table(
        "Parts of the utility",
        ("model", *(n.replace("_", " ").replace("/", ": ") for n in names), "harmonic mean"),
        rows,
    )


def _costs(setup: Setup, outcomes: Sequence[Outcome]) -> Table:
    rows = []
    for o in outcomes:
        importance = setup.importance_seconds if o.contender.start == "fila" else None
        rows.append(
            [
                o.contender.series, o.trainable, o.trainable / o.parameters, importance, o.start_seconds, o.seconds,
                o.seconds / o.steps if o.steps else None, o.state_bytes / 2**20, o.step_bytes / 2**20,
            ]
        )  # fmt: skip
    found = "measured" if setup.context.device.startswith("cuda") else "counted"
    cached = " (read from the cache)" if setup.from_cache else ""
    return Table(
        "seconds and memory",
        (
            "contender", "trainable parameters", "share of the model", f"importance, s{cached}", "start, s", "unlearning, s",
            "a step, s", "weights, gradients, optimizer, MiB", f"peak memory of a step, MiB ({found})",
        ),
        rows,
    )  # fmt: skip


__all__ = ["LOSS_KEYS", "before", "ending", "quality_test", "so_far"]
