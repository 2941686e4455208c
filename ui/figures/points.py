"""Curves as they come from a record, and thinned to what a line may hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ui.figures.palette import Role, Style
from ui.figures.template import MAX_POINTS, Floats


@dataclass(frozen=True)
class Curve:
    """One line or set of dots.

    `x`, `y` float arrays of one length; `low`/`high` the band around `y`, or with `error` the half length of
    its bars. `group` names the contender where several curves belong to one (variants, single seeds): they
    share its colour and its one entry in the legend. `variant` is the key of the toggle's choice that shows
    this curve (empty: always). `hairline` draws single seeds."""

    name: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    error: ArrayLike | None = None
    mode: Literal["lines", "markers", "both"] = "lines"
    symbol: str = "circle"
    role: Role | None = None
    style: Style | None = None
    variant: str = ""
    group: str = ""
    hairline: bool = False
    shape: Literal["linear", "hv"] = "linear"
    labelled: bool = True
    label: str = ""
    """The words in the legend or at the line's end, where they say more than the contender's name."""

    @property
    def contender(self) -> str:
        return self.group or self.name


@dataclass(frozen=True)
class Drawn:
    """A curve with its arrays, thinned to what a line may hold."""

    curve: Curve
    x: Floats
    y: Floats
    low: Floats | None
    high: Floats | None
    error: Floats | None
    parts: list[Floats] = field(default_factory=list)


def thinned(x: Floats, y: Floats, most: int = MAX_POINTS) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Indices of at most `most` points that keep the minimum and maximum of each bucket, the ends, and the
    first value of each bucket that is not finite."""
    count = y.size
    if count <= most:
        return np.arange(count)
    size = -(-count // max((most - 2) // 3, 1))
    buckets = -(-count // size)
    padded = np.full(buckets * size, np.nan)
    padded[:count] = y
    rows = padded.reshape(buckets, size)
    finite = np.isfinite(rows)
    starts = np.arange(buckets) * size
    picks = [
        starts + np.argmin(np.where(finite, rows, np.inf), axis=1),
        starts + np.argmax(np.where(finite, rows, -np.inf), axis=1),
        (starts + np.argmin(finite, axis=1))[~finite.all(axis=1)],
        np.array([0, count - 1]),
    ]
    keep = np.unique(np.concatenate(picks))
    return keep[keep < count]


def drawn(curve: Curve) -> Drawn:
    """The curve with its arrays as float64 and at most MAX_POINTS of them."""
    x, y = np.asarray(curve.x, dtype=np.float64), np.asarray(curve.y, dtype=np.float64)
    keep = thinned(x, y)

    def side(values: ArrayLike | None) -> Floats | None:
        return None if values is None else np.asarray(values, dtype=np.float64)[keep]

    low, high, error = side(curve.low), side(curve.high), side(curve.error)
    x, y = x[keep], y[keep]
    parts = [y]
    if low is not None and high is not None:
        parts += [low, high]
    if error is not None:
        parts += [y - error, y + error]
    return Drawn(curve, x, y, low, high, error, parts)
