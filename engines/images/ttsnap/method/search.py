"""The live search: seeds advance in stages, are scored on their clean estimates, and the worst are set aside
(ttsnap.md 2.4). A state is pure data: it can be kept, gone on with, and the seeds that were set aside can be resumed.

    race = init(generator, noise, conditioning, steps=20, guidance=3.0)
    while not race.is_done:
        race, info = step(race, generator, schedule, judge)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.images.generators.base import Conditioning, Generator, Sampling
from engines.images.ttsnap.method.ranking import Combine, best, can_still_win, combined
from engines.images.ttsnap.method.schedule import Schedule

DECODE_AT_ONCE = 8
"""Pictures a decoder call: on a CPU eight stay in the cache, which takes a quarter less time than all at once."""

Judge = Callable[[torch.Tensor, NDArray[np.int64], int], NDArray[np.float64]]
"""`judge(pictures [N, 3, H, W], seeds [N], step)`: scores [R, N] of the estimates of a step by the rewards in use."""


@dataclass(frozen=True)
class Race:
    """The seeds in the race. `seeds` int [N]: their numbers in the pool, ascending; `stage` cuts made; `calls` denoising
    calls and `verified` verifications so far; `out` what was set aside, as batches that can go on."""

    sampling: Sampling
    seeds: NDArray[np.int64]
    stage: int = 0
    calls: int = 0
    verified: int = 0
    out: tuple[tuple[NDArray[np.int64], Sampling], ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether the survivors are finished pictures."""
        return self.sampling.is_done


@dataclass(frozen=True)
class Stage:
    """What a stage found: `step` its last denoising step (0-indexed), `seeds` [N] that reached it with their decoded
    estimates `pictures` [N, 3, H, W], `scores` [R, N], `total` [N] (the order), `kept` bool [N]."""

    step: int
    seeds: NDArray[np.int64]
    pictures: torch.Tensor
    scores: NDArray[np.float64]
    total: NDArray[np.float64]
    kept: NDArray[np.bool_]


def init(
    generator: Generator,
    noise: torch.Tensor,
    conditioning: Conditioning,
    *,
    steps: int,
    guidance: float,
    seeds: Sequence[int] | NDArray[Any] | None = None,
) -> Race:
    """Begin with unit noise [N, C, H, W] for one conditioning each; `seeds` are their numbers, 0 .. N - 1 by default."""
    numbers = np.arange(len(noise)) if seeds is None else np.asarray(seeds, dtype=np.int64)
    if len(numbers) != len(noise):
        raise ValueError(f"a number for each noise: {len(noise)} noises, {len(numbers)} seeds.")
    return Race(generator.start(noise, conditioning, steps=steps, guidance=guidance), numbers)


def advance_to(generator: Generator, sampling: Sampling, step: int, at_once: int = 0) -> Sampling:
    """Call the network until the estimate of `step` (0-indexed) exists, `at_once` seeds at a time (0: all)."""
    if at_once and len(sampling.latents) > at_once:
        rows = torch.arange(len(sampling.latents)).split(at_once)
        parts = [advance_to(generator, sampling.take(some), step) for some in rows]
        clean = [part.clean for part in parts if part.clean is not None]
        return replace(
            sampling,
            latents=torch.cat([part.latents for part in parts]),
            clean=torch.cat(clean) if clean else None,
            index=parts[0].index,
        )
    while sampling.index <= step:
        sampling = generator.advance(sampling)
    return sampling


def call(race: Race, generator: Generator, at_once: int = 0) -> Race:
    """One denoising call for every seed in the race, for those who want to watch a stage; `step` makes what is left."""
    sampling = advance_to(generator, race.sampling, race.sampling.index, at_once)
    return replace(race, sampling=sampling, calls=race.calls + len(race.seeds))


def next_cut(race: Race, schedule: Schedule) -> int:
    """The denoising step (0-indexed) at which the stage under way ends."""
    return race.sampling.steps - 1 if race.stage >= len(schedule.steps) else schedule.steps[race.stage]


@torch.no_grad()
def decode(
    generator: Generator, latents: torch.Tensor, at_once: int = DECODE_AT_ONCE, *, tiny: bool = False
) -> torch.Tensor:
    """Pictures [N, 3, H, W] of clean latents, rounded to 8 bits as the official code does; float32 in 0..1."""
    parts = [generator.decode(some, tiny=tiny) for some in latents.split(at_once)]
    return (torch.cat(parts).float() * 255).round() / 255


def step(
    race: Race,
    generator: Generator,
    schedule: Schedule,
    judge: Judge,
    *,
    combine: Combine = "rank",
    at_once: int = 0,
    tiny: bool = False,
    residual: Callable[[int], float] | None = None,
    z: float = 2.0,
    rng: np.random.Generator | None = None,
) -> tuple[Race, Stage]:
    """The next stage: advance to the next prune step (or the end), decode, score, cut.

    `residual(step)` turns the adaptive cut on: of those that the schedule keeps only seeds whose prediction can still win
    with `z` residual standard deviations stay (one reward). `rng` makes the cuts random (sanity baseline). `tiny` decodes
    estimates by the small decoder; finished pictures get the full one."""
    last, end = race.stage >= len(schedule.steps), next_cut(race, schedule)
    calls = (end + 1 - race.sampling.index) * len(race.seeds)
    sampling = advance_to(generator, race.sampling, end, at_once)
    assert sampling.clean is not None
    pictures = decode(generator, sampling.clean, tiny=tiny and not sampling.is_done)
    scores = judge(pictures, race.seeds, end)
    total = combined(scores, combine)
    counted = replace(
        race, sampling=sampling, calls=race.calls + calls, verified=race.verified + len(race.seeds)
    )
    if last:
        kept = np.zeros(len(race.seeds), dtype=bool)
        kept[best(total, 1)] = True
        return counted, Stage(end, race.seeds, pictures, scores, total, kept)
    number = max(1, round(len(race.seeds) * schedule.keep[race.stage]))
    order = rng.permutation(len(race.seeds)) if rng is not None else best(total, number)
    kept = np.zeros(len(race.seeds), dtype=bool)
    kept[order[:number]] = True
    if residual is not None and len(scores) == 1:
        kept &= can_still_win(scores[0], residual(end), z)
    stay, leave = (torch.from_numpy(np.flatnonzero(mask)) for mask in (kept, ~kept))
    aside = ((race.seeds[~kept], sampling.take(leave)),) if len(leave) else ()
    after = replace(
        counted,
        sampling=sampling.take(stay),
        seeds=race.seeds[kept],
        stage=race.stage + 1,
        out=(*race.out, *aside),
    )
    return after, Stage(end, race.seeds, pictures, scores, total, kept)
