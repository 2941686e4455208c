"""Between the tables and the document: one run read into its entry, and one entry written into the tables."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert, select

from storage import series as curves
from storage.artifacts import refer_to_uploads
from storage.blobs import content_of
from storage.bundle.document import (
    AlertEntry,
    ArrayEntry,
    ArtifactEntry,
    ClaimEntry,
    CurveEntry,
    FileEntry,
    PictureEntry,
    RunEntry,
    TableEntry,
    TextEntry,
)
from storage.bundle.points import digest
from storage.database import Database
from storage.errors import BundleRefused, StorageError
from storage.flush import write_curves
from storage.runs import insert_tags, load_run
from storage.series import Tail
from storage.tables import ALERT, ARRAY, ARTIFACT, CHUNK, CLAIM, FILE, PICTURE, RUN, SERIES, TABLE, TEXT
from storage.values import Points

NPY_TYPE = "application/x-npy"

# The parts of an entry that are rows as they are: the table, and the model of a row.
_PLAIN_PARTS: dict[str, tuple[Table, type[Any]]] = {
    "pictures": (PICTURE, PictureEntry),
    "tables": (TABLE, TableEntry),
    "texts": (TEXT, TextEntry),
    "alerts": (ALERT, AlertEntry),
    "files": (FILE, FileEntry),
    "claims": (CLAIM, ClaimEntry),
}
_RUN_COLUMNS = [name for name in RunEntry.model_fields if name in RUN.c]


@dataclass(frozen=True)
class RunParts:
    """A run on its way out: its entry, the points of its curves in the same order, the .npy bytes of arrays that
    live in the database, and what is known of the artifacts."""

    entry: RunEntry
    points: list[Points]
    inline: dict[str, bytes]
    artifacts: list[ArtifactEntry]


def read_run(connection: Connection, run_id: str) -> RunParts:
    """All that a run recorded, in the transaction of `connection`.

    Raises:
        RunNotFound: no run has this id.
        StorageError: it is not over yet.
    """
    run = load_run(connection, run_id)
    if not run.status.is_over:
        raise StorageError(
            f"Run {run_id} is {run.status.value}: stop it, or wait for its end, before it is exported."
        )
    parts: dict[str, Any] = {name: getattr(run, name) for name in _RUN_COLUMNS}
    parts |= {"status": run.status.value, "tags": list(run.tags)}
    for part, (table, model) in _PLAIN_PARTS.items():
        rows = connection.execute(_ordered(table, run_id, *model.model_fields)).mappings()
        parts[part] = [model.model_validate(dict(row)) for row in rows]
    parts["arrays"], inline = _read_arrays(connection, run_id)
    parts["series"], points = _read_curves(connection, run_id)
    entry = RunEntry.model_validate(parts)
    return RunParts(entry, points, inline, _read_artifacts(connection, entry, inline))


def insert_run(
    connection: Connection,
    database: Database,
    entry: RunEntry,
    points: Sequence[Points],
    inline: Mapping[str, bytes],
    owner: str,
) -> None:
    """Write a run as its entry says. Its artifacts have their rows already; the .npy bytes of arrays that shall
    live in the database are in `inline`.

    Raises:
        BundleRefused: a summary in the entry contradicts the points.
    """
    columns = {name: getattr(entry, name) for name in _RUN_COLUMNS}
    connection.execute(insert(RUN).values(columns | {"status": entry.final_status, "owner": owner}))
    insert_tags(connection, entry.id, entry.tags)
    refer_to_uploads(connection, database, entry.id, entry.params)
    stamp = {"run_id": entry.id, "version": entry.version}
    for part, (table, _) in _PLAIN_PARTS.items():
        if rows := [row.model_dump() | stamp for row in getattr(entry, part)]:
            connection.execute(insert(table), rows)
    if arrays := [_array_row(array, inline) | stamp for array in entry.arrays]:
        connection.execute(insert(ARRAY), arrays)
    tails = [_tail(curve, found) for curve, found in zip(entry.series, points, strict=True)]
    write_curves(connection, database, stamp, tails)


def _ordered(table: Table, run_id: str, *names: str) -> Any:
    return (
        select(*(table.c[name] for name in names)).where(table.c.run_id == run_id).order_by(table.c.position)
    )


def _read_arrays(connection: Connection, run_id: str) -> tuple[list[ArrayEntry], dict[str, bytes]]:
    entries, inline = [], {}
    for row in connection.execute(_ordered(ARRAY, run_id, *ArrayEntry.model_fields, "inline")).mappings():
        values = dict(row)
        packed = values.pop("inline")
        if packed is not None:
            npy = zlib.decompress(packed)
            values["hash"] = content_of(npy).hash
            inline[values["hash"]] = npy
        entries.append(ArrayEntry.model_validate(values))
    return entries, inline


def _read_curves(connection: Connection, run_id: str) -> tuple[list[CurveEntry], list[Points]]:
    entries, found = [], []
    chunks = select(CHUNK.c.steps, CHUNK.c.times, CHUNK.c["values"]).order_by(CHUNK.c.number)
    names = [name for name in CurveEntry.model_fields if name != "sha256"]
    for row in connection.execute(_ordered(SERIES, run_id, *names, "id")).mappings():
        values = dict(row)
        blobs = connection.execute(chunks.where(CHUNK.c.series_id == values.pop("id"))).all()
        points = Points(*(curves.unpacked(column) for column in zip(*blobs, strict=True)))
        entries.append(CurveEntry.model_validate(values | {"sha256": digest(points)}))
        found.append(points)
    return entries, found


def _read_artifacts(
    connection: Connection, entry: RunEntry, inline: Mapping[str, bytes]
) -> list[ArtifactEntry]:
    hashes = set(entry.hashes())
    query = select(*(ARTIFACT.c[name] for name in ArtifactEntry.model_fields)).where(
        ARTIFACT.c.hash.in_(hashes)
    )
    found = {
        row["hash"]: ArtifactEntry.model_validate(dict(row)) for row in connection.execute(query).mappings()
    }
    for content_hash, npy in inline.items():
        own = ArtifactEntry(hash=content_hash, size=len(npy), media_type=NPY_TYPE, name="")
        found.setdefault(content_hash, own)
    return list(found.values())


def _array_row(entry: ArrayEntry, inline: Mapping[str, bytes]) -> dict[str, Any]:
    npy = inline.get(entry.hash)
    if npy is None:
        return entry.model_dump() | {"inline": None}
    return entry.model_dump() | {"inline": zlib.compress(npy), "hash": None}


def _tail(entry: CurveEntry, points: Points) -> Tail:
    """A writer's tail that holds the whole curve, ready to be written."""
    tail = Tail((entry.series, entry.name), entry.position)
    for name in ("steps", "times", "values"):
        getattr(tail, name).frombytes(getattr(points, name).astype(np.float64).tobytes())
    for name, value in tail.summary(len(points)).items():
        announced = getattr(entry, name)
        if announced != value and not (np.isnan(announced) and np.isnan(value)):
            raise BundleRefused(
                f"The {name} of curve {entry.series!r} / {entry.name!r} does not fit its points."
            )
    return tail
