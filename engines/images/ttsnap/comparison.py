"""All contenders at one budget: on the reader's prompt, and on held-out prompts with draws from a pool."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import numpy_generator
from engines.events import Alert, Event, Picture, Progress, Scalar, Table
from engines.images.ttsnap import claims, figures, report
from engines.images.ttsnap.contenders import BON, FEWER, Contender, budgets, contenders, curves, outcomes
from engines.images.ttsnap.ledger import Ledger, column, joined
from engines.images.ttsnap.method import search
from engines.images.ttsnap.method.metrics import (
    kendall,
    mean_over_prompts,
    relative_increase,
    spearman,
    top_accuracy,
)
from engines.images.ttsnap.method.replay import Curve, Lab, Outcome, replay, worth
from engines.images.ttsnap.method.schedule import Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN, Models
from engines.images.ttsnap.params import TTSnapParams

Floats = NDArray[np.float64]
Tick = Callable[[str], Progress]
HALVES = ("reward", "best_of_n", "plain_pruning")
CLAIMED = ("alignment", *HALVES, *(f"{key}_half" for key in HALVES), "increase", "judged")


def fewer_prices(params: TTSnapParams) -> Prices:
    """Half of the steps."""
    return replace(params.prices, total=max(2, params.steps // 2))


def finish(
    params: TTSnapParams,
    models: Models,
    prompt: str,
    noise: torch.Tensor,
    levels: Sequence[int],
    steps: int,
    tick: Tick,
    note: str,
) -> Generator[Progress, None, Ledger]:
    """The pool of a prompt that starts from `noise` [N, C, H, W], drawn to the end with all levels scored."""
    number = len(noise)
    ledger = Ledger(models, prompt, number, levels, steps)
    race = search.init(
        models.generator,
        noise.to(getattr(models.generator, "device", "cpu")),
        models.conditioning(prompt, number),
        steps=steps,
        guidance=params.guidance,
    )
    yield from ledger.follow(race.sampling, race.seeds, lambda: tick(note))
    return ledger


# the reader's prompt


def on_prompt(
    params: TTSnapParams, context: Context, models: Models, ledger: Ledger, tick: Tick
) -> Iterator[Event]:
    """Every contender on the pool of this prompt, seeds 0 .. N - 1: what each would have drawn for the same budget."""
    few = fewer_prices(params)
    number = few.seeds(Schedule(), params.budget)
    short = yield from finish(
        params,
        models,
        params.prompt,
        models.race_noise(number, context.seed),
        (),
        few.total,
        tick,
        f"{number} seeds with {few.total} steps",
    )
    rows = []
    for c in contenders(ledger.lab(), params.schedule, params.prices, (short.lab(), few)):
        own = short if c.name == FEWER else ledger
        count = min(c.prices.seeds(c.schedule, params.budget), own.number)
        done = replay(
            c.lab.first(count), c.scorer, c.schedule, count, draws=1, rng=numpy_generator(context.seed, "prompt"),
            combine=params.combine,
        )  # fmt: skip
        winner = int(done.winner[0, 0])
        spent = c.prices.spent(c.schedule.survivors(count), c.schedule)
        reward = [float(v) for v in done.reward[:, 0, 0]]
        right, soft = float(own.right[winner]), float(own.soft[winner])
        rows.append([c.name, count, spent, winner, *reward, *own.watched(winner), right, soft])
        yield Scalar(c.name, "final reward", params.budget, reward[0])
        verdict = "" if np.isnan(right) else ", right" if right else ", wrong"
        words = f"{c.name}: seed {winner}, {models.names[0]} {reward[0]:.2f}{verdict}"
        yield Picture(f"Winners/{c.name}", 0, own.pictures[winner], words)
    watched = [f"{name.upper()} (not used)" for name in models.judges]
    columns = ("contender", "seeds", "calls", "winner", *models.names, *watched, "right", "demands met")
    yield Table("Contenders on this prompt", columns, rows)
    yield compute_table(params, ledger)


def compute_table(params: TTSnapParams, ledger: Ledger) -> Event:
    """Calls of each stage for TTSnap's schedule and for best-of-N with as many seeds."""
    from engines.events import Array, Axis

    counts = params.schedule.survivors(ledger.number)
    segments = params.prices.segments(params.schedule)
    pruned = [n * c for n, c in zip(counts, segments, strict=True)]
    whole = [ledger.number * c for c in segments]
    check = [n * params.verify_price for n in counts]
    marks = (*params.schedule.steps, params.steps - 1)
    stages = tuple(f"to step {mark}" for mark in marks)
    axes = (
        Axis("what", ("all seeds to the end", "seeds in the race", "verification")),
        Axis("stage", stages),
    )
    return Array("compute", 0, np.array([whole, pruned, check], dtype=float), axes, keep=False)


