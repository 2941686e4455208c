"""Fields and distributions: heat maps, bars, histograms, scatter plots, and histories of them with a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ui.figures.curves import Threshold, draw_threshold
from ui.figures.labels import wrap
from ui.figures.palette import Role, styles_of
from ui.figures.points import Curve
from ui.figures.template import Axis, Figure, Floats, Head, empty, frame, note, number, span, wire, words

Map = Literal["amount", "printed", "diverging"]
_DIVERGING = [[0.0, "#1f5fd0"], [0.25, "#8fb0e8"], [0.5, "#ffffff"], [0.75, "#eba27c"], [1.0, "#d55e00"]]
_DARK = "#11151a"


HATCHES = ("", "/", "x", ".")


@dataclass(frozen=True)
class Bars:
    """Bars of one contender: `values` over the figure's positions. An interval stands on each bar where `error` (half
    its length, around the value) or `low` and `high` (its ends) are given."""

    name: str
    values: ArrayLike
    role: Role | None = None
    error: ArrayLike | None = None
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def heatmap(
    head: Head,
    values: ArrayLike,
    x: Axis,
    y: Axis,
    *,
    x_values: Sequence[float] | Sequence[str] | None = None,
    y_values: Sequence[float] | Sequence[str] | None = None,
    value: Axis | None = None,
    colours: Map = "amount",
    overlays: Sequence[Curve] = (),
    clickable: str = "",
    awaits: str = "Appears with the first numbers.",
) -> Figure:
    """`values` (rows along y, columns along x) as colours: viridis for amounts, blue-white-vermilion centred at
    zero for differences. What is not finite stays a visible hole and is counted in words. `overlays` are drawn
    on top; `clickable` names what a click sets (told to the page in `layout.meta.pw.click`)."""
    z = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if not z.size:
        return empty(head, awaits, x, y)
    figure = frame(head, x, y, furniture=True)
    layout = figure["layout"]
    layout["hovermode"] = "closest"
    layout["plot_bgcolor"] = "@hole"
    layout["yaxis"]["showgrid"] = False
    value = value or Axis("value")
    trace = _cells(z, value, colours)
    xs, ys = _coordinates(x_values, z.shape[1]), _coordinates(y_values, z.shape[0])
    trace.update(x=xs, y=ys)
    trace["hovertemplate"] = (
        f"{words(x.title or 'x')} %{{x}}<br>{words(y.title or 'y')} %{{y}}<br><b>%{{z:.4~g}}</b><extra></extra>"
    )
    figure["data"].append(trace)
    _fit_axes(layout, x, y, xs, ys)
    title = "<br>".join(words(line) for line in wrap(value.heading))
    layout["annotations"].append(note(title, 1, 1, name="bar-title", xshift=10, yshift=9))
    _overlay(figure, overlays)
    _count_holes(layout, z)
    if clickable:
        layout["meta"]["pw"]["click"] = clickable
    finite = z[np.isfinite(z)]
    extent = (
        f"from {number(float(finite.min()))} to {number(float(finite.max()))}"
        if finite.size
        else "with no finite value"
    )
    layout["meta"]["pw"]["alt"] = (
        f"{head.title}. Heat map of {z.shape[0]} by {z.shape[1]} cells, {value.heading} {extent}."
    )
    return figure


def _cells(z: Floats, value: Axis, colours: Map) -> dict[str, Any]:
    """The heat map's trace: its numbers, colour scale, and a colour bar in the right margin."""
    finite = z[np.isfinite(z)]
    low = value.low if value.low is not None else float(finite.min()) if finite.size else 0.0
    high = value.high if value.high is not None else float(finite.max()) if finite.size else 1.0
    trace: dict[str, Any] = {
        "type": "heatmap",
        "uid": "cells",
        "z": wire(z),
        "hoverongaps": False,
        "name": "",
    }
    if colours == "diverging":
        reach = max(abs(low), abs(high)) or 1.0
        trace.update(zmin=-reach, zmax=reach, colorscale=_DIVERGING)
    else:
        high = high if high > low else low + 1.0
        trace.update(zmin=low, zmax=high, colorscale="Viridis" if colours == "amount" else "Cividis")
    trace["colorbar"] = {
        "thickness": 10,
        "len": 1.0,
        "x": 1,
        "xpad": 12,
        "ypad": 0,
        "outlinewidth": 0,
        "ticks": "",
        "nticks": 5,
        "tickfont": {"size": 11, "color": "@muted"},
        "exponentformat": "power",
    }
    return trace


def _coordinates(values: Sequence[float] | Sequence[str] | None, size: int) -> list[Any]:
    if values is None or len(values) != size:
        return list(range(size))
    return [words(item) if isinstance(item, str) else float(item) for item in values]


