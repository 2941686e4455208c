"""Traces of one curve: its band, its line or dots, and the marks of values that have no place on the axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ui.figures.palette import Style
from ui.figures.points import Drawn
from ui.figures.template import Axis, Floats, number, wire, words


def traces_of(
    item: Drawn, style: Style, shown: tuple[float, float], y: Axis, first: str
) -> list[dict[str, Any]]:
    """The line (with its band below it) and the marks of values that are not finite."""
    curve = item.curve
    common: dict[str, Any] = {
        "type": "scatter",
        "x": wire(item.x),
        "legendgroup": words(curve.contender),
        "zorder": style.z,
        "visible": curve.variant in ("", first),
        "meta": {"variant": curve.variant, "contender": curve.contender},
    }
    uid = f"{curve.contender}/{curve.name}/{curve.variant}"
    made = _band(item, style, common, uid)
    width = 0.75 if curve.hairline else style.width
    trace: dict[str, Any] = {
        **common,
        "uid": uid,
        "name": words(curve.label or (curve.name if curve.labelled else curve.contender)),
        "y": wire(item.y),
        "mode": {"lines": "lines", "markers": "markers", "both": "lines+markers"}[curve.mode],
        "line": {"color": style.colour, "width": width, "dash": style.dash, "shape": curve.shape},
        "showlegend": curve.labelled and not curve.hairline,
        "hovertemplate": "%{y:.4~g}",
        "connectgaps": False,
    }
    if curve.hairline:
        trace.update(opacity=0.55, hoverinfo="skip", hovertemplate=None)
    if curve.mode != "lines":
        trace["marker"] = {
            "color": style.colour,
            "size": 8 if style.role == "method" else 7,
            "symbol": curve.symbol,
            "line": {"color": style.colour, "width": 1.5},
        }
    elif item.x.size == 1:
        # A line of one point would be invisible: the first value of a run shows as a dot.
        trace.update(mode="lines+markers", marker={"color": style.colour, "size": 6})
    if item.error is not None:
        trace["error_y"] = {
            "type": "data",
            "array": wire(item.error),
            "color": style.colour,
            "thickness": 1.25,
            "width": 3,
        }
        trace["hovertemplate"] = "%{y:.4~g} ± %{error_y.array:.2~g}"
    made.append(trace)
    marks = _edge_marks(item, style, shown, y, common, uid)
    return [*made, marks] if marks else made


def _band(item: Drawn, style: Style, common: dict[str, Any], uid: str) -> list[dict[str, Any]]:
    """The spread over seeds at 15 % opacity: two invisible lines with the area between them filled."""
    if item.low is None or item.high is None:
        return []
    edge = {
        **common,
        "mode": "lines",
        "line": {"width": 0, "color": style.colour},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [
        {**edge, "uid": f"{uid}/low", "y": wire(item.low), "name": ""},
        {
            **edge,
            "uid": f"{uid}/high",
            "y": wire(item.high),
            "name": "",
            "fill": "tonexty",
            "fillcolor": f"{style.colour}/0.15",
        },
    ]


def _edge_marks(
    item: Drawn, style: Style, shown: tuple[float, float], y: Axis, common: dict[str, Any], uid: str
) -> dict[str, Any] | None:
    """Values that are not finite leave a gap in the line and a mark at the edge of the plot they ran to."""
    broken = _outside(item.y, y) & np.isfinite(item.x)
    # Of a stretch of such values only the first is marked: that is where the line was lost.
    broken &= ~np.concatenate([[False], broken[:-1]])
    if not broken.any():
        return None
    values = item.y[broken]
    at = np.where(np.isneginf(values) | np.isfinite(values), shown[0], shown[1])
    symbols = [
        "x-thin" if np.isnan(v) else "triangle-up" if np.isposinf(v) else "triangle-down" for v in values
    ]
    return {
        **common,
        "uid": f"{uid}/edge",
        "name": words(item.curve.name),
        "x": wire(item.x[broken]),
        "y": wire(at),
        "mode": "markers",
        "marker": {
            "symbol": symbols,
            "size": 8,
            "color": style.colour,
            "line": {"color": style.colour, "width": 1.5},
        },
        "text": [number(float(v)) for v in values],
        "hovertemplate": "%{text}",
        "cliponaxis": False,
        "showlegend": False,
    }


def _outside(values: Floats, axis: Axis) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which values have no place on the axis: not finite, or not positive on a logarithmic one."""
    broken = ~np.isfinite(values)
    return broken | (values <= 0) if axis.log else broken
