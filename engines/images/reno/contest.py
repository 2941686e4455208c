"""All contenders on the same pictures, in step: ReNO, its ablations and extensions, best-of-N, zero-order search.

A *row* is one picture to be made: a prompt and a start noise. Each iteration moves every contender once, so that
curves grow together and a change of the machine's load meets all of them. One iteration of ReNO is one forward and one
backward pass; best-of-N looks at three noises meanwhile, as the paper counts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import torch

from engines.images.reno.baselines import Search, consider, init_search, neighbour
from engines.images.reno.method import Evaluate, Info, Settings, State, begin_best, init, step, values
from engines.images.reno.objective import Objective
from engines.images.reno.params import RenoParams
from engines.images.reno.resuming import Resumed

RENO, WARM, FREE, UNCLIPPED, HALVED = (
    "ReNO", "ReNO, warm start", "ReNO, no regulariser", "ReNO, no clipping", "ReNO, halving",
)  # fmt: skip
BEST, ZERO, PLAIN = "Best of N", "Zero-order search", "Plain picture"
DRAWS = 3
"""Noises that best-of-N looks at while ReNO makes one iteration: the paper's cost of one."""
RADIUS = 0.6
"""Step of the zero-order search, in units of the noise's size: chosen among .05 to 1.2 by benchmarks/reno_rates.py."""
MORE_DRAWS = 6
"""Best-of-N gets at most so many noises an iteration of ReNO to fill the time that ReNO took."""
FEW = 4
"""Up to so many rows, the draws of an iteration without gradients go through the models together."""


def without(title: str) -> str:
    """The contender that optimises all rewards but one."""
    return f"ReNO without {title}"


@dataclass
class Arm:
    """A contender that climbs by `method.step`: which rows of its gang are its own, and the forward passes that a
    picture of it took so far."""

    series: str
    rows: slice
    info: Info | None = None
    passes: float = 0.0


@dataclass
class Gang:
    """Arms with equal settings in one batch. `prompt_of`, `weights`, `strength` have a row for each noise."""

    arms: list[Arm]
    state: State
    prompt_of: torch.Tensor
    weights: torch.Tensor
    strength: torch.Tensor
    settings: Settings
    evaluate: Evaluate
    pictures: int
    """How many pictures each arm is to make; halving has several noises for each."""
    seconds: float = 0.0

    def advance(self) -> None:
        """One step of all arms, and its time."""
        started = now(self.state.noise.device)
        self.state, info = step(
            self.state, self.evaluate, self.weights, self.settings, strength=self.strength
        )
        self.seconds += now(self.state.noise.device) - started
        for arm in self.arms:
            picked = {name: value[arm.rows] for name, value in vars(info).items()}
            arm.info = Info(**picked)
            arm.passes += float(arm.info.passes.sum()) / self.pictures

    def of(self, arm: Arm) -> State:
        """The arm's own part of the state."""
        return self.state.take(torch.arange(len(self.state.noise))[arm.rows])

    def by_picture(self, values: torch.Tensor) -> torch.Tensor:
        """An arm's values [noises] as one for each picture: where several noises are tried for it, the largest."""
        return values.view(-1, self.pictures).amax(0)

    @property
    def share(self) -> float:
        """Seconds for each arm of the gang."""
        return self.seconds / len(self.arms)


def settings_of(params: RenoParams, rows: int = 0) -> Settings:
    """The method's settings in a run with those parameters. Full-size models see as many noises at once as there are
    rows, however many contenders share a batch: what stands beside ReNO costs no more memory than it."""
    return Settings(
        lr=params.rate,
        momentum=params.momentum,
        nesterov=params.nesterov,
        clip=params.clip,
        regularise=params.regularise,
        shape=params.shape,
        optimizer=params.optimizer,
        at_once=params.at_once or (0 if params.is_world else rows),
    )


def now(device: torch.device) -> float:
    """Seconds on a clock that waits for the device. Where torch works in the calling thread alone, the seconds that this
    thread worked: what else the machine does meanwhile counts for nobody."""
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.thread_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@dataclass
class Lookout:
    """A search without gradients, with the best reward after each look and when it was known."""

    series: str
    search: Search
    seconds: float = 0.0
    trace: list[tuple[float, torch.Tensor]] = field(default_factory=list)
    """After each look: seconds so far, and the best of each row [N]."""
    pictures: list[torch.Tensor | None] = field(default_factory=list)
    """The best pictures after each look; None where nothing changed."""
    rewards: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    """Rewards [N, K] and norms [N] of the best after each look."""

    def after(self, seconds: float) -> int:
        """How many looks were done within those seconds, at least one."""
        return max(1, sum(t <= seconds for t, _ in self.trace))

    def pictures_after(self, looks: int) -> torch.Tensor:
        """The best pictures after so many looks."""
        return next(p for p in reversed(self.pictures[:looks]) if p is not None)


