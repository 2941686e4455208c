"""What the record says of a race: who stood where at each cut, what was seen between cuts, in which order seeds are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import Record
from ui.readings import coordinates, kept, newest

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Cell:
    """A seed at a step: its picture [H, W, 3], what was said of it, and whether it stays in the race."""

    pixels: Pixels
    score: float
    stays: bool


@dataclass(frozen=True)
class Row:
    """A cut, or the end: cells by seed. `winner` is known in the last row alone."""

    step: float
    cells: dict[int, Cell] = field(default_factory=dict)
    is_end: bool = False
    winner: int | None = None

    @property
    def label(self) -> str:
        """What stands beside the row."""
        return "finished" if self.is_end else f"step {self.step:g}"


def rows_of(record: Record) -> list[Row]:
    """One row a cut; once pictures are finished, those of the whole pool stand in place of the last stage."""
    scores = {info.step: values for info, values in kept(record, "board scores")}
    rows: list[Row] = []
    for info, pixels in kept(record, "board"):
        if info.step in scores:
            told = scores[info.step]
            rows.append(Row(info.step, _cells(info, pixels, told[:, 0], told[:, 1] > 0.5)))
    done, told = newest(record, "finished"), newest(record, "finished scores")
    if rows and done and told:
        info, pixels = done
        seeds = [int(n) for n in coordinates(info, 0)]
        won = told[1][:, 1] > 0.5
        raced = rows[-1].cells
        stays = np.array([n in raced for n in seeds])
        winner = seeds[int(np.flatnonzero(won)[0])] if won.any() else None
        rows[-1] = Row(rows[-1].step, _cells(info, pixels, told[1][:, 0], stays), True, winner)
    return rows


def looks_of(record: Record) -> list[Row]:
    """What was seen of those in the race between cuts."""
    scores = {info.step: values for info, values in kept(record, "estimate scores")}
    return [
        Row(info.step, _cells(info, pixels, scores[info.step][:, 0], np.ones(len(pixels), dtype=bool)))
        for info, pixels in kept(record, "estimates")
        if info.step in scores
    ]


def _cells(info: Any, pixels: Pixels, scores: NDArray[Any], stays: NDArray[np.bool_]) -> dict[int, Cell]:
    seeds = [int(n) for n in coordinates(info, 0)]
    return {n: Cell(pixels[k], float(scores[k]), bool(stays[k])) for k, n in enumerate(seeds)}


def film_of(rows: list[Row], looks: list[Row]) -> list[Row]:
    """Every seed at every step that was seen: where it stands, or where it was cut."""
    frames: list[Row] = []
    now: dict[int, Cell] = {}
    for row in sorted([*rows, *looks], key=lambda row: row.step):
        seen = {n: cell for n, cell in row.cells.items() if n not in now or now[n].stays}
        now = {**now, **seen}
        frames.append(Row(row.step, now, row.is_end, row.winner))
    return frames


def order_of(rows: list[Row]) -> list[int]:
    """Seeds: who came furthest first, then by score in the last row where they raced."""
    key: dict[int, tuple[float, ...]] = {}
    for place, row in enumerate(rows):
        for seed, cell in row.cells.items():
            if row.is_end and not cell.stays:
                continue
            key[seed] = (place + float(cell.stays), 1.0 if row.winner == seed else 0.0, cell.score)
    return sorted(key, key=lambda seed: key[seed], reverse=True)


def decimals(rows: list[Row]) -> int:
    """How many decimals scores need so that their spread can be seen; none for sums of ranks."""
    scores = np.array([cell.score for row in rows for cell in row.cells.values()])
    finite = scores[np.isfinite(scores)]
    if not finite.size or np.all(finite * 2 == np.round(finite * 2)):
        return 0
    spread = float(finite.std())
    return int(np.clip(2 - np.floor(np.log10(spread)), 1, 3)) if spread > 0 else 2
