"""Runs that were not made here: curves from a CSV or from TensorBoard's event files, as a run to look at and compare.

Such a run belongs to no engine of the catalogue. Its engine is the word `outside`, under which the Library finds
all of them; it has curves, a name and where it came from, and nothing that could be run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage import Status, StorageError
from workbench.errors import FileTrouble, storage_seam
from workbench.runs import Workbench

OUTSIDE: Final = "outside"
"""The engine of every imported run of curves."""
MOST_POINTS: Final = 5_000_000


@dataclass(frozen=True)
class Curve:
    """Points of one curve in their order; `times_s` counts from the first point."""

    series: str
    name: str
    steps: Sequence[float]
    values: Sequence[float]
    times_s: Sequence[float]


@dataclass(frozen=True)
class ImportedRun:
    """What a file holds of one run; `left_out` says in words what was not taken."""

    name: str
    kind: str
    curves: tuple[Curve, ...]
    left_out: str = ""


def bring_curves(workbench: Workbench, path: Path, *, name: str = "", owner: str = "local") -> list[str]:
    """The runs of a CSV, of an event file, or of a folder of event files; answers their ids. `name` stands for
    the file's own. Nothing is kept of a file that is refused. Raises FileTrouble."""
    shown = name or path.name
    try:
        found = read(path, shown)
    except OSError as error:
        raise FileTrouble(f"{shown} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    ids: list[str] = []
    with storage_seam():
        try:
            for run in found:
                ids.append(_record(workbench, run, shown, owner))
        except StorageError:
            for run_id in ids:
                workbench.store.delete_run(run_id)
            raise
    return ids


def is_curves(path: Path) -> bool:
    """Whether a file or folder is taken for curves, by its name."""
    return path.is_dir() or path.suffix.lower() == ".csv" or "tfevents" in path.name


def read(path: Path, name: str) -> list[ImportedRun]:
    """The runs of a file or folder. Raises FileTrouble."""
    if path.is_dir() or "tfevents" in name:
        from workbench.imports.event_folder import read_events

        return [read_events(path, name)]
    from workbench.imports.csv_curves import read_csv

    return read_csv(path, name)


def _record(workbench: Workbench, found: ImportedRun, source: str, owner: str) -> str:
    """Write one run. Should that fail, nothing of it stays."""
    store = workbench.store
    params: Mapping[str, str] = {"name": found.name, "source": source, "format": found.kind}
    first = found.curves[0]
    run = store.create_run(
        engine=OUTSIDE, params=params, seed=0, owner=owner, headline=(first.series, first.name)
    )
    try:
        store.claim_run(run.id, OUTSIDE)
        with store.writer(run.id) as writer:
            for curve in found.curves:
                writer.scalars(curve.series, curve.name, curve.steps, curve.values, curve.times_s)
            if found.left_out:
                writer.text("left out", found.left_out)
        store.finish_run(run.id, Status.finished)
    except BaseException:
        store.finish_run(run.id, Status.failed, "The import broke off.")
        store.delete_run(run.id)
        raise
    return run.id
