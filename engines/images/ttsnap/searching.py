"""The live search: the race on the reader's prompt, then all contenders on it and on held-out prompts."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from engines.contract import Context
from engines.events import Alert, Event, Progress, Text
from engines.images import choices
from engines.images.ttsnap import claims, comparison, figures, report
from engines.images.ttsnap.contenders import BON, TTSNAP, TTSP
from engines.images.ttsnap.ledger import Ledger
from engines.images.ttsnap.method import search
from engines.images.ttsnap.opening import AWARE, Models, open_models
from engines.images.ttsnap.params import TTSnapParams

ALIGNED = (2, 4, 9, 12)
"""Steps (of 20) at which alignment is measured besides the prune steps."""


def run(params: TTSnapParams, context: Context) -> Iterator[Event]:
    """Everything of the experiment."""
    total = Total(params)
    yield Progress(0, total.work, "loading the models")
    models = open_models(params, context)
    if models.memory:
        yield Text("memory", models.memory)
    if models.given is not None:
        yield Text(
            "seeds brought",
            f"Seeds 0 to {len(models.given) - 1} are noises of the file; the others were drawn.",
        )
    if models.note:
        yield Alert("no noise-aware reward", 0, models.note)
    if params.accounting == "official":
        yield Alert(
            "official accounting", 0,
            "The authors' accounting forgets one call of every seed that is pruned; the claims are better judged strictly.",
        )  # fmt: skip
    yield from Search(params, context, models, total).events()
    yield Progress(total.work, total.work, "done")


class Total:
    """Counts the work: denoising calls of all batches, and decoding, in one unit for the progress bar."""

    def __init__(self, params: TTSnapParams) -> None:
        seeds = params.prices.seeds(params.schedule, params.budget)
        held = params.bench_prompts if params.is_world else 0
        batches = 2 + held
        self.seeds, self.done = seeds, 0.0
        per_batch = params.steps + len(levels_of(params)) + 1 + (params.steps // 2 + 1)
        self.work = float(batches * per_batch)

    def tick(self, note: str) -> Progress:
        """One unit more."""
        self.done = min(self.done + 1, self.work - 1)
        return Progress(self.done, self.work, note)


def levels_of(params: TTSnapParams) -> tuple[int, ...]:
    """Steps whose estimates are scored: the prune steps, and some for the alignment (embedded model)."""
    scaled = {round(s * (params.steps - 1) / 19) for s in ALIGNED} if params.is_world else set()
    return tuple(sorted(s for s in {*params.prune_steps, *scaled} if s < params.steps - 1))


class Search:
    """Tells of a search while it goes on."""

    def __init__(self, params: TTSnapParams, context: Context, models: Models, total: Total) -> None:
        self.params, self.context, self.models, self.total = params, context, models, total
        self.live = TTSNAP if models.aware else TTSP if params.schedule.steps else BON
        if params.adaptive and models.aware:
            self.live = f"{TTSNAP}, adaptive"
        self.number = total.seeds
        self.ledger = Ledger(models, params.prompt, self.number, params.prune_steps, params.steps)
        self.stages: list[search.Stage] = []
        self.counts: list[int] = []
        self.verify_s: list[tuple[int, float]] = []
        self.call_s: list[tuple[int, float]] = []

    def events(self) -> Iterator[Event]:
        """The whole run."""
        race = yield from self.race()
        yield from self.rest(race)
        yield from comparison.on_prompt(self.params, self.context, self.models, self.ledger, self.total.tick)
        if self.params.is_world and self.params.bench_prompts:
            yield from comparison.on_held_out(
                self.params, self.context, self.models, levels_of(self.params), self.total.tick
            )
            yield report.verification(self.params, self.call_s, self.verify_s, len(self.models.rewards))
        else:
            why = "Held-out prompts were switched off, or the model is not the embedded one."
            yield from claims.undecided(comparison.CLAIMED, why)

    # the race

    def race(self) -> Generator[Event, None, search.Race]:
        """The live search, call by call and stage by stage."""
        params, generator = self.params, self.models.generator
        noise = self.models.race_noise(self.number, self.context.seed)
        conditioning = self.models.conditioning(params.prompt, self.number)
        race = search.init(
            generator,
            noise.to(getattr(generator, "device", "cpu")),
            conditioning,
            steps=params.steps,
            guidance=params.guidance,
        )
        began = time.perf_counter()
        residual = self.residual if params.adaptive and self.models.aware else None
        while not race.is_done:
            while race.sampling.index < search.next_cut(race, params.schedule):
                start = time.perf_counter()
                race = search.call(race, generator, params.at_once)
                self.call_s.append((len(race.seeds), time.perf_counter() - start))
                yield self.total.tick(
                    f"step {race.sampling.index} of {params.steps}, {len(race.seeds)} seeds"
                )
            start, before = time.perf_counter(), len(race.seeds)
            race, stage = search.step(
                race, generator, params.schedule, self.ledger.judge, combine=params.combine, at_once=params.at_once,
                residual=residual, z=params.z,
            )  # fmt: skip
            self.verify_s.append((before, time.perf_counter() - start))
            self.stages.append(stage)
            self.counts.append(before)
            yield from report.stage(self.live, self.models, stage, race, self.spent(), before)
            yield self.total.tick(
                f"step {stage.step + 1} of {params.steps}: {int(stage.kept.sum())} of {before} stay"
            )
        yield report.seconds(self.live, params.budget, time.perf_counter() - began)
        return race

    def residual(self, step: int) -> float:
        """Standard deviation of the final reward given the prediction at a step, as training measured it; without bound
        where it is not known, so that nobody is dropped for it."""
        known = self.models.residuals.get(self.params.rewards[0], ())
        return float(known[step]) if step < len(known) else float("inf")

    def spent(self) -> float:
        """Price of the race so far, in calls."""
        segments = self.params.prices.segments(self.params.schedule)
        return sum(n * (c + self.params.verify_price) for n, c in zip(self.counts, segments, strict=False))

    def rest(self, race: search.Race) -> Iterator[Event]:
        """Bring what was set aside to its end too, outside the budget: then every baseline can be read off."""
        for seeds, sampling in race.out:
            yield from self.ledger.follow(
                sampling, seeds, lambda: self.total.tick("the seeds that were cut, to the end")
            )
        yield from report.predicted_and_final(self.ledger, self.stages, AWARE in self.ledger.scores)
        winner = int(race.seeds[self.stages[-1].kept][0])
        yield from report.winner_board(self.stages, self.ledger, winner)
        saved = self.number * self.params.prices.best_of_n() - self.spent()
        share = 100 * saved / (self.number * self.params.prices.best_of_n())
        yield Text(
            "what was saved",
            f"{self.number} seeds for {self.spent():.0f} calls; drawing all of them to the end would cost "
            f"{self.number * self.params.prices.best_of_n():.0f}: {share:.0f}\u00a0% saved.",
        )
        yield report.saved(self.live, self.params.budget, saved)
        if self.models.aware and choices.plain_prompt(self.params.prompt) not in figures.held():
            yield Text(
                "prompts",
                "The noise-aware reward may have been trained on this prompt; the comparison below uses held-out ones only.",
            )
