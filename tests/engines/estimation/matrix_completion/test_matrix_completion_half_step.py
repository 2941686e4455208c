"""One half-step against the obvious row-by-row least squares."""

from __future__ import annotations

import numpy as np
import pytest

from engines.estimation.matrix_completion.method.alternating import (
    Options,
    State,
    half_step,
    init,
    step,
    step_on_parts,
)
from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import padded
from engines.estimation.matrix_completion.method.observations import Observations
from engines.estimation.matrix_completion.method.sketch import KINDS
from engines.estimation.matrix_completion.problems.race import distinct_entries

SOLVERS = {
    "exact": {"solver": "exact"},
    "cg": {"inner_steps": 24, "inner_tol": 0.0, "inner_precision": "float64"},
    **{
        f"sketch {kind}": {"solver": "sketch-per-row", "sketch": kind, "inner_steps": 24, "inner_tol": 0.0}
        for kind in KINDS
    },
}


def setting(k: int, per_row: int, ridge: float, dtype: type = np.float64):
    """Noisy entries, an orthonormal fixed factor, a warm start."""
    rng = np.random.default_rng(k)
    m, n = 30, 120
    rows, cols = distinct_entries(m, n, per_row * m, rng)
    obs = Observations.from_entries(rows, cols, rng.standard_normal(len(rows)), (m, n), dtype=dtype)
    Q = np.linalg.qr(rng.standard_normal((n, k)))[0]
    G = rng.standard_normal((m, k))
    singular = np.sort(rng.uniform(0.5, 2.0, k))[::-1].copy()
    return obs, Q, G, singular


def obvious(obs: Observations, Q: np.ndarray, singular: np.ndarray, ridge: float) -> np.ndarray:
    """numpy.linalg.lstsq for each row, the ridge as extra equations."""
    side, k = obs.by_row, Q.shape[1]
    out = np.zeros((side.rows, k))
    for i in range(side.rows):
        entries = slice(side.indptr[i], side.indptr[i + 1])
        A = np.vstack([Q[side.indices[entries]], np.diag(np.sqrt(ridge / singular))])
        b = np.concatenate([side.values[entries], np.zeros(k)])
        out[i] = np.linalg.lstsq(A, b, rcond=None)[0]
    return out


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("k", [1, 5, 8, 12])
@pytest.mark.parametrize("name", list(SOLVERS))
def test_half_step_equals_least_squares(name: str, k: int, ridge: float, team: RowTeam) -> None:
    obs, Q, start, singular = setting(k, 70, ridge)
    G = padded(start)
    state = State(G, padded(Q), singular, k, seed=5)
    options = Options(rank=k, ridge=ridge, **SOLVERS[name])
    said = half_step(obs.by_row, padded(Q), G, singular, 1.0, 0, state, options, team)
    truth = obvious(obs, Q, singular, ridge)
    np.testing.assert_allclose(G[:, :k], truth, atol=1e-7)
    assert not np.any(G[:, k:])
    # what it says about the objective is what numpy finds
    side = obs.by_row

    def objective(g: np.ndarray) -> float:
        rest = side.values - np.einsum("ij,ij->i", g[obs.rows], Q[side.indices])
        return float(rest @ rest + ridge * np.sum(g**2 / singular))

    assert said.before == pytest.approx(objective(start) - ridge * np.sum(start**2 / singular))
    assert said.gain == pytest.approx(objective(start) - objective(truth), rel=1e-6)


@pytest.mark.parametrize("solver", ["cg-shared", "sketch-per-row", "exact"])
def test_few_entries_are_solved_without_a_crash(solver: str, team: RowTeam) -> None:
    """Fewer entries than unknowns in each row, one row without any, lengths that are no multiple of four."""
    obs, Q, start, singular = setting(9, 5, 0.0)
    keep = (obs.rows != 4) & ((obs.rows % 3 != 0) | (np.arange(obs.count) % 2 == 0))
    obs = obs.subset(keep)
    G = padded(start)
    state = State(G, padded(Q), singular, 9)
    options = Options(9, solver=solver, inner_steps=20, inner_tol=0.0)
    said = half_step(obs.by_row, padded(Q), G, singular, 1.0, 0, state, options, team)
    assert np.all(np.isfinite(G))
    assert not np.any(G[4])
    fitted = np.einsum("ij,ij->i", G[obs.rows, :9], Q[obs.by_row.indices])
    exact = obs.by_row.counts[obs.rows] <= 6
    np.testing.assert_allclose(fitted[exact], obs.by_row.values[exact], atol=1e-4)
    assert (said.undetermined > 0) == (solver == "exact")


