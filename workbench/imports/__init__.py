"""Runs that were not made here: curves from a table or from TensorBoard's event files, as a run to look at and compare.

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
TABLES: Final = (".csv", ".tsv", ".txt", ".parquet")
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
PNG: Final = b"\x89PNG"


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
    """The runs of a table, of an event file, or of a folder of event files; answers their ids. `name` stands for
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
    """Whether a file or folder is taken for curves, False for a bundle. Raises FileTrouble for what is neither, with what
    can be imported."""
    if path.is_dir() or "tfevents" in path.name or path.suffix.lower() in TABLES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise FileTrouble(f"{path.name} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if start.startswith(ZIP) or path.suffix.lower() == ".zip":  # a damaged one is told as such
        return False
    what = f"{path.name} cannot be imported"
    if start.startswith(PNG):
        what = f"{path.name} is a picture: drop it on the page of workbench serve, whose form it fills"
    raise FileTrouble(
        f"{what}. Imported are bundles (.zip), curves in a table ({', '.join(TABLES)}), and TensorBoard's event files or a folder of them."
    )


def read(path: Path, name: str) -> list[ImportedRun]:
    """The runs of a file or folder. Raises FileTrouble."""
    if path.is_dir() or "tfevents" in name:
        from workbench.imports.event_folder import read_events

        return [read_events(path, name)]
    if path.suffix.lower() == ".parquet":
        from workbench.imports.parquet_curves import read_parquet

        return read_parquet(path, name)
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
