"""The pictures of a list in GenEval's folder layout, for its own detector (`evaluation/evaluate_images.py`).

A zip for each contender: `00007/metadata.jsonl` is line 7 of the metadata file (from 0), `00007/samples/0000.png` and on
are the pictures of that prompt. Each batch is added as it is done, so that a run that is stopped keeps them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engines.events import Alert, Event, File
from engines.images.reno import report
from engines.images.reno.contest import PLAIN, RENO
from engines.images.reno.finals import Final
from engines.images.reno.prompt_files import Listed

_WHOSE = {RENO: "ReNO's pictures", PLAIN: "the plain pictures"}
MAX_BYTES = 3 << 29
"""Of each zip, 1.5 GB: more than 553 prompts with four pictures of 512 x 512 take."""


class Folders:
    """Writes the zips of a run into a folder; `listed` are its prompts, all with GenEval's metadata."""

    def __init__(self, folder: Path, listed: Sequence[Listed]) -> None:
        self.folder, self.listed = folder, listed
        self.is_full = False
        self.begun: set[str] = set()

    def add(
        self, found: Mapping[str, Final], prompts: Sequence[int], samples: Sequence[int]
    ) -> Iterator[Event]:
        """Add a batch: each picture has the number of its prompt and its own number among those of the prompt."""
        for name in _WHOSE:
            pictures, path = found[name].pictures, self.folder / f"geneval-{_plain(name)}.zip"
            assert pictures is not None
            with zipfile.ZipFile(path, "a") as archive:
                there = set(archive.namelist())
                for row, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
                    if not self._room(path):
                        break
                    place = f"{self.listed[prompt].place:05}"
                    if f"{place}/metadata.jsonl" not in there:
                        archive.writestr(f"{place}/metadata.jsonl", self.listed[prompt].metadata)
                        there.add(f"{place}/metadata.jsonl")
                    archive.writestr(f"{place}/samples/{sample:04}.png", _png(report.pixels(pictures[row])))
            if name not in self.begun:
                self.begun.add(name)
                words = f"{_WHOSE[name]} in the folders of GenEval's evaluate_images.py"
                yield File(f"GenEval, {name}", path, "application/zip", words, live=True)
        if self.is_full and "full" not in self.begun:
            self.begun.add("full")
            limit = f"{MAX_BYTES / (1 << 30):g} GB"
            yield Alert(
                "GenEval pictures",
                0,
                f"The zips end at {limit}: later pictures are measured, but not in them.",
            )

    def _room(self, path: Path) -> bool:
        self.is_full = self.is_full or (path.exists() and path.stat().st_size > MAX_BYTES)
        return not self.is_full


def _plain(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def _png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()
