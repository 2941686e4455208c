"""What came of a sweep: values of its cells, their summary over seeds, and the JSON of all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.documents import Document, plain
from workbench.errors import storage_seam
from workbench.runs import Workbench
from workbench.sweeps import UNDER_WAY, Cell, Sweep


@dataclass(frozen=True)
class Summary:
    """One point of a sweep over its seeds: `values` of the cells that finished, mean, lowest and highest (None
    without any), and how many cells ended without a result."""

    point: Mapping[str, Any]
    values: tuple[float, ...]
    failed: int

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.values)) if self.values else None

    @property
    def low(self) -> float | None:
        return min(self.values, default=None)

    @property
    def high(self) -> float | None:
        return max(self.values, default=None)


def values_of(
    workbench: Workbench, sweep: Sweep, quantity: tuple[str, str] | None = None
) -> dict[str, float]:
    """The last value of a curve in each run that has one, by run id; without `quantity` the headline's."""
    if quantity is None:
        return {
            cell.row.run.id: cell.row.headline
            for cell in sweep.cells
            if cell.row and cell.row.headline is not None
        }
    with storage_seam():
        return {
            run_id: value
            for run_id, series, name, value in workbench.store.last_values(sweep.run.id)
            if (series, name) == quantity
        }


def quantities(workbench: Workbench, sweep: Sweep) -> list[tuple[str, str]]:
    """(series, name) of the curves that the cells recorded, the headline's first."""
    with storage_seam():
        found = dict.fromkeys(
            (series, name) for _, series, name, _ in workbench.store.last_values(sweep.run.id)
        )
    headline = (sweep.run.headline_series, sweep.run.headline_name)
    return sorted(
        found,
        key=lambda one: (
            one != headline,
            one[1].startswith(("time/", "seconds")),
            one[1],
            one[0] != headline[0],
            one[0],
        ),
    )


def summarize(sweep: Sweep, values: Mapping[str, float]) -> list[Summary]:
    """The points of a sweep over their seeds. Only cells that finished count; a value that is not finite does."""
    made = []
    count = len(sweep.plan.seeds)
    for place in range(0, len(sweep.cells), count):
        cells = sweep.cells[place : place + count]
        found = [
            values[cell.row.run.id]
            for cell in cells
            if cell.row and cell.status == "finished" and cell.row.run.id in values
        ]
        lost = sum(cell.status not in ("finished", *UNDER_WAY) for cell in cells)
        made.append(Summary(cells[0].point, tuple(found), lost))
    return made


def document(workbench: Workbench, sweep: Sweep) -> Document:
    """The JSON of a sweep: its plan, where it stands, each cell, and the headline over seeds."""
    values = values_of(workbench, sweep)
    return {
        "sweep": {
            "id": sweep.run.id,
            **plain(sweep.plan.to_params()),
            "headline": [sweep.run.headline_series, sweep.run.headline_name],
            "created_at": sweep.run.created_at,
            "owner": sweep.run.owner,
            "counts": sweep.counts,
            "over": sweep.is_over,
        },
        "cells": [_cell_object(cell, values) for cell in sweep.cells],
        "summary": [
            {
                "point": plain(dict(one.point)),
                "mean": plain(one.mean),
                "low": plain(one.low),
                "high": plain(one.high),
                "runs": len(one.values),
                "failed": one.failed,
            }
            for one in summarize(sweep, values)
        ],
    }


def _cell_object(cell: Cell, values: Mapping[str, float]) -> Document:
    run = cell.row.run if cell.row else None
    return {
        "point": plain(dict(cell.point)),
        "seed": cell.seed,
        "run": run.id if run else None,
        "status": cell.status,
        "headline": plain(values.get(run.id)) if run else None,
        "duration_s": run.duration_s if run else None,
        "error": run.error if run else "",
    }
