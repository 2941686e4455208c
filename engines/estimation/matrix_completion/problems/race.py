"""The synthetic race: a random low-rank matrix, some entries seen, all contenders in lockstep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import AM_NAMES, ROBUST, Racer, line_up, racer
from engines.events import Alert, Array, Axis, ClaimCheck, Event, Progress, Scalar, Table, Text

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.contenders import Snapshot
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

TARGET = 1e-6
"""Relative error to which iterations and passes are counted."""


@dataclass(frozen=True)
class Truth:
    """M = left diag(singular) right^T with orthonormal left (m x k) and right (n x k)."""

    left: NDArray[np.float64]
    singular: NDArray[np.float64]
    right: NDArray[np.float64]

    @property
    def scaled(self) -> NDArray[np.float64]:
        """left diag(singular)."""
        return self.left * self.singular


@dataclass(frozen=True)
class Problem:
    """What the race is about."""

    truth: Truth
    seen: Observations
    rows: NDArray[np.int64]
    """Held-out entries: rows, columns and values."""
    cols: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass
class Curve:
    """What the claims and the table need of one contender."""

    errors: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    incoherence: list[float] = field(default_factory=list)
    held_out: float = float("nan")

    def reached(self, target: float = TARGET) -> int | None:
        """First iteration at or below the target."""
        return next((t for t, error in enumerate(self.errors) if error <= target), None)


def truth_of(m: int, n: int, k: int, condition: float, rng: np.random.Generator) -> Truth:
    """A random m x n matrix of rank k, entries of root mean square 1: Gaussian factors for condition 1 (their
    own spectrum, condition about 1), else random singular vectors with log-spaced singular values."""
    left, r_left = np.linalg.qr(rng.standard_normal((m, k)))
    right, r_right = np.linalg.qr(rng.standard_normal((n, k)))
    if condition == 1.0:
        u, s, vt = np.linalg.svd(r_left @ r_right.T)
        left, right = left @ u, right @ vt.T
    else:
        s = np.geomspace(condition, 1.0, k)
    return Truth(left, s * np.sqrt(m * n / np.sum(s**2)), right)


def distinct_entries(
    m: int, n: int, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`count` different (row, column) pairs, uniformly; O(count) memory unless most entries are wanted."""
    total = m * n
    if count > total // 3:
        flat = rng.permutation(total)[:count]
    else:
        flat = np.unique(rng.integers(0, total, int(count * 1.25) + 100))
        while len(flat) < count:
            flat = np.unique(np.concatenate([flat, rng.integers(0, total, count)]))
        flat = rng.permutation(flat)[:count]
    rows, cols = np.divmod(flat, n)
    return rows, cols