class Contest:
    """The contenders of one set of rows. `advance(i)` moves all of them; what they reached stands in the fields.

    With a `lane`, a thread to work in, those whose time nobody compares move there while the others move here.
    Where it goes on from an earlier run (`resumed`), ReNO does; the others begin anew from where that run began."""

    def __init__(
        self,
        objective: Objective,
        params: RenoParams,
        prompt_of: torch.Tensor,
        places: list[int],
        seed: int,
        resumed: Resumed | None = None,
        lane: Executor | None = None,
    ) -> None:
        self.objective, self.params, self.seed, self.places = objective, params, seed, places
        self.lane = lane
        self.prompt_of = prompt_of.to(objective.device)
        self.evaluate = objective.evaluate(self.prompt_of)
        self.weights = torch.tensor(objective.weights, device=objective.device)
        self.settings = settings_of(params, len(places))
        self.noise = resumed.start if resumed else torch.stack([objective.draw(seed, p, 0) for p in places])
        """The noises of the plain pictures."""
        self.reno = self._gang([RENO], self.noise)
        self.before = 0
        """Iterations that ReNO made in earlier runs."""
        self.goes_on = resumed is not None and resumed.found is not None
        if resumed is not None:
            self._go_on(resumed)
        self.best = Lookout(BEST, init_search(self.noise))
        self.drawn = 0
        """Looks of best-of-N that belong to the iterations; what `fill_time` adds depends on the clock."""
        self.zero = Lookout(ZERO, init_search(self.noise)) if "zero_order" in params.compare else None
        self.ablations = self._ablations() if "ablations" in params.compare else None
        self.unclipped = (
            self._gang([UNCLIPPED], self.noise, clip=0.0) if "no_clip" in params.compare else None
        )
        self.warm: Gang | None = None
        self.warm_from = math.ceil(params.warm_start / DRAWS) if "warm" in params.compare else -1
        self.warm_pool_s = 0.0
        self.halved = self._halving() if "halving" in params.compare else None

    def _gang(
        self,
        series: list[str],
        noise: torch.Tensor,
        *,
        weights: torch.Tensor | None = None,
        strength: torch.Tensor | None = None,
        **changes: float,
    ) -> Gang:
        """Arms of equal size over `noise`, one after the other."""
        n = len(noise)
        each = n // len(series)
        arms = [Arm(name, slice(k * each, (k + 1) * each)) for k, name in enumerate(series)]
        prompt_of = self.prompt_of.repeat(n // len(self.prompt_of))
        return Gang(
            arms,
            init(noise),
            prompt_of,
            self.weights.expand(n, -1) if weights is None else weights,
            noise.new_ones(n) if strength is None else strength,
            replace(self.settings, **changes),  # type: ignore[arg-type]
            self.objective.evaluate(prompt_of),
            each,
        )

    def _go_on(self, resumed: Resumed) -> None:
        self.before, self.reno.state = resumed.state.iteration, resumed.state
        if resumed.found is not None:
            self.reno.state = begin_best(
                resumed.state, resumed.found, self.evaluate, self.weights, self.settings.at_once
            )
        self.reno.arms[0].passes = resumed.spent

    def _ablations(self) -> Gang:
        """Without the regulariser, and without each reward where there are several, in one batch."""
        titles, n = list(self.objective.rewards), len(self.noise)
        left_out = range(len(titles)) if len(titles) > 1 else range(0)
        series = [FREE, *(without(titles[k]) for k in left_out)]
        weights = self.weights.expand(len(series), n, -1).clone()
        for arm, k in enumerate(left_out, 1):
            weights[arm, :, k] = 0
        strength = self.noise.new_ones(len(series), n)
        strength[0] = 0
        noise = self.noise.repeat(len(series), 1, 1, 1)
        return self._gang(series, noise, weights=weights.flatten(0, 1), strength=strength.flatten())

    def _halving(self) -> Gang:
        """2^k noises a row; the k halvings happen in `advance`."""
        k = self.params.halvings
        fresh = [
            torch.stack([self.objective.draw(self.seed, p, -number) for p in self.places])
            for number in range(1, 2**k)
        ]
        gang = self._gang([HALVED], torch.cat([self.noise, *fresh]))
        gang.pictures = len(self.places)
        return gang

    def gangs(self) -> Iterator[Gang]:
        """All that climb, ReNO first."""
        for gang in (self.reno, self.warm, self.ablations, self.unclipped, self.halved):
            if gang is not None:
                yield gang

    def counts_passes(self, gang: Gang) -> bool:
        """Whether its iterations cost something else than the paper's three forward passes a picture."""
        return gang is self.halved or self.settings.optimizer == "lbfgs"

    def lookouts(self) -> Iterator[Lookout]:
        """All that search without gradients."""
        yield self.best
        if self.zero is not None:
            yield self.zero

    def advance(self, i: int) -> None:
        """Iteration i (from 0) of every contender."""
        beside = self.lane.submit(self._advance_beside, i) if self.lane is not None else None
        self.reno.advance()
        self.draw(i * DRAWS, DRAWS, *self._neighbours(i))
        self.drawn = (i + 1) * DRAWS
        if i + 1 == self.warm_from:
            self.warm_pool_s = self.best.seconds
            rate = self.settings.lr * self.params.warm_rate
            self.warm = self._gang([WARM], self.best.search.noise, lr=rate)
            self.warm.arms[0].passes = float(self.drawn)
        elif self.warm is not None:
            self.warm.advance()
        if beside is not None:
            beside.result()
        else:
            self._advance_beside(i)

    def _advance_beside(self, i: int) -> None:
        for gang in (self.ablations, self.unclipped):
            if gang is not None:
                gang.advance()
        self._advance_halved(i)

    def draw(self, first: int, count: int, *others: tuple[Lookout, torch.Tensor]) -> None:
        """Let best-of-N look at its candidates number `first` and on, and others at theirs; candidate 0 is the plain
        picture."""
        drawn = [
            self.noise
            if number == 0
            else torch.stack([self.objective.draw(self.seed, p, number) for p in self.places])
            for number in range(first, first + count)
        ]
        asked = [*((self.best, candidate) for candidate in drawn), *others]
        if len(self.places) <= FEW:
            self._look(asked)
        else:
            for one in asked:
                self._look([one])

    def _neighbours(self, i: int) -> Iterator[tuple[Lookout, torch.Tensor]]:
        """Where the search without gradients looks next, where there is one."""
        if self.zero is not None:
            fresh = torch.stack([self.objective.draw(self.seed, p, 1_000_000 + i) for p in self.places])
            yield self.zero, self.noise if i == 0 else neighbour(self.zero.search.noise, fresh, RADIUS)

    def fill_time(self, seconds: float) -> None:
        """Let best-of-N go on until it had as much time, up to `MORE_DRAWS` noises an iteration."""
        most = MORE_DRAWS * (self.reno.state.iteration - self.before)
        while self.best.seconds < seconds and self.best.search.evaluated < most:
            self.draw(self.best.search.evaluated, DRAWS)

    def _look(self, asked: Sequence[tuple[Lookout, torch.Tensor]]) -> None:
        """One batch of candidates; each takes an equal share of its time."""
        started = now(self.objective.device)
        evaluate = self.objective.evaluate(self.prompt_of.repeat(len(asked)))
        pictures, rewards = values(torch.cat([noise for _, noise in asked]), evaluate, self.settings.at_once)
        each, n = (now(self.objective.device) - started) / len(asked), len(self.places)
        for k, (lookout, candidate) in enumerate(asked):
            rows = slice(k * n, (k + 1) * n)
            lookout.search, better = consider(
                lookout.search, candidate, pictures[rows], rewards[rows], self.weights
            )
            lookout.seconds += each
            lookout.trace.append((lookout.seconds, lookout.search.best))
            lookout.pictures.append(lookout.search.pictures if bool(better.any()) else None)
            assert lookout.search.rewards is not None
            lookout.rewards.append(lookout.search.rewards)
            lookout.norms.append(lookout.search.noise.flatten(1).norm(dim=1))

    def _advance_halved(self, i: int) -> None:
        """Each of the k + 1 stages costs the same: stage j has 2^(k - j) noises a row for its share of iterations."""
        gang = self.halved
        if gang is None:
            return
        k, n, total = self.params.halvings, len(self.places), self.params.iterations
        done, ends = 0, []
        for j in range(k + 1):
            done += max(1, round(total / ((k + 1) * 2 ** (k - j))))
            ends.append(done)
        if i >= ends[-1]:
            return
        gang.advance()
        if i + 1 in ends[:-1]:
            scores = gang.state.best.view(-1, n)  # [noises a row, rows]
            keep = scores.argsort(dim=0, descending=True)[: max(1, len(scores) // 2)]
            rows = (keep * n + torch.arange(n, device=keep.device)).flatten()
            took, arm = gang.seconds, gang.arms[0]
            assert arm.info is not None
            left = Info(**{name: value[rows] for name, value in vars(arm.info).items()})
            gang = self.halved = Gang(
                [Arm(HALVED, slice(0, len(rows)), left, arm.passes)],
                gang.state.take(rows),
                gang.prompt_of[rows],
                gang.weights[rows],
                gang.strength[rows],
                gang.settings,
                self.objective.evaluate(gang.prompt_of[rows]),
                n,
                took,
            )
