"""Prompt lists: the embedded world's seven tasks, GenEval's and T2I-CompBench's files. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engines.contract import Refusal

if TYPE_CHECKING:
    from engines.images.reno.params import RenoParams

ACCEPT = (".jsonl", ".txt")
MAX_BYTES = 8 << 20
MAX_PROMPTS = 3000
NO_PROMPTS = ("object_names.txt", "new_objects.txt")
"""Files of words that lie beside the prompts in the folders of GenEval and T2I-CompBench."""


@dataclass(frozen=True)
class Listed:
    """A prompt and the task that it belongs to. `metadata` is the line of GenEval's evaluation_metadata.jsonl that it
    comes from, which its detector needs; `place` the number of the prompt in the whole list, from 0."""

    task: str
    prompt: str
    metadata: str = ""
    place: int = 0


def read(path: Path, field: str) -> list[Listed]:
    """Prompts of a file. JSON lines as GenEval's evaluation_metadata.jsonl (`tag`, `prompt`); text as T2I-CompBench's
    (a prompt a line, whatever follows a tab is dropped), whose task is the file's name.

    Raises Refusal with the line that is wrong."""
    if path.stat().st_size > MAX_BYTES:
        raise Refusal(field, f"{field}: {path.name!r} is larger than {MAX_BYTES >> 20} MB.")
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise Refusal(field, f"{field}: {path.name!r} is not text in UTF-8.") from error
    take = _json_line if path.suffix == ".jsonl" else _text_line
    found = [take(line, number, path, field) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise Refusal(field, f"{field}: {path.name!r} holds no prompt.")
    return _numbered(found)


def _numbered(listed: list[Listed]) -> list[Listed]:
    return [replace(one, place=place) for place, one in enumerate(listed)]


def _text_line(line: str, number: int, path: Path, field: str) -> Listed:
    prompt = line.split("\t")[0].strip()
    if not prompt:
        raise Refusal(
            field, f"{field}: line {number} of {path.name!r} must begin with a prompt; got {line[:60]!r}."
        )
    return Listed(path.stem, prompt)


def _json_line(line: str, number: int, path: Path, field: str) -> Listed:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    prompt = row.get("prompt") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(prompt, str) or not prompt.strip():
        raise Refusal(
            field,
            f'{field}: line {number} of {path.name!r} must be JSON with a "prompt" that is text and not empty (and "tag"); '
            f"got {line[:60]!r}.",
        )
    return Listed(str(row.get("tag") or "all"), prompt.strip(), line.strip() if "include" in row else "")


def read_folder(folder: Path, field: str) -> list[Listed]:
    """Prompts of a folder's files, in the order of their names: its .jsonl files where there are any (GenEval's text file
    has the same prompts again), else its .txt files; of these those that end with _val where there are any, which are
    the test prompts of T2I-CompBench (the others are for training, or parts of them)."""
    if not folder.is_dir():
        raise Refusal(field, f"{field} must be a folder on this machine; got {folder.name!r}.")
    paths = sorted(path for path in folder.iterdir() if path.suffix in ACCEPT and path.is_file())
    paths = [path for path in paths if path.name not in NO_PROMPTS]
    for ending in (".jsonl", "_val.txt"):
        if preferred := [path for path in paths if path.name.endswith(ending)]:
            paths = preferred
            break
    if not paths:
        raise Refusal(field, f"{field}: {folder.name!r} holds no {' or '.join(ACCEPT)} file with prompts.")
    return _numbered([listed for path in paths for listed in read(path, field)])


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
