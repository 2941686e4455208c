"""One prompt, watched: every contender on the same noises, each iteration shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, Array, Axis, Command, Event, File, Picture, Progress, Text
from engines.images import noise_file
from engines.images.reno import alerts, claims, report
from engines.images.reno.contest import (
    BEST,
    DRAWS,
    HALVED,
    PLAIN,
    RENO,
    WARM,
    ZERO,
    Contest,
    Lookout,
    settings_of,
)
from engines.images.reno.finals import Final, finals, timed
from engines.images.reno.judging import Judge, Judged
from engines.images.reno.method import Info, State, norm_band, typical_norm
from engines.images.reno.objective import Objective, open_objective, plan_memory
from engines.images.reno.params import RenoParams
from engines.images.reno.resuming import kept, resume
from engines.images.reno.transferring import Transfer

MORE = 50
"""Iterations that the reader's "more" adds."""
SAVE_EVERY = 10
BEFORE, STRIP = "Before and after", "Every iteration"
_NOTHING_KNOWN = (
    "The noise file holds nothing that this optimizer has learnt: it goes on from the noise with empty momentum. "
    "Choose the optimizer of the run that wrote the file to go on exactly."
)


def run(
    params: RenoParams, context: Context, inbox: deque[Command], lane: Executor | None = None
) -> Iterator[Event]:
    """Everything of the experiment; `inbox` holds what the reader asks for meanwhile. `lane` as in `Contest`."""
    yield Progress(0, params.iterations + 1, "loading the models")
    if memory := plan_memory(params, params.seeds, context.device):
        yield Text("memory", memory)
    objective = open_objective(params, (params.prompt,), context.device)
    resumed = None
    if noise_file.FIELD in context.inputs:
        tensors = noise_file.read_noise(context.inputs[noise_file.FIELD], objective.noise_shape)
        resumed = resume(tensors, params, settings_of(params), objective.device)
        if not resumed.knows:
            yield Alert("noise file", 0, _NOTHING_KNOWN)
    contest = Contest(
        objective,
        params,
        torch.zeros(params.seeds, dtype=torch.long),
        list(range(params.seeds)),
        context.seed,
        resumed,
        lane,
    )
    yield from Watch(params, context, objective, contest).events(inbox)


