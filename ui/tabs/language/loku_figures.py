"""Drawing LoKU: each function makes one figure from a record.

The events that they read are listed in engines/language/loku/experiment.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage import Record
from ui.figures import (
    Axis,
    Bars,
    Curve,
    Figure,
    Head,
    Role,
    Threshold,
    bars,
    empty,
    heatmap,
    history,
    lines,
    scatter,
)
from ui.readings import contenders, coordinates, curves, curves_against, kept, last_value, newest

METHOD = "IHL + FILA"
BEFORE, TWIN = "before", "retain only"
ROLES: dict[str, Role] = {
    BEFORE: "reference", TWIN: "reference", "IHL": "ablation", "IHL + PiSSA": "ablation", "IHL, all weights": "ablation",
}  # fmt: skip
EPOCH, STEP = Axis("epoch"), Axis("step", integer=True)
KNOWN = Axis(
    "accuracy on what is forgotten", low=-0.03, high=1.03, reverse=True
)  # room for the markers at 0 and 1
UTILITY = Axis("model utility", low=0)
_MODELS = (BEFORE, TWIN)


def path(record: Record, head: Head) -> Figure:
    """Each contender's way: accuracy on the forget set (falling to the right) against utility; the twin as a star."""
    drawn = []
    for curve in curves_against(record, "model utility", "forget accuracy", roles=ROLES):
        if curve.name == TWIN:
            drawn.append(Curve(TWIN, curve.x, curve.y, mode="markers", symbol="star", role="reference"))
        elif curve.name != BEFORE:
            drawn.append(Curve(curve.name, curve.x, curve.y, mode="both", role=curve.role))
    figure = scatter(head, drawn, KNOWN, UTILITY, method=METHOD)
    for trace in figure["data"]:
        if trace.get("marker", {}).get("symbol") == "star":
            trace["marker"].update(size=14, opacity=1)
    return figure


def forgetting(record: Record, head: Head) -> Figure:
    """Accuracy on the forget set over the epochs, with the threshold."""
    at = last_value(record, BEFORE, "threshold")
    threshold = () if at is None else (Threshold(at, "threshold", "y"),)
    drawn = _without_models(curves(record, "forget accuracy", roles=ROLES), race=True)
    return lines(head, drawn, EPOCH, Axis("accuracy", low=0, high=1), method=METHOD, thresholds=threshold)


