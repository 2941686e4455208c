"""Events as plain comparable values, bit for bit, without what is timed."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from engines.events import Array, ClaimCheck, Event, File, Picture, Progress, Scalar, Table

TIMED = ("time/", "seconds", "time_")


def fingerprints(events: Iterable[Event]) -> list[Any]:
    """One value an event. Left out: scalars, arrays, tables and claims named as timings, the notes of progress,
    and the content of files (whose formats may hold dates)."""
    return [fingerprint(event) for event in events if not is_timed(event)]


def is_timed(event: Event) -> bool:
    """Whether an event is outside the promise of equal numbers."""
    return str(getattr(event, "name", getattr(event, "key", ""))).startswith(TIMED)


def fingerprint(event: Event) -> Any:
    """An event as a value that equals only that of the same event."""
    kind = type(event).__name__
    match event:
        case Progress():
            return kind, bits(event.done), bits(event.total)
        case Scalar():
            return kind, event.series, event.name, bits(event.step), bits(event.value)
        case Picture():
            return kind, event.name, bits(event.step), pixels(event.pixels), event.caption, event.keep
        case Array():
            axes = tuple(
                (axis.name, tuple(map(cell, np.asarray(axis.values).tolist()))) for axis in event.axes
            )
            return kind, event.name, bits(event.step), pixels(event.values), axes, event.keep
        case Table():
            return kind, event.name, tuple(event.columns), tuple(tuple(map(cell, row)) for row in event.rows)
        case ClaimCheck():
            return kind, event.key, cell(event.measured), cell(event.baseline), event.holds, event.detail
        case File():
            return kind, event.name, event.media_type, event.caption
        case _:
            return kind, tuple(cell(getattr(event, name)) for name in event.__slots__)


def bits(value: Any) -> bytes:
    """The float64 of a number; all NaN are one."""
    number = float(value)
    return b"nan" if math.isnan(number) else struct.pack("<d", number)


def pixels(values: Any) -> tuple[str, tuple[int, ...], bytes]:
    """An array by dtype, shape and bytes."""
    array = np.asarray(values)
    return array.dtype.str, array.shape, array.tobytes()


def cell(value: Any) -> Any:
    """A cell of a table: floats by their bits."""
    plain = value.item() if isinstance(value, np.generic) else value
    return bits(plain) if isinstance(plain, float) else plain