# held-out prompts


def on_held_out(
    params: TTSnapParams, context: Context, models: Models, levels: Sequence[int], tick: Tick
) -> Iterator[Event]:
    """Pools of held-out prompts, then the comparison, the alignment and the claims."""
    prompts = figures.held(params.bench_prompts)
    few = fewer_prices(params)
    short_pool = min(params.pool, few.seeds(Schedule(), 1.25 * params.budget))
    whole: list[Ledger] = []
    short: list[Ledger] = []
    for place, prompt in enumerate(prompts):
        note = f"held-out prompt {place + 1} of {len(prompts)}"
        noise = models.noise(params.pool, context.seed, models.spelled(prompt))
        own = yield from finish(params, models, prompt, noise, levels, params.steps, tick, note)
        short_noise = models.noise(short_pool, context.seed, models.spelled(prompt))
        half = yield from finish(params, models, prompt, short_noise, (), few.total, tick, note)
        whole.append(own)
        short.append(half)
        some = _contenders(params, whole, short, few)
        done = outcomes(some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
        for c in some:
            yield Scalar(
                c.name, "reward, prompts so far", place + 1, float(worth(c.lab, done[c.name].reward).mean())
            )
    if prompts:
        yield from verdicts(params, context, _contenders(params, whole, short, few), whole, short)


def _contenders(
    params: TTSnapParams, whole: Sequence[Ledger], short: Sequence[Ledger], few: Prices
) -> list[Contender]:
    lab = joined(whole, whole[0].number)
    return contenders(lab, params.schedule, params.prices, (joined(short, short[0].number), few))


def verdicts(
    params: TTSnapParams,
    context: Context,
    some: Sequence[Contender],
    whole: Sequence[Ledger],
    short: Sequence[Ledger],
) -> Iterator[Event]:
    """Curves, tables and claims of the held-out prompts."""
    lab = next(c.lab for c in some if c.name == BON)
    measured = alignment_of(lab)
    yield from report.alignment(measured)
    found = curves(
        some, budgets(params.budget), draws=params.draws, seed=context.seed, combine=params.combine
    )
    yield from curve_events(found)
    for name, c in found.items():
        if c.is_clamped:
            yield Alert(
                "pool is small",
                0,
                f"{name} could buy more seeds than the pool of {lab.seeds} holds at the largest budgets.",
            )
            break
    omega = omegas(found)
    yield Table("Relative increase", ("contender", "Ω (%)"), [[name, value] for name, value in omega.items()])
    done = outcomes(some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    right = {
        c.name: _at(column(short if c.name == FEWER else whole, "right", c.lab.seeds), done[c.name])
        for c in some
    }
    yield contender_table("Contenders on held-out prompts", some, done, right)
    dear = [replace(c, prices=replace(c.prices, verify=report.VERIFY_HERE)) for c in some]
    paid = outcomes(dear, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    yield contender_table(f"The same with a verification at {report.VERIFY_HERE:g} calls", dear, paid, None)
    for name, values in right.items():
        yield Scalar(name, "right by the checker", params.budget, float(values.mean()))
    yield from decide(params, context, some, done, omega, right, measured)


def decide(
    params: TTSnapParams,
    context: Context,
    some: Sequence[Contender],
    done: Mapping[str, Outcome],
    omega: Mapping[str, float],
    right: Mapping[str, Floats],
    measured: Mapping[str, Mapping[str, Mapping[int, float]]],
) -> Iterator[Event]:
    """The claims."""
    plain = measured[PLAIN]["Spearman"]
    aware = measured[AWARE]["Spearman"] if AWARE in measured else {}
    yield claims.alignment(plain, aware, params.prune_steps)
    half = outcomes(some, params.budget / 2, draws=params.draws, seed=context.seed, combine=params.combine)
    for suffix, those, budget in (("", done, params.budget), ("_half", half, params.budget / 2)):
        values = {c.name: worth(c.lab, those[c.name].reward).mean(0) for c in some}
        yield from claims.rewards(values, budget, suffix)
    yield claims.increase(omega)
    yield claims.judged(right)


def _at(table: Floats, outcome: Outcome) -> Floats:
    """Mean over draws of a table [P, S] at the winners, [P]."""
    rows = np.arange(table.shape[0])[None, :]
    return np.asarray(table[rows, outcome.winner].mean(0))


def alignment_of(lab: Lab) -> dict[str, dict[str, dict[int, float]]]:
    """Spearman, Kendall and Tacc(.25) of every scorer at every level, mean over prompts and rewards."""
    out: dict[str, dict[str, dict[int, float]]] = {}
    for scorer in (AWARE, PLAIN):
        if scorer not in lab.scores:
            continue
        measures: dict[str, dict[int, float]] = {"Spearman": {}, "Kendall": {}, "top quarter": {}}
        for place, level in enumerate(lab.levels):
            pairs = [(lab.scores[scorer][r, ..., place], lab.final[r]) for r in range(len(lab.final))]
            measures["Spearman"][level] = float(
                np.mean([mean_over_prompts(spearman(a, b)) for a, b in pairs])
            )
            measures["Kendall"][level] = float(np.mean([mean_over_prompts(kendall(a, b)) for a, b in pairs]))
            measures["top quarter"][level] = float(np.mean([top_accuracy(a, b, 0.25) for a, b in pairs]))
        out[scorer] = measures
    return out


def curve_events(found: Mapping[str, Curve]) -> Iterator[Event]:
    """Mean and spread of every contender at every budget."""
    for name, c in found.items():
        for budget, mean, spread in zip(c.budgets, c.mean, c.spread, strict=True):
            yield Scalar(name, "final reward over budgets", float(budget), float(mean))
            yield Scalar(name, "spread over budgets", float(budget), float(spread))


def omegas(found: Mapping[str, Curve]) -> dict[str, float]:
    """Relative increase of every contender over best-of-N."""
    base = found[BON]
    return {name: relative_increase(c.mean, base.mean, c.budgets) for name, c in found.items() if name != BON}


def contender_table(
    name: str, some: Sequence[Contender], done: Mapping[str, Outcome], right: Mapping[str, Floats] | None
) -> Table:
    """Seeds, calls, reward and its spread over draws, and the checker's verdict where known."""
    rows: list[list[str | int | float]] = []
    for c in some:
        count = done[c.name].seeds
        means = worth(c.lab, done[c.name].reward).mean(-1)
        row: list[str | int | float] = [
            c.name, count, c.prices.spent(c.schedule.survivors(count), c.schedule), float(means.mean()), float(means.std()),
        ]  # fmt: skip
        if right is not None:
            row.append(float(right[c.name].mean()))
        rows.append(row)
    columns = ["contender", "seeds", "calls", "final reward", "spread over draws"]
    return Table(name, [*columns, "right"] if right is not None else columns, rows)
