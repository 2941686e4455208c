"""A run as event files: `DIR/<run>/<contender>` for curves, so that TensorBoard lays the contenders of one quantity
over each other, and `DIR/<run>` for pictures and texts. Needs no package; sent again, a run replaces its files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from storage import Record
from workbench.documents import plain
from workbench.errors import FileTrouble
from workbench.event_files import EventWriter
from workbench.recorder import TRACEBACK
from workbench.trackers import facts, run_name, whole_steps


def send(record: Record, where: str) -> str:
    """Write the files. Raises FileTrouble."""
    folder = Path(where).expanduser() / run_name(record)
    started = record.run.started_at or record.run.created_at
    try:
        folder.mkdir(parents=True, exist_ok=True)
        count = _curves(record, folder, started)
        _rest(record, folder, started)
    except OSError as error:
        raise FileTrouble(f"{where} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    return f"{folder}: {count} points"


def _file(folder: Path, started: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"events.out.tfevents.{int(started):010d}.workbench"


def _curves(record: Record, folder: Path, started: float) -> int:
    names: dict[str, list[str]] = {}
    for info in record.series():
        names.setdefault(info.series, []).append(info.name)
    count = 0
    for place, (series, quantities) in enumerate(names.items()):
        # A contender's name is the engine's: as a folder it may be anything, so only harmless signs are kept.
        safe = re.sub(r"[^\w.,+()= -]+", "_", series).strip(". ") or f"series {place}"
        with EventWriter(_file(folder / safe[:100], started), started) as writer:
            for name in quantities:
                points = record.points(series, name)
                steps = whole_steps(points.steps.tolist())
                for step, value, at in zip(steps, points.values.tolist(), points.times.tolist(), strict=True):
                    writer.scalar(name, step, value, started + at)
                count += len(points)
    return count


def _rest(record: Record, folder: Path, started: float) -> None:
    with EventWriter(_file(folder, started), started) as writer:
        for picture in record.pictures():
            data = record.store.artifacts.read(picture.hash)
            size = (picture.width, picture.height)
            step = int(picture.step) if float(picture.step).is_integer() else 0
            writer.png(picture.name, step, data, size, started)
        for name, text in record.texts().items():
            if name != TRACEBACK:
                writer.text(name, text, started)
        writer.text("parameters", _block(record.run.params), started)
        writer.text("run", _block(facts(record)), started)


def _block(values: object) -> str:
    """JSON as a block of code in Markdown."""
    lines = json.dumps(plain(values), ensure_ascii=False, indent=2).splitlines()
    return "\n".join(f"    {line}" for line in lines)
