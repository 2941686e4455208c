"""Pruning schedules and their price in network calls (ttsnap.md 2.4 and 2.5; the authors' simulation/ttsnap_sim.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Accounting = Literal["strict", "official"]
"""How calls are counted up to a 0-indexed prune step s: s + 1 (strict, true), or s (the official code, which so omits one
call of every seed that is pruned; best-of-N pays its T calls there too)."""


@dataclass(frozen=True)
class Schedule:
    """Where to prune and how much to keep: after the estimate of step `steps[k]` (0-indexed, increasing) the share
    `keep[k]` of the seeds in the race stays. Without steps it is best-of-N.

    Raises ValueError for unsorted or negative steps and for shares outside (0, 1]."""

    steps: tuple[int, ...] = ()
    keep: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.keep):
            raise ValueError(
                f"a share for each prune step: {len(self.steps)} steps, {len(self.keep)} shares."
            )
        if any(b <= a for a, b in zip((-1, *self.steps), self.steps, strict=False)):
            raise ValueError(f"prune steps must rise from 0 on; got {self.steps}.")
        if any(not 0 < share <= 1 for share in self.keep):
            raise ValueError(f"shares must be above 0 and at most 1; got {self.keep}.")

    def check(self, total: int) -> None:
        """Raise ValueError unless every prune step lies before the last of `total` denoising steps."""
        if self.steps and self.steps[-1] >= total - 1:
            raise ValueError(f"prune steps must be below {total - 1}, the last step; got {self.steps[-1]}.")

    def survivors(self, seeds: int) -> tuple[int, ...]:
        """How many seeds are in the race before the first cut and after each: m = max(1, round(n a)), with Python's
        rounding of halves to even, as in the official code."""
        counts = [seeds]
        for share in self.keep:
            counts.append(max(1, round(counts[-1] * share)))
        return tuple(counts)


PAPER_SINGLE = Schedule((2, 6, 11), (0.4, 0.4, 0.5))
PAPER_MULTI = Schedule((4, 6, 11), (0.4, 0.5, 0.6))
SAFE = Schedule((6, 11), (0.5, 0.5))


@dataclass(frozen=True)
class Prices:
    """What things cost: `call` a denoising call, `verify` a verification (decode and reward), in one unit; `total`
    denoising steps T of a picture."""

    call: float
    verify: float
    total: int
    accounting: Accounting = "strict"

    def best_of_n(self) -> float:
        """c = T x + y of one seed."""
        return self.total * self.call + self.verify

    def segments(self, schedule: Schedule) -> tuple[int, ...]:
        """Calls of each segment between cuts, the last one up to the picture; T without cuts, by both accountings."""
        before = 0 if self.accounting == "official" and schedule.steps else -1
        marks = (before, *schedule.steps, self.total - 1)
        return tuple(b - a for a, b in pairwise(marks))

    def pruned(self, schedule: Schedule) -> float:
        """c = sum_k A_{k-1} ((s_k - s_{k-1}) x + y) + A_K ((T - 1 - s_K) x + y) of one seed at the start, where A_k is
        the share that is left after k cuts and s_0 = -1 (strict) or 0 (official). Without cuts it is best-of-N's T x + y."""
        cost, share = 0.0, 1.0
        for calls, keep in zip(self.segments(schedule), (*schedule.keep, 1.0), strict=True):
            cost += share * (calls * self.call + self.verify)
            share *= keep
        return cost

    def seeds(self, schedule: Schedule, budget: float) -> int:
        """Seeds that a budget buys, at least 1: N = floor(budget / c).

        Whole survivors may cost more than their shares do; strictly N is then lowered until the search stays within the
        budget, which the official code does not look at."""
        number = max(1, int((budget + 1e-9) // self.pruned(schedule)))
        if self.accounting == "strict":
            while number > 1 and self.spent(schedule.survivors(number), schedule) > budget + 1e-9:
                number -= 1
        return number

    def spent(self, counts: Sequence[float], schedule: Schedule) -> float:
        """Price of a search whose seeds before each segment were `counts` (after rounding, or means over searches)."""
        segments = self.segments(schedule)
        return sum(n * (calls * self.call + self.verify) for n, calls in zip(counts, segments, strict=True))