def _fit_axes(layout: dict[str, Any], x: Axis, y: Axis, xs: list[Any], ys: list[Any]) -> None:
    """Axes that end where the cells end."""
    for name, axis, places in (("xaxis", x, xs), ("yaxis", y, ys)):
        if any(isinstance(place, str) for place in places):
            layout[name].update(type="category", tickmode="auto")
            layout[name].pop("range", None)
            if axis.reverse:
                layout[name]["autorange"] = "reversed"
            continue
        step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 1.0
        first = places[1] - places[0] if len(places) > 1 else step
        last = places[-1] - places[-2] if len(places) > 1 else step
        ends = [places[0] - first / 2, places[-1] + last / 2]
        low, high = (
            (axis.low if axis.low is not None else ends[0]),
            (axis.high if axis.high is not None else ends[1]),
        )
        layout[name]["range"] = [high, low] if axis.reverse else [low, high]
        if len(places) <= 8 and all(len(number(place)) <= 4 for place in places):
            layout[name].update(
                tickmode="array", tickvals=places, ticktext=[number(place) for place in places]
            )


def _overlay(figure: Figure, overlays: Sequence[Curve]) -> None:
    """Lines and markers over the cells, dark on white in both schemes, since the cells' colours are the same in
    both. A line carries its name."""
    for curve in overlays:
        name = words(curve.name)
        base = {
            "type": "scatter",
            "x": wire(curve.x),
            "y": wire(curve.y),
            "showlegend": False,
            "connectgaps": False,
        }
        colour = curve.style.colour if curve.style else _DARK
        if curve.mode == "lines":
            under = {
                "uid": f"{curve.name}/under",
                "mode": "lines",
                "hoverinfo": "skip",
                "line": {"color": "#ffffff", "width": 4.5},
            }
            over = {"uid": curve.name, "mode": "lines", "line": {"color": colour, "width": 2}}
            figure["data"] += [
                {**base, **under},
                {**base, **over, "name": name, "hovertemplate": f"{name}<extra></extra>"},
            ]
            _name_overlay(figure, curve)
        else:
            marker = {
                "symbol": curve.symbol,
                "size": 13,
                "color": "#ffffff",
                "line": {"color": colour, "width": 2.5},
            }
            figure["data"].append(
                {
                    **base,
                    "uid": curve.name,
                    "mode": "markers",
                    "marker": marker,
                    "name": name,
                    "hovertemplate": f"{name}<extra></extra>",
                }
            )


def _name_overlay(figure: Figure, curve: Curve) -> None:
    """The line's name beside a point at three quarters of what is seen of it."""
    xs, ys = np.asarray(curve.x, dtype=np.float64), np.asarray(curve.y, dtype=np.float64)
    ranges = [figure["layout"][axis].get("range", [-math.inf, math.inf]) for axis in ("xaxis", "yaxis")]
    seen = np.isfinite(xs) & np.isfinite(ys)
    for values, ends in zip((xs, ys), ranges, strict=True):
        seen &= (values >= min(ends)) & (values <= max(ends))
    places = np.flatnonzero(seen)
    if not places.size:
        return
    at = places[int(0.75 * (places.size - 1))]
    low, high = min(ranges[0]), max(ranges[0])
    right = float(xs[at]) > low + 0.55 * (high - low)
    side: dict[str, Any] = {"xanchor": "right", "xshift": -8} if right else {"xanchor": "left", "xshift": 8}
    text, place = words(curve.name), (float(xs[at]), float(ys[at]))
    label = note(text, *place, xref="x", yref="y", yshift=-4, yanchor="top", **side)
    label.update(
        name="threshold", font={"size": 11, "color": _DARK}, bgcolor="rgba(255,255,255,0.85)", borderpad=2
    )
    figure["layout"]["annotations"].append(label)


def _count_holes(layout: dict[str, Any], z: Floats) -> None:
    infinite = int(np.isinf(z).sum())
    if infinite:
        text = f"× {infinite} of {z.size} cells not finite"
        layout["annotations"].append(
            note(
                text,
                1,
                1,
                name="not-finite",
                xanchor="right",
                yshift=9,
                font={"size": 11, "color": "@vermilion-text"},
            )
        )


