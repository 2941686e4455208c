"""All contenders at one budget: on the reader's prompt, and on held-out prompts with draws from a pool."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from engines.contract import Context
from engines.devices import numpy_generator
from engines.events import Event, File, Picture, Scalar, Table, Text
from engines.images.ttsnap import figures, judging, lab_file
from engines.images.ttsnap.contenders import FEWER, Adaptive, Contender, contenders, outcomes
from engines.images.ttsnap.judging import CLAIMED, Costs
from engines.images.ttsnap.ledger import Ledger, joined
from engines.images.ttsnap.method.replay import Lab, replay, worth
from engines.images.ttsnap.method.schedule import Prices, Schedule
from engines.images.ttsnap.opening import Models
from engines.images.ttsnap.params import TTSnapParams
from engines.images.ttsnap.pools import Pool, Pools, Tick, collected


@dataclass(frozen=True)
class Live:
    """What the race came to: who ran, with how many seeds, for how many calls, and the number of its winner."""

    name: str
    seeds: int
    spent: float
    winner: int


def fewer_prices(params: TTSnapParams) -> Prices:
    """Half of the steps."""
    return replace(params.prices, total=max(2, params.steps // 2))


def _contenders(params: TTSnapParams, models: Models, lab: Lab, fewer: tuple[Lab, Prices]) -> list[Contender]:
    adaptive = Adaptive(models.residual, params.z) if params.adaptive else None
    return contenders(lab, params.schedule, params.prices, fewer, adaptive)


# the reader's prompt


def on_prompt(
    params: TTSnapParams, context: Context, models: Models, ledger: Ledger, live: Live, tick: Tick
) -> Iterator[Event]:
    """Every contender on the pool of this prompt, seeds 0 .. N - 1: what each would have drawn for the same budget. Where the
    cut seeds were not finished only the race itself can be told."""
    rows = []
    if params.finishes:
        few = fewer_prices(params)
        number = few.seeds(Schedule(), params.budget)
        note = f"{number} seeds with {few.total} steps"
        pool = Pool(params.prompt, models.race_noise(number, context.seed), few.total, (), note)
        (short,) = yield from collected(Pools(models, (pool,), None).ledgers(tick), 1)
        for c in _contenders(params, models, ledger.lab(), (short.lab(), few)):
            own = short if c.name == FEWER else ledger
            count = min(c.prices.seeds(c.schedule, params.budget), own.number)
            done = replay(
                c.lab.first(count), c.scorer, c.schedule, count, draws=1, rng=numpy_generator(context.seed, "prompt"),
                combine=params.combine, **c.options,
            )  # fmt: skip
            spent = c.prices.spent(done.counts, c.schedule)
            found = Live(c.name, count, spent, int(done.winner[0, 0]))
            rows.append((yield from _winner(params, models, own, found)))
    else:
        rows.append((yield from _winner(params, models, ledger, live)))
        yield Text(
            "contenders",
            "The seeds that were cut were not drawn to their end, so the other contenders cannot be judged on this prompt. Set "
            "finish to always to judge them; that is outside the budget, and costs about as much again for each seed cut.",
        )
    watched = [f"{name.upper()} (not used)" for name in models.judges]
    columns = ("contender", "seeds", "calls", "winner", *models.names, *watched, "right", "demands met")
    yield Table("Contenders on this prompt", columns, rows)


def _winner(
    params: TTSnapParams, models: Models, own: Ledger, found: Live
) -> Generator[Event, None, list[str | float]]:
    """The final reward and the picture of a contender; its row of the table."""
    winner = found.winner
    reward = [float(v) for v in own.final[:, winner]]
    right, soft = float(own.right[winner]), float(own.soft[winner])
    yield Scalar(found.name, "final reward", params.budget, reward[0])
    verdict = "" if np.isnan(right) else ", right" if right else ", wrong"
    words = f"{found.name}: seed {winner}, {models.names[0]} {reward[0]:.2f}{verdict}"
    yield Picture(f"Winners/{found.name}", 0, own.pictures[winner], words)
    return [found.name, found.seeds, found.spent, winner, *reward, *own.watched(winner), right, soft]


# held-out prompts


def pools_of(
    params: TTSnapParams, context: Context, models: Models, prompts: Sequence[str], levels: tuple[int, ...]
) -> list[Pool]:
    """Two pools a prompt, from the same noise: with all steps, and with fewer."""
    found = []
    for place, prompt in enumerate(prompts):
        noise = models.noise(params.pool, context.seed, models.spelled(prompt))
        note = f"held-out prompt {place + 1} of {len(prompts)}"
        found.append(Pool(prompt, noise, params.steps, levels, note))
        found.append(Pool(prompt, noise, fewer_prices(params).total, (), note))
    return found


def on_held_out(
    params: TTSnapParams,
    context: Context,
    models: Models,
    levels: tuple[int, ...],
    costs: Costs,
    tick: Tick,
    lane: Executor | None,
) -> Iterator[Event]:
    """Pools of held-out prompts, then the comparison, the alignment and the claims."""
    prompts = figures.held(params.bench_prompts)
    few = fewer_prices(params)
    whole: list[Ledger] = []
    short: list[Ledger] = []
    with Pools(models, pools_of(params, context, models, prompts, levels), lane) as drawn:
        ledgers = drawn.ledgers(tick)
        for place in range(len(prompts)):
            own, half = yield from collected(ledgers, 2)
            whole.append(own)
            short.append(half)
            lab, fewer = joined(whole, params.pool), joined(short, params.pool)
            some = _contenders(params, models, lab, (fewer, few))
            done = outcomes(
                some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine
            )
            for c in some:
                value = float(worth(c.lab, done[c.name].reward).mean())
                yield Scalar(c.name, "reward, prompts so far", place + 1, value)
    if len(prompts) >= lab_file.LEAST_PROMPTS:
        path = lab_file.write(context.scratch / "rewards.npz", lab, fewer)
        yield File(
            lab_file.FIELD, path, "application/zip", "rewards of the held-out prompts, for the replay lab"
        )
    if prompts:
        yield from judging.verdicts(params, context, some, whole, short, costs)


__all__ = ["CLAIMED", "Costs", "Live", "fewer_prices", "on_held_out", "on_prompt", "pools_of"]
