"""The record of one run, read as it is now: every method asks the database, nothing is kept."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, literal, null, select, union_all

from storage import series as curves
from storage.errors import RunNotFound, StorageError
from storage.runs import load_run
from storage.series import CHUNK_POINTS
from storage.tables import (
    ALERT,
    ARRAY,
    ARTIFACT,
    CHUNK,
    CLAIM,
    FILE,
    PICTURE,
    RUN,
    SERIES,
    TABLE,
    TEXT,
    Run,
)
from storage.values import (
    AlertRow,
    ArrayInfo,
    Changes,
    ClaimRow,
    FileInfo,
    PictureInfo,
    Points,
    SeriesInfo,
    TableData,
)

if TYPE_CHECKING:
    from storage.store import Store

_NAMED = {"pictures": PICTURE, "tables": TABLE, "texts": TEXT, "arrays": ARRAY, "files": FILE}


def _newer(kind: str, table: Table, *names: ColumnElement[Any]) -> Select[Any]:
    first, second = (*names, null(), null())[:2]
    newer = table.c.run_id == bindparam("run_id"), table.c.version > bindparam("since")
    return select(literal(kind), first, second).where(*newer)


_NEWER = union_all(
    _newer("series", SERIES, SERIES.c.series, SERIES.c.name),
    *(_newer(kind, table, table.c.name) for kind, table in _NAMED.items()),
    _newer("claims", CLAIM),
    _newer("alerts", ALERT),
)

_CHUNKS = (
    select(CHUNK.c.steps, CHUNK.c.times, CHUNK.c["values"])
    .join(SERIES, CHUNK.c.series_id == SERIES.c.id)
    .where(
        SERIES.c.run_id == bindparam("run_id"),
        SERIES.c.series == bindparam("series"),
        SERIES.c.name == bindparam("name"),
        CHUNK.c.number >= bindparam("first"),
    )
    .order_by(CHUNK.c.number)
)


_ALIKE = (
    select(SERIES.c.series, CHUNK.c.steps, CHUNK.c.times, CHUNK.c["values"])
    .join(CHUNK, CHUNK.c.series_id == SERIES.c.id)
    .where(SERIES.c.run_id == bindparam("run_id"), SERIES.c.name == bindparam("name"))
    .order_by(SERIES.c.position, CHUNK.c.number)
)


class Record:
    """Reads one run. `run` is its row when this object was made or last refreshed."""

    def __init__(self, store: Store, run_id: str) -> None:
        """Find the run.

        Raises:
            RunNotFound: no run has this id.
        """
        self.store = store
        self.run_id = run_id
        self.run: Run = self.refresh()

    def refresh(self) -> Run:
        """Read the run's row again, and return it.

        Raises:
            RunNotFound: it was deleted.
        """
        self.run = self.store.database.read(lambda connection: load_run(connection, self.run_id))
        return self.run

    def series(self) -> list[SeriesInfo]:
        """All curves, in the order in which they first appeared."""
        c = SERIES.c
        query = select(
            c.series, c.name, c.count, c.last_step, c.last_value, c.minimum, c.maximum, c.nonfinite
        ).where(c.run_id == self.run_id)
        return [SeriesInfo(*row) for row in self._rows(query.order_by(c.position))]

    def points(self, series: str, name: str, start: int = 0) -> Points:
        """Points of a curve from number `start` on; none where there is no such curve. About 0.1 ms a thousand."""
        start = max(0, start)
        wanted = {"run_id": self.run_id, "series": series, "name": name, "first": start // CHUNK_POINTS}
        rows = self.store.database.read(lambda connection: connection.execute(_CHUNKS, wanted).all())
        if not rows:
            return curves.empty()
        steps, times, values = (
            curves.unpacked(column)[start % CHUNK_POINTS :] for column in zip(*rows, strict=True)
        )
        return Points(steps, times, values)

    def points_of(self, name: str) -> dict[str, Points]:
        """The points of every curve of that name by series, in the order in which they first appeared: one question
        for all."""
        wanted = {"run_id": self.run_id, "name": name}
        rows = self.store.database.read(lambda connection: connection.execute(_ALIKE, wanted).all())
        columns = {
            series: [curves.unpacked(column) for column in list(zip(*chunks, strict=True))[1:]]
            for series, chunks in groupby(rows, key=itemgetter(0))
        }
        return {series: Points(*found) for series, found in columns.items()}

    def decimated(self, series: str, name: str, buckets: int = 1000) -> Points:
        """At most `2 * buckets` points that draw the same line: see `series.decimated`."""
        return curves.decimated(self.points(series, name), buckets)

    def pictures(self, name: str | None = None) -> list[PictureInfo]:
        """All pictures, or those of one name, in the order of recording."""
        c = PICTURE.c
        query = select(c.name, c.step, c.caption, c.keep, c.hash, c.width, c.height)
        return [PictureInfo(*row) for row in self._rows(self._mine(query, PICTURE, name))]

    def tables(self) -> dict[str, TableData]:
        """The tables by name, in the order in which they first appeared."""
        query = select(TABLE.c.name, TABLE.c.columns, TABLE.c.rows)
        return {
            name: TableData(columns, rows) for name, columns, rows in self._rows(self._mine(query, TABLE))
        }

    def texts(self) -> dict[str, str]:
        """The texts by name, in the order in which they first appeared."""
        query = select(TEXT.c.name, TEXT.c.value)
        return dict(self._rows(self._mine(query, TEXT)))

    def alerts(self) -> list[AlertRow]:
        """All alerts in the order of recording."""
        query = select(ALERT.c.name, ALERT.c.step, ALERT.c.message)
        return [AlertRow(*row) for row in self._rows(self._mine(query, ALERT))]

    def arrays(self, name: str | None = None) -> list[ArrayInfo]:
        """All arrays without their numbers, or those of one name, in the order of recording."""
        c = ARRAY.c
        query = self._mine(select(c.name, c.step, c.keep, c.shape, c.axes, c.position), ARRAY, name)
        return [
            ArrayInfo(title, step, keep, tuple(shape), tuple((axis, ticks) for axis, ticks in axes), position)
            for title, step, keep, shape, axes, position in self._rows(query)
        ]

    def array(self, info: ArrayInfo) -> NDArray[Any]:
        """The numbers of an array, with the dtype in which they were recorded.

        Raises:
            StorageError: a newer array has taken its place since `info` was read.
        """
        query = select(ARRAY.c.inline, ARRAY.c.hash).where(
            ARRAY.c.run_id == self.run_id, ARRAY.c.position == info.position
        )
        rows = self._rows(query)
        if not rows:
            raise StorageError(f"The array {info.name!r} was replaced by a newer one; read the list again.")
        [(inline, content_hash)] = rows
        npy = self.store.artifacts.read(content_hash) if inline is None else zlib.decompress(inline)
        values: NDArray[Any] = np.load(io.BytesIO(npy), allow_pickle=False)
        return values

    def files(self) -> list[FileInfo]:
        """The result files, in the order in which they first appeared."""
        c = FILE.c
        query = select(c.name, c.hash, c.media_type, c.caption, c.filename, ARTIFACT.c.size)
        return [FileInfo(*row) for row in self._rows(self._mine(query.join(ARTIFACT), FILE))]

    def claims(self) -> list[ClaimRow]:
        """What became of the paper's claims, in the order of the verdicts."""
        c = CLAIM.c
        query = select(c.key, c.statement, c.paper, c.measured, c.baseline, c.holds, c.detail, c.unit)
        return [ClaimRow(*row) for row in self._rows(self._mine(query, CLAIM))]

    def changes(self, since: int) -> Changes:
        """What is newer than version `since` (0: everything): two small queries, however long the run.

        Raises:
            RunNotFound: the run was deleted.
        """
        state = select(RUN.c.version, RUN.c.status).where(RUN.c.id == self.run_id)

        def look(connection: Connection) -> tuple[Any, Sequence[Any]]:
            run = connection.execute(state).first()
            if run is None:
                raise RunNotFound(self.run_id)
            if run.version <= since:
                return run, ()
            return run, connection.execute(_NEWER, {"run_id": self.run_id, "since": since}).all()

        run, fresh = self.store.database.read(look)
        names: dict[str, set[Any]] = {kind: set() for kind in (*_NAMED, "series", "claims", "alerts")}
        for kind, name, second in fresh:
            names[kind].add((name, second) if kind == "series" else name)
        return Changes(
            version=run.version,
            status=run.status,
            series=frozenset(names["series"]),
            claims=bool(names["claims"]),
            alerts=bool(names["alerts"]),
            **{kind: frozenset(names[kind]) for kind in _NAMED},
        )

    def _rows(self, query: Select[Any]) -> list[Any]:
        return self.store.database.read(lambda connection: list(connection.execute(query).all()))

    def _mine(self, query: Select[Any], table: Table, name: str | None = None) -> Select[Any]:
        query = query.where(table.c.run_id == self.run_id).order_by(table.c.position)
        return query if name is None else query.where(table.c.name == name)
