"""What an engine may say while it runs.

An experiment is a generator of these events. Everything that a figure needs is an event, so that a stored
run draws the same figures as a live one. Values are plain numbers and arrays: no tensor, no model, no
handle leaves an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is: `done` of `total`, in whatever unit the engine counts its work."""

    done: float
    total: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One point of a curve.

    `series` says which contender spoke ("ReNO", "Best of N"), `name` what was measured ("held-out error"),
    `step` where on its own axis. Non-finite values are recorded as they are. A measured time is a scalar of
    its own whose name starts with "time/" (or "seconds"): it is outside the promise of equal numbers.
    """

    series: str
    name: str
    step: float
    value: float

    @property
    def is_timing(self) -> bool:
        return self.name.startswith(("time/", "seconds"))


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, uint8, H x W x 3. With `keep` every step stays (a film strip); without, the newest replaces
    the one before of the same name."""

    name: str
    step: float
    pixels: NDArray[np.uint8]
    caption: str = ""
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A small table; a later one of the same name replaces it. Non-finite cells are kept."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Text:
    """A named piece of text; a later one of the same name replaces it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that the reader must know: a divergence, an underdetermined row, a collapsed entropy."""

    name: str
    step: float
    message: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an array: its name (with unit) and the coordinate of each index along it."""

    name: str
    values: Sequence[float] | Sequence[str] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Array:
    """A spectrum, a histogram, a heat map: numbers on named axes, one axis for each dimension of `values`.

    With `keep` every step stays (the figure gets a slider); without, the newest replaces the one before.
    """

    name: str
    step: float
    values: NDArray[Any]
    axes: Sequence[Axis]
    keep: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """A result to take away (a completed matrix, an adapter): a file that the engine wrote into its scratch
    folder. The recorder copies it, so the engine may delete it once the generator goes on.

    A `live` file is one that the engine goes on writing: the recorder takes it once more when the generator has ended
    or was closed, as its `finally` blocks left it. So a run that is stopped keeps where it stood."""

    name: str
    path: Path
    media_type: str = "application/octet-stream"
    caption: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """What became of one declared claim in this run. `holds` is None where the run could not decide, and
    `detail` then says why. `key` must be the key of a claim that the engine declares."""

    key: str
    measured: float | None
    baseline: float | None
    holds: bool | None
    detail: str = ""


Event = Progress | Scalar | Picture | Table | Text | Alert | Array | File | ClaimCheck


@dataclass(frozen=True, slots=True)
class Command:
    """What the reader asks of a run that is under way: the value of the `yield` expression (else None).

    Cancelling is no command to the engine: its generator is closed."""

    kind: Literal["set", "do"]
    name: str
    value: Any = None
    data: dict[str, Any] = field(default_factory=dict)
