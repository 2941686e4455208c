"""What the held-out prompts say: curves over budgets, tables, alignment, claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.contract import Context
from engines.events import Alert, Event, Scalar, Table
from engines.images.ttsnap import claims, report
from engines.images.ttsnap.aligning import Alignment, aligned
from engines.images.ttsnap.contenders import BON, FEWER, Contender, budgets, curves, outcomes
from engines.images.ttsnap.ledger import Ledger, column
from engines.images.ttsnap.method.metrics import relative_increase
from engines.images.ttsnap.method.replay import Curve, Outcome, worth
from engines.images.ttsnap.opening import AWARE, PLAIN
from engines.images.ttsnap.params import TTSnapParams

Floats = NDArray[np.float64]
HALVES = ("reward", "best_of_n", "plain_pruning")
CLAIMED = ("alignment", *HALVES, *(f"{key}_half" for key in HALVES), "increase", "judged")
VERIFY_HERE = 2.5
"""Price of a verification (decode and one reward) in guided calls of embedded-f, measured on one AVX2 core."""


@dataclass(frozen=True)
class Costs:
    """Measured seconds of a call and of a verification of one seed, and 10^12 operations of a call."""

    call: float
    verification: float
    teraflops: float


def verdicts(
    params: TTSnapParams,
    context: Context,
    some: Sequence[Contender],
    whole: Sequence[Ledger],
    short: Sequence[Ledger],
    costs: Costs,
) -> Iterator[Event]:
    """Curves, tables and claims of the held-out prompts."""
    lab = next(c.lab for c in some if c.name == BON)
    measured = aligned(lab)
    yield from report.alignment(measured.means)
    found = curves(
        some, budgets(params.budget), draws=params.draws, seed=context.seed, combine=params.combine
    )
    yield from curve_events(found)
    yield from axis_events(some, found, costs)
    yield from small_pool(found, lab.seeds)
    omega = omegas(found)
    yield Table("Relative increase", ("contender", "Ω (%)"), [[name, value] for name, value in omega.items()])
    done = outcomes(some, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    right = {
        c.name: _at(column(short if c.name == FEWER else whole, "right", c.lab.seeds), done[c.name])
        for c in some
    }
    yield contender_table("Contenders on held-out prompts", some, done, right)
    dear = [replace(c, prices=replace(c.prices, verify=VERIFY_HERE)) for c in some]
    paid = outcomes(dear, params.budget, draws=params.draws, seed=context.seed, combine=params.combine)
    yield contender_table(f"The same with a verification at {VERIFY_HERE:g} calls", dear, paid, None)
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
    measured: Alignment,
) -> Iterator[Event]:
    """The claims."""
    yield claims.alignment(measured.by_prompt[PLAIN], measured.by_prompt[AWARE], params.schedule.steps)
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


def curve_events(found: Mapping[str, Curve]) -> Iterator[Event]:
    """Mean and spread of every contender at every budget."""
    for name, c in found.items():
        for budget, mean, spread in zip(c.budgets, c.mean, c.spread, strict=True):
            yield Scalar(name, "final reward over budgets", float(budget), float(mean))
            yield Scalar(name, "spread over budgets", float(budget), float(spread))


def axis_events(some: Sequence[Contender], found: Mapping[str, Curve], costs: Costs) -> Iterator[Event]:
    """What budgets are in other units: operations of a call, and the seconds that the calls and verifications of a contender
    take, by what they took in the race."""
    yield Scalar("A call", "TFLOPs", 0, costs.teraflops)
    for c in some:
        made = replace(c.prices, accounting="strict")  # the calls that are really made
        for budget, counts in zip(found[c.name].budgets, found[c.name].counts, strict=True):
            calls = replace(made, verify=0.0).spent(counts, c.schedule)
            seconds = calls * costs.call + sum(counts) * costs.verification
            yield Scalar(c.name, "seconds of the budget", float(budget), seconds)


def small_pool(found: Mapping[str, Curve], seeds: int) -> Iterator[Event]:
    """A warning where a budget buys more seeds than the pool holds: there a contender gets less than it paid for."""
    clamped = [name for name, c in found.items() if c.is_clamped]
    if clamped:
        names = " and ".join(filter(None, (", ".join(clamped[:-1]), clamped[-1])))
        verb = "buys" if len(clamped) == 1 else "buy"
        yield Alert(
            "pool is small",
            0,
            f"At the largest budgets {names} {verb} more seeds than the {seeds} of the pool, so they are shown worse than they are, "
            "and Ω with them. A larger pool mends it.",
        )


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
        outcome = done[c.name]
        means = worth(c.lab, outcome.reward).mean(-1)
        row: list[str | int | float] = [
            c.name, outcome.seeds, c.prices.spent(outcome.counts, c.schedule), float(means.mean()), float(means.std()),
        ]  # fmt: skip
        if right is not None:
            row.append(float(right[c.name].mean()))
        rows.append(row)
    columns = ["contender", "seeds", "calls", "final reward", "spread over draws"]
    return Table(name, [*columns, "right"] if right is not None else columns, rows)
