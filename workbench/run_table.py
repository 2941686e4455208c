"""The list of runs as a file: CSV and Parquet with one row a run and a column for each parameter, or JSON.

Parquet and JSON hold every value as it is. In CSV a text that a spreadsheet would take for a formula (it begins with
=, +, - or @) gets an apostrophe in front: tags, notes and parameters are words of others.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from storage import RunQuery, RunRow
from workbench.documents import PRIVATE, plain, public, row_object, to_text
from workbench.exports import whole
from workbench.runs import Workbench

TableFormat = Literal["csv", "json", "parquet"]
TABLE_FORMATS: tuple[TableFormat, ...] = ("csv", "json", "parquet")
BATCH = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r")
KINDS: Mapping[str, type] = {
    "id": str, "engine": str, "engine_version": str, "preset": str, "seed": int, "status": str,
    "created_at": str, "started_at": str, "finished_at": str, "duration_s": float,
    "headline_series": str, "headline_name": str, "headline": float,
    "claims_held": int, "claims_failed": int, "claims_open": int,
    "device": str, "cpu": str, "owner": str, "parent_id": str, "tags": str, "note": str, "error": str,
}  # fmt: skip
"""The columns that every table has, before those of the parameters, and what they hold."""
PRIVATE_COLUMNS = ("device", "cpu", "parent_id", *PRIVATE)

Values = dict[str, Any]


def write_runs(workbench: Workbench, query: RunQuery, path: Path, kind: TableFormat) -> int:
    """Write the runs that fit to a file; answers how many. Raises FileTrouble."""
    rows = list(all_runs(workbench, query))
    with whole(path) as partial:
        partial.write_bytes(table(rows, kind))
    return len(rows)


def all_runs(workbench: Workbench, query: RunQuery) -> Iterator[RunRow]:
    """The runs of a query, read in batches, up to its limit."""
    offset, left = query.offset, query.limit
    while left > 0:
        page = workbench.runs(dataclasses.replace(query, offset=offset, limit=min(BATCH, left)))
        yield from page.rows
        if not page.rows:
            return
        offset, left = offset + len(page.rows), left - len(page.rows)


def table(rows: Sequence[RunRow], kind: TableFormat, *, for_strangers: bool = False) -> bytes:
    """The rows as a file of that kind. `for_strangers` leaves out where a run ran, for whom, and its parent."""
    if kind == "json":
        objects = [row_object(row) for row in rows]
        return (to_text([public(one) for one in objects] if for_strangers else objects) + "\n").encode()
    columns = columns_of(rows)
    if for_strangers:
        columns = {name: held for name, held in columns.items() if name not in PRIVATE_COLUMNS}
    lines = [values_of(row) for row in rows]
    return _csv(lines, columns) if kind == "csv" else _parquet(lines, columns)


def columns_of(rows: Iterable[RunRow]) -> dict[str, type]:
    """Names of all columns with what they hold. A parameter's column holds numbers or truth values where all its
    values are, and text otherwise: lists and objects as JSON."""
    columns = dict(KINDS)
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.run.params.items():
            held = kinds.setdefault(f"param.{name}", set())
            if value is not None:
                held.add(type(value))
    for name, held in kinds.items():
        if held in ({int}, {bool}, {float}):
            (columns[name],) = held
        else:
            columns[name] = float if held == {int, float} else str
    return columns


def values_of(row: RunRow) -> Values:
    """The cells of a run by column."""
    run = row.run
    environment = run.environment or {}
    values: Values = {
        **{name: getattr(run, name) for name in ("id", "engine", "engine_version", "preset", "seed")},
        "status": run.status.value,
        **{name: _moment(getattr(run, name)) for name in ("created_at", "started_at", "finished_at")},
        "duration_s": run.duration_s,
        "headline_series": run.headline_series,
        "headline_name": run.headline_name,
        "headline": row.headline,
        "claims_held": row.claims_held,
        "claims_failed": row.claims_failed,
        "claims_open": row.claims_open,
        "device": environment.get("device_name") or environment.get("device"),
        "cpu": environment.get("cpu"),
        "owner": run.owner,
        "parent_id": run.parent_id,
        "tags": ", ".join(run.tags),
        "note": run.note,
        "error": run.error,
    }
    return values | {f"param.{name}": value for name, value in run.params.items()}


def _moment(at: float | None) -> str | None:
    """A time as ISO 8601 in UTC, to the millisecond."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _as(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is not str:
        return kind(value)
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _csv(lines: Sequence[Values], columns: Mapping[str, type]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    for line in lines:
        writer.writerow([_cell(_as(line.get(name), kind)) for name, kind in columns.items()])
    return text.getvalue().encode("utf-8")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return repr(value) if isinstance(value, float) else value


def _parquet(lines: Sequence[Values], columns: Mapping[str, type]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    arrays = [
        pa.array([_as(line.get(name), kind) for line in lines], kinds[kind]) for name, kind in columns.items()
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), sink, compression="zstd")
    return sink.getvalue()
