"""The contenders: one seed pool, one budget, different ways to spend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engines.devices import numpy_generator
from engines.images.ttsnap.method.ranking import Combine
from engines.images.ttsnap.method.replay import ORACLE, RANDOM, Curve, Lab, Outcome, curve, replay
from engines.images.ttsnap.method.schedule import Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN

TTSNAP, FIXED, TTSP, BON, FEWER, BLIND, PROPHET = (
    "TTSnap", "TTSnap, fixed cuts", "Plain pruning", "Best of N", "Fewer steps", "Random pruning", "Oracle pruning",
)  # fmt: skip


@dataclass(frozen=True)
class Adaptive:
    """The adaptive cut: `residual(step)`, the standard deviation of the final reward given its prediction, and how many of
    them a seed may lie behind."""

    residual: Callable[[int], float]
    z: float


@dataclass(frozen=True)
class Contender:
    """A strategy: its name, the lab it is replayed on (fewer steps has one of its own), whose scores prune, the cuts, the
    prices of its sampler, and whether the cut is adaptive."""

    name: str
    lab: Lab
    scorer: str
    schedule: Schedule
    prices: Prices
    adaptive: Adaptive | None = None

    @property
    def options(self) -> dict[str, Any]:
        """For `replay` and `curve`."""
        return {"residual": self.adaptive.residual, "z": self.adaptive.z} if self.adaptive else {}


def contenders(
    lab: Lab,
    schedule: Schedule,
    prices: Prices,
    fewer: tuple[Lab, Prices] | None,
    adaptive: Adaptive | None = None,
) -> list[Contender]:
    """All of them, the method first; without a noise-aware reward or without cuts those that need them are absent. With
    an adaptive cut the method has it, and stands beside itself with the schedule's cuts alone."""
    found = []
    if AWARE in lab.scores:
        own = Contender(TTSNAP, lab, AWARE, schedule, prices)
        found += [own] if adaptive is None else [replace(own, adaptive=adaptive), replace(own, name=FIXED)]
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
            rng=numpy_generator(seed, "draws", f"{budget:g}"), combine=combine, **c.options,
        )
        for c in some
    }  # fmt: skip


def curves(
    some: Sequence[Contender], budgets: Sequence[float], *, draws: int, seed: int, combine: Combine
) -> dict[str, Curve]:
    """Every contender over budgets."""
    return {
        c.name: curve(
            c.lab, c.scorer, c.schedule, c.prices, budgets, draws=draws, rng=numpy_generator(seed, "curve"), combine=combine,
            **c.options,
        )
        for c in some
    }  # fmt: skip


def budgets(budget: float, low: float = 0.25, high: float = 1.25, number: int = 9) -> tuple[float, ...]:
    """Equally spaced budgets around one: a quarter of it up to five quarters; half of it and it are among them."""
    return tuple(float(b) for b in np.linspace(low, high, number) * budget)
