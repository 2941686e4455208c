"""Robust alternating minimisation: the outer loop, as `init` and `step`.

    min over U (m x k), V (n x k) of  sum over Omega of ((U V^T)_ij - M_ij)^2 + lam (||U||_F^2 + ||V||_F^2)

One step solves for V with U fixed, then for U with V fixed, each row's least-squares problem only approximately
(the paper's robustness), from the last value on. All of Omega serves in each half-step; the proof's sample
splitting is had by passing other observations to each step.

Between half-steps the pair is put in balanced form, M ~ L R^T with L^T L = I and R^T R = diag(s^2): the fixed
factor is then orthonormal, and since a random sample of its rows is nearly orthogonal too, this one rotation
preconditions the problems of all rows at once. The penalty is lam sum_j g_j^2 / s_j in these coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import orthonormal, padded, rebalanced
from engines.estimation.matrix_completion.method.kernels import solve_rows_cg, solve_rows_exact
from engines.estimation.matrix_completion.method.observations import Observations, Side
from engines.estimation.matrix_completion.method.pace import Pace
from engines.estimation.matrix_completion.method.sketch import KINDS, solve_rows_sketch
from engines.estimation.matrix_completion.method.spectral import clipped, times, top_left_vectors

Array = NDArray[Any]


@dataclass(frozen=True)
class Options:
    """How to iterate; see `MatrixCompletion` for each field's meaning and range."""

    rank: int
    solver: Literal["cg-shared", "sketch-per-row", "exact"] = "cg-shared"
    inner_steps: int = 3
    inner_tol: float = 0.1
    ridge: float = 0.0
    accelerate: bool = True
    sketch: Literal["countsketch", "srht", "gaussian", "row-sampling"] = "countsketch"
    sketch_ratio: int = 4
    start: Literal["spectral", "random"] = "spectral"
    clip: bool = True
    power_steps: int = 2
    inner_precision: Literal["auto", "float32", "float64"] = "auto"


@dataclass(frozen=True)
class State:
    """What is needed to go on: M ~ left right^T in balanced form."""

    left: Array
    """(m x K) orthonormal columns, padded with zero columns to a multiple of 8."""
    right: Array
    """(n x K), orthogonal columns of lengths `singular`."""
    singular: Array
    """(k) singular values of the iterate, descending."""
    rank: int
    iteration: int = 0
    pace: Pace = field(default_factory=Pace)
    """Relaxation factor and what it is estimated from."""
    seed: int = 0
    """Seed of the per-row sketches."""


@dataclass(frozen=True)
class Info:
    """What one step was like."""

    residual_before: float
    """||P_Omega(left right^T - M)||_F / ||P_Omega(M)||_F at its start (exact: the step computes it anyway)."""
    residual: float
    """The same at its end, from the decrease that the inner solver reports (good to about 1e-4 of itself as long
    as the step gains less than four digits)."""
    objectives: tuple[float, float, float]
    """Penalised objective before, between and after the half-steps; non-increasing."""
    inner_steps: float
    """Mean inner steps a row and half-step."""
    inner_counts: NDArray[np.int64]
    """Rows by their number of inner steps, 0..inner_steps, over both half-steps."""
    undetermined: int
    """Rows and columns whose entries did not determine their unknowns (exact solver only)."""
    omega: float
    """Relaxation factor used."""
    passes: float
    """Work in passes over the entries, 4 |Omega| k floating-point operations each, rotations included."""


def init(obs: Observations, options: Options, rng: np.random.Generator, team: RowTeam) -> State:
    """First pair: U_0 spectral (clipped) or random, V_0 = P_Omega(M)^T U_0 / p."""
    m, n = obs.shape
    k = options.rank
    dtype = obs.by_row.values.dtype
    if options.start == "spectral":
        basis = top_left_vectors(obs, k, rng, team, power_steps=options.power_steps)
        left = padded(clipped(basis) if options.clip else basis, dtype)
    else:
        left = orthonormal(padded(rng.standard_normal((m, k)), dtype), k)
    right = times(obs.by_col, left, team) * dtype.type(m * n / obs.count)
    return started(left, right, k, int(rng.integers(2**62)))


def started(left: Array, right: Array, rank: int, seed: int = 0) -> State:
    """The state of the pair `left` (m x K, orthonormal) and `right` (n x K), both padded: a warm start."""
    other, scaled, _ = rebalanced(right, left, rank)
    left, right, singular = rebalanced(scaled, other, rank)
    return State(left, right, singular, rank, seed=seed)


def step(state: State, obs: Observations, options: Options, team: RowTeam) -> tuple[State, Info]:
    """One outer iteration: V from U, then U from V. `state` is not changed. O(|Omega| k inner_steps)."""
    return step_on_parts(state, (obs, obs), options, team)


