"""Prompts dealt into training and held out: those of the embedded world, or a reader's own."""

from __future__ import annotations

from pathlib import Path

from engines.contract import Refusal
from engines.devices import numpy_generator

ACCEPT = (".txt",)
FIELD = "train_texts"
MAX_BYTES = 8 << 20
LONGEST = 400


def read(path: Path, field: str = FIELD) -> list[str]:
    """Different prompts of a text file, one a line. Raises Refusal."""
    if path.stat().st_size > MAX_BYTES:
        raise Refusal(field, f"{field}: {path.name!r} is larger than {MAX_BYTES >> 20} MB.")
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise Refusal(field, f"{field}: {path.name!r} is not text in UTF-8.") from error
    long = next((k for k, line in enumerate(lines, 1) if len(line) > LONGEST), 0)
    if long:
        raise Refusal(
            field, f"{field}: line {long} of {path.name!r} must be a prompt of at most {LONGEST} characters."
        )
    return list(dict.fromkeys(line for line in lines if line))


def require(found: list[str], training: int, held: int, field: str = FIELD) -> None:
    """Refuse a list that is too short to hold some prompts apart."""
    if len(found) < training + held:
        raise Refusal(
            field,
            f"{field} must hold at least {training + held} different prompts (train_prompts + held_prompts); got {len(found)}. "
            "Add some, or lower train_prompts.",
        )


def dealt(found: list[str], seed: int, training: int, held: int) -> tuple[list[str], list[str]]:
    """A reader's prompts for training and for evaluation, disjoint."""
    order = numpy_generator(seed, "noise-aware prompts").permutation(len(found))
    chosen = [found[int(k)] for k in order]
    return chosen[held : held + training], chosen[:held]


def split(seed: int, training: int, held: int) -> tuple[list[str], list[str]]:
    """Prompts for training and for evaluation, disjoint, dealt over the tasks in turn; at most a quarter of a task's
    sentences are held. Raises ValueError when the world has not enough sentences."""
    from engines.images.world import TASKS, all_captions

    rng = numpy_generator(seed, "noise-aware prompts")
    by_task = {t: [c.text for c in all_captions() if c.task == t] for t in TASKS}
    if training + held > len(all_captions()):
        raise ValueError(f"the world has {len(all_captions())} sentences; got {training} and {held}.")
    for texts in by_task.values():
        rng.shuffle(texts)
    room = {t: len(texts) // 4 for t, texts in by_task.items()}
    kept: list[str] = []
    while len(kept) < held:
        own = TASKS[len(kept) % len(TASKS)]
        task = own if room[own] else max(room, key=room.__getitem__)
        kept.append(by_task[task].pop())
        room[task] -= 1
    taught: list[str] = []
    turn = 0
    while len(taught) < training:
        task = TASKS[turn % len(TASKS)]
        turn += 1
        if by_task[task]:
            taught.append(by_task[task].pop())
    return taught, kept
