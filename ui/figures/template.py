"""The one template: frame, axes, wording of numbers, and how arrays travel to the page.

Figures are plain dicts, {"data", "layout"} and for histories "frames", as plotly understands them. What the
page adds around the plot (title, subtitle, choice of axis, slider) stands in `layout.meta.pw`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Figure = dict[str, Any]
Floats = NDArray[np.float64]

LEFT, RIGHT, TOP, BOTTOM = 60, 18, 30, 46
FURNITURE = 124
"""Right margin (px) of figures with labels at line ends or a colour bar: one width, so that stacked axes align."""
LEGEND_ROW = 20
HEIGHTS = (280, 320, 360)
MAX_POINTS = 2000
_SHORT = 100


@dataclass(frozen=True)
class Axis:
    """An axis: what it shows, its unit, its scale. `low`/`high` fix an end (in data units)."""

    title: str = ""
    unit: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    integer: bool = False
    reverse: bool = False
    equal: bool = False
    """One unit is as long as on the other axis (matrices, pictures)."""

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Head:
    """What stands above a plot and how tall it is. `key` names the figure for `uirevision`."""

    title: str
    subtitle: str = ""
    height: int = 320
    key: str = ""
    alt: str = ""
    """What a screen reader says; made from the data where empty."""


@dataclass(frozen=True)
class Variant:
    """One choice of a figure's toggle: its key, its word, the axis it brings."""

    key: str
    label: str
    axis: Axis = field(default_factory=Axis)


