"""GAMP-RIE: purity, agreement with theory, the guard, divergence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.estimation.gamp_rie.method.denoiser import error_table, rie
from engines.estimation.gamp_rie.method.gamp import Settings, init, iterate, solve, step, student_weights
from engines.estimation.gamp_rie.method.theory import bayes_error
from engines.estimation.gamp_rie.problem import Problem, draw_problem


def problem(d: int, alpha: float, repetition: int = 0, delta: float = 0.0, kappa: float = 0.5) -> Problem:
    return draw_problem(d, kappa, alpha, delta, seed=7, repetition=repetition)


def reached(d: int, alpha: float, repetitions: int, delta: float = 0.0) -> float:
    errors = []
    for repetition in range(repetitions):
        data = problem(d, alpha, repetition, delta)
        state, _ = solve(data.sensing, data.targets, Settings(data.kappa, data.noise), data.guard)
        errors.append(data.mse(state.estimate))
    return float(np.mean(errors))


def test_a_step_equals_the_formulas_on_dense_matrices() -> None:
    """Two damped steps, against the obvious implementation over the n x d x d array."""
    data = problem(20, 0.3)
    x = data.inputs.astype(np.float64)
    n, d = x.shape
    z = (np.einsum("ia,ib->iab", x, x) - np.eye(d)) / np.sqrt(d)
    alpha, eta = n / d**2, 0.5
    settings = Settings(data.kappa, 0.1, eta)
    estimate, error, g, w, v = np.eye(d), 1 / data.kappa, np.zeros(n), None, None
    state = init(data.sensing, settings)
    for _ in range(2):
        fresh_v = 2 * error
        fresh_w = np.einsum("iab,ab->i", z, estimate) - fresh_v * g
        v = fresh_v if v is None else (1 - eta) * fresh_v + eta * v
        w = fresh_w if w is None else (1 - eta) * fresh_w + eta * w
        g = (data.targets - w) / (0.1 + v)
        a = 2 * alpha * np.mean(g**2)
        noisy = estimate + np.einsum("i,iab->ab", g, z) / (a * d)
        estimate, error = rie(noisy, 1 / (2 * a), data.kappa).matrix, error_table(data.kappa)(1 / (2 * a))
        state, info = step(state, data.sensing, data.targets, settings)
    assert_allclose(state.estimate, estimate, atol=5e-4)
    assert_allclose(info.own_error, error, rtol=1e-4)
    assert_allclose(info.noise_level, 1 / (2 * a), rtol=1e-4)


def test_step_is_pure() -> None:
    data = problem(20, 0.3)
    settings = Settings(data.kappa)
    first, _ = step(init(data.sensing, settings), data.sensing, data.targets, settings)
    kept = [np.copy(part) for part in (first.estimate, first.mean, first.output)]
    second = [step(first, data.sensing, data.targets, settings)[0] for _ in range(2)]
    for part, copy in zip((first.estimate, first.mean, first.output), kept, strict=True):
        assert_allclose(part, copy, rtol=0, atol=0)
    assert_allclose(second[0].estimate, second[1].estimate, rtol=0, atol=0)


@pytest.mark.parametrize("alpha", [0.2, 0.3])
def test_reaches_theory_at_100(alpha: float) -> None:
    assert abs(reached(100, alpha, 3) - bayes_error(alpha, 0.5)) < 0.04


def test_reaches_theory_with_noise() -> None:
    data = problem(80, 0.3, delta=0.0625)
    assert abs(reached(80, 0.3, 2, 0.0625) - bayes_error(0.3, 0.5, data.noise)) < 0.06


def test_recovers_above_the_threshold() -> None:
    assert reached(100, 0.5, 1) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_within_a_tenth_of_theory_at_200(alpha: float) -> None:
    found, theory = reached(200, alpha, 3), bayes_error(alpha, 0.5)
    print(f"d = 200, alpha = {alpha}: MSE {found:.4f}, theory {theory:.4f}")
    assert abs(found / theory - 1.0) < 0.1


def test_estimates_its_own_error_and_so_do_held_out_samples() -> None:
    data = problem(80, 0.2)
    state, info = solve(data.sensing, data.targets, Settings(data.kappa), data.guard)
    true = data.mse(state.estimate)
    assert abs(data.kappa * info.own_error - true) < 0.1
    assert abs(data.kappa * info.held_out - true) < 0.15


def test_the_guard_notices_the_wrong_fixed_point() -> None:
    """Without damping the run settles at a point where it believes in an error of 0."""
    data = problem(60, 0.3)
    settings = Settings(data.kappa, damping=0.0)
    alone, belief = solve(data.sensing, data.targets, settings)
    guarded, info = solve(data.sensing, data.targets, settings, data.guard)
    assert data.kappa * belief.own_error < 0.01 < data.mse(alone.estimate) / 10
    assert info.attempt >= 1
    assert data.mse(guarded.estimate) < 0.8 * data.mse(alone.estimate)


def test_the_guard_lets_a_good_run_pass() -> None:
    data = problem(60, 0.3)
    attempts = {info.attempt for _, info in iterate(data.sensing, data.targets, Settings(0.5), data.guard)}
    assert attempts == {0}


def test_divergence_is_said() -> None:
    data = problem(40, 0.05)
    with pytest.raises(FloatingPointError, match="diverged at iteration"):
        solve(data.sensing, data.targets, Settings(0.5, damping=0.0, scale="population", iterations=300))


def test_no_iterations_are_refused() -> None:
    data = problem(20, 0.3)
    with pytest.raises(ValueError, match="at least 1"):
        solve(data.sensing, data.targets, Settings(0.5, iterations=0))


def test_stops_by_tolerance() -> None:
    data = problem(60, 0.6)
    infos = [info for _, info in iterate(data.sensing, data.targets, Settings(0.5, tolerance=1e-3))]
    assert len(infos) < 100
    assert infos[-1].change < 1e-3


def test_student_weights_rebuild_a_low_rank_estimate() -> None:
    data = problem(30, 0.3)
    weights = student_weights(data.teacher.matrix, 15)
    assert weights.shape == (15, 30)
    assert_allclose(weights.T @ weights / 15, data.teacher.matrix, atol=1e-10)


def test_teacher_and_data_are_the_same_at_every_alpha_and_differ_between_data_sets() -> None:
    few, many, other = problem(30, 0.2), problem(30, 0.4), problem(30, 0.2, repetition=1)
    assert_allclose(few.teacher.matrix, many.teacher.matrix, rtol=0, atol=0)
    assert_allclose(many.inputs[: len(few.inputs)], few.inputs, rtol=0, atol=0)
    assert not np.allclose(few.teacher.matrix, other.teacher.matrix)