def bars(
    head: Head,
    positions: Sequence[float] | Sequence[str],
    groups: Sequence[Bars],
    x: Axis,
    y: Axis,
    *,
    method: str = "",
    touching: bool = False,
    lines_over: Sequence[Curve] = (),
    thresholds: Sequence[Threshold] = (),
    awaits: str = "Appears with the first numbers.",
) -> Figure:
    """Bars side by side; with `touching` a histogram whose bars overlap, half transparent. `lines_over` draws
    densities on top of them."""
    groups = [group for group in groups if np.asarray(group.values).size]
    if not groups:
        return empty(head, awaits, x, y)
    heights = [np.asarray(group.values, dtype=np.float64) for group in groups]
    names = [group.name for group in groups] + list(dict.fromkeys(curve.contender for curve in lines_over))
    over = [np.asarray(curve.y, dtype=np.float64) for curve in lines_over]
    zero = Axis(
        y.title,
        y.unit,
        y.log,
        low=y.low if y.low is not None else None if y.log else 0.0,
        high=y.high,
        integer=y.integer,
    )
    ends = [np.asarray(end, dtype=np.float64) for g in groups for end in (g.low, g.high) if end is not None]
    negative = any((height < 0).any() for height in (*heights, *ends))
    y_shown = span([*heights, *over, *ends], y if negative or y.log else zero, pad=0.08)
    numeric = not any(isinstance(place, str) for place in positions)
    x_shown = _bar_span(positions, lines_over, x) if numeric else None
    figure = frame(head, x, y, x_shown=x_shown, y_shown=y_shown, legend=names if len(names) > 1 else ())
    layout = figure["layout"]
    layout.update(
        barmode="overlay" if touching else "group", bargap=0.0 if touching else 0.25, bargroupgap=0.05
    )
    styles = styles_of(names, method, {group.name: group.role for group in groups if group.role})
    places: Any = (
        wire(np.asarray(positions, dtype=np.float64)) if numeric else [words(str(p)) for p in positions]
    )
    if not numeric:
        _name_every_bar(layout, places)
    looks: dict[str, int] = {}
    for group, height in zip(groups, heights, strict=True):
        colour = styles[group.name].colour
        looks[colour] = looks.get(colour, -1) + 1
        trace = _bar_trace(group, places, height, f"{colour}/0.45" if touching else colour, looks[colour])
        figure["data"].append({**trace, "showlegend": len(names) > 1})
    for curve in lines_over:
        figure["data"].append(_line_over(curve, curve.style or styles[curve.contender]))
    for threshold in thresholds:
        draw_threshold(figure, threshold)
    layout["meta"]["pw"]["alt"] = (
        head.alt or f"{head.title}. Bars of {', '.join(names)} over {x.heading or 'positions'}."
    )
    return figure


def _bar_trace(group: Bars, places: Any, heights: Any, fill: str, again: int) -> dict[str, Any]:
    """The bars of one group. Bars have no dashes: the `again`-th group of a colour is told apart by its hatching."""
    trace: dict[str, Any] = {
        "type": "bar",
        "uid": f"bar/{group.name}",
        "name": words(group.name),
        "x": places,
        "y": wire(heights),
        "marker": {
            "color": fill,
            "line": {"width": 0},
            "pattern": {
                "shape": HATCHES[again % len(HATCHES)],
                "fgcolor": "@paper",
                "bgcolor": fill,
                "size": 6,
            },
        },
        "hovertemplate": "%{y:.4~g}",
    }
    drawn = {"type": "data", "color": "@ink", "thickness": 1.25, "width": 3}
    if group.error is not None:
        trace["error_y"] = {**drawn, "array": wire(group.error)}
    elif group.low is not None and group.high is not None:
        # plotly wants the lengths of the two arms
        above, below = np.asarray(group.high) - heights, heights - np.asarray(group.low)
        trace["error_y"] = {**drawn, "symmetric": False, "array": wire(above), "arrayminus": wire(below)}
    return trace


def _name_every_bar(layout: dict[str, Any], names: Sequence[str], width: float = 430.0) -> None:
    """No name of a category is left out: where they do not fit side by side they are slanted, and get the room."""
    layout["xaxis"].update(type="category", showgrid=False, dtick=1, tickangle=0)
    longest = max(map(len, names))
    if len(names) * (7.0 * longest + 8) > width:
        room = round(min(90.0, 4.5 * longest))
        layout["xaxis"]["tickangle"] = -40
        layout["height"] += room
        layout["margin"]["b"] += room
        layout["meta"]["pw"]["room"] = room
        if title := layout["xaxis"].pop("title", None):
            # plotly would write it across the slanted names
            layout["annotations"].append(
                note(
                    title["text"], 0.5, 0, name="x-title", xanchor="center", yanchor="top", yshift=-20 - room
                )
            )


def _line_over(curve: Curve, style: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "uid": f"line/{curve.name}",
        "name": words(curve.name),
        "x": wire(curve.x),
        "y": wire(curve.y),
        "mode": {"lines": "lines", "markers": "markers", "both": "lines+markers"}[curve.mode],
        "line": {"color": style.colour, "width": style.width, "dash": style.dash},
        "marker": {"color": style.colour, "size": 6, "symbol": curve.symbol},
        "hovertemplate": "%{y:.4~g}",
        "showlegend": True,
    }


def _bar_span(positions: Sequence[Any], over: Sequence[Curve], x: Axis) -> tuple[float, float]:
    places = np.asarray(positions, dtype=np.float64)
    half = float(np.diff(places).min()) / 2 if places.size > 1 else 0.5
    parts = [places - half, places + half, *(np.asarray(curve.x, dtype=np.float64) for curve in over)]
    return span(parts, x, pad=0.01)
