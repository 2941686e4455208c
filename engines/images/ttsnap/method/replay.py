"""Searches replayed on stored scores (ttsnap.md 2.7): any schedule and budget in milliseconds, no model needed.

A lab holds, for P prompts and S seeds, the reward of every finished picture and the score of every stored estimate. A
strategy draws N of the S seeds without replacement, prunes by its own scores, and is paid the final reward of its winner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.images.ttsnap.method.ranking import Combine, best, can_still_win, combined
from engines.images.ttsnap.method.schedule import Prices, Schedule

Floats = NDArray[np.float64]
RANDOM, ORACLE = "random", "oracle"
"""Two scores that every lab has: none at all, and the final reward itself."""


@dataclass(frozen=True)
class Lab:
    """`final` [R, P, S]: rewards of the finished pictures. `scores`: name of a scorer ("plain", "noise-aware") to
    [R, P, S, L], its scores of the estimates of `levels` (0-indexed steps, increasing). `total` denoising steps."""

    final: Floats
    scores: Mapping[str, Floats]
    levels: tuple[int, ...]
    total: int
    rewards: tuple[str, ...] = ("reward",)
    prompts: tuple[str, ...] = ()

    @property
    def seeds(self) -> int:
        """S, how many seeds each prompt has."""
        return int(self.final.shape[-1])

    def at(self, scorer: str, step: int) -> Floats:
        """Scores [R, P, S] of a scorer at a step. Raises KeyError when the step is not stored."""
        if step not in self.levels:
            known = ", ".join(map(str, self.levels))
            raise KeyError(f"step {step} is not stored; there are {known}.")
        return self.scores[scorer][..., self.levels.index(step)]

    def first(self, number: int) -> Lab:
        """The first `number` seeds of every prompt."""
        scores = {k: v[:, :, :number] for k, v in self.scores.items()}
        return replace(self, final=self.final[..., :number], scores=scores)

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Lab:
        """Some of the prompts."""
        at = np.asarray(rows)
        prompts = tuple(self.prompts[int(i)] for i in at) if self.prompts else ()
        scores = {k: v[:, at] for k, v in self.scores.items()}
        return replace(self, final=self.final[:, at], scores=scores, prompts=prompts)


@dataclass(frozen=True)
class Outcome:
    """`reward` [R, D, P]: final rewards of the winner of each draw and prompt; `winner` int [D, P]: its seed;
    `seeds` N; `counts`: seeds in the race before each segment, the mean over draws where the cut is adaptive;
    `is_clamped` whether the pool was smaller than the budget allows."""

    reward: Floats
    winner: NDArray[np.int64]
    seeds: int
    counts: tuple[float, ...]
    is_clamped: bool = False


def draw_seeds(
    rng: np.random.Generator, draws: int, prompts: int, pool: int, number: int
) -> NDArray[np.int64]:
    """`number` of `pool` seeds without replacement, in ascending order, [draws, prompts, number]; each prompt has a
    draw of its own, so that prompts stay independent."""
    order = np.argsort(rng.random((draws, prompts, pool)), axis=-1)[..., :number]
    return np.sort(order, axis=-1)


def replay(
    lab: Lab,
    scorer: str,
    schedule: Schedule,
    number: int,
    *,
    draws: int,
    rng: np.random.Generator,
    combine: Combine = "rank",
    residual: Callable[[int], float] | None = None,
    z: float = 2.0,
) -> Outcome:
    """Prune `number` seeds by `scorer` (a key of `lab.scores`, "random" or "oracle") in each draw.

    The winner is chosen among the survivors by the plain final rewards, as live. Equal to best-of-N without steps.
    `residual(step)` and `z` turn the adaptive cut on, as in `search.step` (one reward)."""
    schedule.check(lab.total)
    n = min(number, lab.seeds)
    prompts = lab.final.shape[1]
    chosen = draw_seeds(rng, draws, prompts, lab.seeds, n)
    if residual is not None:
        return _adaptive(lab, scorer, schedule, chosen, residual, z, is_clamped=n < number)
    counts = schedule.survivors(n)
    for step, count in zip(schedule.steps, counts[1:], strict=True):
        if count == chosen.shape[-1]:
            continue
        if scorer == RANDOM:
            total: Floats = rng.random(chosen.shape)
        else:
            table = lab.final if scorer == ORACLE else lab.at(scorer, step)
            total = combined(_pick(table, chosen), combine)
        chosen = np.sort(np.take_along_axis(chosen, best(total, count), -1), axis=-1)
    final = _pick(lab.final, chosen)
    place = best(combined(final, combine), 1)
    winner = np.take_along_axis(chosen, place, -1)[..., 0]
    reward = np.take_along_axis(final, place[None], -1)[..., 0]
    return Outcome(reward, winner, n, counts, n < number)


def _adaptive(
    lab: Lab,
    scorer: str,
    schedule: Schedule,
    chosen: NDArray[np.int64],
    residual: Callable[[int], float],
    z: float,
    is_clamped: bool,
) -> Outcome:
    """Cuts whose survivors differ in number between draws: all seeds stay in the array, and a mask says who is in the
    race."""
    stays = np.ones(chosen.shape, dtype=bool)
    counts = [float(chosen.shape[-1])]
    for step, share in zip(schedule.steps, schedule.keep, strict=True):
        scores = np.where(stays, _pick(lab.at(scorer, step), chosen)[0], -np.inf)
        place = np.argsort(best(scores, chosen.shape[-1]), axis=-1)
        number = np.maximum(1, np.rint(stays.sum(-1) * share))  # halves to even, as Python rounds
        stays = stays & (place < number[..., None]) & can_still_win(scores, residual(step), z)
        counts.append(float(stays.sum(-1).mean()))
    final = _pick(lab.final, chosen)
    place = best(np.where(stays, final[0], -np.inf), 1)
    winner = np.take_along_axis(chosen, place, -1)[..., 0]
    reward = np.take_along_axis(final, place[None], -1)[..., 0]
    return Outcome(reward, winner, chosen.shape[-1], tuple(counts), is_clamped)


def _pick(table: Floats, chosen: NDArray[np.int64]) -> Floats:
    """[R, P, S] at seeds [D, P, n]: [R, D, P, n]."""
    return table[:, np.arange(table.shape[1])[None, :, None], chosen]


@dataclass(frozen=True)
class Curve:
    """Mean final reward of a strategy over budgets (first reward, or the sum of rewards in standard units of the lab
    where there are several): `mean` and `spread` (standard deviation over draws of the mean over prompts) [B]."""

    budgets: Floats
    mean: Floats
    spread: Floats
    seeds: NDArray[np.int64]
    counts: tuple[tuple[float, ...], ...]
    """Of each budget: seeds in the race before each segment."""
    is_clamped: bool


def worth(lab: Lab, reward: Floats) -> Floats:
    """Rewards [R, ...] as one number [...]: the reward itself, or the mean of rewards in units of the lab's spread."""
    if len(reward) == 1:
        return reward[0]
    axes = (1, 2)
    mean, std = lab.final.mean(axes), lab.final.std(axes)
    shape = (-1, *[1] * (reward.ndim - 1))
    return np.asarray(((reward - mean.reshape(shape)) / std.reshape(shape)).mean(0))


