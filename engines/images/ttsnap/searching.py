"""The live search: the race on the reader's prompt, then all contenders on it and on held-out prompts."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import Executor

from engines.contract import Context
from engines.events import Event, Progress, Text
from engines.images import choices
from engines.images.ttsnap import claims, comparison, cost, cuts, figures, report, telling
from engines.images.ttsnap.contenders import BON, TTSNAP, TTSP
from engines.images.ttsnap.ledger import Ledger
from engines.images.ttsnap.method import search
from engines.images.ttsnap.method.schedule import Prices
from engines.images.ttsnap.opening import AWARE, Models, open_models
from engines.images.ttsnap.params import TTSnapParams

ALIGNED = (2, 4, 9, 12)
"""Steps (of 20) at which alignment is measured besides the prune steps."""


def run(params: TTSnapParams, context: Context, lane: Executor | None = None) -> Iterator[Event]:
    """Everything of the experiment. `lane` is a thread in which held-out pools may be drawn ahead."""
    total = Total(params)
    yield Progress(0, total.work, "loading the models")
    models = open_models(params, context)
    yield from telling.before(params, models, total.seeds)
    yield from Search(params, context, models, total, lane).events()
    yield Progress(total.work, total.work, "done")


class Total:
    """Counts the work: calls of a batch and looks at it, in one unit for the progress bar."""

    def __init__(self, params: TTSnapParams) -> None:
        self.seeds, self.done = params.prices.seeds(params.schedule, params.budget), 0.0
        few = comparison.fewer_prices(params).total
        work = params.steps + len(params.schedule.steps) + 1
        if params.finishes:
            work += sum(params.steps - step for step in params.schedule.steps) + few
        if params.is_world:
            work += params.bench_prompts * (params.steps + few)
        self.work = float(work)

    def tick(self, note: str) -> Progress:
        """One unit more."""
        self.done = min(self.done + 1, self.work - 1)
        return Progress(self.done, self.work, note)


def levels_of(params: TTSnapParams) -> tuple[int, ...]:
    """Steps whose estimates are scored: the prune steps, and some for the alignment (embedded model)."""
    scaled = {round(s * (params.steps - 1) / (cuts.STEPS - 1)) for s in ALIGNED} if params.is_world else set()
    return tuple(sorted(s for s in {*params.schedule.steps, *scaled} if s < params.steps - 1))


class Search:
    """Tells of a search while it goes on."""

    def __init__(
        self, params: TTSnapParams, context: Context, models: Models, total: Total, lane: Executor | None
    ) -> None:
        self.params, self.context, self.models, self.total, self.lane = params, context, models, total, lane
        self.schedule = params.schedule
        self.live = TTSNAP if models.aware else TTSP if self.schedule.steps else BON
        self.number = total.seeds
        self.ledger = Ledger(models, params.prompt, self.number, self.schedule.steps, params.steps)
        self.stages: list[search.Stage] = []
        self.counts: list[int] = []
        self.clock = cost.Clock()

    def events(self) -> Iterator[Event]:
        """The whole run."""
        params, models = self.params, self.models
        race = yield from self.race()
        yield from self.told(race)
        if params.finishes:
            yield from self.rest(race)
        winner = int(race.seeds[self.stages[-1].kept][0])
        yield from report.predicted_and_final(self.ledger, self.stages, AWARE in self.ledger.scores)
        yield from report.winner_board(self.stages, self.ledger, winner)
        outcome = comparison.Live(self.live, self.number, self.spent(), winner)
        yield from comparison.on_prompt(params, self.context, models, self.ledger, outcome, self.total.tick)
        counted = cost.operations(models, params.prompt)
        yield from cost.tables(params, self.clock, counted, len(models.rewards))
        if params.is_world and params.bench_prompts:
            costs = comparison.Costs(self.clock.call, self.clock.verification, counted.teraflops)
            yield from comparison.on_held_out(
                params, self.context, models, levels_of(params), costs, self.total.tick, self.lane
            )
        else:
            why = "Held-out prompts were switched off, or the model is not the embedded one."
            yield from claims.undecided(comparison.CLAIMED, why)

    def race(self) -> Generator[Event, None, search.Race]:
        """The live search, call by call and stage by stage."""
        params, generator = self.params, self.models.generator
        noise = self.models.race_noise(self.number, self.context.seed)
        race = search.init(
            generator,
            noise.to(getattr(generator, "device", "cpu")),
            self.models.conditioning(params.prompt, self.number),
            steps=params.steps,
            guidance=params.guidance,
        )
        began = time.perf_counter()
        while not race.is_done:
            while race.sampling.index < search.next_cut(race, self.schedule):
                start = time.perf_counter()
                race = search.call(race, generator, params.at_once)
                self.clock.calls.append((len(race.seeds), time.perf_counter() - start))
                yield self.total.tick(
                    f"step {race.sampling.index} of {params.steps}, {len(race.seeds)} seeds"
                )
                yield from self.look(race)
            start, before = time.perf_counter(), len(race.seeds)
            race, stage = search.step(
                race, generator, self.schedule, self.ledger.judge, combine=params.combine, at_once=params.at_once,
                tiny=self.models.is_tiny, residual=self.models.residual if params.adaptive else None, z=params.z,
            )  # fmt: skip
            self.clock.verified.append((before, time.perf_counter() - start))
            self.stages.append(stage)
            self.counts.append(before)
            yield from report.stage(self.live, self.stages, self.spent(), before)
            yield self.total.tick(
                f"step {stage.step + 1} of {params.steps}: {int(stage.kept.sum())} of {before} stay"
            )
        seconds = time.perf_counter() - began - self.clock.looks
        yield report.seconds(self.live, params.budget, seconds)
        return race

    def look(self, race: search.Race) -> Iterator[Event]:
        """The estimates of those in the race, for the reader's eyes: outside the budget and the measured time."""
        step, every = race.sampling.index - 1, self.params.look_every
        if not every or step % every:
            return
        start = time.perf_counter()
        assert race.sampling.clean is not None
        shown = self.models.shown(race.sampling.clean, finished=False)
        scores = self.ledger.look(shown, step)
        yield from report.look(step, race.seeds, shown, scores, self.params.combine)
        self.clock.looks += time.perf_counter() - start

    def spent(self) -> float:
        """Price of the race so far, in calls."""
        segments = self.params.prices.segments(self.schedule)
        return sum(n * (c + self.params.verify_price) for n, c in zip(self.counts, segments, strict=False))

    def told(self, race: search.Race) -> Iterator[Event]:
        """What the race made and saved."""
        params, whole = self.params, self.number * self.params.prices.best_of_n()
        saved = whole - self.spent()
        yield Text("what was saved", telling.saved(self.number, self.spent(), whole))
        yield report.saved(self.live, params.budget, saved)
        # the calls that were made, whatever the accounting forgets
        made = Prices(1.0, params.verify_price, params.steps).segments(self.schedule)
        ends = (*self.schedule.steps, params.steps - 1)
        yield report.compute(self.counts, ends, made, params.verify_price)
        if self.models.aware and choices.plain_prompt(params.prompt) not in figures.held():
            yield Text(
                "prompts",
                "The noise-aware reward may have been trained on this prompt; the comparison below uses held-out ones only.",
            )

    def rest(self, race: search.Race) -> Iterator[Event]:
        """Bring what was set aside to its end too, outside the budget: then every baseline can be read off."""
        for seeds, sampling in race.out:
            yield from self.ledger.follow(
                sampling, seeds, lambda: self.total.tick("the seeds that were cut, to the end")
            )
