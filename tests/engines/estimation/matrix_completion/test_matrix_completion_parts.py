"""The pieces against independent truths: start, sketches, relaxation, observations, baselines, imports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engines.estimation.matrix_completion.baselines import lmafit, scaled_gradient, softimpute
from engines.estimation.matrix_completion.baselines.cmfrec_peer import PeerFailed, factors, is_installed
from engines.estimation.matrix_completion.baselines.sparse_low_rank import Pair, residual_of
from engines.estimation.matrix_completion.method.alternating import Options, init
from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import (
    incoherence,
    padded,
    rebalanced,
    relative_error,
    subspace_distance,
    thin_svd,
)
from engines.estimation.matrix_completion.method.observations import Observations
from engines.estimation.matrix_completion.method.pace import Pace
from engines.estimation.matrix_completion.method.sketch import KINDS, distortion, sketched
from engines.estimation.matrix_completion.method.spectral import clipped, top_left_vectors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("ratio", "low", "high"), [(4, 0.35, 4.6), (8, 0.45, 2.8)])
def test_sketch_distortion(kind: str, ratio: int, low: float, high: float) -> None:
    """Theory: eigenvalues of R^T A^T A R about 1/(1 -+ sqrt(k/q))^2 (0.44..4 and 0.55..2.4)."""
    A = np.random.default_rng(0).standard_normal((800, 20))
    smallest, largest = np.mean(
        [(e.min(), e.max()) for e in (distortion(kind, A, ratio * 20, seed) for seed in range(8))], axis=0
    )
    assert low < smallest < 1.0 < largest < high


@pytest.mark.parametrize("kind", KINDS)
def test_sketch_keeps_norms_on_average(kind: str) -> None:
    """E ||S x||^2 = ||x||^2."""
    x = np.random.default_rng(1).standard_normal((50, 1))
    squares = [np.sum(sketched(kind, x, 8, seed) ** 2) for seed in range(600)]
    assert np.mean(squares) == pytest.approx(np.sum(x**2), rel=0.1)


def test_spectral_start_is_near_the_svd_and_the_truth(team: RowTeam) -> None:
    rng = np.random.default_rng(0)
    n, k = 400, 4
    M = rng.standard_normal((n, k)) @ rng.standard_normal((n, k)).T
    rows, cols = np.nonzero(rng.random((n, n)) < 20 * k / n)
    obs = Observations.from_entries(rows, cols, M[rows, cols], M.shape)
    dense = np.zeros_like(M)
    dense[rows, cols] = M[rows, cols]
    exact = np.linalg.svd(dense)[0][:, :k]
    found = top_left_vectors(obs, k, rng, team, power_steps=6)
    assert subspace_distance(exact, found) < 0.05
    truth = np.linalg.svd(M)[0][:, :k]
    assert subspace_distance(truth, clipped(found)) < 0.5  # p = 20 k / n


def test_clipping_bounds_the_rows_and_keeps_the_columns_orthonormal() -> None:
    rng = np.random.default_rng(0)
    U = np.linalg.qr(np.vstack([30.0 * np.eye(3), rng.standard_normal((3000, 3))]))[0]
    found = clipped(U)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)
    assert incoherence(found) < 0.25 * incoherence(U)


@pytest.mark.parametrize("smallest", [1.0, 1e-9, 0.0])
def test_rebalancing_keeps_the_matrix(smallest: float) -> None:
    """Also where a singular value is tiny or zero."""
    rng = np.random.default_rng(0)
    Q = padded(np.linalg.qr(rng.standard_normal((40, 5)))[0])
    G = padded(rng.standard_normal((30, 5)) * np.array([3.0, 2.0, 1.0, 1.0, smallest]))
    L, R, s = rebalanced(G, Q, 5)
    np.testing.assert_allclose(L @ R.T, G @ Q.T, atol=1e-12)
    np.testing.assert_allclose(L[:, :5].T @ L[:, :5], np.eye(5), atol=1e-6)
    np.testing.assert_allclose(s, np.linalg.svd(G @ Q.T, compute_uv=False)[:5], atol=1e-8)


def test_measures_without_the_matrix() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((30, 3)), rng.standard_normal((20, 3))
    C, D = A + 1e-9 * rng.standard_normal(A.shape), B
    dense = np.linalg.norm(C @ D.T - A @ B.T) / np.linalg.norm(A @ B.T)
    assert relative_error(C, D, A, B) == pytest.approx(dense, rel=1e-5)
    u, s, v = thin_svd(A, B)
    np.testing.assert_allclose((u * s) @ v.T, A @ B.T, atol=1e-12)
    assert incoherence(np.eye(6)[:, :2]) == pytest.approx(np.sqrt(3.0))


def test_relaxation_finds_youngs_optimum() -> None:
    """Fed with the rates of a linear model, the pace ends at 2 / (1 + sqrt(1 - mu^2)) from below."""
    mu_squared = 0.72
    best = 2.0 / (1.0 + np.sqrt(1.0 - mu_squared))
    pace = Pace()
    for _ in range(6):
        w, root = pace.omega, np.sqrt(mu_squared)
        # larger root of (rate + w - 1)^2 = rate w^2 mu^2
        z = (w * root + np.sqrt(max(w * w * mu_squared - 4.0 * (w - 1.0), 0.0))) / 2.0
        pace = pace.after(1.0, max(z * z, w - 1.0 + 1e-9))
    assert pace.omega == pytest.approx(best, rel=1e-3)
    assert pace.after(1.0, 1.5).omega == 1.0  # the residual rose: start over
    assert 1.0 <= pace.after(1.0, 1e-6).omega < pace.omega


def test_observations_both_ways() -> None:
    rng = np.random.default_rng(0)
    M = rng.standard_normal((7, 5))
    rows, cols = np.nonzero(rng.random(M.shape) < 0.6)
    order = rng.permutation(len(rows))
    obs = Observations.from_entries(rows[order], cols[order], M[rows, cols][order], M.shape)
    for side, matrix in ((obs.by_row, M), (obs.by_col, M.T), (obs.transposed().by_row, M.T)):
        for i in range(side.rows):
            js = side.indices[side.indptr[i] : side.indptr[i + 1]]
            assert np.all(np.diff(js) > 0)
            np.testing.assert_array_equal(side.values[side.indptr[i] : side.indptr[i + 1]], matrix[i, js])
    np.testing.assert_array_equal(obs.by_row.values[obs.to_col], obs.by_col.values)
    doubled = obs.with_values(2.0 * obs.by_row.values)
    np.testing.assert_array_equal(doubled.by_col.values, 2.0 * obs.by_col.values)


def test_softimpute_equals_the_dense_iteration(problem, team: RowTeam) -> None:
    """At the fixed point: Z = S_lambda(P(M - Z) + Z) with a full SVD."""
    obs, full, threshold = problem.obs, min(problem.M.shape), 3.0
    state = softimpute.init(obs, full, threshold, np.random.default_rng(0), team)
    for _ in range(300):
        state = softimpute.step(state, obs, team, threshold)
    Z = state.pair.left @ state.pair.right.T
    filled = Z.copy()
    filled[problem.rows, problem.cols] = problem.values
    u, s, vt = np.linalg.svd(filled, full_matrices=False)
    np.testing.assert_allclose((u * np.maximum(s - threshold, 0.0)) @ vt, Z, atol=1e-3)
    dense = np.zeros_like(Z)
    dense[problem.rows, problem.cols] = problem.values
    top = softimpute.largest_singular_value(obs, np.random.default_rng(0), team)
    assert top == pytest.approx(np.linalg.norm(dense, 2), rel=1e-3)


@pytest.mark.parametrize("method", [lmafit, scaled_gradient])
def test_first_order_baselines_converge(method, problem, team: RowTeam) -> None:
    obs = problem.obs
    start = init(obs, Options(3), np.random.default_rng(0), team)
    root = np.concatenate([np.sqrt(start.singular), np.ones(5)])
    state = method.init(Pair(start.left * root, start.right / root), obs, 3, team)
    last = np.inf
    for _ in range(200):
        state = method.step(state, obs, team)
        assert state.residual.relative <= last + 1e-14
        last = state.residual.relative
    assert problem.error(state.pair.left @ state.pair.right.T) < 1e-4


def test_residual_of_a_pair(problem, team: RowTeam) -> None:
    rng = np.random.default_rng(0)
    pair = Pair(padded(rng.standard_normal((90, 3))), padded(rng.standard_normal((70, 3))))
    rest = np.zeros_like(problem.M)
    rest[problem.rows, problem.cols] = (problem.M - pair.left @ pair.right.T)[problem.rows, problem.cols]
    found = residual_of(pair, problem.obs, team)
    assert found.relative == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(problem.values))
    np.testing.assert_allclose(found.times(pair.right, team), rest @ pair.right, atol=1e-10)
    np.testing.assert_allclose(found.transposed_times(pair.left, team), rest.T @ pair.left, atol=1e-10)


@pytest.mark.skipif(is_installed(), reason="cmfrec is installed here")
def test_a_missing_peer_says_so(problem) -> None:
    with pytest.raises(PeerFailed, match="cmfrec is not installed"):
        factors(problem.obs, 3, 0.0, 2, 1, 0, use_cg=True)


def test_listing_the_engine_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from engines.estimation.matrix_completion import ENGINE; "
        "print(json.dumps([n for n in ('numba', 'scipy', 'torch', 'sklearn', 'skimage', 'PIL', 'pandas') if n in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []


def test_works_where_the_package_cannot_be_written(tmp_path: Path) -> None:
    """A read-only installation without a cache folder of the user's compiles in memory."""
    import engines

    source = Path(engines.__file__).parent
    copy = tmp_path / "engines"
    for part in ("__init__.py", "contract.py", "events.py", "devices.py", "validation.py"):
        copy.mkdir(exist_ok=True)
        shutil.copy(source / part, copy / part)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        source / "estimation" / "matrix_completion", copy / "estimation" / "matrix_completion", ignore=ignore
    )
    shutil.copy(source / "estimation" / "__init__.py", copy / "estimation" / "__init__.py")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where numba would make its folder")
    for name in ("method", "."):
        (copy / "estimation" / "matrix_completion" / name / "__pycache__").write_text("no folder here either")
    code = (
        "import engines, numpy as np; from engines.estimation.matrix_completion.method.sparse import stable_order; "
        "order = np.empty(3, np.int64); stable_order(np.array([1, 0, 1]), 2, order); print(order.tolist(), engines.__file__)"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "HOME": str(blocked),
        "XDG_CACHE_HOME": str(blocked),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"[1, 0, 2] {copy}")
