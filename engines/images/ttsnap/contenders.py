"""The contenders: one seed pool, one budget, different ways to spend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.devices import numpy_generator
from engines.images.ttsnap.method.ranking import Combine
from engines.images.ttsnap.method.replay import ORACLE, RANDOM, Curve, Lab, Outcome, curve, replay
from engines.images.ttsnap.method.schedule import Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN

TTSNAP, TTSP, BON, FEWER, BLIND, PROPHET = (
    "TTSnap", "Plain pruning", "Best of N", "Fewer steps", "Random pruning", "Oracle pruning",
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """A strategy: its name, the lab it is replayed on (fewer steps has one of its own), whose scores prune, the cuts, and
    the prices of its sampler."""

    name: str
    lab: Lab
    scorer: str
    schedule: Schedule
    prices: Prices


def contenders(
    lab: Lab, schedule: Schedule, prices: Prices, fewer: tuple[Lab, Prices] | None
) -> list[Contender]:
    """All of them, the method first; without a noise-aware reward or without cuts those that need them are absent."""
    found = []
    if AWARE in lab.scores:
        found.append(Contender(TTSNAP, lab, AWARE, schedule, prices))
    if schedule.steps:
        found.append(Contender(TTSP, lab, PLAIN, schedule, prices))
    found.append(Contender(BON, lab, PLAIN, Schedule(), prices))
    if fewer is not None:
        found.append(Contender(FEWER, fewer[0], PLAIN, Schedule(), fewer[1]))
    if schedule.steps:
        found.append(Contender(BLIND, lab, RANDOM, schedule, prices))
        found.append(Contender(PROPHET, lab, ORACLE, schedule, prices))
    return found


def outcomes(
    some: Sequence[Contender], budget: float, *, draws: int, seed: int, combine: Combine
) -> dict[str, Outcome]:
    """Every contender at one budget, on the same stream of draws."""
    return {
        c.name: replay(
            c.lab, c.scorer, c.schedule, c.prices.seeds(c.schedule, budget), draws=draws,
            rng=numpy_generator(seed, "draws", f"{budget:g}"), combine=combine,
        )
        for c in some
    }  # fmt: skip


def curves(
    some: Sequence[Contender], budgets: Sequence[float], *, draws: int, seed: int, combine: Combine
) -> dict[str, Curve]:
    """Every contender over budgets."""
    return {
        c.name: curve(
            c.lab, c.scorer, c.schedule, c.prices, budgets, draws=draws, rng=numpy_generator(seed, "curve"), combine=combine
        )
        for c in some
    }  # fmt: skip


def budgets(budget: float, low: float = 0.25, high: float = 1.25, number: int = 9) -> tuple[float, ...]:
    """Equally spaced budgets around one: a quarter of it up to five quarters; half of it and it are among them."""
    return tuple(float(b) for b in np.linspace(low, high, number) * budget)


def by_prompt(values: Mapping[str, NDArray[np.float64]], one: str, other: str) -> tuple[float, float]:
    """Mean over prompts of the difference of two contenders' values [P], and its standard error (NaN for one prompt)."""
    gap = values[one] - values[other]
    error = float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else float("nan")
    return float(gap.mean()), error
