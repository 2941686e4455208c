"""Prompt lists: the embedded world's seven tasks, GenEval's and T2I-CompBench's files. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines.contract import Refusal

if TYPE_CHECKING:
    from engines.images.reno.params import RenoParams

ACCEPT = (".jsonl", ".txt")
MAX_BYTES = 8 << 20
MAX_PROMPTS = 2000


@dataclass(frozen=True)
class Listed:
    """A prompt and the task that it belongs to."""

    task: str
    prompt: str


def read(path: Path, field: str) -> list[Listed]:
    """Prompts of a file. JSON lines as GenEval's evaluation_metadata.jsonl (`tag`, `prompt`); text as T2I-CompBench's
    (a prompt a line, whatever follows a tab is dropped), whose task is the file's name.

    Raises Refusal with the line that is wrong."""
    if path.stat().st_size > MAX_BYTES:
        raise Refusal(field, f"{field}: {path.name!r} is larger than {MAX_BYTES >> 20} MB.")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Refusal(field, f"{field}: {path.name!r} is not text in UTF-8.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            found.append(
                _json_line(line, number, path.name, field)
                if path.suffix == ".jsonl"
                else _text_line(line, path)
            )
    if not found:
        raise Refusal(field, f"{field}: {path.name!r} holds no prompt.")
    return found


def _text_line(line: str, path: Path) -> Listed:
    return Listed(path.stem, line.split("\t")[0].strip())


def _json_line(line: str, number: int, name: str, field: str) -> Listed:
    try:
        row = json.loads(line)
        return Listed(str(row.get("tag", "all")), str(row["prompt"]))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Refusal(
            field,
            f'{field}: line {number} of {name!r} must be JSON with "prompt" (and "tag"); got {line[:60]!r}.',
        ) from error


def read_folder(folder: Path, field: str) -> list[Listed]:
    """Prompts of all .txt and .jsonl files of a folder, in the order of their names."""
    if not folder.is_dir():
        raise Refusal(field, f"{field} must be a folder on this machine; got {folder.name!r}.")
    paths = sorted(path for path in folder.iterdir() if path.suffix in ACCEPT and path.is_file())
    if not paths:
        raise Refusal(field, f"{field}: {folder.name!r} holds no {' or '.join(ACCEPT)} file.")
    return [listed for path in paths for listed in read(path, field)]


def chosen(params: RenoParams, inputs: Mapping[str, Path], seed: int) -> list[Listed]:
    """The prompts of a run: `per_task` of each task, drawn by the seed. Raises Refusal, also for the first prompt
    that the model cannot draw."""
    from engines.devices import numpy_generator
    from engines.images.reno.params import CLOSED_FORM, check_prompt

    if "prompts" in inputs:
        field, everything = "prompts", read(inputs["prompts"], "prompts")
    elif params.folder:
        field, everything = "folder", read_folder(Path(params.folder).expanduser(), "folder")
    elif params.is_world:
        field, everything = "per_task", world(params.model == CLOSED_FORM)
    else:
        raise Refusal(
            "prompts",
            f"prompts must name a file for the model {params.model!r}: only the embedded world brings its own.",
        )
    by_task: dict[str, list[Listed]] = {}
    for listed in everything:
        by_task.setdefault(listed.task, []).append(listed)
    found = []
    for task, members in by_task.items():
        rng = numpy_generator(seed, "prompts of", task)
        places = sorted(rng.permutation(len(members))[: params.per_task].tolist())
        found += [members[place] for place in places]
    if len(found) > MAX_PROMPTS:
        raise Refusal("per_task", f"per_task gives {len(found)} prompts, more than {MAX_PROMPTS}; lower it.")
    for listed in found:
        check_prompt(listed.prompt, params.model, field)
    return found


def world(closed_form: bool = False) -> list[Listed]:
    """All captions of the embedded world by task; with `closed_form` those that it draws."""
    from engines.images.world.captions import all_captions

    return [
        Listed(caption.task, caption.text)
        for caption in all_captions()
        if not closed_form or (caption.task == "full" and all(item.color < 3 for item in caption.items))
    ]
