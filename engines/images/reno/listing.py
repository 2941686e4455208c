"""A list of prompts, measured: the same contest on every prompt, what it comes to by task with intervals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, Command, Event, Picture, Progress, Scalar, Text
from engines.images.reno import alerts, claims, report
from engines.images.reno.by_task import by_task
from engines.images.reno.contest import BEST, DRAWS, PLAIN, RENO, WARM, Contest
from engines.images.reno.finals import Final, Timed, finals, joined, timed
from engines.images.reno.geneval import Folders
from engines.images.reno.judging import Judge
from engines.images.reno.objective import Objective, open_objective, plan_memory
from engines.images.reno.params import RenoParams
from engines.images.reno.prompt_files import Listed, chosen
from engines.images.reno.transferring import Transfer

BATCH = 14
"""Pictures of one contest where `at_once` does not say."""
SHOWN = 60
"""Pictures of the list that are kept."""


def run(
    params: RenoParams, context: Context, inbox: deque[Command], lane: Executor | None = None
) -> Iterator[Event]:
    """The contest on batches of pictures, each with its prompt and noise. `lane` as in `Contest`."""
    listed = chosen(params, context.inputs, context.seed)
    yield Progress(0, 1, "loading the models")
    if memory := plan_memory(
        params, min(params.at_once or BATCH, len(listed) * params.seeds), context.device
    ):
        yield Text("memory", memory)
    objective = open_objective(params, [one.prompt for one in listed], context.device)
    yield from alerts.at_start(objective, params, context)
    yield from Measurement(params, context, objective, listed, lane).events(inbox)


@dataclass(frozen=True)
class Handed:
    """The noises of a batch that the many-step model draws from at the end, on the CPU."""

    start: torch.Tensor
    found: torch.Tensor
    prompt_of: torch.Tensor


class Measurement:
    """Works through a list, a batch of pictures after the other, and tells of it."""

    def __init__(
        self,
        params: RenoParams,
        context: Context,
        objective: Objective,
        listed: Sequence[Listed],
        lane: Executor | None,
    ) -> None:
        self.params, self.context, self.objective, self.lane = params, context, objective, lane
        self.listed = listed
        self.judge = Judge(objective, params.is_world)
        size, seeds = params.at_once or BATCH, params.seeds
        rows = [(prompt, sample) for prompt in range(len(listed)) for sample in range(seeds)]
        self.batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        self.total = len(self.batches) * params.iterations
        self.curves = Curves(params.iterations)
        self.parts: list[dict[str, Final]] = []
        self.times: list[list[Timed]] = []
        self.handed: list[Handed] = []
        self.done: list[tuple[int, int]] = []
        """Prompt and sample of each picture so far."""
        needed = all(one.metadata for one in listed)
        self.folders = Folders(context.scratch, listed) if needed else None

    def events(self, inbox: deque[Command]) -> Iterator[Event]:
        """The whole run."""
        for number, batch in enumerate(self.batches):
            yield from self.batch(number, batch, inbox)
        yield from self.curves.events()
        together = [_together([batch[k] for batch in self.times]) for k in range(len(self.times[0]))]
        yield report.time_table(together, {})
        pair: list[tuple[Final, Final]] = []
        if self.params.transfer_model:
            yield from self.transfer(pair)
        d = int(np.prod(self.objective.noise_shape))
        yield from claims.check(self.so_far(), together, self.params, d, pair[0] if pair else None)
        yield Progress(self.total, self.total, "done")

    def so_far(self) -> dict[str, Final]:
        """Each contender over all pictures that are done."""
        return {name: joined([part[name] for part in self.parts]) for name in self.parts[0]}

    def batch(self, number: int, rows: Sequence[tuple[int, int]], inbox: deque[Command]) -> Iterator[Event]:
        """The contest on some pictures, and what the list comes to with them."""
        params = self.params
        prompt_of = torch.tensor([prompt for prompt, _ in rows])
        places = [prompt * params.seeds + sample for prompt, sample in rows]
        contest = Contest(self.objective, params, prompt_of, places, self.context.seed, lane=self.lane)
        broken: set[int] = set()
        for i in range(params.iterations):
            contest.advance(i)
            self.curves.add(contest, i)
            at = number * params.iterations + i
            yield from self.warnings(contest, rows, broken, at)
            while inbox:
                yield _no_answer(inbox.popleft(), at)
            yield Progress(at + 1, self.total, f"batch {number + 1} of {len(self.batches)}")
        found = finals(contest, self.judge)
        self.times.append(timed(contest, self.judge))
        if params.transfer_model:
            state = contest.reno.state
            self.handed.append(Handed(contest.noise.cpu(), state.best_noise.cpu(), prompt_of))
        yield from _pictures(found, [self.listed[prompt].prompt for prompt, _ in rows], len(self.done))
        if self.folders is not None:
            yield from self.folders.add(found, *zip(*rows, strict=True))
        self.parts.append({name: joined([final]) for name, final in found.items()})  # let the pictures go
        self.done += rows
        so_far = self.so_far()
        prompts = [prompt for prompt, _ in self.done]
        yield from by_task(so_far, [self.listed[prompt].task for prompt in prompts], prompts)
        yield report.contender_table(so_far, list(self.objective.rewards), self.judge.names)
        yield Scalar(RENO, "best reward so far in the list", number, float(so_far[RENO].reward.mean()))

    def warnings(
        self, contest: Contest, rows: Sequence[tuple[int, int]], broken: set[int], at: int
    ) -> Iterator[Event]:
        """Tell of each noise once whose gradient broke."""
        info = contest.reno.arms[0].info
        assert info is not None
        for row in torch.nonzero(info.skipped).flatten().tolist():
            if row not in broken:
                broken.add(row)
                prompt, sample = rows[row]
                yield alerts.not_finite(f"noise {sample + 1} of {self.listed[prompt].prompt!r}", at)

    def transfer(self, pair: list[tuple[Final, Final]]) -> Iterator[Event]:
        """The many-step model from all plain and found noises; a model that cannot be had costs nothing else."""
        model, device = self.params.transfer_model, self.objective.device
        yield Progress(self.total, self.total, f"drawing with {model}")
        try:
            opened = Transfer(self.objective, self.params, self.context.device)
        except Refusal as error:
            yield Alert("transfer", self.total, error.sentence)
            return
        parts = []
        for k, one in enumerate(self.handed):
            noises = one.start.to(device), one.found.to(device)
            found = opened.finals(*noises, one.prompt_of.to(device), self.judge)
            parts.append([joined([final]) for final in found])
            yield Progress(
                self.total, self.total, f"drawing with {model}, batch {k + 1} of {len(self.handed)}"
            )
        first, second = (joined([part[side] for part in parts]) for side in (0, 1))
        pair.append((first, second))


def _no_answer(command: Command, at: int) -> Alert:
    words = f"A list ends after the iterations that it began with; the request {command.name!r} is for one prompt."
    return Alert("unknown request", at, words)


def _together(times: list[Timed]) -> Timed:
    """Best-of-N at equal time over all batches; looks are the mean's nearest whole number."""
    final = joined([one.final for one in times])
    looks = round(sum(one.final.looks for one in times) / len(times))
    return Timed(
        times[0].against,
        Final(final.reward, final.rewards, final.judged, looks, final.norm),
        sum(one.seconds for one in times),
        sum(one.best_seconds if one.best_seconds < one.seconds else one.seconds for one in times),
    )


