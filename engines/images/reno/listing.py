"""A list of prompts, measured: the same contest on every prompt, accuracy by task with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor

import numpy as np
import torch

from engines.contract import Context
from engines.events import Array, Axis, Event, Picture, Progress, Scalar, Table, Text
from engines.images.reno import claims, report
from engines.images.reno.contest import BEST, DRAWS, PLAIN, RENO, WARM, Contest
from engines.images.reno.finals import Final, Timed, finals, handed_over, joined, timed
from engines.images.reno.judging import Judge, wilson
from engines.images.reno.objective import open_objective, plan_memory
from engines.images.reno.params import RenoParams
from engines.images.reno.prompt_files import chosen

BATCH = 14
"""Pictures of one contest where `at_once` does not say."""
SHOWN = 60
"""Pictures of the list that are kept."""


def run(params: RenoParams, context: Context, lane: Executor | None = None) -> Iterator[Event]:
    """The contest on batches of pictures, each with its prompt and noise. `lane` as in `Contest`."""
    listed = chosen(params, context.inputs, context.seed)
    yield Progress(0, 1, "loading the models")
    if memory := plan_memory(
        params, min(params.at_once or BATCH, len(listed) * params.seeds), context.device
    ):
        yield Text("memory", memory)
    objective = open_objective(params, [one.prompt for one in listed], context.device)
    judge = Judge(objective, params.is_world)
    rows = [(prompt, prompt * params.seeds + k) for prompt in range(len(listed)) for k in range(params.seeds)]
    size = params.at_once or BATCH
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    total = len(batches) * params.iterations
    parts: list[dict[str, Final]] = []
    times: list[list[Timed]] = []
    handed: list[tuple[Final, Final]] = []
    curves = Curves(params.iterations)
    for number, batch in enumerate(batches):
        prompt_of = torch.tensor([prompt for prompt, _ in batch])
        contest = Contest(
            objective, params, prompt_of, [place for _, place in batch], context.seed, lane=lane
        )
        for i in range(params.iterations):
            contest.advance(i)
            curves.add(contest, i)
            yield Progress(number * params.iterations + i + 1, total, f"batch {number + 1} of {len(batches)}")
        parts.append(finals(contest, judge))
        times.append(timed(contest, judge))
        if params.transfer_model:
            handed.append(handed_over(contest, judge, params, context.device))
        yield from _pictures(
            parts[-1], [listed[prompt].prompt for prompt, _ in batch], sum(map(len, batches[:number]))
        )
        parts[-1] = {name: joined([final]) for name, final in parts[-1].items()}  # let the pictures go
        so_far = {name: joined([part[name] for part in parts]) for name in parts[0]}
        tasks = [listed[prompt].task for prompt, _ in rows[: sum(map(len, batches[: number + 1]))]]
        yield from _by_task(so_far, tasks)
        yield report.contender_table(so_far, list(objective.rewards), judge.names)
        yield Scalar(RENO, "best reward so far in the list", number, float(so_far[RENO].reward.mean()))
    yield from curves.events()
    together = [_together([batch[k] for batch in times]) for k in range(len(times[0]))]
    yield report.time_table(together, {})
    found = {name: joined([part[name] for part in parts]) for name in parts[0]}
    pair = (joined([one for one, _ in handed]), joined([other for _, other in handed])) if handed else None
    yield from claims.check(found, together, params, int(np.prod(objective.noise_shape)), pair)
    yield Progress(total, total, "done")


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
    """Mean best reward over all pictures, iteration by iteration (look by look for best-of-N)."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}

    def add(self, contest: Contest, i: int) -> None:
        for gang in contest.gangs():
            for arm in gang.arms:
                rewards = gang.state.best_rewards
                if arm.info is not None and rewards is not None and gang.state.iteration:
                    best = (contest.weights * rewards[arm.rows]).sum(1)
                    self._put(arm.series, i, best, self.iterations)
        for lookout in contest.lookouts():
            count = DRAWS if lookout is contest.best else 1
            for look in range(i * count, (i + 1) * count):
                self._put(lookout.series, look, lookout.trace[look][1], self.iterations * count)

    def _put(self, series: str, step: int, best: torch.Tensor, length: int) -> None:
        sums = self.sums.setdefault(series, np.zeros(length))
        counts = self.counts.setdefault(series, np.zeros(length))
        sums[step] += float(best.double().sum())
        counts[step] += len(best)

    def events(self) -> Iterator[Scalar]:
        """The curves; steps at which a contender did not move yet are left out."""
        for series, sums in self.sums.items():
            for step in np.flatnonzero(self.counts[series]):
                yield Scalar(series, "best reward", int(step), float(sums[step] / self.counts[series][step]))


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


def _by_task(found: Mapping[str, Final], tasks: list[str]) -> Iterator[Event]:
    """Share of right pictures by task with 95 % intervals; mean rewards where there is no checker."""
    order = [*dict.fromkeys(tasks)]
    members = {task: np.array([t == task for t in tasks]) for task in order}
    members["all"] = np.ones(len(tasks), dtype=bool)
    names = list(found)
    middle, low, high = (np.full((len(names), len(members)), np.nan) for _ in range(3))
    rows: list[list[str | int | float | None]] = []
    for a, name in enumerate(names):
        final = found[name]
        for b, mask in enumerate(members.values()):
            if final.judged.strict is not None:
                right = final.judged.strict[mask]
                middle[a, b] = right.mean()
                low[a, b], high[a, b] = wilson(float(right.sum()), len(right))
            else:
                middle[a, b] = final.reward[mask].mean()
        rows.append([name, *(float(v) for v in middle[a])])
    has_checker = found[RENO].judged.strict is not None
    columns = [f"{task} ({int(mask.sum())})" for task, mask in members.items()]
    yield Table("Right by task" if has_checker else "Reward by task", ("contender", *columns), rows)
    if has_checker:
        axes = [Axis("contender", names), Axis("task", list(members))]
        for label, values in (("accuracy", middle), ("accuracy low", low), ("accuracy high", high)):
            yield Array(label, 0, values, axes, keep=False)
        intervals = [
            [name, *(f"{low[a, b]:.2f} to {high[a, b]:.2f}" for b in range(len(members)))]
            for a, name in enumerate(names)
        ]
        yield Table("95 % intervals", ("contender", *columns), intervals)
