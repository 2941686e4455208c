"""`MatrixCompletion`: exactness, invariances, noise, scikit-learn's manners, errors, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from engines.contract import Refusal
from engines.estimation.matrix_completion import MatrixCompletion, Observations


def random_problem(m: int, n: int, k: int, share: float, seed: int = 0):
    """(M, rows, cols) with about `share` of the entries seen."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((m, k)) @ rng.standard_normal((n, k)).T
    rows, cols = np.nonzero(rng.random((m, n)) < share)
    return M, rows, cols


def error(M: np.ndarray, answer: np.ndarray) -> float:
    return float(np.linalg.norm(answer - M) / np.linalg.norm(M))


def test_exact_recovery_and_agreement_of_the_solvers() -> None:
    M, rows, cols = random_problem(400, 400, 3, 0.3)
    answers = {}
    for solver in ("cg-shared", "exact", "sketch-per-row"):
        model = MatrixCompletion(3, solver=solver, tol=1e-10, max_iter=30, threads=1).fit(
            rows, cols, M[rows, cols]
        )
        answers[solver] = model.complete()
        assert error(M, answers[solver]) < 1e-8
    assert error(answers["exact"], answers["cg-shared"]) < 1e-6


def test_accelerated_needs_fewer_iterations_near_the_threshold() -> None:
    M, rows, cols = random_problem(300, 300, 14, 0.19, seed=1)
    fits = [
        MatrixCompletion(14, tol=1e-6, max_iter=200, accelerate=fast, threads=1).fit(
            rows, cols, M[rows, cols]
        )
        for fast in (False, True)
    ]
    assert all(fit.converged_ and error(M, fit.complete()) < 1e-4 for fit in fits)
    assert fits[1].n_iter_ < 0.7 * fits[0].n_iter_


def test_noise_level_of_theory() -> None:
    """lam = 0: error ~ sigma sqrt(k (m + n) / |Omega|), to 15 %."""
    rng = np.random.default_rng(4)
    n, k, count, sigma = 1000, 5, 100_000, 0.1
    M = rng.standard_normal((n, k)) @ rng.standard_normal((n, k)).T / np.sqrt(k)
    rows, cols = np.divmod(rng.permutation(n * n)[:count], n)
    values = M[rows, cols] + sigma * rng.standard_normal(count)
    model = MatrixCompletion(k, threads=1).fit(rows, cols, values)
    assert error(M, model.complete()) == pytest.approx(sigma * np.sqrt(k * 2 * n / count), rel=0.15)


def test_degenerate_matrices() -> None:
    rows, cols = np.divmod(np.arange(48), 8)
    M = np.random.default_rng(0).standard_normal((6, 8))
    whole = MatrixCompletion(6, tol=1e-10, threads=1).fit(rows, cols, M[rows, cols])
    assert error(M, whole.complete()) < 1e-8
    constant = MatrixCompletion(2, tol=1e-10, threads=1).fit(rows, cols, np.full(48, 2.5))
    np.testing.assert_allclose(constant.complete(), 2.5, rtol=1e-6)
    assert constant.singular_values_[1] < 1e-6 * constant.singular_values_[0]
    zero = MatrixCompletion(2, threads=1).fit(rows, cols, np.zeros(48))
    assert not np.any(zero.complete())


