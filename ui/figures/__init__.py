"""Figures of the workbench: plain plotly dicts made by pure functions, with tokens for colours."""

from ui.figures.assets import script, styles
from ui.figures.curves import Threshold, lines
from ui.figures.fields import Bars, bars, heatmap
from ui.figures.history import MAX_FRAMES, evenly, history, scatter
from ui.figures.palette import (
    BASELINES,
    CONTENDERS,
    SCHEMES,
    Role,
    Scheme,
    Style,
    resolve,
    role_of,
    style_of,
    styles_of,
    token_of,
)
from ui.figures.points import Curve, thinned
from ui.figures.template import MAX_POINTS, Axis, Figure, Head, Variant, empty, number, unwire, wire, words

__all__ = [
    "BASELINES",
    "CONTENDERS",
    "MAX_FRAMES",
    "MAX_POINTS",
    "SCHEMES",
    "Axis",
    "Bars",
    "Curve",
    "Figure",
    "Head",
    "Role",
    "Scheme",
    "Style",
    "Threshold",
    "Variant",
    "bars",
    "empty",
    "evenly",
    "heatmap",
    "history",
    "lines",
    "number",
    "resolve",
    "role_of",
    "scatter",
    "script",
    "style_of",
    "styles",
    "styles_of",
    "thinned",
    "token_of",
    "unwire",
    "wire",
    "words",
]