def words(text: str) -> str:
    """Text of an engine or a user inside a plotly string: no markup of theirs survives, no token either."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "&#64;" + text[1:] if text.startswith("@") else text


def wire(values: ArrayLike) -> Any:
    """Numbers in the form in which they travel: short arrays as a list with None for what is not finite, long
    ones as base64 of float64 (plotly's typed arrays), which costs 50 times less to encode."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.size <= _SHORT:
        if np.isfinite(array).all():
            return array.tolist()
        if array.ndim > 1:
            return [wire(row) for row in array]
        return [value if math.isfinite(value) else None for value in array.tolist()]
    array = np.where(np.isfinite(array), array, np.nan)
    packed: dict[str, Any] = {"dtype": "f8", "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    if array.ndim > 1:
        packed["shape"] = ",".join(str(size) for size in array.shape)
    return packed


def unwire(packed: Any) -> Floats:
    """The numbers behind `wire`, NaN for what was not finite."""
    if isinstance(packed, Mapping):
        array = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=np.float64)
        if "shape" in packed:
            array = array.reshape([int(size) for size in packed["shape"].split(",")])
        return array
    return np.array(packed, dtype=np.float64)


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits: "0.01234", "1.2e-7", "12,300", "not finite" spelled out."""
    if value is None:
        return "none"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.{max(digits - 1, 0)}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    if float(value).is_integer():
        return f"{int(value):,}"
    decimals = max(digits - 1 - math.floor(math.log10(size)), 0)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(parts: Iterable[Floats], axis: Axis, pad: float = 0.06) -> tuple[float, float]:
    """The range that an axis shows (data units; on a log axis only what is positive counts), with `pad` of its
    length free at each end that is not fixed."""
    finite = [part[np.isfinite(part) & ((part > 0) if axis.log else True)] for part in parts]
    finite = [part for part in finite if part.size]
    low = min((float(part.min()) for part in finite), default=0.1 if axis.log else 0.0)
    high = max((float(part.max()) for part in finite), default=1.0)
    low, high = (axis.low if axis.low is not None else low), (axis.high if axis.high is not None else high)
    low, high = (min(max(end, 1e-250 if axis.log else -1e250), 1e250) for end in (low, high))
    if axis.log:
        low, high = math.log10(low), math.log10(high)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # numbers that no tick could tell apart
        room = 0.5 if axis.log else (abs(low) * 0.1 or 0.5)
        low, high = low - room, high + room
    extra = (high - low) * pad
    low -= 0 if axis.low is not None else extra
    high += 0 if axis.high is not None else extra
    return (10**low, 10**high) if axis.log else (low, high)


def _line() -> dict[str, Any]:
    return {
        "showline": True,
        "linecolor": "@line",
        "linewidth": 1,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "@line",
        "tickfont": {"size": 11, "color": "@muted"},
        "automargin": False,
        "fixedrange": False,
    }


def axis_layout(axis: Axis, shown: tuple[float, float] | None, *, value: bool) -> dict[str, Any]:
    """The plotly axis; `value` marks the value axis (y), the only one with a grid."""
    layout = _line()
    layout["showgrid"] = value
    layout["gridcolor"] = "@grid"
    layout["gridwidth"] = 1
    if axis.log:
        # 10^-3 rather than 0.001; the ticks say that the axis is logarithmic.
        layout.update(type="log", exponentformat="power", minexponent=3, hoverformat=".4~g")
        layout["nticks"] = 6
    elif axis.categories:
        layout.update(
            type="category", categoryorder="array", categoryarray=[words(c) for c in axis.categories]
        )
    else:
        layout.update(type="linear", nticks=7 if not value else 6, tickformat="", hoverformat=".4~g")
        layout["exponentformat"] = "power"
        layout["separatethousands"] = True
        if axis.integer:
            layout.update(tickformat=",d")
            if shown and shown[1] - shown[0] < 6:
                layout["dtick"] = 1
    if shown and not axis.categories:
        ends = [math.log10(shown[0]), math.log10(shown[1])] if axis.log else list(shown)
        layout["range"] = ends[::-1] if axis.reverse else ends
    elif axis.reverse:
        layout["autorange"] = "reversed"
    return layout


def note(text: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """A piece of text at a place of the plot, in fractions of it unless `xref`/`yref` say otherwise."""
    base = {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "align": "left",
        "font": {"size": 12, "color": "@muted"},
    }
    return {**base, **more}


def frame(
    head: Head,
    x: Axis,
    y: Axis,
    *,
    x_shown: tuple[float, float] | None = None,
    y_shown: tuple[float, float] | None = None,
    furniture: bool = False,
    legend: Sequence[str] = (),
) -> Figure:
    """A figure without data: the shared template, axes, and margins. `legend` holds the names that a legend
    below the plot must find room for."""
    rows = legend_rows(legend)
    layout: dict[str, Any] = {
        "height": head.height + rows * LEGEND_ROW,
        "margin": {
            "l": LEFT,
            "r": FURNITURE if furniture else RIGHT,
            "t": TOP,
            "b": BOTTOM + rows * LEGEND_ROW,
            "pad": 0,
        },
        "paper_bgcolor": "@paper",
        "plot_bgcolor": "@paper",
        "font": {"family": "inherit", "size": 12, "color": "@ink"},
        "hovermode": "x unified",
        "hoversort": "value descending",
        "hoverlabel": {
            "bgcolor": "@paper",
            "bordercolor": "@line",
            "font": {"size": 12, "color": "@ink"},
            "namelength": 32,
        },
        "showlegend": bool(legend),
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"size": 12, "color": "@ink"},
            "bgcolor": "@paper/0.0",
            "traceorder": "normal",
        },
        "dragmode": "zoom",
        "uirevision": head.key or head.title,
        "xaxis": axis_layout(x, x_shown, value=False),
        "yaxis": axis_layout(y, y_shown, value=True),
        "annotations": [],
        "shapes": [],
        "meta": {
            "pw": {"title": head.title, "subtitle": head.subtitle, "alt": head.alt, "height": head.height}
        },
    }
    if x.heading:
        layout["xaxis"]["title"] = {
            "text": words(x.heading),
            "font": {"size": 12, "color": "@muted"},
            "standoff": 6,
        }
    if y.heading:
        # Level with the reader's eyes and free of the left margin: the value axis is named above it.
        layout["annotations"].append(note(words(y.heading), 0, 1, name="y-title", xshift=-LEFT + 8, yshift=9))
    if y.equal:
        layout["yaxis"].update(scaleanchor="x", constrain="domain")
        layout["xaxis"].update(constrain="domain")
    return {"data": [], "layout": layout}


def legend_rows(names: Sequence[str], width: float = 430.0) -> int:
    """How many rows a legend of these names takes in `width` px (12 px type)."""
    if not names:
        return 0
    # plotly gives every entry the width of the longest.
    columns = max(1, int(width / (48 + 6.4 * max(len(name) for name in names))))
    return -(-len(names) // columns)


def empty(head: Head, message: str, x: Axis | None = None, y: Axis | None = None) -> Figure:
    """The frame of a figure that has no data yet, in its final size: says what will appear and when."""
    x, y = x or Axis(), y or Axis()
    figure = frame(head, x, y)
    layout = figure["layout"]
    layout["meta"]["pw"].update(empty=message, alt=f"{head.title}. {message}")
    layout["hovermode"] = False
    layout["dragmode"] = False
    for name in ("xaxis", "yaxis"):
        kept = {
            key: layout[name][key]
            for key in ("title", "showline", "linecolor", "linewidth")
            if key in layout[name]
        }
        layout[name] = {
            **kept,
            "showgrid": False,
            "zeroline": False,
            "showticklabels": False,
            "ticks": "",
            "fixedrange": True,
            "range": [0, 1],
        }
    layout["annotations"].append(
        note(words(message), 0.5, 0.5, name="empty", xanchor="center", yanchor="middle", align="center")
    )
    return figure
