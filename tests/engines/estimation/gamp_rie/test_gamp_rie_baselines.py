"""Gradient descent, its average, and the best linear estimator."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.devices import numpy_generator
from engines.estimation.gamp_rie.baselines import (
    Descent,
    DescentSettings,
    average_error,
    descend,
    draw_students,
    linear_estimate,
)
from engines.estimation.gamp_rie.baselines import _gradient as gradient
from engines.estimation.gamp_rie.method.theory import linear_error
from engines.estimation.gamp_rie.problem import Problem, draw_problem


def problem(d: int, alpha: float, delta: float = 0.0) -> Problem:
    return draw_problem(d, 0.5, alpha, delta, seed=11, repetition=0)


def train(data: Problem, students: int, plan: DescentSettings) -> Descent:
    d = data.sensing.dimension
    start = draw_students(students, d // 2, d, numpy_generator(11, "students"))
    return list(descend(data.inputs, data.labels, start, plan))[-1]


def loss_of(weights: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> float:
    """The official loss, written down as it stands."""
    m, d = weights.shape
    output = np.sum((inputs @ weights.T) ** 2, axis=1) / d / np.sqrt(m)
    return float(np.sum((output - np.sqrt(m) * labels) ** 2) / 4)


def test_gradient_is_that_of_the_loss() -> None:
    data = problem(12, 0.5)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 6, 12))
    x = data.inputs.astype(np.float64)
    found, loss = gradient(w.reshape(18, 12).copy(), x, np.sqrt(6) * data.labels, 6)
    assert_allclose(loss, [loss_of(w[j], x, data.labels) for j in range(3)], rtol=1e-12)
    for _ in range(5):
        direction = rng.standard_normal(w.shape)
        h = 1e-5
        up, down = (sum(loss_of(v, x, data.labels) for v in w + sign * h * direction) for sign in (1, -1))
        assert_allclose(np.sum(found.reshape(w.shape) * direction), (up - down) / (2 * h), rtol=1e-6)


def test_descent_fits_noiseless_data() -> None:
    last = train(problem(30, 0.2), 3, DescentSettings(steps=600))
    assert last.step == 600
    assert last.loss.max() < 1e-3


@pytest.mark.parametrize("optimiser", ["adam", "gd"])
def test_both_optimisers_go_down(optimiser: str) -> None:
    data = problem(20, 0.4)
    start = draw_students(2, 10, 20, numpy_generator(0, "students"))
    rate = 0.05 if optimiser == "adam" else 0.5
    points = list(descend(data.inputs, data.labels, start, DescentSettings(optimiser, rate, 200), every=100))
    assert [point.step for point in points] == [0, 100, 200]
    assert (points[-1].loss < 0.3 * points[0].loss).all()


def test_weight_decay_shrinks_the_weights() -> None:
    data = problem(20, 0.2)
    free, decayed = (
        np.sum(train(data, 2, DescentSettings(steps=300, weight_decay=decay)).weights ** 2)
        for decay in (0.0, 0.3)
    )
    assert decayed < free


def test_a_diverging_descent_is_said() -> None:
    data = problem(20, 0.4)
    with pytest.raises(FloatingPointError, match="lower its rate"):
        train(data, 2, DescentSettings("gd", 2e3, 200))


def test_the_torch_path_takes_the_same_way() -> None:
    pytest.importorskip("torch")
    import torch

    data = problem(12, 0.4)
    start = draw_students(2, 6, 12, numpy_generator(0, "students")).reshape(12, 12).astype(np.float64)
    x, y = data.inputs.astype(np.float64), np.sqrt(6) * data.labels
    found, loss = gradient(torch.from_numpy(start), torch.from_numpy(x), torch.from_numpy(y), 6)
    expected, expected_loss = gradient(start, x, y, 6)
    assert_allclose(found.numpy(), expected, rtol=1e-9)
    assert_allclose(loss.numpy(), expected_loss, rtol=1e-9)


def test_extrapolation_removes_the_noise_of_few_students() -> None:
    rng = np.random.default_rng(0)
    d, count = 40, 4
    truth, common = rng.standard_normal((d, d)), 0.3 * rng.standard_normal((d, d))
    trials = [average_error(truth + common + rng.standard_normal((count, d, d)), truth) for _ in range(200)]
    assert_allclose(np.mean([limit for _, _, limit in trials]), np.sum(common**2) / d, rtol=0.05)
    assert np.mean([mean for _, mean, _ in trials]) > 1.5 * np.sum(common**2) / d
    single, mean, limit = average_error(truth[None] + 1.0, truth)
    assert_allclose([single[0], mean, limit], d)


@pytest.mark.parametrize("delta", [0.0, 0.0625])
def test_linear_estimator_is_the_ridge_solution_and_has_its_theory(delta: float) -> None:
    data = problem(24, 0.3, delta)
    x = data.inputs.astype(np.float64)
    n, d = x.shape
    z = (np.einsum("ia,ib->iab", x, x) - np.eye(d)).reshape(n, d * d) / np.sqrt(d)
    prior = 2 / (data.kappa * d)
    weights = np.linalg.solve(prior * z @ z.T + data.noise * np.eye(n), data.targets - z @ np.eye(d).ravel())
    expected = np.eye(d) + prior * (z.T @ weights).reshape(d, d)
    found = linear_estimate(data.sensing, data.targets, data.kappa, data.noise, 400, 1e-12)
    assert_allclose(found, expected, atol=2e-3)
    large = problem(80, 0.3, delta)
    estimate = linear_estimate(large.sensing, large.targets, large.kappa, large.noise)
    assert_allclose(large.mse(estimate), linear_error(large.alpha, large.kappa, large.noise), rtol=0.12)