def step_on_parts(
    state: State, parts: tuple[Observations, Observations], options: Options, team: RowTeam
) -> tuple[State, Info]:
    """`step` with one set of entries for V and another for U: the sample splitting of the proof, where no entry
    is ever used twice. The residuals in `Info` are then those of two different sets."""
    for_v, for_u = parts
    k = state.rank
    omega = state.pace.omega
    right = state.right.copy()
    first = half_step(
        for_v.by_col, state.left, right, state.singular, omega, state.iteration * 2, state, options, team
    )
    fixed, left, singular = rebalanced(right, state.left, k)
    second = half_step(
        for_u.by_row, fixed, left, singular, omega, state.iteration * 2 + 1, state, options, team
    )
    left, right, final = rebalanced(left, fixed, k)

    before = _relative(first.before, for_v.norm)
    after = _relative(second.before - omega * (2.0 - omega) * second.gain, for_u.norm)
    penalties = [options.ridge * 2.0 * float(np.sum(s)) for s in (state.singular, singular, final)]
    objectives = (
        first.before + penalties[0],
        second.before + penalties[1],
        second.before + penalties[1] - omega * (2.0 - omega) * second.gain,
    )
    rows = sum(for_v.shape)
    info = Info(
        residual_before=before,
        residual=after,
        objectives=objectives,
        inner_steps=float(first.taken.sum() + second.taken.sum()) / rows,
        inner_counts=np.bincount(
            np.concatenate([first.taken, second.taken]), minlength=options.inner_steps + 1
        ),
        undetermined=first.undetermined + second.undetermined,
        omega=omega,
        passes=first.passes + second.passes + rows * k / for_v.count,
    )
    pace = state.pace.after(before, after) if options.accelerate else state.pace
    return replace(
        state, left=left, right=right, singular=final, iteration=state.iteration + 1, pace=pace
    ), info


@dataclass(frozen=True)
class HalfStep:
    """Sums over the rows of one half-step."""

    before: float
    gain: float
    taken: NDArray[np.int32]
    undetermined: int
    passes: float


def half_step(
    side: Side,
    Q: Array,
    G: Array,
    singular: Array,
    omega: float,
    number: int,
    state: State,
    options: Options,
    team: RowTeam,
) -> HalfStep:
    """Solves for the rows of `G` (in place) with `Q` fixed, both padded; `number` counts the half-steps."""
    k, K = state.rank, Q.shape[1]
    ridge = np.zeros(K, Q.dtype)
    if options.ridge > 0.0:
        ridge[:k] = options.ridge / np.maximum(singular, 1e-12 * max(float(singular[0]), 1e-300))
    before, gain, taken = np.empty(side.rows), np.empty(side.rows), np.zeros(side.rows, np.int32)
    entries = (side.indptr, side.indices, side.values, Q.reshape(-1), G.reshape(-1))
    undetermined = 0
    if options.solver == "exact":
        team.run(solve_rows_exact, side.indptr, *entries, k, K, ridge, omega, before, gain, taken)
        undetermined = int(np.sum(taken == 2))
        np.minimum(taken, 1, out=taken)
        passes = 1.0 + k / 4.0 + side.rows * k * k / (12.0 * len(side.values))
    elif options.solver == "sketch-per-row":
        q = options.sketch_ratio * k
        seed = np.uint64(state.seed) + np.uint64(number)
        kind = KINDS.index(options.sketch)
        solve = (omega, options.inner_steps, options.inner_tol, kind, q, seed)
        team.run(solve_rows_sketch, side.indptr, *entries, k, K, ridge, *solve, before, gain, taken)
        own = np.minimum(side.counts, q)
        passes = (
            2.0
            + _weighted(taken, side)
            + float(np.sum(own * k * k / 4.0 + k**3 / 12.0)) / len(side.values) / k
        )
    else:
        solve_cg = (omega, options.inner_steps, options.inner_tol, _inner_like(Q, options))
        team.run(solve_rows_cg, side.indptr, *entries, K, ridge, *solve_cg, before, gain, taken)
        passes = 1.0 + _weighted(taken, side)
    return HalfStep(float(before.sum()), float(gain.sum()), taken, undetermined, passes)


def _weighted(taken: NDArray[np.int32], side: Side) -> float:
    """Inner steps as passes over the entries."""
    return float(np.sum(taken * side.counts)) / len(side.values)


def _inner_like(Q: Array, options: Options) -> Array:
    """An empty array of the inner precision. Single precision suffices for corrections that are wanted to a few
    digits; the residual is always taken in the factors' own precision."""
    rough = options.inner_tol >= 1e-4 or options.inner_steps <= 8
    single = options.inner_precision == "float32" or (options.inner_precision == "auto" and rough)
    return np.empty(0, np.float32 if single else Q.dtype)


def _relative(square: float, norm: float) -> float:
    return float(np.sqrt(max(square, 0.0))) / norm if norm > 0.0 else 0.0
