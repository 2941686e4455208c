"""What an iteration costs as the rank and the number of entries grow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engines.contract import Context
from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import ROBUST, Plan, options_of
from engines.estimation.matrix_completion.problems.race import distinct_entries, truth_of
from engines.events import ClaimCheck, Event, Progress, Scalar, Text

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.method.alternating import Options
    from engines.estimation.matrix_completion.method.compiled import RowTeam
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

RANKS = (10, 20, 40, 80)
FITTED_FROM = 20
"""Slopes in the rank are fitted from here on: below, what a row costs at any rank still shows."""
SHARES = (0.125, 0.25, 0.5, 1.0)
"""Entries a row in the second sweep, as shares of `scaling_per_row`."""
SWEEP_RANK = 20


def run(settings: Settings, context: Context, done: float, share: float) -> Iterator[Event]:
    """Both sweeps, timed in CPU seconds on one thread; progress goes from `done` to `done + share` (of 1)."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas

    n, most = settings.scaling_rows, settings.scaling_per_row
    plans = [Plan("robust", ROBUST, 1, 0.0)]
    plans += [Plan("exact", "Exact AM", 1, 0.0)] if "exact" in settings.rivals else []
    plans += [Plan("sketch", "Sketch per row", 1, 0.0)] if "sketch" in settings.rivals else []
    yield Text("scaling setting", f"Cost of an outer iteration, {n:,} x {n:,}, CPU seconds on one thread, best of "
               f"{settings.repeats}: ranks {RANKS} at {most} entries a row, then {SWEEP_RANK} at up to {most}.")  # fmt: skip
    by_rank: dict[str, list[tuple[float, float]]] = {plan.name: [] for plan in plans}
    by_entries: dict[str, list[tuple[float, float]]] = {plan.name: [] for plan in plans}
    sweeps = [("rank", k, most) for k in RANKS if k <= min(n, most)]
    sweeps += [("entries", SWEEP_RANK, max(2, round(part * most))) for part in SHARES]
    with single_threaded_blas(), RowTeam(1) as team:
        for number, (kind, k, per_row) in enumerate(sweeps):
            obs = _observations(n, k, per_row, context.seed)
            for plan in plans:
                options = replace(options_of(settings, plan), rank=k, inner_tol=0.0, start="random")
                seconds = iteration_seconds(obs, options, settings.repeats, context.seed, team)
                at = float(k if kind == "rank" else obs.count)
                (by_rank if kind == "rank" else by_entries)[plan.name].append((at, seconds))
                yield Scalar(plan.name, f"time/per iteration by {kind}", at, seconds)
            yield Progress(
                done + share * (number + 1) / len(sweeps), 1.0, f"rank {k}, {per_row} entries a row"
            )
    rank_slopes = {
        name: slope([p for p in points if p[0] >= FITTED_FROM]) for name, points in by_rank.items()
    }
    entry_slopes = {name: slope(points) for name, points in by_entries.items()}
    for name in by_rank:
        yield Scalar(name, "time/slope by rank", 0, rank_slopes[name])
        yield Scalar(name, "time/slope by entries", 0, entry_slopes[name])
    yield from claims(rank_slopes, entry_slopes)


def _observations(n: int, k: int, per_row: int, seed: int) -> Observations:
    from engines.estimation.matrix_completion.method.observations import Observations

    rng = numpy_generator(seed, "scaling", k, per_row)
    truth = truth_of(n, n, k, 1.0, rng)
    rows, cols = distinct_entries(n, n, per_row * n, rng)
    values = np.empty(len(rows))
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 200_000)):
        values[part] = np.einsum("ij,ij->i", truth.scaled[rows[part]], truth.right[cols[part]])
    return Observations.from_entries(rows, cols, values, (n, n))


def iteration_seconds(obs: Observations, options: Options, repeats: int, seed: int, team: RowTeam) -> float:
    """Fastest CPU time of one outer iteration from the same state."""
    from engines.estimation.matrix_completion.method.alternating import init, step

    state = init(obs, options, numpy_generator(seed, "start"), team)
    state, _ = step(state, obs, options, team)
    best = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        step(state, obs, options, team)
        best = min(best, time.process_time() - begin)
    return best


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of log(time) over log(quantity); NaN for fewer than two points."""
    if len(points) < 2:
        return float("nan")
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def claims(rank_slopes: dict[str, float], entry_slopes: dict[str, float]) -> Iterator[ClaimCheck]:
    """Linear in the rank and in the entries."""
    ours, theirs = rank_slopes[ROBUST], rank_slopes.get("Exact AM")
    holds = ours <= 1.1 and (theirs is None or ours < theirs) if np.isfinite(ours) else None
    yield ClaimCheck(
        "linear_in_rank", ours, theirs, holds, f"Slopes fitted from rank {FITTED_FROM} to {RANKS[-1]}."
    )
    yield ClaimCheck(
        "linear_in_entries", entry_slopes[ROBUST], entry_slopes.get("Exact AM"), entry_slopes[ROBUST] <= 1.1,
        f"Slopes fitted over a factor of {SHARES[-1] / SHARES[0]:g} in the entries.",
    )  # fmt: skip
