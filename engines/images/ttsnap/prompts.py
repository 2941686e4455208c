"""Prompts of the embedded world dealt into training and held out."""

from __future__ import annotations

from engines.devices import numpy_generator


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