def over_epochs(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """A measure of all contenders over the epochs; before and retain-only as dotted levels."""
    levels = []
    for model in _MODELS:
        value = last_value(record, model, name)
        if value is not None:
            levels.append(Threshold(value, model, "y", below=model == TWIN))
    drawn = _without_models(curves(record, name, roles=ROLES, mode="both"))
    return lines(head, drawn, EPOCH, y, method=METHOD, thresholds=tuple(levels))


def by_step(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """A scalar of all contenders over their steps."""
    return lines(head, _without_models(curves(record, name, roles=ROLES)), STEP, y, method=METHOD)


def _without_models(found: list[Curve], race: bool = False) -> list[Curve]:
    """The contenders; FILA at plain LoRA's rate, which only counts steps, where it is asked for."""
    return [c for c in found if c.name not in _MODELS and (race or not c.name.startswith(f"{METHOD}, "))]


def hinge_at_work(record: Record, head: Head) -> Figure:
    """Probability of the true word and of the runner-up on the method's forget batches."""
    drawn = []
    roles: dict[str, Role] = {"p target": "baseline", "p runner-up": "method"}
    words = {"p target": "true word", "p runner-up": "runner-up"}
    series = METHOD if METHOD in contenders(record, "p target") else "IHL"
    for name, role in roles.items():
        for curve in curves(record, name, only=(series,)):
            drawn.append(Curve(words[name], curve.x, curve.y, role=role))
    return lines(head, drawn, STEP, Axis("probability", low=0, high=1), method=METHOD)


def next_words(record: Record, head: Head) -> Figure:
    """What each model holds likely where the fact is due, one slide for each probe."""
    frames = []
    for info, values in kept(record, "next token"):
        names, tokens = [str(n) for n in coordinates(info, 0)], [str(t) for t in coordinates(info, 1)]
        groups = [Bars(name, values[row], role=ROLES.get(name)) for row, name in enumerate(names)]
        x = Axis(f"next word after “{_tail(str(info.axes[1][0]))}”")
        frames.append(
            (info.step, bars(head, tokens, groups, x, Axis("probability", low=0, high=1), method=METHOD))
        )
    return history(frames, "probe") if frames else empty(head, "", Axis("next word"), Axis("probability"))


def _tail(text: str, words: int = 7) -> str:
    """The last words of the answer so far, or of the question where the answer has not begun."""
    said = text.rpartition("? ")[2].removesuffix("…").split() or text.removesuffix("…").split()
    return ("… " if len(said) > words else "") + " ".join(said[-words:]) + " …"


def truth_ratios(record: Record, head: Head) -> Figure:
    """Distribution of the truth ratios of the forget questions, a step at each question."""
    found = newest(record, "truth ratios")
    x, y = Axis("truth ratio", log=True), Axis("share of the questions", low=0, high=1)
    if found is None:
        return empty(head, "", x, y)
    info, values = found
    tests = _tests(record)
    drawn = []
    for row, name in enumerate(str(n) for n in coordinates(info, 0)):
        ratios = np.maximum(np.sort(values[row]), 1e-6)
        share = np.arange(1, len(ratios) + 1) / len(ratios)
        label = f"{name} ({tests[name]})" if name in tests else name
        drawn.append(Curve(name, ratios, share, role=ROLES.get(name), shape="hv", label=label))
    return lines(head, drawn, x, y, method=METHOD, legend=True)


def _tests(record: Record) -> dict[str, str]:
    """Statistic and p of the Kolmogorov-Smirnov test against the retain-only model, by model, in words."""
    table = record.tables().get("Where they ended")
    if table is None or not {"KS statistic", "forget quality p"} <= set(table.columns):
        return {}
    at, p_at = (list(table.columns).index(name) for name in ("KS statistic", "forget quality p"))
    return {
        str(row[0]): f"D {row[at]:.2f}, p {row[p_at]:.1g}"
        for row in table.rows
        if isinstance(row[p_at], int | float) and isinstance(row[at], int | float) and row[0] != TWIN
    }


def row_weights(record: Record, head: Head) -> Figure:
    """Mean row weight by layer and target."""
    found = newest(record, "row weights")
    if found is None:
        return empty(head, "", Axis("target"), Axis("layer"))
    info, values = found
    return heatmap(
        head, values, Axis("target"), Axis(""), x_values=[str(n) for n in coordinates(info, 1)],
        y_values=[str(n) for n in coordinates(info, 0)], value=Axis("mean row weight"),
    )  # fmt: skip


def spectra(record: Record, head: Head) -> Figure:
    """Share of the squared singular values that the first r take, mean over the matrices, weighted and plain."""
    found = newest(record, "spectra")
    x, y = Axis("rank", log=True), Axis("share taken", low=0, high=1)
    if found is None:
        return empty(head, "", x, y)
    info, values = found
    drawn = [
        Curve(str(name), coordinates(info, 1), values[row], role="method" if row == 0 else "baseline")
        for row, name in enumerate(coordinates(info, 0))
    ]
    return lines(head, drawn, x, y, method=METHOD)


def rank_shares(record: Record, head: Head) -> Figure:
    """What rank r takes of each matrix, weighted by importance and plain."""
    found = newest(record, "share taken by the rank")
    if found is None:
        return empty(head, "", Axis(), Axis("share"))
    info, values = found
    groups = [
        Bars(str(name), values[:, k], role="method" if k == 0 else None)
        for k, name in enumerate(coordinates(info, 1))
    ]
    return bars(
        head, [str(n) for n in coordinates(info, 0)], groups, Axis(), Axis("share of the squared singular values", low=0, high=1),
        method=METHOD,
    )  # fmt: skip


def attack(record: Record, head: Head) -> Figure:
    """Facts known before and after the re-learning attack, on the questions that were not taught again."""
    names = contenders(record, "fact accuracy after the attack")
    groups = [
        Bars(words, [_value(record, name, f"fact accuracy {words} the attack") for name in names], role=role)
        for words, role in _attacked()
    ]
    return bars(
        head, names, groups if names else [], Axis(), Axis("facts known", low=0, high=1), method=METHOD
    )


def _attacked() -> Sequence[tuple[str, Role | None]]:
    return (("before", "reference"), ("after", "method"))


def _value(record: Record, series: str, name: str) -> float:
    value = last_value(record, series, name)
    return float("nan") if value is None else value
