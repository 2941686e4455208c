"""The phase diagram: which ranks come back from which share of the entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import ROBUST, Plan, racer
from engines.estimation.matrix_completion.problems.race import distinct_entries, truth_of
from engines.events import Array, Axis, ClaimCheck, Event, Progress, Text

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.method.compiled import RowTeam
    from engines.estimation.matrix_completion.settings import Settings

SUCCESS = 1e-3
"""Relative error below which a matrix counts as recovered."""
ITERATIONS = 100
EXACT = "Exact AM"


def run(settings: Settings, context: Context, done: float, share: float) -> Iterator[Event]:
    """Cell by cell; progress goes from `done` to `done + share` (of 1). Yields its claim last."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas

    n = settings.phase_size
    ranks = np.unique(np.round(np.linspace(1, max(2, n // 5), settings.phase_ranks)).astype(int))
    rates = np.round(np.linspace(0.1, 0.7, settings.phase_fractions), 4)
    axes = [Axis("rank", ranks), Axis("sampling rate", rates)]
    names = [ROBUST] + ([EXACT] if "exact" in settings.rivals else [])
    shares = {name: np.full((len(ranks), len(rates)), np.nan) for name in names}
    yield Text("phase setting", f"Phase diagram: {settings.phase_trials} random {n} x {n} matrices a cell; recovered "
               f"means a relative error below {SUCCESS:g} within {ITERATIONS} iterations.")  # fmt: skip
    yield Array("threshold", 0, ranks * (2 * n - ranks) / n**2, [axes[0]], keep=False)
    cells = [(i, j) for i in range(len(ranks)) for j in range(len(rates) - 1, -1, -1)]
    with single_threaded_blas(), RowTeam(1) as team:
        for number, (i, j) in enumerate(cells):
            for name in names:
                wins = [
                    recovered(name, int(ranks[i]), float(rates[j]), settings, context.seed, trial, team)
                    for trial in range(settings.phase_trials)
                ]
                shares[name][i, j] = float(np.mean(wins))
                yield Array(f"recovered/{name}", number, shares[name].copy(), axes, keep=False)
            yield Progress(
                done + share * (number + 1) / len(cells), 1.0, f"rank {ranks[i]}, rate {rates[j]:.2f}"
            )
    yield claim(shares)


def recovered(
    name: str, rank: int, rate: float, settings: Settings, seed: int, trial: int, team: RowTeam
) -> bool:
    """Whether one random matrix comes back. Both contenders see the same matrix, entries and start; fewer
    entries than unknowns are a failure without trying."""
    from engines.estimation.matrix_completion.method.factors import relative_error
    from engines.estimation.matrix_completion.method.observations import Observations

    n = settings.phase_size
    count = round(rate * n * n)
    if count < rank * (2 * n - rank):
        return False
    rng = numpy_generator(seed, "phase", rank, str(rate), trial)
    truth = truth_of(n, n, rank, 1.0, rng)
    rows, cols = distinct_entries(n, n, count, rng)
    values: NDArray[np.float64] = np.einsum("ij,ij->i", truth.scaled[rows], truth.right[cols])
    obs = Observations.from_entries(rows, cols, values, (n, n), dtype=np.dtype(settings.precision))
    plan = Plan("exact" if name == EXACT else "robust", name, rank, 0.0)
    runner = racer(plan, obs, settings, seed + trial, team, ITERATIONS, SUCCESS / 30.0)
    while not runner.over:
        runner.advance()
    assert runner.last is not None
    left, right = (factor.astype(np.float64) for factor in (runner.last.left, runner.last.right))
    return relative_error(left, right, truth.scaled, truth.right) < SUCCESS


def claim(shares: dict[str, NDArray[np.float64]]) -> ClaimCheck:
    """Both solvers recover about the same share of all matrices."""
    ours = float(np.mean(shares[ROBUST]))
    if EXACT not in shares:
        return ClaimCheck("same_region", ours, None, None, "Exact AM did not run: add it to the rivals.")
    theirs = float(np.mean(shares[EXACT]))
    apart = float(np.mean(np.abs(shares[ROBUST] - shares[EXACT])))
    return ClaimCheck(
        "same_region", ours, theirs, ours >= theirs - 0.03,
        f"Share of matrices recovered over the whole diagram; cells differ by {apart:.3f} on average; holds down to 0.03 below.",
    )  # fmt: skip
