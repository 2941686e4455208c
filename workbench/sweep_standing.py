"""Where the sweeps in a list stand. A sweep's own row is over from the start; what goes on are its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage import Run, RunRow, Status
from workbench.documents import Document, row_object
from workbench.errors import storage_seam
from workbench.runs import Workbench
from workbench.sweeps import SWEEP, UNDER_WAY


@dataclass(frozen=True)
class Standing:
    """How a sweep stands: running or queued while a cell of it is, else as its row says; and how many of the runs that
    it made have which status."""

    status: Status
    runs: Mapping[Status, int]


def standings(workbench: Workbench, runs: Iterable[Run]) -> dict[str, Standing]:
    """The standing of each sweep among these runs, by id; one query for all of them."""
    found = {run.id: run.status for run in runs if run.engine == SWEEP}
    if not found:
        return {}
    with storage_seam():
        counts = workbench.store.child_statuses(list(found))
    return {run_id: _standing(status, counts.get(run_id, {})) for run_id, status in found.items()}


def _standing(own: Status, counts: Mapping[Status, int]) -> Standing:
    going_on = [status for status in reversed(UNDER_WAY) if counts.get(status)]  # running before queued
    return Standing(going_on[0] if going_on else own, counts)


def row_objects(workbench: Workbench, rows: Sequence[RunRow]) -> list[Document]:
    """The JSON of a list of runs; of a sweep its standing, and under `cells` how many of its runs have which status."""
    found = standings(workbench, (row.run for row in rows))
    made = []
    for row in rows:
        document = row_object(row)
        if standing := found.get(row.run.id):
            cells = {status.value: count for status, count in standing.runs.items()}
            document |= {"status": standing.status.value, "cells": cells}
        made.append(document)
    return made
