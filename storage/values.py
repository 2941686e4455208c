"""What readers of the store get, and what they ask with: plain frozen values that hold no connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.status import Status
from storage.tables import Run

Cell = str | int | float | bool | None
Order = Literal["created_at", "engine", "status", "duration", "headline", "seed"]


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, in which order. Empty conditions mean "any"; several tags must all be there; every word of
    `text` must occur in the id, engine, preset, note, parameters or a tag."""

    ids: Sequence[str] = ()
    engines: Sequence[str] = ()
    statuses: Sequence[Status | str] = ()
    tags: Sequence[str] = ()
    text: str = ""
    owner: str | None = None
    shared: tuple[str, str] | None = None
    """(owner, tag): besides `owner`'s runs also those of this owner with this tag."""
    parent_id: str | None = None
    preset: str | None = None
    seed: int | None = None
    order: Order = "created_at"
    descending: bool = True
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list: with its headline number, its newest picture's hash, and how its claims fared."""

    run: Run
    headline: float | None
    thumbnail: str | None
    claims_held: int
    claims_failed: int
    claims_open: int


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of a list of runs; `total` counts all pages."""

    rows: list[RunRow]
    total: int


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A curve without its points. `min` and `max` are over finite values, NaN where there are none."""

    series: str
    name: str
    count: int
    last_step: float
    last_value: float
    min: float
    max: float
    nonfinite: int


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of a curve in the order in which they were recorded: three float64 arrays of one length."""

    steps: NDArray[np.float64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """A picture; its PNG is the artifact `hash`."""

    name: str
    step: float
    caption: str
    keep: bool
    hash: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array without its numbers: `axes` are pairs of a name and the coordinates along it."""

    name: str
    step: float
    keep: bool
    shape: tuple[int, ...]
    axes: tuple[tuple[str, list[Any]], ...]
    position: int


@dataclass(frozen=True, slots=True)
class TableData:
    """A table of results."""

    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Something that the reader must know."""

    name: str
    step: float
    message: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A result to take away; its bytes are the artifact `hash`, `size` of them."""

    name: str
    hash: str
    media_type: str
    caption: str
    filename: str
    size: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """What became of one claim in one run. `holds` is None where the run could not decide."""

    key: str
    statement: str
    paper: str | None
    measured: float | None
    baseline: float | None
    holds: bool | None
    detail: str
    unit: str


@dataclass(frozen=True, slots=True)
class CommandRow:
    """What a reader asked of a run: "cancel", "set" or "do", with its payload."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """A stored file: its hash, what it is, and its size in bytes."""

    hash: str
    media_type: str
    size: int
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What of a run is newer than a version: pass `version` on to ask again."""

    version: int
    status: Status
    series: frozenset[tuple[str, str]]
    pictures: frozenset[str]
    tables: frozenset[str]
    texts: frozenset[str]
    arrays: frozenset[str]
    files: frozenset[str]
    claims: bool
    alerts: bool

    def __bool__(self) -> bool:
        """Whether anything that a figure, picture or table is made of has changed."""
        named = (self.series, self.pictures, self.tables, self.texts, self.arrays, self.files)
        return any(named) or self.claims or self.alerts