def test_an_empty_row_becomes_zero() -> None:
    M, rows, cols = random_problem(60, 50, 2, 0.5)
    kept = (rows != 7) & (cols != 11)
    model = MatrixCompletion(2, tol=1e-9, threads=1).fit(
        rows[kept], cols[kept], M[rows, cols][kept], shape=M.shape
    )
    assert not np.any(model.complete()[7])
    assert not np.any(np.abs(model.complete()[:, 11]) > 1e-12)
    assert Observations.from_entries(rows[kept], cols[kept], M[rows, cols][kept], M.shape).undetermined(
        2
    ) == (1, 1)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_permutation_scale_and_transposition(seed: int, scale: float) -> None:
    M, rows, cols = random_problem(40, 34, 2, 0.6, seed)
    rng = np.random.default_rng(seed)
    fit = lambda i, j, v, shape: MatrixCompletion(2, tol=1e-11, threads=1).fit(i, j, v, shape=shape)  # noqa: E731
    plain = fit(rows, cols, M[rows, cols], M.shape)
    p, q = rng.permutation(40), rng.permutation(34)
    order = rng.permutation(len(rows))
    moved = fit(p[rows][order], q[cols][order], M[rows, cols][order], M.shape)
    np.testing.assert_allclose(moved.complete()[np.ix_(p, q)], plain.complete(), atol=1e-6)
    scaled = fit(rows, cols, scale * M[rows, cols], M.shape)
    np.testing.assert_allclose(scaled.singular_values_, scale * plain.singular_values_, rtol=1e-6)
    turned = fit(cols, rows, M[rows, cols], M.shape[::-1])
    np.testing.assert_allclose(turned.complete().T, plain.complete(), atol=1e-6)


def test_same_seed_same_bits_whatever_the_threads() -> None:
    M, rows, cols = random_problem(300, 280, 6, 0.4)
    for solver in ("cg-shared", "sketch-per-row", "exact"):
        fits = [
            MatrixCompletion(6, solver=solver, max_iter=4, threads=threads, random_state=9).fit(
                rows, cols, M[rows, cols]
            )
            for threads in (1, 3, 3)
        ]
        for fit in fits[1:]:
            assert fit.left_.tobytes() == fits[0].left_.tobytes()
            assert fit.right_.tobytes() == fits[0].right_.tobytes()


def test_input_kinds_give_one_answer_and_stay_untouched() -> None:
    M, rows, cols = random_problem(50, 40, 2, 0.5)
    values = M[rows, cols]
    for array in (rows, cols, values):
        array.flags.writeable = False
    matrix = sparse.coo_array((values, (rows, cols)), shape=M.shape)
    plain = MatrixCompletion(2, threads=1).fit(rows, cols, values, shape=M.shape).complete()
    for other in (matrix, matrix.tocsr(), matrix.tocsc(), sparse.csr_matrix(matrix)):
        np.testing.assert_allclose(MatrixCompletion(2, threads=1).fit(other).complete(), plain, atol=1e-12)
    listed = MatrixCompletion(2, threads=1).fit(
        list(map(int, rows)), list(map(float, cols)), list(map(float, values))
    )
    np.testing.assert_allclose(listed.complete(), plain, atol=1e-12)


def test_single_precision() -> None:
    M, rows, cols = random_problem(120, 100, 3, 0.5)
    model = MatrixCompletion(3, dtype="float32", tol=1e-5, threads=1).fit(rows, cols, M[rows, cols])
    assert model.left_.dtype == model.complete().dtype == model.predict([0], [0]).dtype == np.float32
    assert error(M, model.complete()) < 1e-4


def test_manners_of_scikit_learn() -> None:
    from sklearn.base import clone

    model = MatrixCompletion(4, tol=1e-3, ridge=0.1)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert repr(model) == "MatrixCompletion(rank=4, tol=0.001, ridge=0.1)"
    assert model.set_params(rank=2) is model
    assert model.rank == 2
    with pytest.raises(Refusal, match="depth is not a parameter"):
        model.set_params(depth=3)
    with pytest.raises(Refusal, match="call fit first"):
        model.predict([0], [0])
    M, rows, cols = random_problem(40, 30, 2, 0.6)
    assert model.fit(rows, cols, M[rows, cols]) is model
    np.testing.assert_allclose(model.predict(rows, cols), model.complete()[rows, cols], rtol=1e-12)
    assert len(model.residuals_) == model.n_iter_
    with pytest.raises(Refusal, match="rows must be between 0 and 39"):
        model.predict([40], [0])
    with pytest.raises(Refusal, match="one length"):
        model.predict([1, 2], [0])