def curve(
    lab: Lab,
    scorer: str,
    schedule: Schedule,
    prices: Prices,
    budgets: Sequence[float],
    *,
    draws: int,
    rng: np.random.Generator,
    combine: Combine = "rank",
    residual: Callable[[int], float] | None = None,
    z: float = 2.0,
) -> Curve:
    """A strategy at each budget."""
    means, spreads, seeds, counts, clamped = [], [], [], [], False
    for budget in budgets:
        number = prices.seeds(schedule, budget)
        outcome = replay(
            lab, scorer, schedule, number, draws=draws, rng=rng, combine=combine, residual=residual, z=z
        )
        values = worth(lab, outcome.reward).mean(-1)
        means.append(values.mean())
        spreads.append(values.std())
        seeds.append(outcome.seeds)
        counts.append(outcome.counts)
        clamped |= outcome.is_clamped
    return Curve(
        np.array(budgets, float), np.array(means), np.array(spreads), np.array(seeds), tuple(counts), clamped
    )


def random_schedule(rng: np.random.Generator, levels: Sequence[int], total: int) -> Schedule:
    """One to three cuts at stored levels, shares .3 to .8 in steps of .05."""
    usable = [level for level in levels if level < total - 1]
    number = int(rng.integers(1, min(3, len(usable)) + 1))
    steps = np.sort(rng.choice(usable, size=number, replace=False))
    keep = np.round(rng.integers(6, 17, size=number) * 0.05, 2)
    return Schedule(tuple(int(s) for s in steps), tuple(float(k) for k in keep))


def search_schedules(
    lab: Lab,
    scorer: str,
    prices: Prices,
    budget: float,
    *,
    tries: int,
    draws: int,
    rng: np.random.Generator,
    start: Sequence[Schedule] = (),
    combine: Combine = "rank",
) -> list[tuple[Schedule, float]]:
    """Random search: `start` and `tries` random schedules by mean reward at one budget, best first. All see the same
    random draws. Judge the winner on other prompts (`Lab.take`): its own score is optimistic."""
    found = []
    seed = int(rng.integers(2**63))
    proposals = [*start, *(random_schedule(rng, lab.levels, lab.total) for _ in range(tries))]
    for schedule in proposals:
        number = prices.seeds(schedule, budget)
        if number > lab.seeds:
            continue
        own = np.random.Generator(np.random.PCG64(seed))
        outcome = replay(lab, scorer, schedule, number, draws=draws, rng=own, combine=combine)
        found.append((schedule, float(worth(lab, outcome.reward).mean())))
    return sorted(found, key=lambda pair: -pair[1])