@pytest.mark.parametrize("size", [5e-22, 1e-160, 0.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", ["cg-shared", "sketch-per-row", "exact"])
def test_a_row_that_meets_only_rounding_stays_a_number(
    solver: str, dtype: type, size: float, team: RowTeam
) -> None:
    """A row with one entry, where a start that does not reach that part of the matrix has left a factor of 5e-22."""
    obs = Observations.from_entries(
        np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 1, 2]), np.array([1e-3, 1.0, 2.0, 2.0, 4.0]), (3, 3), dtype=dtype
    )  # fmt: skip
    Q = padded(np.array([[size], [1.0], [2.0]]) / np.sqrt(5.0), dtype)
    G = padded(np.full((3, 1), 1e-24), dtype)
    options = Options(1, solver=solver)
    half_step(obs.by_row, Q, G, np.ones(1), 1.0, 0, State(G, Q, np.ones(1), 1), options, team)
    assert np.all(np.isfinite(G))
    assert abs(G[0, 0]) < 1e4
    np.testing.assert_allclose(G[1:, 0], np.sqrt(5.0) * np.array([1.0, 2.0]), rtol=1e-5)


def test_single_precision_correction_serves_a_double_precision_answer(team: RowTeam, problem) -> None:
    """Inner steps in float32 and residuals in float64 still converge to double precision."""
    options = Options(3, inner_precision="float32")
    state = init(problem.obs, options, np.random.default_rng(0), team)
    for _ in range(25):
        state, _ = step(state, problem.obs, options, team)
    assert problem.error(state.left @ state.right.T) < 1e-13


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("solver", ["cg-shared", "sketch-per-row", "exact"])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_objective_never_rises(problem, team: RowTeam, solver: str, ridge: float, accelerate: bool) -> None:
    noisy = problem.obs.with_values(
        problem.values + 0.3 * np.random.default_rng(1).standard_normal(len(problem.values))
    )
    options = Options(3, solver=solver, inner_steps=2, ridge=ridge, accelerate=accelerate, start="random")
    state = init(noisy, options, np.random.default_rng(2), team)
    last = np.inf
    for _ in range(20):
        state, info = step(state, noisy, options, team)
        for value in info.objectives:
            assert value <= last * (1.0 + 1e-6)
            last = value
    rest = noisy.by_row.values - (state.left @ state.right.T)[noisy.rows, noisy.by_row.indices]
    assert last == pytest.approx(rest @ rest + 2.0 * ridge * state.singular.sum(), rel=1e-6)
    assert info.residual == pytest.approx(np.linalg.norm(rest) / noisy.norm, rel=1e-4)


def test_step_leaves_the_state_as_it_was_and_balanced(problem, team: RowTeam) -> None:
    options = Options(3)
    before = init(problem.obs, options, np.random.default_rng(0), team)
    copies = before.left.copy(), before.right.copy()
    after, _ = step(before, problem.obs, options, team)
    np.testing.assert_array_equal(before.left, copies[0])
    np.testing.assert_array_equal(before.right, copies[1])
    np.testing.assert_allclose(after.left[:, :3].T @ after.left[:, :3], np.eye(3), atol=1e-10)
    np.testing.assert_allclose(
        after.right[:, :3].T @ after.right[:, :3], np.diag(after.singular**2), atol=1e-7
    )
    whole = np.linalg.svd(after.left @ after.right.T, compute_uv=False)
    np.testing.assert_allclose(after.singular, whole[:3], rtol=1e-9)


def test_sample_splitting_uses_each_part_for_one_half_step(problem, team: RowTeam) -> None:
    part = np.random.default_rng(3).integers(0, 2, len(problem.values))
    first, second = (problem.obs.subset(part == number) for number in (0, 1))
    options = Options(3, solver="exact", accelerate=False)
    state = init(problem.obs, options, np.random.default_rng(0), team)
    _, info = step_on_parts(state, (first, second), options, team)
    rest = first.by_row.values - (state.left @ state.right.T)[first.rows, first.by_row.indices]
    assert info.residual_before == pytest.approx(np.linalg.norm(rest) / first.norm)
