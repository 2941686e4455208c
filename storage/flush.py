"""What one flush of a writer carries, and the transaction that writes it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Table,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningDelete

from storage.artifacts import Artifacts, remove_unreferenced
from storage.blobs import Content
from storage.database import Database
from storage.errors import RunNotFound
from storage.series import Tail
from storage.status import Status
from storage.tables import ALERT, CHUNK, RUN, SERIES

STALE = "stale"  # error_kind of a run that was given up because its heartbeat stopped


@dataclass
class Batch:
    """Events that wait to become durable, already reduced to the rows that they will be."""

    progress: tuple[float, float, str] | None = None
    frames: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    named: dict[Table, dict[str, dict[str, Any]]] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    contents: list[tuple[Content, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        frames = sum(len(rows) for rows in self.frames.values())
        named = sum(len(rows) for rows in self.named.values())
        return frames + named + len(self.alerts) + (self.progress is not None)

    def add_frame(self, table: Table, row: dict[str, Any], content: Content | None, media_type: str) -> None:
        """A picture or an array; what it replaces within this batch is never written."""
        rows = self.frames.setdefault(table, [])
        replaced = {old["hash"] for old in rows if old["name"] == row["name"] and not old["keep"]}
        if replaced:
            rows[:] = [old for old in rows if old["name"] != row["name"] or old["keep"]]
            replaced -= {old["hash"] for table_rows in self.frames.values() for old in table_rows}
            self.contents = [item for item in self.contents if item[0].staged or item[0].hash not in replaced]
        rows.append(row)
        if content is not None:
            self.contents.append((content, media_type, ""))


@dataclass(frozen=True)
class Written:
    """What a flush did: for each curve its row's id, how many points in memory are durable and the new summary;
    and the artifacts that lost their last reference."""

    curves: list[tuple[int, int, dict[str, Any]]]
    superseded: list[str]


def write_batch(
    connection: Connection,
    database: Database,
    artifacts: Artifacts,
    run_id: str,
    batch: Batch,
    curves: list[Tail],
) -> Written:
    """Write everything in one transaction, each row stamped with the run's next version."""
    version = _touch_run(connection, run_id, batch.progress)
    if batch.contents:
        database.lock_artifacts(connection)
        artifacts.register(connection, batch.contents)
    stamp = {"run_id": run_id, "version": version}
    superseded: set[str] = set()
    for table, rows in batch.frames.items():
        superseded |= _remove_replaced(connection, table, run_id, rows)
        connection.execute(_insert(table), [row | stamp for row in rows])
    for table, named in batch.named.items():
        superseded |= _upsert(connection, database, table, [row | stamp for row in named.values()])
    if batch.alerts:
        connection.execute(_insert(ALERT), [row | stamp for row in batch.alerts])
    written = write_curves(connection, database, stamp, curves)
    return Written(written, remove_unreferenced(connection, database, superseded))


# Statements that every flush needs are built once: building one takes longer than executing it.
_GIVEN_UP = (RUN.c.status == Status.interrupted) & (RUN.c.error_kind == STALE)
_SIGN_OF_LIFE: dict[str, Any] = {
    "version": RUN.c.version + 1,
    "heartbeat_at": bindparam("now"),
    # Who writes is alive, so a run that was given up as stale goes on.
    "status": case((_GIVEN_UP, Status.running.value), else_=RUN.c.status),
    "finished_at": case((_GIVEN_UP, None), else_=RUN.c.finished_at),
    "error": case((_GIVEN_UP, ""), else_=RUN.c.error),
    "error_kind": case((_GIVEN_UP, ""), else_=RUN.c.error_kind),
}
_PROGRESS = ("progress_done", "progress_total", "progress_note")
_SIGN = update(RUN).where(RUN.c.id == bindparam("run_id")).values(_SIGN_OF_LIFE).returning(RUN.c.version)
_SIGN_AND_PROGRESS = _SIGN.values({name: bindparam(name) for name in _PROGRESS})
_SUMMARY = ("count", "last_step", "last_value", "minimum", "maximum", "nonfinite", "version")
_NEW_CURVE = insert(SERIES).returning(SERIES.c.id)
_KNOWN_CURVE = (
    update(SERIES)
    .where(SERIES.c.id == bindparam("row_id"))
    .values({name: bindparam(name) for name in _SUMMARY})
)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _delete_replaced(table: Table) -> ReturningDelete[Any]:
    names: BindParameter[Any] = bindparam("names", expanding=True)
    mine = delete(table).where(table.c.run_id == bindparam("run_id"), table.c.name.in_(names))
    return mine.where(~table.c.keep).returning(table.c.hash)


def _touch_run(connection: Connection, run_id: str, progress: tuple[float, float, str] | None) -> int:
    """The next version of the run.

    Raises:
        RunNotFound: it was deleted meanwhile.
    """
    values: dict[str, Any] = {"run_id": run_id, "now": time.time()}
    if progress is None:
        version = connection.execute(_SIGN, values).scalar()
    else:
        version = connection.execute(
            _SIGN_AND_PROGRESS, values | dict(zip(_PROGRESS, progress, strict=True))
        ).scalar()
    if version is None:
        raise RunNotFound(run_id)
    return int(version)


def _remove_replaced(
    connection: Connection, table: Table, run_id: str, rows: list[dict[str, Any]]
) -> set[str]:
    """Remove the frames that were not to be kept and have a successor now. Returns the artifacts they used."""
    names = list({row["name"] for row in rows})
    removed = connection.execute(_delete_replaced(table), {"run_id": run_id, "names": names})
    return {item for item in removed.scalars() if item}


def _upsert(connection: Connection, database: Database, table: Table, rows: list[dict[str, Any]]) -> set[str]:
    """Insert named rows over those of the same name. Returns the artifacts of files that were replaced."""
    key = tuple(column.name for column in table.primary_key)
    replaced: set[str] = set()
    if "hash" in table.c:
        names = [row[key[1]] for row in rows]
        query = select(table.c.hash).where(table.c.run_id == rows[0]["run_id"], table.c[key[1]].in_(names))
        replaced = set(connection.execute(query).scalars())
    fresh = tuple(name for name in rows[0] if name not in (*key, "position"))
    connection.execute(database.upsert(table, key, fresh), rows)
    return replaced


def write_curves(
    connection: Connection, database: Database, stamp: dict[str, Any], curves: list[Tail]
) -> list[tuple[int, int, dict[str, Any]]]:
    """Write all points in memory of each curve, and the curves' rows, with the columns of `stamp`.

    Returns:
        For each curve its row's id, the number of points, and the new summary.
    """
    written: list[tuple[int, int, dict[str, Any]]] = []
    known: list[dict[str, Any]] = []
    chunks: list[dict[str, Any]] = []
    for curve in curves:
        upto = len(curve.values)
        summary = curve.summary(upto)
        series_id = curve.row_id
        if series_id is None:
            names = {"series": curve.key[0], "name": curve.key[1], "position": curve.position}
            series_id = int(connection.execute(_NEW_CURVE, summary | names | stamp).scalar_one())
        else:
            known.append({"row_id": series_id, **summary, "version": stamp["version"]})
        chunks += curve.chunks(series_id, upto)
        written.append((series_id, upto, summary))
    if known:
        connection.execute(_KNOWN_CURVE, known)
    if chunks:
        upsert = database.upsert(CHUNK, ("series_id", "number"), ("count", "steps", "times", "values"))
        connection.execute(upsert, chunks)
    return written
