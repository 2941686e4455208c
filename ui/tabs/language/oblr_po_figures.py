"""Drawing OBLR-PO: each function makes one figure from a record.

The events that they read are listed in engines/language/oblr_po/experiment.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import ArrayInfo, Record
from ui.figures import (
    Axis,
    Bars,
    Curve,
    Figure,
    Head,
    Role,
    Threshold,
    Variant,
    bars,
    empty,
    history,
    lines,
    scatter,
)
from ui.readings import Floats, contenders, coordinates, curves, kept, newest

METHOD = "OBLR-PO"
STEP = Axis("step", integer=True)
ROLES: dict[str, Role] = {
    "OBLR-PO, exact b*": "reference",
    "exact b*": "reference",
    "exact mean": "reference",
}
AUDITED = (
    "OBLR-PO (estimated b*)", "OBLR-PO, shrunk by half", "RLOO", "shrinkage", "batch mean", "OPO (length)", "no baseline",
    "oracle mean", "oracle b*",
)  # fmt: skip
"""Estimators that the audit's bars show; the table has all."""
_ORACLES = {"oracle mean": "exact mean", "oracle b*": "exact b*"}
_PARTS = ("sampling", "scoring", "backward", "norms", "update")


def by_step(
    record: Record,
    head: Head,
    *,
    name: str,
    y: Axis,
    thresholds: tuple[Threshold, ...] = (),
    shape: Any = "linear",
    x: Axis = STEP,
) -> Figure:
    """A scalar of all contenders over the steps."""
    return lines(
        head, curves(record, name, roles=ROLES, shape=shape), x, y, method=METHOD, thresholds=thresholds
    )


def accuracy(record: Record, head: Head, *, y: Axis) -> Figure:
    """Held-out accuracy against steps or responses sampled."""
    drawn = curves(record, "held-out accuracy", variant="steps")
    drawn += curves(record, "held-out accuracy by samples", variant="samples")
    variants = (
        Variant("steps", "steps", STEP),
        Variant("samples", "responses", Axis("responses sampled", integer=True)),
    )
    return lines(head, drawn, STEP, y, method=METHOD, variants=variants)


def snr(record: Record, head: Head, *, name: str = "SNR", x: Axis = STEP) -> Figure:
    """Signal-to-noise ratio with its zones: below 0.1 noise, 0.1 to 1 weak, above 1 clear."""
    drawn = [
        Curve(c.name, c.x, np.maximum(np.asarray(c.y), 1e-3), role=c.role)
        for c in curves(record, name, roles=ROLES)
    ]
    zones = (Threshold(0.1, "below 0.1: noise", "y"), Threshold(1.0, "above 1: signal", "y"))
    figure = lines(
        head, drawn, x, Axis("signal / noise", log=True, low=8e-4), method=METHOD, thresholds=zones
    )
    if figure["data"]:
        _zone(figure, 1e-6, 0.1, "@vermilion/0.08")
        _zone(figure, 0.1, 1.0, "@orange/0.08")
        _zone(figure, 1.0, 1e6, "@green/0.08")
    return figure


def _zone(figure: Figure, low: float, high: float, colour: str) -> None:
    figure["layout"]["shapes"].append({
        "type": "rect", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": low, "y1": high, "fillcolor": colour,
        "line": {"width": 0}, "layer": "below",
    })  # fmt: skip


def variance_and_signal(record: Record, head: Head, *, series: str = METHOD) -> Figure:
    """Variance and squared length of the gradient of one contender on one axis."""
    drawn = []
    for name, label in (("gradient variance", "variance"), ("gradient signal", "signal")):
        for curve in curves(record, name, only=(series,)):
            values = np.asarray(curve.y, dtype=np.float64)
            role: Role = "method" if label == "signal" else "baseline"
            drawn.append(Curve(label, curve.x, np.where(values > 0, values, np.nan), role=role))
    return lines(head, drawn, STEP, Axis("squared length", log=True), method=METHOD)


