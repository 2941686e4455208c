"""Curves out of a table of text: columns parted by commas, semicolons (then 0,5 is a number too) or tabs. Three layouts
are understood, told apart by the header:

- long, as `workbench export --format csv` writes: `series, name, step, value` and, if there, `run`, `time_s`;
- one curve, as TensorBoard's page gives it: `Wall time, Step, Value`;
- wide: one column of steps (`step`, `iteration`, `epoch`, `_step`; else the row's number) and a column a curve.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from workbench.errors import FileTrouble
from workbench.imports import MOST_POINTS, Curve, ImportedRun

STEPS = ("step", "_step", "global_step", "iteration", "iter", "epoch")
NAMES = ("name", "tag", "metric", "key")
TIMES = (
    "time_s",
    "relative_time",
    "wall time",
    "wall_time",
    "_timestamp",
    "timestamp",
    "datetime",
    "date",
    "time",
)
CLOCKS = frozenset(TIMES[2:-1])
"""Columns of times that are moments and not spans."""
PARTED_BY = ("\t", ";", ",")
LONGEST_CELL = 1 << 20

Points = dict[tuple[str, str], tuple[list[float], list[float], list[float]]]


def read_csv(path: Path, name: str) -> list[ImportedRun]:
    """The runs of a table: one, or one for each value of a column `run`. Raises FileTrouble."""
    stem = Path(name).stem or name
    csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sign = _parted_by(file.readline())
            file.seek(0)
            rows = csv.reader(file, delimiter=sign)
            header = [cell.strip() for cell in next(rows, [])]
            _check(header, name)
            numbered = ((rows.line_num, _decimal(row) if sign == ";" else row) for row in rows if row)
            places = {word.lower(): at for at, word in reversed(list(enumerate(header)))}
            if "value" in places and _first(places, STEPS) is not None:
                return _long(numbered, places, name, stem)
            return [_wide(numbered, header, places, name, stem)]
    except UnicodeDecodeError as error:
        raise FileTrouble(f"{name} is no text in UTF-8. Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise FileTrouble(f"{name} is no CSV that can be read: {error}.") from error


def _parted_by(header: str) -> str:
    """The sign that makes the most columns of the first line."""
    return max(PARTED_BY, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))


def _decimal(row: list[str]) -> list[str]:
    """Where semicolons part the columns, a comma is the decimal one: 0,5 becomes 0.5."""
    return [
        text
        if _as_number(text) is not None or _as_number(turned := text.replace(",", ".")) is None
        else turned
        for text in row
    ]


def _check(header: Sequence[str], name: str) -> None:
    """Refuse a first line that does not name the columns, each by a name of its own. Raises FileTrouble."""
    named = [word for word in header if word]
    if named and all(_as_number(word) is not None or _as_moment(word) is not None for word in named):
        raise FileTrouble(
            f"The first line of {name} must name the columns, such as step,loss; it holds the number {named[0]}. "
            "Put a line of names above it."
        )
    if twice := next((word for word in named if header.count(word) > 1), None):
        places = " and ".join(str(at) for at, word in enumerate(header, 1) if word == twice)
        raise FileTrouble(
            f"{name} has the name {twice[:40]!r} over more than one column ({places}). Give each a name of its own."
        )


def _long(
    rows: Iterator[tuple[int, list[str]]], places: Mapping[str, int], name: str, stem: str
) -> list[ImportedRun]:
    step_at, value_at = _first(places, STEPS), places["value"]
    name_at, time_at = _first(places, NAMES), _first(places, TIMES)
    runs: dict[str, Points] = {}
    count = 0
    is_clock = time_at is not None and any(places.get(word) == time_at for word in CLOCKS)
    for line, row in rows:
        value = _number(_cell(row, value_at), name, line, "value")
        if value is None:
            continue
        count = _counted(count, name)
        step = _number(_cell(row, step_at), name, line, "step")
        time, is_moment = _time(_cell(row, time_at), name, line)
        is_clock = is_clock or is_moment
        curve = (_cell(row, places.get("series")) or stem, _cell(row, name_at) or "value")
        steps, values, times = runs.setdefault(_cell(row, places.get("run")), {}).setdefault(
            curve, ([], [], [])
        )
        steps.append(float(len(steps)) if step is None else step)
        values.append(value)
        times.append(0.0 if time is None else time)
    if not runs:
        raise FileTrouble(f"{name} holds no numbers in its column value.")
    return [
        ImportedRun(f"{stem} {run}" if len(runs) > 1 else stem, "csv", _curves(points, is_clock))
        for run, points in runs.items()
    ]


def _wide(
    rows: Iterator[tuple[int, list[str]]],
    header: Sequence[str],
    places: Mapping[str, int],
    name: str,
    stem: str,
) -> ImportedRun:
    step_at, time_at = _first(places, STEPS), _first(places, TIMES)
    is_clock = time_at is not None and any(places.get(word) == time_at for word in CLOCKS)
    columns = [at for at, word in enumerate(header) if word and at not in (step_at, time_at)]
    points: Points = {(stem, header[at]): ([], [], []) for at in columns}
    words: dict[int, None] = {}
    count = 0
    for number, (line, row) in enumerate(rows):
        step = _number(_cell(row, step_at), name, line, "step") if step_at is not None else None
        time, is_moment = _time(_cell(row, time_at), name, line)
        is_clock = is_clock or is_moment
        for at in columns:
            if at in words or not (text := _cell(row, at)):
                continue
            value = _as_number(text)
            if value is None:
                words[at] = None
                continue
            count = _counted(count, name)
            steps, values, times = points[(stem, header[at])]
            steps.append(float(number) if step is None else step)
            values.append(value)
            times.append(0.0 if time is None else time)
    for at in words:
        points.pop((stem, header[at]), None)
    points = {curve: columns_ for curve, columns_ in points.items() if columns_[0]}
    if not points:
        raise FileTrouble(
            f"{name} holds no column of numbers under a header. Its first line must name the columns, such as step,loss."
        )
    left = ", ".join(header[at] for at in words)
    return ImportedRun(
        stem, "csv", _curves(points, is_clock), f"Columns that are not numbers: {left}." if left else ""
    )


def _curves(points: Points, is_clock: bool) -> tuple[Curve, ...]:
    start = min((min(times) for _, _, times in points.values()), default=0.0) if is_clock else 0.0
    return tuple(
        Curve(series, name, steps, values, [time - start for time in times])
        for (series, name), (steps, values, times) in points.items()
    )


def _first(places: Mapping[str, int], words: Sequence[str]) -> int | None:
    return next((places[word] for word in words if word in places), None)


def _cell(row: Sequence[str], at: int | None) -> str:
    return row[at].strip() if at is not None and at < len(row) else ""


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_moment(text: str) -> float | None:
    """Seconds of a moment in ISO 8601; without a zone it counts as UTC, since only spans are kept."""
    if "-" not in text.lstrip("-"):  # 20240131 is a number
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _time(text: str, name: str, line: int) -> tuple[float | None, bool]:
    """The time of a row in seconds, None for an empty cell, and whether it is a moment of the calendar."""
    moment = _as_moment(text)
    return (_number(text, name, line, "time"), False) if moment is None else (moment, True)


def _number(text: str, name: str, line: int, column: str) -> float | None:
    """The number of a cell, None for an empty one. Raises FileTrouble with the line."""
    if not text:
        return None
    value = _as_number(text)
    if value is None:
        raise FileTrouble(f"{name}, line {line}: {column} must be a number; got {text[:40]!r}.")
    return value


def _counted(count: int, name: str) -> int:
    if count >= MOST_POINTS:
        raise FileTrouble(
            f"{name} holds more than {MOST_POINTS:,} points, more than a run takes. Thin it first."
        )
    return count + 1
