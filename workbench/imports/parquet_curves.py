"""Curves out of a Parquet file in the columns that `workbench export --format parquet` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import FileTrouble
from workbench.imports import MOST_POINTS, Curve, ImportedRun

NEEDED = ("series", "name", "step", "value")
LARGEST = 2 << 30
"""Bytes of the columns once unpacked."""


def read_parquet(path: Path, name: str) -> list[ImportedRun]:
    """The runs of the file: one for each value of its column `run`, or one. Raises FileTrouble."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check(file, name)
            names = [column for column in (*NEEDED, "run", "time_s") if column in file.schema_arrow.names]
            table = file.read(columns=names, use_threads=False)
        return _runs(table, name)
    except (pa.ArrowException, ValueError) as error:
        sentence = str(error).strip().partition("\n")[0][:200].rstrip(".")
        raise FileTrouble(f"{name} is no Parquet file of curves that can be read: {sentence}.") from error


def _check(file: Any, name: str) -> None:
    if missing := [column for column in NEEDED if column not in file.schema_arrow.names]:
        raise FileTrouble(
            f"{name} has no column {missing[0]}; needed are {', '.join(NEEDED)}, as workbench export writes them."
        )
    if file.metadata.num_rows > MOST_POINTS:
        raise FileTrouble(
            f"{name} holds more than {MOST_POINTS:,} points, more than a run takes. Thin it first."
        )
    groups = range(file.metadata.num_row_groups)
    if sum(file.metadata.row_group(place).total_byte_size for place in groups) > LARGEST:
        raise FileTrouble(f"{name} unpacks to more than {LARGEST >> 30} GB. Split it.")


def _runs(table: Any, name: str) -> list[ImportedRun]:
    import numpy as np
    import pyarrow as pa

    stem = Path(name).stem
    numbers = {
        column: np.asarray(table[column].cast(pa.float64()).to_numpy(), dtype=np.float64)
        for column in ("step", "value", "time_s")
        if column in table.column_names
    }
    times = numbers.get("time_s", np.zeros(len(table)))
    words = {
        column: table[column].cast(pa.string()).combine_chunks().dictionary_encode()
        for column in ("run", "series", "name")
        if column in table.column_names
    }
    codes = np.stack([np.asarray(coded.indices.fill_null(-1)) for coded in words.values()], axis=1)
    # Rows of one curve together, in their order in the file; curves in the order of their first rows.
    unique, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    runs: dict[str, list[Curve]] = {}
    for place in np.argsort(first):
        rows = np.flatnonzero(inverse.reshape(-1) == place)
        said = {
            column: coded.dictionary[int(code)].as_py() if code >= 0 else ""
            for (column, coded), code in zip(words.items(), unique[place], strict=True)
        }
        curve = Curve(
            said["series"] or stem,
            said["name"] or "value",
            numbers["step"][rows].tolist(),
            numbers["value"][rows].tolist(),
            np.nan_to_num(times[rows]).tolist(),
        )
        runs.setdefault(said.get("run", ""), []).append(curve)
    if not runs:
        raise FileTrouble(f"{name} holds no points.")
    return [
        ImportedRun(f"{stem} {run}" if len(runs) > 1 else stem, "parquet", tuple(curves))
        for run, curves in runs.items()
    ]
