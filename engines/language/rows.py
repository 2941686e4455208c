"""Rows of a small data file: JSON lines, a JSON list, CSV or Parquet, with the line each came from."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.contract import Refusal

LIMIT_BYTES = 64 * 2**20
ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class Row:
    """One record; `line` counts from 1 (for Parquet and JSON lists: the record's number)."""

    line: int
    values: dict[str, Any]

    def refusal(self, field: str, complaint: str) -> Refusal:
        """The sentence about this line: "field: line 3 <complaint>."."""
        return Refusal(field, f"{field}: line {self.line} {complaint}.")


def read_rows(path: Path, field: str) -> list[Row]:
    """All records of the file; raises `Refusal` where it cannot be read, is larger than 64 MB, or a record is no
    object of named values. Blank lines are passed over."""
    if path.suffix not in ENDINGS:
        raise Refusal(
            field, f"{field} must be a file ending in {', '.join(ENDINGS)}; got {path.name[:80]!r}."
        )
    if not path.is_file():
        raise Refusal(field, f"{field}: there is no file {path.name[:80]!r}.")
    if path.stat().st_size > LIMIT_BYTES:
        raise Refusal(
            field, f"{field}: {path.name!r} is {path.stat().st_size / 2**20:.0f} MB; at most 64 MB are read."
        )
    if path.suffix == ".parquet":
        return _parquet(path, field)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(field, f"{field}: {path.name!r} is not text in UTF-8; save it as UTF-8.") from error
    if path.suffix == ".csv":
        return _csv(text, field)
    return _json_list(text, field) if text.lstrip().startswith("[") else _json_lines(text, field)


def _json_lines(text: str, field: str) -> list[Row]:
    rows = []
    # Only \n ends a line here: str.splitlines would cut at characters that JSON allows inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Refusal(
                    field, f"{field}: line {number} is not JSON; write one object a line, such as "
                    '{"question": "...", "answer": "..."}.'
                ) from error  # fmt: skip
            rows.append(_row(number, values, field))
    return rows


def _json_list(text: str, field: str) -> list[Row]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(field, f"{field}: the file is not JSON; write one object a line.") from error
    return [_row(number, value, field) for number, value in enumerate(values, start=1)]


def _row(number: int, values: Any, field: str) -> Row:
    if not isinstance(values, dict):
        raise Refusal(
            field, f"{field}: line {number} must be an object with named values; got {str(values)[:60]!r}."
        )
    return Row(number, values)


def _csv(text: str, field: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for values in reader:
            if None in values or None in values.values():
                raise Refusal(
                    field, f"{field}: line {reader.line_num} has another number of cells than the header."
                )
            rows.append(Row(reader.line_num, dict(values)))
    except csv.Error as error:
        raise Refusal(field, f"{field}: line {reader.line_num} is not CSV ({error}).") from error
    return rows


def _parquet(path: Path, field: str) -> list[Row]:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise Refusal(field, f"{field}: {path.name!r} is not a Parquet file.") from error
    return [Row(number, values) for number, values in enumerate(table.to_pylist(), start=1)]
