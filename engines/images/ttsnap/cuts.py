"""Which cuts suit a model, where the reader leaves it open. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection

from engines.images.ttsnap.method.schedule import PAPER_MULTI, PAPER_SINGLE, Schedule

SEARCHED = Schedule((0, 5, 6), (0.75, 0.65, 0.55))
"""Found for embedded-f by random search on the tuning prompts (`engines/images/training/schedules.py`)."""
STEPS = 20
"""Denoising steps that all these cuts are meant for."""
EARLY = 2
"""Of `STEPS`: estimates before this step say nearly nothing of the picture (ttsnap.md 9: never prune hard before s = 2)."""
HARD = 0.5


def suited(is_world: bool, steps: int, rewards: int) -> Schedule:
    """The searched cuts for the embedded model, the paper's for FLUX for any other, moved to `steps` denoising steps."""
    given = SEARCHED if is_world else PAPER_SINGLE if rewards == 1 else PAPER_MULTI
    return moved(given, range(steps - 1), (steps - 1) / (STEPS - 1))


def moved(schedule: Schedule, levels: Collection[int], scale: float = 1.0) -> Schedule:
    """The same shares at the steps of `levels` that are nearest to `scale` times their own; cuts that meet become one."""
    shares: dict[int, float] = {}
    for step, share in zip(schedule.steps, schedule.keep, strict=True):
        nearest = min(levels, key=lambda level: (abs(level - scale * step), level), default=None)
        if nearest is not None:
            shares[nearest] = shares.get(nearest, 1.0) * share
    return Schedule(tuple(sorted(shares)), tuple(round(shares[step], 4) for step in sorted(shares)))


def early(schedule: Schedule, steps: int) -> tuple[int, ...]:
    """Cuts before the estimates say anything."""
    return tuple(step for step in schedule.steps if step * STEPS < EARLY * steps)


def words(schedule: Schedule) -> str:
    """ "keep .4, .4, .5 after 2, 6, 11"."""
    if not schedule.steps:
        return "no cut"
    keep = ", ".join(f"{share:g}" for share in schedule.keep)
    return f"keep {keep} after {', '.join(map(str, schedule.steps))}"