def build(settings: Settings, seed: int) -> Problem:
    """Truth, observed and held-out entries of the settings' synthetic problem."""
    from engines.estimation.matrix_completion.method.observations import Observations

    n = settings.size
    truth = truth_of(n, n, settings.rank, settings.condition, numpy_generator(seed, "truth"))
    count = min(settings.per_row * n, n * n)
    rows, cols = distinct_entries(n, n, count, numpy_generator(seed, "entries"))
    values = np.empty(count)
    for part in np.array_split(np.arange(count), max(1, count // 200_000)):
        values[part] = np.einsum("ij,ij->i", truth.scaled[rows[part]], truth.right[cols[part]])
    if settings.noise > 0.0:
        values += settings.noise * numpy_generator(seed, "noise").standard_normal(count)
    aside = max(1, int(settings.hold_out * count))
    seen = Observations.from_entries(
        rows[aside:], cols[aside:], values[aside:], (n, n), dtype=np.dtype(settings.precision)
    )
    return Problem(truth, seen, rows[:aside], cols[:aside], values[:aside])


def run(settings: Settings, context: Context, done: float, share: float) -> Iterator[Event]:
    """The race; progress goes from `done` to `done + share` (of 1). Yields its claims last."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas
    from engines.estimation.matrix_completion.method.factors import incoherence

    seed = context.seed
    yield Progress(done, 1.0, "building the matrix")
    problem = build(settings, seed)
    yield Text("setting", _sentence(settings, problem))
    yield from _warnings(problem.seen, settings.rank)
    index = Axis("index", np.arange(1, settings.rank + 1))
    yield Array("true singular values", 0, problem.truth.singular, [index], keep=False)
    yield Scalar("Truth", "true incoherence", 0, incoherence(problem.truth.left))
    with single_threaded_blas(), RowTeam(settings.threads) as team:
        ridge = settings.ridge * float(problem.truth.singular[0]) * problem.seen.count / settings.size**2
        tol = settings.tol
        racers = [
            racer(plan, problem.seen, settings, seed, team, settings.iterations, tol)
            for plan in line_up(settings, settings.rank, ridge)
        ]
        curves = {r.plan.name: Curve() for r in racers}
        for t in range(settings.iterations + 1):
            for r in racers:
                for snapshot in r.round(t):
                    yield from _report(r, snapshot, problem, curves[r.plan.name], settings)
            yield Table("race", RACE_COLUMNS, [_row(r, curves[r.plan.name]) for r in racers])
            yield Progress(done + share * (t + 1) / (settings.iterations + 1), 1.0, f"race, iteration {t}")
            if all(r.over for r in racers):
                break
        if any(r.plan.key == "sketch" for r in racers):
            yield _distortion(problem, settings, seed)
    yield from claims(settings, problem, curves)


RACE_COLUMNS = (
    "contender", "rank", "iterations", f"iterations to {TARGET:.0e}", f"passes to {TARGET:.0e}",
    "final error", "held-out error", "note",
)  # fmt: skip


def _sentence(settings: Settings, problem: Problem) -> str:
    n, k = settings.size, settings.rank
    rho = problem.seen.count / (k * (2 * n - k))
    return (
        f"Race: {problem.seen.count:,} entries ({problem.seen.count / n**2:.1%}) of a {n:,} x {n:,} matrix of rank {k}, "
        f"{rho:.1f} times as many as its unknowns; {len(problem.values):,} more are held out."
    )


def _warnings(seen: Observations, rank: int) -> Iterator[Event]:
    rows, cols = seen.undetermined(rank)
    if rows or cols:
        yield Alert("underdetermined", 0, f"{rows} rows and {cols} columns have fewer than {rank} entries: their part of "
                    "the answer is not determined by them.")  # fmt: skip


def _report(
    r: Racer, snapshot: Snapshot, problem: Problem, curve: Curve, settings: Settings
) -> Iterator[Event]:
    from engines.estimation.matrix_completion.method.factors import (
        incoherence,
        relative_error,
        subspace_distance,
    )

    name, t, truth = r.plan.name, snapshot.iteration, problem.truth
    left, right = snapshot.left.astype(np.float64), snapshot.right.astype(np.float64)
    error = relative_error(left, right, truth.scaled, truth.right)
    product = np.einsum("ij,ij->i", left[problem.rows], right[problem.cols])
    held_out = float(np.linalg.norm(product - problem.values) / np.linalg.norm(problem.values))
    curve.errors.append(error)
    curve.passes.append(snapshot.passes)
    curve.cpu.append(r.cpu_s)
    curve.held_out = held_out
    yield Scalar(name, "time/CPU seconds", t, r.cpu_s)
    yield Scalar(name, "time/seconds", t, r.wall_s)
    yield Scalar(name, "passes", t, snapshot.passes)
    yield Scalar(name, "error", t, error)
    yield Scalar(name, "held-out error", t, held_out)
    if not np.isfinite(error):
        yield Alert("diverged", t, f"{name} has an error that is not a number at iteration {t}.")
    if t > 0:
        yield Scalar(name, "residual", t, snapshot.residual)
    if name not in AM_NAMES:
        return
    curve.incoherence.append(incoherence(left))
    yield Scalar(name, "incoherence", t, curve.incoherence[-1])
    yield Scalar(name, "subspace distance", t, subspace_distance(truth.left, left))
    if snapshot.info is not None:
        yield Scalar(name, "inner steps", t, snapshot.info.inner_steps)
        yield Scalar(name, "relaxation", t, snapshot.info.omega)
    if name == ROBUST and snapshot.singular is not None:
        yield Array("singular values", t, snapshot.singular, [Axis("index", np.arange(1, settings.rank + 1))])
        if snapshot.info is not None:
            counts = snapshot.info.inner_counts
            axis = Axis("conjugate-gradient steps", np.arange(len(counts)))
            yield Array("inner steps per row", t, counts, [axis])


def _row(r: Racer, curve: Curve) -> list[Any]:
    reached = curve.reached()
    passes = None if reached is None else round(curve.passes[reached], 1)
    final = curve.errors[-1] if curve.errors else None
    last = None if r.last is None else r.last.iteration
    steps = None if reached is None or r.plan.key == "cmfrec" else reached
    return [r.plan.name, r.plan.rank, last, steps, passes, final, curve.held_out, r.note]


def _distortion(problem: Problem, settings: Settings, seed: int) -> Event:
    """Eigenvalues of R^T A^T A R over some rows' own sketches: how well a sketch preconditions."""
    from engines.estimation.matrix_completion.method.sketch import distortion

    basis, k = problem.truth.right, settings.rank
    side = problem.seen.by_row
    rows = numpy_generator(seed, "distortion").choice(side.rows, min(60, side.rows), replace=False)
    found = []
    for number, i in enumerate(rows):
        A = basis[side.indices[side.indptr[i] : side.indptr[i + 1]]]
        if len(A) > k:
            found.append(distortion(settings.sketch, A, settings.sketch_ratio * k, seed + number))
    values = np.concatenate(found) if found else np.zeros(0)
    edges = np.linspace(0.0, 6.0, 49)
    counts = np.histogram(np.clip(values[np.isfinite(values)], 0.0, 6.0), edges)[0]
    axis = Axis("eigenvalue of R^T A^T A R", (edges[1:] + edges[:-1]) / 2.0)
    return Array("sketch distortion", 0, counts, [axis], keep=False)


def claims(settings: Settings, problem: Problem, curves: dict[str, Curve]) -> Iterator[ClaimCheck]:
    """The checks that a race can compute."""
    robust, exact = curves[ROBUST], curves.get("Exact AM")
    target = max(TARGET, 2.0 * settings.tol) if settings.noise == 0.0 else None
    yield _trajectory(robust, exact, target)
    yield _cheaper(settings, robust, exact)
    yield _geometric(robust, settings)
    from engines.estimation.matrix_completion.method.factors import incoherence

    true = incoherence(problem.truth.left)
    worst = max(robust.incoherence)
    yield ClaimCheck(
        "incoherent",
        worst,
        true,
        worst <= 2.0 * true,
        "Largest mu(U_t) over all iterations against mu(U*); holds up to twice it.",
    )


def _trajectory(robust: Curve, exact: Curve | None, target: float | None) -> ClaimCheck:
    if exact is None:
        return ClaimCheck("same_trajectory", None, None, None, "Exact AM did not run: add it to the rivals.")
    if target is None:
        return ClaimCheck(
            "same_trajectory", None, None, None, "Noisy data has no error of zero to converge to."
        )
    ours, theirs = robust.reached(target), exact.reached(target)
    if ours is None or theirs is None:
        return ClaimCheck(
            "same_trajectory", ours, theirs, None, f"Not both came to an error of {target:.0e} in time."
        )
    close = abs(ours - theirs) <= max(1.0, 0.1 * theirs)
    return ClaimCheck(
        "same_trajectory", ours, theirs, close, f"Outer iterations to a relative error of {target:.0e}."
    )


SMALLEST_TIMED = 500
"""Rows below which an iteration is mostly Python's own time."""


def _cheaper(settings: Settings, robust: Curve, exact: Curve | None) -> ClaimCheck:
    if settings.size < SMALLEST_TIMED:
        return ClaimCheck("cheaper", None, None, None, f"Not timed below {SMALLEST_TIMED} rows.")
    if exact is None or len(exact.cpu) < 3 or len(robust.cpu) < 3:
        return ClaimCheck("cheaper", None, None, None, "Exact AM did not run: add it to the rivals.")
    ours, theirs = (float(np.median(np.diff(c.cpu))) for c in (robust, exact))
    return ClaimCheck(
        "cheaper", ours, theirs, ours < theirs,
        f"Median CPU seconds of an outer iteration at rank {settings.rank}; ratio {theirs / ours:.1f}.",
    )  # fmt: skip


def _geometric(robust: Curve, settings: Settings) -> ClaimCheck:
    if settings.noise > 0.0:
        return ClaimCheck("geometric", None, None, None, "With noise the error ends at the noise's level.")
    errors = [error for error in robust.errors[1:] if error > 10.0 * np.finfo(settings.precision).eps]
    if len(errors) < 3:
        return ClaimCheck("geometric", None, None, None, "Too few iterations to see a rate.")
    worst = float(np.max(np.divide(errors[1:], errors[:-1])))
    return ClaimCheck(
        "geometric",
        worst,
        None,
        worst < 0.9,
        "Worst factor by which one iteration changed the error; holds below 0.9.",
    )