def test_callback_stops_and_a_warm_start_goes_on() -> None:
    M, rows, cols = random_problem(80, 70, 3, 0.4)
    values = M[rows, cols]
    seen = []
    model = MatrixCompletion(3, tol=1e-9, warm_start=True, threads=1)
    model.fit(rows, cols, values, callback=lambda at: seen.append(at.iteration) or at.iteration == 3)
    assert seen == [1, 2, 3]
    halfway = model.residual_
    model.fit(rows, cols, values, callback=lambda at: True)
    assert model.residual_ < halfway
    with pytest.raises(Refusal, match="warm_start needs the shape"):
        model.set_params(rank=2).fit(rows, cols, values)


def test_held_out_entries_stop_an_overfit() -> None:
    M, rows, cols = random_problem(100, 90, 2, 0.3)
    noisy = M[rows, cols] + 0.5 * np.random.default_rng(0).standard_normal(len(rows))
    model = MatrixCompletion(8, hold_out=0.1, max_iter=200, tol=1e-9, center=True, threads=1).fit(
        rows, cols, noisy
    )
    assert model.converged_
    assert model.n_iter_ < 100
    assert 0.0 < model.held_out_error_ < 1.0
    assert model.offset_ == pytest.approx(noisy.mean(), abs=0.1)


def test_sample_splitting_hurts_but_runs() -> None:
    M, rows, cols = random_problem(200, 200, 2, 0.6)
    split = MatrixCompletion(2, split=True, max_iter=3, threads=1).fit(rows, cols, M[rows, cols])
    whole = MatrixCompletion(2, max_iter=3, accelerate=False, threads=1).fit(rows, cols, M[rows, cols])
    assert error(M, whole.complete()) < error(M, split.complete()) < 0.5


def test_bad_entries_are_refused_in_one_sentence() -> None:
    M, rows, cols = random_problem(20, 15, 1, 0.6)
    values = M[rows, cols]
    fit = MatrixCompletion(1).fit
    holed = values.copy()
    holed[3] = np.nan
    cases = {
        "values must be finite; 1 are not": (rows, cols, holed),
        "given again": (np.r_[rows, rows[0]], np.r_[cols, cols[0]], np.r_[values, 1.0]),
        "one length": (rows[1:], cols, values),
        "at least one observed entry": ([], [], []),
        "rows must be between 0 and": (np.r_[rows[:-1], -1], cols, values),
        "cols must be whole numbers": (rows, cols + 0.5, values),
        "rows, cols and values, or one scipy": (rows, None, None),
    }
    for words, entries in cases.items():
        with pytest.raises(Refusal, match=words):
            fit(*entries)
    averaged = Observations.from_entries([0, 1, 0], [0, 1, 0], [1.0, 5.0, 2.0], duplicates="mean")
    assert averaged.by_row.values.tolist() == [1.5, 5.0]


@pytest.mark.parametrize(
    ("params", "field", "words"),
    [
        ({"rank": 16}, "rank", "between 1 and min"),
        ({"rank": 12}, "rank", "fewer than the"),
        ({"rank": 0}, "rank", "at least 1"),
        ({"tol": 0.0}, "tol", "above 0"),
        ({"ridge": -1.0}, "ridge", "at least 0"),
        ({"solver": "magic"}, "solver", "cg-shared"),
        ({"hold_out": 0.9}, "hold_out", "between 0 and 0.5"),
        ({"dtype": "int8"}, "dtype", "float64 or float32"),
    ],
)
def test_bad_parameters_are_refused_by_name(params: dict[str, object], field: str, words: str) -> None:
    M, rows, cols = random_problem(20, 15, 1, 0.6)
    with pytest.raises(Refusal, match=words) as refused:
        MatrixCompletion(**params).fit(rows, cols, M[rows, cols], shape=M.shape)
    assert refused.value.field == field
