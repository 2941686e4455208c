"""Drawing matrix completion: each function makes one figure from a record.

The events that they read are listed in engines/estimation/matrix_completion/experiment.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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
    heatmap,
    history,
    lines,
)
from ui.readings import coordinates, curves, curves_against, kept, last_value, levelled, newest

METHOD = "Robust AM"
SKETCH = "Sketch per row"
ROLES: dict[str, Role] = {SKETCH: "ablation", "Truth": "reference"}
"""The sketch for each row is the paper's own form of the method: of its hue, not a baseline."""

ITERATION = Axis("outer iteration", integer=True)


def race(record: Record, head: Head, *, name: str, y: Axis, work: str = "") -> Figure:
    """A measure of all contenders against iterations, CPU seconds, or passes over the entries. `work` opens the
    names of the scalars that count the work ("picture " for the picture)."""
    axes = (
        ("iteration", "iterations", "", ITERATION),
        ("seconds", "CPU seconds", f"time/{work}CPU seconds", Axis("CPU time", "s", low=0)),
        ("passes", "passes", f"{work}passes", Axis("work", "passes over the entries", low=0)),
    )
    drawn: list[Curve] = []
    variants = []
    for key, label, across, axis in axes:
        found = curves_against(record, name, across, roles=ROLES, variant=key)
        if found or not across:
            drawn += levelled(found)
            variants.append(Variant(key, label, axis))
    return lines(head, drawn, ITERATION, y, method=METHOD, variants=variants if len(variants) > 1 else ())


def plain(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    return lines(head, curves(record, name, roles=ROLES), ITERATION, y, method=METHOD)


def incoherence(record: Record, head: Head) -> Figure:
    found = curves(record, "incoherence", roles=ROLES)
    truth = last_value(record, "Truth", "true incoherence")
    if not found or truth is None or not math.isfinite(truth):
        return lines(head, found, ITERATION, Axis("μ(Uₜ)"), method=METHOD)
    # The level must be inside the range of the axis to be seen, with room for its label.
    values = np.concatenate([[truth], *(np.asarray(curve.y, dtype=float) for curve in found)])
    low, high = float(np.nanmin(values)), float(np.nanmax(values[values < math.inf]))
    room = 0.2 * (high - low) or 0.1 * high
    level = Threshold(truth, f"incoherence of the true factor, {truth:.3g}", "y", below=True)
    y = Axis("μ(Uₜ)", low=low - room, high=high + room / 2)
    return lines(head, found, ITERATION, y, method=METHOD, thresholds=[level])


def singular_values(record: Record, head: Head, *, name: str, truth: str = "") -> Figure:
    """The values of Robust AM at each kept iteration, beside the true ones."""
    known = newest(record, truth) if truth else None
    y = Axis("singular value", log=True)
    x = Axis("index", integer=True)
    reference = (
        []
        if known is None
        else [
            Curve(
                "Truth",
                coordinates(known[0], 0),
                known[1],
                mode="both",
                role="reference",
                symbol="circle-open",
            )
        ]
    )

    def draw(info: ArrayInfo, values: Any) -> Figure:
        mine = Curve(METHOD, coordinates(info, 0), values, mode="both")
        return lines(head, [*reference, mine], x, y, method=METHOD)

    frames = [(info.step, draw(info, values)) for info, values in kept(record, name)]
    if frames:
        return history(frames, "iteration")
    latest = newest(record, name)
    return draw(*latest) if latest else empty(head, "")


def inner_steps(record: Record, head: Head) -> Figure:
    def draw(info: ArrayInfo, counts: Any) -> Figure:
        return bars(
            head,
            coordinates(info, 0),
            [Bars(METHOD, counts, role="method")],
            Axis("conjugate-gradient steps", integer=True),
            Axis("rows and columns", "count", integer=True),
        )

    frames = [(info.step, draw(info, counts)) for info, counts in kept(record, "inner steps per row")]
    return history(frames, "iteration") if frames else empty(head, "")


def distortion(record: Record, head: Head) -> Figure:
    latest = newest(record, "sketch distortion")
    if latest is None:
        return empty(head, "")
    info, counts = latest
    ratio = float(record.run.params.get("sketch_ratio", 4))
    bounds = []
    if ratio > 1:
        low, high = (1 / (1 + sign / math.sqrt(ratio)) ** 2 for sign in (1, -1))
        bounds = [Threshold(low, f"expected above {low:.2g}"), Threshold(high, f"expected below {high:.2g}")]
    return bars(
        head,
        coordinates(info, 0),
        [Bars(SKETCH, counts, role="ablation")],
        Axis("eigenvalue of RᵀAᵀAR", low=0),
        Axis("eigenvalues", "count"),
        touching=True,
        thresholds=bounds,
    )


def phase(record: Record, head: Head, *, contender: str) -> Figure:
    latest = newest(record, f"recovered/{contender}")
    if latest is None:
        return empty(head, "")
    info, share = latest
    ranks, rates = coordinates(info, 0), coordinates(info, 1)
    line = newest(record, "threshold")
    overlays = []
    if line is not None:
        overlays = [
            Curve("as many entries as unknowns", np.asarray(line[1], dtype=float), coordinates(line[0], 0))
        ]
    return heatmap(
        head,
        np.asarray(share, dtype=float),
        Axis("sampling rate"),
        Axis("rank"),
        x_values=rates,
        y_values=ranks,
        value=Axis("share recovered", low=0, high=1),
        overlays=overlays,
    )


def scaling(record: Record, head: Head, *, by: str, x: Axis) -> Figure:
    """Seconds for each iteration, log-log, with the fitted power in the label."""
    drawn: list[Curve] = []
    for curve in curves(record, f"time/per iteration by {by}", roles=ROLES):
        slope = last_value(record, curve.name, f"time/slope by {by}")
        at, seconds = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
        label = curve.name if slope is None else f"{curve.name}, power\u00a0{slope:.2f}"
        drawn.append(Curve(curve.name, at, seconds, mode="markers", role=curve.role, label=label))
        usable = (at > 0) & (seconds > 0) & np.isfinite(seconds)
        if slope is not None and math.isfinite(slope) and usable.sum() > 1:
            middle = np.log(at[usable]).mean(), np.log(seconds[usable]).mean()
            fit = np.exp(middle[1] + slope * (np.log(at[usable]) - middle[0]))
            drawn.append(
                Curve(f"{curve.name} fit", at[usable], fit, group=curve.name, role=curve.role, labelled=False)
            )
    return lines(head, drawn, x, Axis("CPU time for an iteration", "s", log=True), method=METHOD)
