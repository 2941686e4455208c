"""Drawing ReNO: each function makes one figure from a record.

The events that they read are listed in engines/images/reno/experiment.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage import Record
from ui.figures import (
    Axis,
    Bars,
    Curve,
    Figure,
    Head,
    Threshold,
    Variant,
    bars,
    empty,
    heatmap,
    history,
    lines,
)
from ui.readings import coordinates, curves, curves_against, newest

METHOD, BEST = "ReNO", "Best of N"
ITERATION = Axis("iteration", integer=True)
REWARD = Axis("best weighted reward")
DRAWS, PASSES = 3, 3
"""Looks of best-of-N an iteration, and forward passes that an iteration of ReNO costs in the paper's count. A contender
whose iterations cost something else (halving, L-BFGS) has them recorded as `passes`."""
COST = Axis("forward passes a picture, a backward pass counts as two", integer=True)


def best_reward(record: Record, head: Head) -> Figure:
    """The best reward so far of everybody, over iterations, forward passes or measured seconds."""
    found = curves(record, "best reward")
    last = max((float(np.max(c.x)) for c in found if c.name != BEST and np.size(c.x)), default=0.0)
    counted = curves_against(record, "best reward", "passes", variant="passes")
    names = {curve.name for curve in counted}
    drawn: list[Curve] = []
    for curve in found:
        x, y = np.asarray(curve.x, dtype=np.float64), np.asarray(curve.y, dtype=np.float64)
        is_search = curve.name == BEST
        inside = x <= last if is_search else np.ones(len(x), dtype=bool)
        drawn.append(Curve(curve.name, x[inside], y[inside], variant="iterations"))
        if curve.name not in names:
            cost = x + 1 if is_search or curve.name == "Zero-order search" else PASSES * (x + 1)
            drawn.append(Curve(curve.name, cost, y, variant="passes"))
    drawn += counted
    drawn += curves_against(record, "best reward", "time/seconds", variant="seconds")
    variants = [
        Variant("iterations", "iterations", ITERATION),
        Variant("passes", "passes", COST),
    ]
    if any(curve.variant == "seconds" for curve in drawn):
        variants.append(Variant("seconds", "seconds", Axis("measured time", "s")))
    return lines(head, drawn, ITERATION, REWARD, method=METHOD, variants=tuple(variants))


def by_iteration(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """A scalar of everybody over the iterations; best-of-N's looks are counted three an iteration."""
    drawn = []
    for curve in curves(record, name):
        x = np.asarray(curve.x, dtype=np.float64)
        drawn.append(Curve(curve.name, (x + 1) / DRAWS - 1 if curve.name == BEST else x, curve.y))
    return lines(head, drawn, ITERATION, y, method=METHOD)


def gains(record: Record, head: Head) -> Figure:
    """What each optimised reward has gained; the last iteration that was the best of all is marked."""
    drawn = curves(record, "gain")
    best = record.points(METHOD, "best reward") if drawn else None
    marks: tuple[Threshold, ...] = ()
    if best is not None and len(best) > 1:
        rises = np.flatnonzero(np.diff(best.values) > 0)
        if rises.size:
            marks = (Threshold(float(best.steps[rises[-1] + 1]), "last best"),)
    return lines(head, drawn, ITERATION, Axis("weighted gain since the start"), thresholds=marks)


def noise_norm(record: Record, head: Head) -> Figure:
    """Norms of all noises with the band that a Gaussian noise keeps to."""
    typical = newest(record, "typical norm")
    marks: tuple[Threshold, ...] = ()
    if typical is not None:
        marks = (Threshold(float(typical[1][1]), "sqrt(d - 1)", "y"),)
    figure = lines(
        head,
        curves(record, "noise norm"),
        ITERATION,
        Axis("norm of the noise"),
        method=METHOD,
        thresholds=marks,
    )
    if figure["data"] and typical is not None:
        low, _, high = (float(v) for v in typical[1])
        figure["layout"]["shapes"].append({
            "type": "rect", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": low, "y1": high, "fillcolor": "@ink/0.06",
            "line": {"width": 0}, "layer": "below",
        })  # fmt: skip
    return figure


def gradient_norm(record: Record, head: Head) -> Figure:
    """Gradient norms before clipping, with the clip."""
    clip = float(record.run.params.get("clip", 0.1))
    return lines(
        head, curves(record, "gradient norm"), ITERATION, Axis("norm of the gradient", log=True), method=METHOD,
        thresholds=(Threshold(clip, "clip", "y"),),
    )  # fmt: skip


def difference(record: Record, head: Head) -> Figure:
    """Where the best picture differs from the first; a slider over the noises."""
    x, y = Axis("column", "pixel", equal=True), Axis("row", "pixel", reverse=True, equal=True)
    names = sorted(
        {info.name for info in record.arrays() if info.name.startswith("difference, noise ")}, key=_number
    )
    frames = []
    for name in names:
        if (found := newest(record, name)) is not None:
            top = Axis("change", low=0.0)
            frames.append((_number(name), heatmap(head, found[1], x, y, value=top)))
    return history(frames, "noise") if frames else empty(head, "", x, y)


def _number(name: str) -> float:
    return float(name.rpartition(" ")[2])


def noise_histogram(record: Record, head: Head) -> Figure:
    """Entries of the found noise beside those of the start and the normal density."""
    x, y = Axis("entry of the noise"), Axis("density")
    found = newest(record, "noise histogram")
    if found is None:
        return empty(head, "", x, y)
    info, values = found
    places = np.asarray(coordinates(info, 1), dtype=np.float64)
    groups = [Bars("found", values[1], role="method"), Bars("start", values[0], role="baseline")]
    normal = Curve("standard normal", places, values[2], role="reference")
    return bars(head, places.tolist(), groups, x, y, method="found", touching=True, lines_over=(normal,))


def autocorrelation(record: Record, head: Head) -> Figure:
    """Correlation of entries of the found noise that lie some places apart."""
    x, y = Axis("columns apart", integer=True, equal=True), Axis("rows apart", integer=True, equal=True)
    found = newest(record, "noise autocorrelation")
    if found is None:
        return empty(head, "", x, y)
    info, values = found
    shown = values.copy()
    middle = (shown.shape[0] // 2, shown.shape[1] // 2)
    shown[middle] = np.nan  # 1 by definition: it would hide the others
    reach = max(0.1, float(np.nanmax(np.abs(shown))))
    ticks: list[list[Any]] = [coordinates(info, axis) for axis in (0, 1)]
    return heatmap(
        head, shown, x, y, x_values=[float(v) for v in ticks[1]], y_values=[float(v) for v in ticks[0]],
        value=Axis("correlation", low=-reach, high=reach), colours="diverging",
    )  # fmt: skip


def by_task(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """A quantity of each contender by task, with the intervals that the run has computed."""
    x = Axis()
    found, low, high = (newest(record, f"{name}{end}") for end in ("", " low", " high"))
    if found is None or low is None or high is None:
        return empty(head, "", x, y)
    info, values = found
    names = [str(name) for name in coordinates(info, 0)]
    shown = [k for k, name in enumerate(names) if not name.startswith(("ReNO without", "ReNO, no "))]
    groups = [
        Bars(
            names[k],
            values[k],
            low=low[1][k],
            high=high[1][k],
            role="baseline" if names[k] == "Plain picture" else None,
        )
        for k in shown
    ]
    return bars(head, [str(task) for task in coordinates(info, 1)], groups, x, y, method=METHOD)
