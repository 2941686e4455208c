"""Curves out of TensorBoard's event files: a folder is one run, each folder in it with event files a contender."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import FileTrouble
from workbench.event_files import DamagedEvents, ScalarEvent, scalars
from workbench.imports import MOST_POINTS, Curve, ImportedRun

PATTERN = "*tfevents*"
MOST_FILES = 2000


def read_events(path: Path, name: str) -> ImportedRun:
    """The scalars of an event file or of all below a folder. Points of a tag are sorted by step, as TensorBoard shows
    them; a point that was logged again (a restarted training) counts once, with its last value. Raises FileTrouble."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob(PATTERN) if file.is_file())
    if not files:
        raise FileTrouble(f"{name} holds no event files (their names contain tfevents).")
    if len(files) > MOST_FILES:
        raise FileTrouble(f"{name} holds {len(files)} event files; at most {MOST_FILES} are read at once.")
    stem = path.name.split(".out.tfevents")[0] if path.is_file() else path.name
    found: dict[tuple[str, str], dict[int, ScalarEvent]] = {}
    count = 0
    for file in files:
        inside = "" if path.is_file() else file.parent.relative_to(path).as_posix()
        series = stem if inside in ("", ".") else inside
        for event in _scalars(file, name):
            points = found.setdefault((series, event.tag), {})
            count += event.step not in points
            if count > MOST_POINTS:
                raise FileTrouble(f"{name} holds more than {MOST_POINTS:,} points, more than a run takes.")
            points[event.step] = event
    if not found:
        raise FileTrouble(f"{name} holds event files without scalars; pictures and histograms are not read.")
    start = min(event.wall_time for points in found.values() for event in points.values())
    return ImportedRun(
        stem or name, "tensorboard", tuple(_curve(*key, points, start) for key, points in found.items())
    )


def _scalars(file: Path, name: str) -> list[ScalarEvent]:
    try:
        return list(scalars(file))
    except DamagedEvents as error:
        raise FileTrouble(f"{name}: {file.name} is damaged or no event file: {error}.") from error


def _curve(series: str, tag: str, points: dict[int, ScalarEvent], start: float) -> Curve:
    events = [points[step] for step in sorted(points)]
    return Curve(
        series,
        tag,
        [float(event.step) for event in events],
        [event.value for event in events],
        [event.wall_time - start for event in events],
    )