def step_time(record: Record, head: Head) -> Figure:
    """Mean seconds of each part of a step, a group of bars a contender."""
    series = contenders(record, *(f"time/{part}" for part in _PARTS))
    groups = []
    for part in _PARTS:
        values = [_mean(record.points(name, f"time/{part}").values) for name in series]
        groups.append(Bars(part, [1000 * value for value in values]))
    return bars(head, series, groups if series else [], Axis(), Axis("time a step", "ms"))


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def audit_bars(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """Estimators by group size, with intervals where there are some; a slider over the audits."""
    widths = (
        {info.step: values for info, values in kept(record, "audit half width")}
        if name == "audit variance"
        else {}
    )
    frames = [
        (info.step, _audit(head, info, values, widths.get(info.step), y))
        for info, values in kept(record, name)
    ]
    return history(frames) if frames else empty(head, "", Axis(), y)


def _audit(head: Head, info: ArrayInfo, values: NDArray[Any], widths: NDArray[Any] | None, y: Axis) -> Figure:
    names, sizes = [str(n) for n in coordinates(info, 0)], [f"G = {int(g)}" for g in coordinates(info, 1)]
    groups = []
    for name in AUDITED:
        if name in names:
            row = names.index(name)
            role: Role | None = (
                "method" if name.startswith("OBLR-PO (") else "reference" if name in _ORACLES else None
            )
            error = widths[row] if widths is not None and name not in (*_ORACLES, "no baseline") else None
            label = METHOD if name.startswith("OBLR-PO (") else _ORACLES.get(name, name)
            groups.append(Bars(label, values[row], role=role, error=error))
    return bars(head, sizes, groups, Axis("responses a prompt"), y, method=METHOD)


def audit_ratio(record: Record, head: Head) -> Figure:
    """The estimated optimal baseline's variance as a share of RLOO's, with 95 % intervals, by audit."""
    found = {name: kept(record, f"audit ratio {name}") for name in ("to RLOO", "low", "high")}
    drawn = []
    for (info, ratio), (_, low), (_, high) in zip(
        found["to RLOO"], found["low"], found["high"], strict=False
    ):
        row = [str(n) for n in coordinates(info, 0)].index("OBLR-PO (estimated b*)")
        sizes = np.array(coordinates(info, 1), dtype=np.float64)
        drawn.append(
            Curve(f"step {info.step:g}", sizes, ratio[row], low=low[row], high=high[row], mode="both")
        )
    return lines(
        head,
        drawn,
        Axis("responses a prompt", log=True),
        Axis("variance / RLOO's", low=0),
        thresholds=(Threshold(1, "RLOO", "y"),),
    )


def lens(record: Record, head: Head) -> Figure:
    """Mean reward against optimal baseline, a dot a prompt; a slider over the audits."""
    x, y = Axis("mean reward"), Axis("optimal baseline")
    frames = []
    for info, values in kept(record, "baseline lens"):
        cloud = Curve("prompts", values[:, 0], values[:, 1], mode="markers", role="method", labelled=False)
        frames.append((info.step, scatter(head, [cloud], x, y, method=METHOD, diagonal=True)))
    return history(frames) if frames else empty(head, "", x, y)


def weights(record: Record, head: Head) -> Figure:
    """Histogram of gradient norms of right and of wrong answers."""
    x, y = Axis("gradient norm of a response"), Axis("share of the answers")
    frames = []
    for info, values in kept(record, "weights by answer"):
        groups = [Bars("right answers", values[0], role="method"), Bars("wrong answers", values[1])]
        frames.append(
            (info.step, bars(head, coordinates(info, 1), groups, x, y, method=METHOD, touching=True))
        )
    return history(frames) if frames else empty(head, "", x, y)


def parabola(record: Record, head: Head) -> Figure:
    """Variance against one baseline for all prompts, with its marks."""
    latest, marks = newest(record, "variance parabola"), newest(record, "parabola marks")
    x, y = Axis("baseline for all prompts"), Axis("variance at G = 1", low=0)
    if latest is None or marks is None:
        return empty(head, "", x, y)
    info, values = latest
    named = zip(coordinates(marks[0], 0), marks[1].tolist(), strict=True)
    thresholds = [Threshold(at, str(name)) for name, at in named]
    curve = Curve("variance", coordinates(info, 0), values, role="method", labelled=False)
    return lines(head, [curve], x, y, method=METHOD, thresholds=thresholds)


def bandit_policies(record: Record, head: Head) -> Figure:
    """Variance of each baseline at three policies."""
    latest = newest(record, "bandit variance by policy")
    y = Axis("variance", log=True)
    if latest is None:
        return empty(head, "", Axis(), y)
    info, values = latest
    groups = [
        Bars(str(name), values[:, i], role=ROLES.get(str(name)))
        for i, name in enumerate(coordinates(info, 1))
    ]
    return bars(head, [str(p) for p in coordinates(info, 0)], groups, Axis(), y, method=METHOD)
