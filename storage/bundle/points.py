"""The curves of one run as a Parquet file: columns series, name, step, time, value, one row a point, curve after
curve in the order of record.json. pandas, polars and DuckDB read it as it is."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.bundle.document import CurveEntry
from storage.errors import BundleRefused
from storage.series import packed
from storage.values import Points

if TYPE_CHECKING:
    import pyarrow

_NUMBERS = ("step", "time", "value")
_LABELS = ("series", "name")


def digest(points: Points) -> str:
    """SHA-256 over all steps, then all times, then all values, each a little-endian float64."""
    whole = hashlib.sha256(packed(points.steps))
    whole.update(packed(points.times))
    whole.update(packed(points.values))
    return whole.hexdigest()


def to_parquet(curves: Sequence[CurveEntry], points: Sequence[Points]) -> bytes:
    """The points of all curves of a run; the same points give the same bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    counts = [entry.count for entry in curves]
    columns: dict[str, Any] = {}
    for label in _LABELS:
        # Each name once: pyarrow writes a dictionary with repeated entries differently from time to time.
        names = sorted({getattr(entry, label) for entry in curves})
        number_of = {name: number for number, name in enumerate(names)}
        numbers = np.array([number_of[getattr(entry, label)] for entry in curves], dtype=np.int32)
        columns[label] = pa.DictionaryArray.from_arrays(
            np.repeat(numbers, counts), pa.array(names, pa.string())
        )
    for number in _NUMBERS:
        parts = [getattr(part, f"{number}s") for part in points]
        columns[number] = pa.array(np.concatenate([np.empty(0), *parts]), pa.float64())
    sink = io.BytesIO()
    parquet.write_table(
        pa.table(columns),
        sink,
        compression="zstd",
        use_dictionary=list(_LABELS),
        use_byte_stream_split=list(_NUMBERS),
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def from_parquet(data: bytes, curves: Sequence[CurveEntry]) -> list[Points]:
    """The points of each curve that record.json announces.

    Raises:
        BundleRefused: the file is damaged, or tells something else than record.json.
    """
    import pyarrow as pa
    from pyarrow import parquet

    total = sum(entry.count for entry in curves)
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows != total or tuple(file.schema_arrow.names) != (*_LABELS, *_NUMBERS):
            raise BundleRefused("The bundle's curves do not fit its record.json.")
        table = file.read()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BundleRefused("The bundle's curves are not readable Parquet.") from error
    numbers = [_column(table, name) for name in _NUMBERS]
    found, start = [], 0
    for entry in curves:
        points = Points(*(column[start : start + entry.count] for column in numbers))
        labels = table.slice(start, entry.count)
        start += entry.count
        same = all(labels[label].unique().to_pylist() == [getattr(entry, label)] for label in _LABELS)
        if not same or digest(points) != entry.sha256:
            raise BundleRefused(
                f"The points of curve {entry.series!r} / {entry.name!r} do not fit record.json."
            )
        found.append(points)
    return found


def _column(table: pyarrow.Table, name: str) -> Any:
    column = table[name]
    if str(column.type) != "double" or column.null_count:
        raise BundleRefused(
            f"The bundle's curves have a column {name!r} that is not made of float64 numbers."
        )
    return column.to_numpy()