class Curves:
    """Means over all pictures, iteration by iteration (look by look for best-of-N): best rewards, and the passes of
    those whose iterations cost something else than three."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.sums: dict[tuple[str, str], np.ndarray] = {}
        self.counts: dict[tuple[str, str], np.ndarray] = {}

    def add(self, contest: Contest, i: int) -> None:
        for gang in contest.gangs():
            for arm in gang.arms:
                rewards = gang.state.best_rewards
                if arm.info is None or rewards is None or not gang.state.iteration:
                    continue
                best = gang.by_picture((contest.weights * rewards[arm.rows]).sum(1))
                total, length = float(best.double().sum()), self.iterations
                self._put((arm.series, "best reward"), i, total, len(best), length)
                if contest.counts_passes(gang):
                    self._put((arm.series, "passes"), i, arm.passes * len(best), len(best), length)
        for lookout in contest.lookouts():
            count = DRAWS if lookout is contest.best else 1
            for look in range(i * count, (i + 1) * count):
                best = lookout.trace[look][1]
                total, length = float(best.double().sum()), self.iterations * count
                self._put((lookout.series, "best reward"), look, total, len(best), length)

    def _put(self, key: tuple[str, str], step: int, total: float, count: int, length: int) -> None:
        self.sums.setdefault(key, np.zeros(length))[step] += total
        self.counts.setdefault(key, np.zeros(length))[step] += count

    def events(self) -> Iterator[Scalar]:
        """The curves; steps at which a contender did not move yet are left out."""
        for (series, name), sums in self.sums.items():
            counts = self.counts[series, name]
            for step in np.flatnonzero(counts):
                yield Scalar(series, name, int(step), float(sums[step] / counts[step]))


def _pictures(found: Mapping[str, Final], prompts: list[str], first: int) -> Iterator[Picture]:
    """For each prompt: the plain picture, best-of-N's, ReNO's."""
    names = [
        PLAIN,
        next(name for name in found if name.startswith(BEST)),
        RENO,
        *([WARM] if WARM in found else []),
    ]
    for row, prompt in enumerate(prompts):
        if first + row >= SHOWN:
            return
        finals_of = [found[name] for name in names]
        tiles = torch.stack([final.pictures[row] for final in finals_of if final.pictures is not None])
        words = f"{prompt}: " + ", ".join(name.lower() if name == PLAIN else name for name in names)
        if finals_of[-1].judged.strict is not None:
            marks = [
                "right" if final.judged.strict is not None and final.judged.strict[row] else "wrong"
                for final in finals_of
            ]
            words = f"{prompt}: {', '.join(marks)}"
        yield Picture(f"Plain, {', '.join(names[1:])}/{first + row + 1}", 0, report.sheet(tiles), words)