class Watch:
    """Tells of a contest while it goes on."""

    def __init__(self, params: RenoParams, context: Context, objective: Objective, contest: Contest) -> None:
        self.params, self.context, self.objective, self.contest = params, context, objective, contest
        self.judge = Judge(objective, params.is_world)
        self.titles, self.watched = list(objective.rewards), self.judge.names
        self.total = params.iterations
        self.first_rewards = torch.empty(0)
        self.start = torch.empty(0)
        self.state = contest.reno.state
        """ReNO's state as the pictures on the page show it: what the noise file holds."""
        self.written: State | None = None
        self.before = contest.before
        """Iterations of earlier runs: ReNO's own steps count on from them."""
        self.verdicts: dict[str, Judged] = {}
        self.soft: list[tuple[np.ndarray, np.ndarray]] = []

    def events(self, inbox: deque[Command]) -> Iterator[Event]:
        """The whole run. However it ends, the noise file holds what was last shown."""
        yield from alerts.at_start(self.objective, self.params, self.context)
        d = int(np.prod(self.objective.noise_shape))
        marks = Axis("mark", ["low", "typical", "high"])
        low, high = norm_band(d)
        yield Array("typical norm", 0, np.array([low, typical_norm(d), high]), [marks], keep=False)
        try:
            yield from self.climb(inbox)
        finally:
            if self.written is not None and self.written is not self.state:
                self.write_noise()

    def climb(self, inbox: deque[Command]) -> Iterator[Event]:
        """All iterations and the end. A wish to stop is heard at the first event after an iteration: that is no picture,
        so that none is shown of a state that the noise file does not have."""
        i = 0
        while i < self.total:
            self.contest.advance(i)
            yield Progress(
                i + 1, self.total + 1, f"iteration {self.before + i + 1} of {self.before + self.total}"
            )
            self.state = self.contest.reno.state
            yield from self.iteration(i)
            while inbox:
                yield from self.obey(inbox.popleft(), i)
            i += 1
        yield from self.ending(self.before + i - 1)
        yield Progress(self.total + 1, self.total + 1, "done")

    def obey(self, command: Command, i: int) -> Iterator[Event]:
        if command.kind == "do" and command.name == "more":
            self.total += MORE
        else:
            yield Alert("unknown request", i, f"This run knows the request more; got {command.name!r}.")

    # an iteration

    def iteration(self, i: int) -> Iterator[Event]:
        """Scalars of everybody, then ReNO's pictures."""
        info = self.contest.reno.arms[0].info
        assert info is not None
        at = self.before + i
        yield from self.reno_pictures(i)
        yield from report.arm_scalars(self.contest, i)
        yield from report.lookout_scalars(self.contest, i, DRAWS)
        yield from report.reward_gains(
            self.titles, self.objective.weights, info.rewards, self.first_rewards, at
        )
        yield from self.judgements(i)
        for row in torch.nonzero(info.skipped).flatten().tolist():
            yield alerts.not_finite(f"noise {row + 1}", at)
        if i % SAVE_EVERY == 0:
            yield self.noise_file()

    def reno_pictures(self, i: int) -> Iterator[Event]:
        """The picture of every iteration, and the best so far beside the first of the search."""
        info, state, at = self.contest.reno.arms[0].info, self.state, self.before + i
        assert info is not None
        assert state.best_pictures is not None
        seen = self.judge(info.pictures, self.contest.prompt_of)
        said = [report.caption(float(info.total[row]), seen, row) for row in range(len(info.total))]
        if i == 0:
            yield from self.first_pictures(info, said)
        for row, words in enumerate(said):
            if bool(info.is_best[row]):
                yield Picture(f"{BEFORE}/noise {row + 1}", at, report.pixels(info.pictures[row]), words)
                if at > 0:
                    yield report.difference(
                        f"difference, noise {row + 1}", self.start[row], info.pictures[row], at
                    )
            yield Picture(f"{STRIP}/noise {row + 1}", at, report.pixels(info.pictures[row]), words)

    def first_pictures(self, info: Info, said: list[str]) -> Iterator[Event]:
        """Where the search began; of one that goes on from an earlier run, also what that run had found."""
        contest, found = self.contest, self.state.best_pictures
        self.start, self.first_rewards = info.pictures, info.rewards
        if contest.goes_on:
            assert contest.best.pictures[0] is not None
            self.start, self.first_rewards = contest.best.pictures[0], contest.best.rewards[0]
            plain = self.judge(self.start, contest.prompt_of)
            totals = contest.best.trace[0][1]
            said = [report.caption(float(total), plain, row) for row, total in enumerate(totals)]
        for row, words in enumerate(said):
            name = f"{BEFORE}/noise {row + 1}"
            yield Picture(f"{name}, before", self.before, report.pixels(self.start[row]), words)
        if not contest.goes_on:
            return
        assert found is not None
        judged = self.judge(found, contest.prompt_of)
        for row in torch.nonzero(~info.is_best).flatten().tolist():
            words = report.caption(float(self.state.best[row]), judged, row)
            yield Picture(f"{BEFORE}/noise {row + 1}", self.before, report.pixels(found[row]), words)
            yield report.difference(f"difference, noise {row + 1}", self.start[row], found[row], self.before)

    def judgements(self, i: int) -> Iterator[Event]:
        """The judges on the best of everybody; pictures that did not change are not judged again."""
        self.verdicts |= self.judge.each(dict(self.to_judge()), self.contest.prompt_of)
        for gang in self.contest.gangs():
            for arm in gang.arms:
                if arm.series in self.verdicts:
                    at = self.before + i if gang is self.contest.reno else i
                    yield from report.judged_scalars(arm.series, self.watched, self.verdicts[arm.series], at)
        for lookout in self.contest.lookouts():
            step = (i + 1) * self.looks(lookout) - 1
            verdict = self.verdicts[lookout.series]
            yield from report.judged_scalars(lookout.series, self.watched, verdict, step)
        mine = self.verdicts[RENO]
        if mine.soft is not None:
            self.soft.append((mine.soft, self.contest.reno.state.best.cpu().numpy()))

    def to_judge(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Who has new best pictures since the last iteration, and these."""
        for gang in self.contest.gangs():
            for arm in gang.arms:
                if arm.info is None or arm.series == HALVED:
                    continue
                if bool(arm.info.is_best.any()) or arm.series not in self.verdicts:
                    pictures = gang.of(arm).best_pictures
                    assert pictures is not None
                    yield arm.series, pictures
        for lookout in self.contest.lookouts():
            changed = lookout.pictures[-self.looks(lookout) :]
            if any(p is not None for p in changed) or lookout.series not in self.verdicts:
                assert lookout.search.pictures is not None
                yield lookout.series, lookout.search.pictures

    def looks(self, lookout: Lookout) -> int:
        """How many pictures it looks at in an iteration."""
        return DRAWS if lookout is self.contest.best else 1

    def noise_file(self) -> File:
        """ReNO's noise as it stands. The record takes the file again as `events` leaves it."""
        return File(
            noise_file.FIELD,
            self.write_noise(),
            "application/octet-stream",
            "the last noise with its momentum, and the best: a run can go on from them",
            live=True,
        )

    def write_noise(self) -> Path:
        self.written = self.state
        tensors = kept(self.contest.noise, self.state, self.contest.reno.arms[0])
        about = {"model": self.params.model, "prompt": self.params.prompt, "seed": str(self.context.seed)}
        return noise_file.write_noise(self.context.scratch / "noise.safetensors", tensors, about)

    # the end

    def ending(self, i: int) -> Iterator[Event]:
        """Tables, the noise, the many-step model, the claims."""
        found = finals(self.contest, self.judge)
        times = timed(self.contest, self.judge)
        seconds = {arm.series: gang.share for gang in self.contest.gangs() for arm in gang.arms}
        if self.contest.warm is not None:
            seconds[WARM] += self.contest.warm_pool_s
        seconds |= {ZERO: self.contest.zero.seconds} if self.contest.zero is not None else {}
        yield report.contender_table(found, self.titles, self.watched)
        yield report.time_table(times, seconds)
        if self.params.is_world:
            best = next(name for name in found if name.startswith(BEST))
            shown = [PLAIN, best, RENO, *([WARM] if WARM in found else [])]
            yield report.verdict_table(found, shown)
        yield from report.contender_pictures(found, i)
        yield from report.noise_arrays(self.contest.noise, self.contest.reno.state.best_noise, i)
        yield self.noise_file()
        yield from self.hacking(i)
        handed: list[tuple[Final, Final]] = []
        if self.params.transfer_model:
            yield from self.transfer(i, handed)
        d = int(np.prod(self.objective.noise_shape))
        yield from claims.check(
            found, times, self.params, d, handed[0] if handed else None, before=self.before
        )

    def hacking(self, i: int) -> Iterator[Event]:
        """Tell where the reward went on rising while the checker's score of the same picture fell."""
        found = False
        for row in range(len(self.soft[0][0]) if self.soft else 0):
            scores = np.array([soft[row] for soft, _ in self.soft])
            peak = int(scores.argmax())
            if scores[-1] < scores[peak] - 0.01:
                found = True
                before, after = (float(self.soft[at][1][row]) for at in (peak, -1))
                yield Alert(
                    "reward hacking",
                    i,
                    f"Noise {row + 1}: after iteration {self.before + peak} the reward rose from {before:.2f} to {after:.2f} while the "
                    f"share of demands met fell from {scores[peak]:.2f} to {scores[-1]:.2f}.",
                )
        if self.soft:
            words = (
                "The rewards rose where the exact checker did not follow: see the alert."
                if found
                else "The exact checker never fell while the rewards rose."
            )
            yield Text("reward hacking", words)

    def transfer(self, i: int, handed: list[tuple[Final, Final]]) -> Iterator[Event]:
        """The many-step model from the plain and from the found noise; a model that cannot be had costs nothing else."""
        contest, model = self.contest, self.params.transfer_model
        yield Progress(self.total, self.total + 1, f"drawing with {model}")
        try:
            opened = Transfer(self.objective, self.params, self.context.device)
        except Refusal as error:
            yield Alert("transfer", i, error.sentence)
            return
        pair = opened.finals(contest.noise, contest.reno.state.best_noise, contest.prompt_of, self.judge)
        handed.append(pair)
        by_name: Mapping[str, Final] = {f"{model}, plain noise": pair[0], f"{model}, ReNO's noise": pair[1]}
        yield from report.contender_pictures(by_name, i, "The same noise in a many-step model")
