"""From an engine's events to the rows of its record: checked, and never dropped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.contract import Engine
from engines.events import Alert, Array, ClaimCheck, Event, File, Picture, Progress, Scalar, Table, Text
from storage import Run, Writer
from workbench.failures import EngineFault
from workbench.pngrecord import PngRecord, encode


class Transcript:
    """Writes one run's events through a storage writer (which another thread may flush in between).

    Raises EngineFault, in one sentence, for an event that the contract does not allow."""

    def __init__(self, writer: Writer, run: Run, engine: Engine, scratch: Path) -> None:
        self._writer = writer
        self._run = run
        self._engine = engine
        self._scratch = scratch.resolve()
        self._strange: set[tuple[str, str]] = set()
        self._live: dict[str, tuple[File, tuple[int, int]]] = {}
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            Scalar: self._scalar,
            Progress: self._progress,
            Picture: self._picture,
            Table: self._table,
            Text: self._text,
            Alert: self._alert,
            Array: self._array,
            File: self._file,
            ClaimCheck: self._claim,
        }

    def write(self, event: Event, time_s: float) -> None:
        """Take one event, said `time_s` seconds after the start, into the writer's buffer."""
        handler = self._handlers.get(type(event))
        if handler is None:
            raise EngineFault(f"The engine said a {type(event).__name__}, which is no event.")
        try:
            handler(event, time_s)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            name = getattr(event, "name", getattr(event, "key", ""))
            raise EngineFault(
                f"The engine said a {type(event).__name__} {name!r} that cannot be kept: {error}."
            ) from error

    def end(self) -> None:
        """Take live files again that their engine has written since it last spoke of them."""
        for event, stamp in list(self._live.values()):
            path = Path(event.path)
            if path.is_file() and _stamp(path) != stamp:
                self._file(event, 0.0)

    def _scalar(self, event: Scalar, time_s: float) -> None:
        value = float(event.value)
        step = float(event.step)
        self._writer.scalar(event.series, event.name, step, value, time_s)
        if not math.isfinite(value) and (event.series, event.name) not in self._strange:
            self._strange.add((event.series, event.name))
            message = f"{event.name} of {event.series} became {value} at step {step:g}."
            self._writer.alert(event.name, step, message)

    def _progress(self, event: Progress, time_s: float) -> None:
        done, total = float(event.done), float(event.total)
        self._writer.progress(done, total, event.note)

    def _picture(self, event: Picture, time_s: float) -> None:
        run, step = self._run, float(event.step)
        record = PngRecord(run.id, run.engine, run.params, run.seed, run.preset, event.name, step)
        data = encode(event.pixels, record)
        height, width = event.pixels.shape[:2]
        self._writer.picture(event.name, step, data, width, height, event.caption, event.keep)

    def _table(self, event: Table, time_s: float) -> None:
        rows = [[_cell(value) for value in row] for row in event.rows]
        columns = [str(column) for column in event.columns]
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns")
        self._writer.table(event.name, columns, rows)

    def _text(self, event: Text, time_s: float) -> None:
        self._writer.text(event.name, event.value)

    def _alert(self, event: Alert, time_s: float) -> None:
        self._writer.alert(event.name, float(event.step), event.message)

    def _array(self, event: Array, time_s: float) -> None:
        values = np.asarray(event.values)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"its values must be real numbers; got {values.dtype}")
        axes = [(axis.name, _coordinates(axis.values)) for axis in event.axes]
        lengths = tuple(len(coordinates) for _, coordinates in axes)
        if lengths != values.shape:
            raise ValueError(f"its axes have the lengths {lengths} and its values the shape {values.shape}")
        self._writer.array(event.name, float(event.step), values, axes, event.keep)

    def _file(self, event: File, time_s: float) -> None:
        path = Path(event.path).resolve()
        if not path.is_relative_to(self._scratch) or not path.is_file():
            raise ValueError("it must be a file in the run's scratch folder")
        if event.live:
            self._live[event.name] = event, _stamp(path)
        self._writer.file(event.name, path, event.media_type, event.caption, path.name)

    def _claim(self, event: ClaimCheck, time_s: float) -> None:
        try:
            claim = self._engine.claim(event.key)
        except KeyError:
            known = ", ".join(claim.key for claim in self._engine.claims) or "none"
            sentence = f"{self._engine.key} checked the claim {event.key!r}, which it does not declare (declared: {known})."
            raise EngineFault(sentence) from None
        holds = None if event.holds is None else bool(event.holds)
        if holds is None and not event.detail:
            raise ValueError("its detail must say why the run could not decide")
        measured, baseline = _optional(event.measured), _optional(event.baseline)
        self._writer.claim(
            claim.key, claim.statement, claim.paper, measured, baseline, holds, event.detail, claim.unit
        )


def _stamp(path: Path) -> tuple[int, int]:
    """Tells whether a file was written again."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)


def _cell(value: Any) -> Any:
    """A table's cell as a plain value: numpy's scalars become Python's."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or isinstance(plain, str | int | float | bool):
        return plain
    raise TypeError(f"a cell must be text, a number or nothing; got {type(value).__name__}")


def _coordinates(values: Sequence[Any] | np.ndarray[Any, Any]) -> list[Any]:
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"an axis must be a line of coordinates; got the shape {values.shape}")
        return list(values.tolist())
    return [_cell(value) for value in values]
