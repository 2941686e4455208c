"""Curves as chunks of float64 blobs: how points are packed, unpacked and thinned out for a figure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.values import Points

CHUNK_POINTS = 1000
_WIRE = np.dtype("<f8")  # how a float64 lies in a blob, on every machine

Floats = NDArray[np.float64]


class Tail:
    """The end of one curve in the memory of its writer: the points of its last, unsealed chunk that are
    committed, then those that are not. Nothing is forgotten before `committed` says that it is durable.
    """

    __slots__ = (
        "count", "durable", "key", "maximum", "minimum", "nonfinite", "position", "row_id", "steps", "times", "values",
    )  # fmt: skip

    def __init__(self, key: tuple[str, str], position: int) -> None:
        self.key = key
        self.position = position
        self.row_id: int | None = None
        self.count = 0  # durable points of the whole curve
        self.durable = 0  # of these, how many open the arrays below
        self.minimum = self.maximum = np.nan
        self.nonfinite = 0
        self.steps, self.times, self.values = array("d"), array("d"), array("d")

    @property
    def pending(self) -> int:
        """Points that are not durable yet."""
        return len(self.values) - self.durable

    def chunks(self, series_id: int, upto: int) -> Iterable[dict[str, Any]]:
        """Rows of the chunks that change when the first `upto` points in memory become durable."""
        first = self.count // CHUNK_POINTS
        columns = [packed(column) for column in (self.steps, self.times, self.values)]
        for start in range(0, upto, CHUNK_POINTS):
            stop = min(start + CHUNK_POINTS, upto)
            steps, times, values = (column[8 * start : 8 * stop] for column in columns)
            yield {
                "series_id": series_id,
                "number": first + start // CHUNK_POINTS,
                "count": stop - start,
                "steps": steps,
                "times": times,
                "values": values,
            }

    def summary(self, upto: int) -> dict[str, Any]:
        """The columns of the curve's row once the first `upto` points in memory are durable."""
        fresh = np.array(self.values[self.durable : upto])
        finite = fresh[np.isfinite(fresh)]
        low, high = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
        return {
            "count": self.count + upto - self.durable,
            "last_step": self.steps[upto - 1],
            "last_value": self.values[upto - 1],
            "minimum": float(np.fmin(self.minimum, low)),
            "maximum": float(np.fmax(self.maximum, high)),
            "nonfinite": self.nonfinite + len(fresh) - len(finite),
        }

    def committed(self, series_id: int, upto: int, summary: dict[str, Any]) -> None:
        """The first `upto` points in memory are durable: forget all chunks that are sealed now."""
        self.row_id = series_id
        self.count = summary["count"]
        self.minimum, self.maximum = summary["minimum"], summary["maximum"]
        self.nonfinite = summary["nonfinite"]
        sealed = upto - upto % CHUNK_POINTS
        for column in (self.steps, self.times, self.values):
            del column[:sealed]
        self.durable = upto - sealed


def packed(column: Sequence[float] | Floats) -> bytes:
    """Float64 numbers as the bytes of a blob."""
    return np.array(column, dtype=np.float64).astype(_WIRE, copy=False).tobytes()


def unpacked(blobs: Iterable[bytes]) -> Floats:
    """The numbers of consecutive blobs as one writable array."""
    return np.frombuffer(bytearray().join(blobs), dtype=_WIRE).astype(np.float64, copy=False)


def empty() -> Points:
    """No points."""
    return Points(np.empty(0), np.empty(0), np.empty(0))


def decimated(points: Points, buckets: int) -> Points:
    """At most `2 * buckets` points that draw the same line: first and last, and of each bucket of neighbours the
    smallest and the largest. Where values are not finite, each bucket keeps its first such point as well (and
    there are fewer buckets), so that a gap or an overflow stays visible.

    Raises:
        ValueError: `buckets` is less than 1.
    """
    if buckets < 1:
        raise ValueError(f"buckets must be at least 1; got {buckets}.")
    count = len(points)
    if count <= 2 * buckets:
        return points
    inner = points.values[1:-1]
    finite = np.isfinite(inner)
    kept_each = 2 if finite.all() else 3
    rows = (2 * buckets - 2) // kept_each
    chosen = [np.array([0, count - 1])]
    if rows:
        width = -(-len(inner) // rows)
        first = 1 + width * np.arange(-(-len(inner) // width))
        if kept_each == 2:
            low = high = _in_rows(inner, width, inner[-1])  # repeating the last value changes no extreme
            known: Any = slice(None)
        else:
            low = _in_rows(np.where(finite, inner, np.inf), width, np.inf)
            high = _in_rows(np.where(finite, inner, -np.inf), width, -np.inf)
            known = _in_rows(finite, width, False).any(1)
            strange = _in_rows(~finite, width, False)
            chosen.append((first + strange.argmax(1))[strange.any(1)])
        chosen += [(first + low.argmin(1))[known], (first + high.argmax(1))[known]]
    keep = np.unique(np.concatenate(chosen))
    return Points(points.steps[keep], points.times[keep], points.values[keep])


def _in_rows(column: NDArray[Any], width: int, filling: Any) -> NDArray[Any]:
    """A column cut into rows of `width`, the last one filled up."""
    missing = -len(column) % width
    padded = np.concatenate([column, np.full(missing, filling, column.dtype)]) if missing else column
    return padded.reshape(-1, width)
