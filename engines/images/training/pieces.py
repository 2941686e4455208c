"""Data drawn piece by piece: each piece a file, so that a stopped script goes on with the first that is missing.

paths = in_pieces(folder / "latents.pieces", log, [("00000", build), ...], minutes=10)
join(paths, folder / "latents.npz")"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.images.training.loop import add_common, parse

Arrays = Mapping[str, NDArray[Any]]
Piece = tuple[str, Callable[[], Arrays]]
Build = Callable[[int, int], Arrays]


def arguments(description: str) -> argparse.Namespace:
    """The command line of a script that draws data: folder, seed, minutes of this sitting."""
    parser = argparse.ArgumentParser(description=description)
    add_common(parser)
    add_minutes(parser)
    return parse(parser)


def add_minutes(parser: argparse.ArgumentParser) -> None:
    """How long this sitting may take."""
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="CPU minutes of this sitting; the same command goes on where it ended",
    )


def cut(number: int, size: int, build: Build) -> list[Piece]:
    """Pieces of rows 0 .. number - 1, `size` each, made by `build(first, end)`."""
    return [
        (f"{first:06d}", lambda first=first: build(first, min(first + size, number)))
        for first in range(0, number, size)
    ]


def in_pieces(
    folder: Path, log: Path, pieces: Sequence[Piece], *, minutes: float = float("inf")
) -> list[Path]:
    """Make the pieces that are not there yet, in the order given, and answer their files in that order.

    A line goes to the log each CPU minute. Exits with a sentence when `minutes` of this sitting are over before the last
    piece, but after one at least; the same command goes on with the next one."""
    folder.mkdir(parents=True, exist_ok=True)
    began = noted = time.process_time()
    made = 0
    paths = [folder / f"{name}.npz" for name, _ in pieces]
    for k, (path, (name, build)) in enumerate(zip(paths, pieces, strict=True)):
        if path.exists():
            continue
        if made and time.process_time() - began >= 60 * minutes:
            raise SystemExit(
                f"{sum(p.exists() for p in paths)} of {len(paths)} pieces: run it again to go on."
            )
        partial = path.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, **build())
        partial.replace(path)
        made += 1
        if time.process_time() - noted >= 60 or k + 1 == len(paths):
            noted = time.process_time()
            _note(log, (noted - began) / 60, name, sum(p.exists() for p in paths), len(paths))
    return paths


def _note(log: Path, minutes: float, name: str, done: int, number: int) -> None:
    line = {
        "minute": round(minutes, 2),
        "piece": name,
        "done": done,
        "of": number,
        "clock": time.strftime("%H:%M:%S"),
    }
    with open(log, "a") as file:
        file.write(json.dumps(line) + "\n")


def read(paths: Sequence[Path]) -> dict[str, NDArray[Any]]:
    """Arrays of pieces, joined."""
    loaded = [np.load(path) for path in paths]
    return {key: np.concatenate([each[key] for each in loaded]) for key in loaded[0]}


def finish(target: Path, arrays: Arrays, pieces: Path) -> None:
    """Write the whole, so that a stop in the middle leaves no half of it, and let the pieces go."""
    partial = target.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.replace(target)
    shutil.rmtree(pieces)
