"""What each contender ended with, row by row: the ground of tables and claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engines.images.reno.contest import BEST, HALVED, PLAIN, RENO, WARM, ZERO, Contest
from engines.images.reno.judging import Judge, Judged
from engines.images.reno.method import State


@dataclass(frozen=True)
class Final:
    """The best pictures of a contender: reward sum [N] in the weights of the run (also where it climbed on others), rewards [N, K], the judges' verdicts, and how many
    looks (best-of-N) or iterations it took; `norm` is that of the noise found [N]
    (for contenders that climb, of the last one)."""

    reward: np.ndarray
    rewards: np.ndarray
    judged: Judged
    looks: int
    norm: np.ndarray
    pictures: torch.Tensor | None = None

    @property
    def right(self) -> float | None:
        """Share of pictures that meet every demand, None without the checker."""
        return None if self.judged.strict is None else float(self.judged.strict.mean())

    @property
    def demands(self) -> float | None:
        """Mean share of demands met, None without the checker."""
        return None if self.judged.soft is None else float(self.judged.soft.mean())


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def finals(contest: Contest, judge: Judge) -> dict[str, Final]:
    """By contender: the plain picture, best-of-N after as many looks as ReNO had iterations and after all of the
    paper's count, ReNO and what was asked for beside it. Nothing in it is timed."""
    # a run that goes on from another has had more iterations than best-of-N may have looks
    n = min(contest.reno.state.iteration, contest.drawn)
    found = {PLAIN: _of_looks(contest, judge, 1)}
    found[f"{BEST} = {n}"] = _of_looks(contest, judge, n)
    if contest.drawn > n:
        found[f"{BEST} = {contest.drawn}"] = _of_looks(contest, judge, contest.drawn)
    for gang in contest.gangs():
        for arm in gang.arms:
            state = gang.of(arm)
            if arm.series == HALVED:
                state = _best_of_each(state, len(contest.places))
            if state.best_pictures is None or state.best_rewards is None:
                continue
            found[arm.series] = Final(
                _array((contest.weights * state.best_rewards).sum(1)),
                _array(state.best_rewards),
                judge(state.best_pictures, contest.prompt_of),
                gang.state.iteration,
                _array(state.noise.flatten(1).norm(dim=1)),
                state.best_pictures,
            )
    if contest.zero is not None and contest.zero.search.pictures is not None:
        search = contest.zero.search
        found[ZERO] = Final(
            _array(search.best),
            _array(search.rewards) if search.rewards is not None else np.empty((0, 0)),
            judge(search.pictures, contest.prompt_of),
            search.evaluated,
            _array(search.noise.flatten(1).norm(dim=1)),
            search.pictures,
        )
    return found


def _best_of_each(state: State, rows: int) -> State:
    """The best noise of each row, where several are left."""
    scores = state.best.view(-1, rows)
    return state.take(scores.argmax(dim=0) * rows + torch.arange(rows, device=scores.device))


def _of_looks(contest: Contest, judge: Judge, looks: int) -> Final:
    lookout = contest.best
    looks = min(looks, len(lookout.trace))
    pictures = lookout.pictures_after(looks)
    place = max(k for k, p in enumerate(lookout.pictures[:looks]) if p is not None)
    return Final(
        _array(lookout.trace[looks - 1][1]),
        _array(lookout.rewards[place]),
        judge(pictures, contest.prompt_of),
        looks,
        _array(lookout.norms[place]),
        pictures,
    )


@dataclass(frozen=True)
class Timed:
    """Best-of-N with the time that ReNO, or its warm start, took: verdicts, looks, and the seconds of both."""

    against: str
    final: Final
    seconds: float
    best_seconds: float

    @property
    def is_filled(self) -> bool:
        """Whether best-of-N really had that much time."""
        return self.best_seconds >= self.seconds


def timed(contest: Contest, judge: Judge) -> list[Timed]:
    """Best-of-N at equal measured time. It draws on where it was faster."""
    times = {RENO: contest.reno.seconds}
    if contest.warm is not None:
        times[WARM] = contest.warm_pool_s + contest.warm.seconds
    contest.fill_time(max(times.values()))
    return [
        Timed(name, _of_looks(contest, judge, contest.best.after(seconds)), seconds, contest.best.seconds)
        for name, seconds in times.items()
    ]


def joined(parts: list[Final]) -> Final:
    """The rows of several contests as one."""

    def cat(values: list[np.ndarray | None]) -> np.ndarray | None:
        present = [v for v in values if v is not None]
        return np.concatenate(present) if present else None

    judged = Judged(
        cat([p.judged.strict for p in parts]),
        cat([p.judged.soft for p in parts]),
        np.concatenate([p.judged.watched for p in parts]),
        tuple(text for p in parts for text in p.judged.parts),
    )
    return Final(
        np.concatenate([p.reward for p in parts]),
        np.concatenate([p.rewards for p in parts]),
        judged,
        parts[0].looks,
        np.concatenate([p.norm for p in parts]),
    )
