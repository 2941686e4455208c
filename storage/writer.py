"""The pen of one run: events go into memory, `flush` makes all of them durable in one short transaction.

A flush that fails (a full disk, a database that stays locked) loses nothing: everything is still pending, and the
next flush tries again.
"""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, and_, bindparam, func, select, union_all

from storage.artifacts import Artifacts
from storage.blobs import content_of
from storage.columns import storable
from storage.database import Database
from storage.errors import RunNotFound, StorageError
from storage.flush import Batch, write_batch
from storage.jsontext import encoded
from storage.series import CHUNK_POINTS, Tail, unpacked
from storage.tables import ALERT, ARRAY, CHUNK, CLAIM, FILE, PICTURE, RUN, SERIES, TABLE, TEXT
from storage.values import Cell

INLINE_BYTES = 64 * 1024  # arrays up to this size (as .npy) live in the database
SUPERSEDED_S = 60.0  # a replaced picture's file outlives it by this long, for pages that are just fetching it

_HIGHEST = union_all(
    *(
        select(func.max(table.c.position)).where(table.c.run_id == bindparam("run_id"))
        for table in (SERIES, PICTURE, ARRAY, TABLE, TEXT, ALERT, FILE, CLAIM)
    )
)


class Writer:
    """Records the events of one run. One writer a run; its methods may be called from several threads."""

    def __init__(self, database: Database, artifacts: Artifacts, run_id: str) -> None:
        """Open the record of an existing run, at its end.

        Raises:
            RunNotFound: no run has this id.
        """
        self._database = database
        self._artifacts = artifacts
        self.run_id = run_id
        self._lock = RLock()
        self._curves: dict[tuple[str, str], Tail] = {}
        self._batch = Batch()
        self._superseded: list[tuple[float, str]] = []
        self._position = self._last_position()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StorageError:
            if kind is None:  # otherwise the error that ended the block is the one to tell
                raise

    @property
    def pending(self) -> int:
        """How many events are not durable yet."""
        with self._lock:
            return len(self._batch) + sum(curve.pending for curve in self._curves.values())

    def progress(self, done: float, total: float, note: str = "") -> None:
        """How far the run is."""
        with self._lock:
            self._batch.progress = (float(done), float(total), note)

    def scalar(self, series: str, name: str, step: float, value: float, time_s: float) -> None:
        """One point of a curve; `time_s` counts from the start of the run."""
        step, value, time_s = float(step), float(value), float(time_s)
        with self._lock:
            curve = self._curves.get((series, name)) or self._curve(series, name)
            curve.steps.append(step)
            curve.times.append(time_s)
            curve.values.append(value)

    def scalars(
        self,
        series: str,
        name: str,
        steps: Sequence[float] | NDArray[Any],
        values: Sequence[float] | NDArray[Any],
        times_s: Sequence[float] | NDArray[Any],
    ) -> None:
        """Many points of a curve at once, in order; otherwise like `scalar`.

        Raises:
            StorageError: the three are not numbers in one dimension and of one length.
        """
        try:
            columns = [np.asarray(column, dtype=np.float64) for column in (steps, times_s, values)]
        except (TypeError, ValueError) as error:
            raise StorageError(f"The points of curve {series!r} / {name!r} must be numbers.") from error
        if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise StorageError(
                f"Steps, times and values of curve {series!r} / {name!r} must be alike; got {shapes}."
            )
        with self._lock:
            curve = self._curves.get((series, name)) or self._curve(series, name)
            for kept, column in zip((curve.steps, curve.times, curve.values), columns, strict=True):
                kept.frombytes(column.tobytes())

    def picture(
        self,
        name: str,
        step: float,
        png_bytes: bytes,
        width: int,
        height: int,
        caption: str = "",
        keep: bool = True,
    ) -> None:
        """A PNG of `width` x `height` pixels. It takes the place of the one before of its name unless that one
        was to be kept."""
        content = content_of(png_bytes)
        row = {
            "name": storable(name),
            "step": float(step),
            "caption": caption,
            "keep": keep,
            "hash": content.hash,
        }
        with self._lock:
            row |= {"width": width, "height": height, "position": self._next_position()}
            self._batch.add_frame(PICTURE, row, content, "image/png")

    def array(
        self,
        name: str,
        step: float,
        values: NDArray[Any],
        axes: Sequence[tuple[str, Sequence[Any] | NDArray[Any]]],
        keep: bool = True,
    ) -> None:
        """Numbers on named axes, one axis for each dimension; replaces like `picture`.

        Raises:
            StorageError: the axes do not fit the shape, or the values are Python objects.
        """
        values = np.asarray(values)
        named = [[str(axis), np.asarray(ticks).tolist()] for axis, ticks in axes]
        if tuple(len(ticks) for _, ticks in named) != values.shape:
            lengths = ", ".join(f"{axis}: {len(ticks)}" for axis, ticks in named)
            raise StorageError(f"The axes of array {name!r} ({lengths}) do not fit its shape {values.shape}.")
        npy = to_npy(values, name)
        row = {
            "name": storable(name),
            "step": float(step),
            "keep": keep,
            "shape": list(values.shape),
            "axes": encoded(named),
        }
        content = None if len(npy) <= INLINE_BYTES else content_of(npy)
        row |= {"inline": None if content else zlib.compress(npy), "hash": content and content.hash}
        with self._lock:
            row["position"] = self._next_position()
            self._batch.add_frame(ARRAY, row, content, "application/x-npy")

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A small table; takes the place of the one before of its name.

        Raises:
            StorageError: a cell is not text, a number, a boolean or None.
        """
        self._named(
            TABLE, "name", name, columns=encoded(list(columns)), rows=encoded([list(row) for row in rows])
        )

    def text(self, name: str, value: str) -> None:
        """A named text; takes the place of the one before of its name."""
        self._named(TEXT, "name", name, value=str(value))

    def claim(
        self,
        key: str,
        statement: str,
        paper: str | None,
        measured: float | None,
        baseline: float | None,
        holds: bool | None,
        detail: str = "",
        unit: str = "",
    ) -> None:
        """What became of a claim of the paper; takes the place of an earlier verdict on it."""
        row: dict[str, Any] = {"statement": statement, "paper": paper, "detail": detail, "unit": unit}
        row["measured"] = None if measured is None else float(measured)
        row["baseline"] = None if baseline is None else float(baseline)
        row["holds"] = None if holds is None else bool(holds)
        self._named(CLAIM, "key", key, **row)

    def alert(self, name: str, step: float, message: str) -> None:
        """Something that the reader must know."""
        with self._lock:
            row = {"name": name, "step": float(step), "message": message, "position": self._next_position()}
            self._batch.alerts.append(row)

    def file(
        self,
        name: str,
        source: str | Path | bytes,
        media_type: str = "application/octet-stream",
        caption: str = "",
        filename: str = "",
    ) -> None:
        """A result to take away, copied at once; takes the place of the one before of its name.

        Raises:
            DiskFull: no room is left for the copy.
            StorageError: the file cannot be read.
        """
        blobs = self._artifacts.blobs
        content = content_of(source) if isinstance(source, bytes) else blobs.stage(source)
        filename = filename or (name if isinstance(source, bytes) else Path(source).name)
        row = {"hash": content.hash, "media_type": media_type, "caption": caption, "filename": filename}
        with self._lock:
            self._batch.contents.append((content, media_type, filename))
            self._named(FILE, "name", name, **row)

    def flush(self) -> None:
        """Make every pending event durable, and visible to readers, in one transaction; it is a sign of life too.

        Raises:
            RunNotFound: the run was deleted meanwhile.
            DiskFull, DatabaseBusy, StorageError: nothing is lost, all events are still pending.
        """
        with self._lock:
            batch, curves = self._batch, [curve for curve in self._curves.values() if curve.pending]
            for content, _, _ in batch.contents:
                self._artifacts.blobs.place(content)
            written = self._database.write(
                lambda connection: write_batch(
                    connection, self._database, self._artifacts, self.run_id, batch, curves
                )
            )
            for curve, (series_id, upto, summary) in zip(curves, written.curves, strict=True):
                curve.committed(series_id, upto, summary)
            self._batch = Batch()
            for content, _, _ in batch.contents:
                self._artifacts.blobs.drop(content)
            self._superseded += [(time.monotonic(), content_hash) for content_hash in written.superseded]
            self._discard_superseded(SUPERSEDED_S)

    def close(self) -> None:
        """Flush. Files of pictures that were replaced in the last minute stay for the pages that are just fetching
        them; `Artifacts.sweep` finds them later. Where the last flush fails, the files that it had stored go.

        Raises:
            what `flush` raises.
        """
        with self._lock:
            try:
                self.flush()
            except StorageError:
                contents = [content for content, _, _ in self._batch.contents]
                for content in contents:
                    self._artifacts.blobs.drop(content)
                self._artifacts.discard({content.hash for content in contents})
                raise
            self._discard_superseded(SUPERSEDED_S)

    def _named(self, table: Table, key: str, name: str, **row: Any) -> None:
        """An event that takes the place of the one before of the same name (and keeps its position)."""
        name = storable(name)
        with self._lock:
            rows = self._batch.named.setdefault(table, {})
            position = rows[name]["position"] if name in rows else self._next_position()
            rows[name] = {key: name, **row, "position": position}

    def _discard_superseded(self, age_s: float) -> None:
        now = time.monotonic()
        due = {content_hash for since, content_hash in self._superseded if now - since >= age_s}
        if due:
            self._artifacts.discard(due)
            self._superseded = [pair for pair in self._superseded if pair[1] not in due]

    def _next_position(self) -> int:
        self._position += 1
        return self._position

    def _last_position(self) -> int:
        """The highest position that the run has given away.

        Raises:
            RunNotFound: no run has this id.
        """

        def look(connection: Connection) -> int:
            if connection.execute(select(RUN.c.id).where(RUN.c.id == self.run_id)).first() is None:
                raise RunNotFound(self.run_id)
            highest = connection.execute(_HIGHEST, {"run_id": self.run_id}).scalars()
            return max((position for position in highest if position is not None), default=0)

        return self._database.read(look)

    def _curve(self, series: str, name: str) -> Tail:
        """The tail of a curve that this writer does not know (under this spelling): as it is stored, or empty."""
        key = (storable(series), storable(name))
        if key in self._curves:
            return self._curves[key]
        last = and_(CHUNK.c.series_id == SERIES.c.id, CHUNK.c.number == SERIES.c.count // CHUNK_POINTS)
        query = (
            select(SERIES, CHUNK.c.steps, CHUNK.c.times, CHUNK.c["values"])
            .outerjoin(CHUNK, last)
            .where(SERIES.c.run_id == self.run_id, SERIES.c.series == key[0], SERIES.c.name == key[1])
        )
        row = self._database.read(lambda connection: connection.execute(query).mappings().first())
        curve = Tail(key, row["position"] if row else self._next_position())
        if row is not None:
            curve.row_id, curve.count, curve.nonfinite = row["id"], row["count"], row["nonfinite"]
            curve.minimum, curve.maximum = row["minimum"], row["maximum"]
            for column in ("steps", "times", "values"):
                getattr(curve, column).extend(unpacked([row[column] or b""]))
            curve.durable = len(curve.values)
        self._curves[key] = curve
        return curve


def to_npy(values: NDArray[Any], name: str) -> bytes:
    """`values` as the bytes of a .npy file.

    Raises:
        StorageError: they are Python objects, which no file should carry.
    """
    buffer = io.BytesIO()
    try:
        np.save(buffer, values, allow_pickle=False)
    except ValueError as error:
        raise StorageError(
            f"Array {name!r} must hold numbers, booleans or text; got {values.dtype}."
        ) from error
    return buffer.getvalue()
