"""Clouds of dots, and histories: one figure out of those of several steps, with a slider to go back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ui.figures.curves import lines
from ui.figures.points import Curve
from ui.figures.template import Axis, Figure, Head, empty, number, span, words

MAX_FRAMES = 40


def scatter(
    head: Head,
    clouds: Sequence[Curve],
    x: Axis,
    y: Axis,
    *,
    method: str = "",
    diagonal: bool = False,
    awaits: str = "Appears with the first numbers.",
) -> Figure:
    """Clouds of dots; `diagonal` adds the line of equal values."""
    clouds = [cloud for cloud in clouds if np.asarray(cloud.x).size]
    if not clouds:
        return empty(head, awaits, x, y)
    everything = [np.asarray(part, dtype=np.float64) for cloud in clouds for part in (cloud.x, cloud.y)]
    shared = [*clouds]
    if diagonal:
        low, high = span(everything, Axis(), pad=0.04)
        x, y = (Axis(axis.title, axis.unit, axis.log, low, high) for axis in (x, y))
        shared.append(Curve("equal values", [low, high], [low, high], role="reference"))
    figure = lines(head, shared, x, y, method=method, awaits=awaits)
    figure["layout"]["hovermode"] = "closest"
    for trace in figure["data"]:
        if trace.get("mode") == "markers":
            crowded = len(np.atleast_1d(np.asarray(clouds[0].x))) > 200
            trace["marker"].update(
                size=4 if crowded else 6, opacity=0.45 if crowded else 0.85, line={"width": 0}
            )
            trace["hovertemplate"] = f"{words(x.title)} %{{x:.4~g}}<br>{words(y.title)} %{{y:.4~g}}"
    return figure


def history(figures: Sequence[tuple[float, Figure]], label: str = "step") -> Figure:
    """One figure out of those of several steps: the newest is shown, a slider goes back. All steps share the
    axes of the widest, so that nothing jumps while it plays. Raises ValueError for no figure."""
    if not figures:
        raise ValueError("a history needs at least one figure")
    chosen = evenly(figures, MAX_FRAMES)
    newest = chosen[-1][1]
    if len(chosen) == 1 or not newest["data"]:
        return newest
    _share_ranges([figure for _, figure in chosen])
    frames = []
    for step, figure in chosen:
        own, shown = figure["layout"], newest["layout"]
        layout = {
            key: own[key] for key in ("annotations", "shapes", "xaxis", "yaxis") if own[key] != shown[key]
        }
        frames.append({"name": number(step, 6), "data": figure["data"], "layout": layout})
    newest["frames"] = frames
    newest["layout"]["meta"]["pw"]["frames"] = {"label": label, "names": [frame["name"] for frame in frames]}
    return newest


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` items, evenly taken, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    places = np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))
    return [items[place] for place in places]


def _share_ranges(figures: Sequence[Mapping[str, Any]]) -> None:
    for name in ("xaxis", "yaxis"):
        ranges = [figure["layout"][name].get("range") for figure in figures]
        ranges = [
            ends
            for ends in ranges
            if ends and all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
        ]
        if len(ranges) != len(figures):
            continue
        low, high = min(min(ends) for ends in ranges), max(max(ends) for ends in ranges)
        for figure in figures:
            falling = figure["layout"][name]["range"][0] > figure["layout"][name]["range"][1]
            figure["layout"][name]["range"] = [high, low] if falling else [low, high]
