"""The user's file of ratings: lines of row,column,value, with or without a header, ids of any text."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from engines.contract import Refusal

HEAD_LINES = 200
MOST_LINES = 30_000_000
SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Ratings:
    """What the file says; ids in order of first appearance, entries of one (row, column) averaged."""

    row_names: list[str]
    col_names: list[str]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: NDArray[np.float64]
    header: tuple[str, str, str]
    repeated: int
    """Lines beyond the first of their (row, column)."""


def check_head(path: Path) -> None:
    """Raises `Refusal` for a bad line among the first ones."""
    found = 0
    for _ in _lines(path, HEAD_LINES):
        found += 1
    if found == 0:
        raise Refusal("upload", f"upload must have lines of row,column,value; {path.name} has none.")


def read(path: Path) -> Ratings:
    """The whole file. Raises `Refusal` with the line's number for the first bad line."""
    row_ids: dict[str, int] = {}
    col_ids: dict[str, int] = {}
    rows, cols, values = [], [], []
    for row, col, value in _lines(path, MOST_LINES):
        rows.append(row_ids.setdefault(row, len(row_ids)))
        cols.append(col_ids.setdefault(col, len(col_ids)))
        values.append(value)
    if not values:
        raise Refusal("upload", f"upload must have lines of row,column,value; {path.name} has none.")
    i, j, v = np.array(rows, np.int64), np.array(cols, np.int64), np.array(values)
    key = i * len(col_ids) + j
    unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    mean = np.bincount(inverse, v) / np.bincount(inverse)
    repeated = len(key) - len(unique)
    return Ratings(list(row_ids), list(col_ids), i[first], j[first], mean, _header(path), repeated)


def _open(path: Path) -> IO[str]:
    return open(path, encoding="utf-8-sig", newline="")


def _first_line(path: Path) -> str:
    with _open(path) as lines:
        try:
            return lines.readline(100_000).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise _not_text(path) from error


def _not_text(path: Path) -> Refusal:
    return Refusal(
        "upload", f"upload must be a text file in UTF-8 with lines of row,column,value; {path.name} is not."
    )


def _separator(path: Path) -> str:
    first = _first_line(path)
    return max(SEPARATORS, key=first.count)


def _header(path: Path) -> tuple[str, str, str]:
    """The names of the three columns where the first line is a header."""
    fields = next(csv.reader([_first_line(path)], delimiter=_separator(path)), [])
    if len(fields) >= 3 and _number(fields[2]) is None:
        return fields[0].strip(), fields[1].strip(), fields[2].strip()
    return "row", "column", "value"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lines(path: Path, most: int) -> Iterator[tuple[str, str, float]]:
    """(row, column, value) of each line, at most `most`; a fourth column (a time stamp) and more are ignored."""
    separator = _separator(path)
    with _open(path) as lines:
        reader = csv.reader(lines, delimiter=separator)
        try:
            for count, fields in enumerate(reader):
                if count >= most:
                    return
                if not fields or not any(field.strip() for field in fields):
                    continue
                value = _number(fields[2]) if len(fields) >= 3 else None
                if value is None and count == 0 and len(fields) >= 3:
                    continue  # the header
                if (
                    value is None
                    or not math.isfinite(value)
                    or not fields[0].strip()
                    or not fields[1].strip()
                ):
                    shown = separator.join(fields)[:60]
                    raise Refusal("upload", f"line {reader.line_num} of {path.name} must be row,column,value with a finite "
                                  f"number as value; got {shown!r}. Correct or remove the line.")  # fmt: skip
                yield fields[0].strip(), fields[1].strip(), value
        except UnicodeDecodeError as error:
            raise _not_text(path) from error
        except csv.Error as error:
            raise Refusal(
                "upload", f"line {reader.line_num} of {path.name} cannot be read as CSV: {error}."
            ) from error
