"""The RIE denoiser and F(s): published numbers, limits, and sampled matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.estimation.gamp_rie.method.denoiser import (
    ErrorTable,
    rie,
    rie_error,
    rie_error_ratio,
    shrink,
    small_noise_ratio,
)


@pytest.mark.parametrize(
    ("kappa", "s", "expected"),
    [
        (0.5, 1.0, 0.4985186644),
        (0.5, 0.1, 0.0705534704),
        (0.5, 0.01, 0.0074619698),
        (0.5, 1e-4, 0.7499626e-4),
        (1.0, 0.3, 0.1986235570),
        (2.0, 0.3, 0.1744645959),
        (0.1, 5.0, 0.9190245432),
        (2.0, 1e-3, 0.9960614e-3),
    ],
)
def test_error_of_the_denoiser(kappa: float, s: float, expected: float) -> None:
    assert_allclose(rie_error(s, kappa), expected, rtol=1e-6)


@pytest.mark.parametrize("kappa", [0.1, 0.5, 1.0, 1.7, 4.0])
def test_limits_of_the_error(kappa: float) -> None:
    assert_allclose(rie_error(1e5, kappa), 1.0 / kappa, rtol=2e-4)
    assert_allclose(rie_error_ratio(1e-9, kappa), small_noise_ratio(kappa), rtol=2e-6)
    assert_allclose(rie_error_ratio(1e-30, kappa), small_noise_ratio(kappa), rtol=0)


@pytest.mark.parametrize("kappa", [0.05, 0.1, 0.5, 0.9, 1.0, 2.0, 5.0])
def test_error_over_noise_decreases_so_that_theory_has_one_solution(kappa: float) -> None:
    ratio = rie_error_ratio(np.logspace(-9, 5, 800), kappa)
    assert (np.diff(ratio) < 1e-10).all()
    assert (ratio > 0).all()
    assert (ratio <= 1 + 1e-12).all()


@pytest.mark.parametrize("kappa", [0.1, 0.5, 1.0, 2.0])
def test_table_agrees_with_the_integral(kappa: float) -> None:
    table = ErrorTable(kappa)
    for s in np.exp(np.random.default_rng(1).uniform(-20, 10, 60)):
        assert_allclose(table(float(s)), rie_error(s, kappa), rtol=5e-6)


def test_no_signal_is_shrunk_to_the_mean() -> None:
    # For s -> inf the law is a semicircle around 1 with h = (x - 1) / (2 s): every xi is 1, the mean of S*.
    s = 1e6
    assert_allclose(shrink(np.linspace(-1.0, 1.0, 5) * np.sqrt(s), s, 2.0), 1.0, atol=5e-3)


@pytest.mark.parametrize(("kappa", "s"), [(0.5, 0.6), (0.5, 0.05), (2.0, 0.3)])
def test_sampled_matrices_are_denoised_as_promised(kappa: float, s: float) -> None:
    rng = np.random.default_rng(3)
    d = 400
    w = rng.standard_normal((round(kappa * d), d))
    truth = w.T @ w / len(w)
    noise = rng.standard_normal((d, d)) / np.sqrt(d)
    noisy = truth + np.sqrt(s) * (noise + noise.T) / np.sqrt(2)
    result = rie(noisy, s, kappa)
    error = np.sum((result.matrix - truth) ** 2) / d
    assert_allclose(error, rie_error(s, kappa), rtol=0.04)
    # No other scaling of the shrunk eigenvalues does better: the denoiser is at its optimum.
    for factor in (0.95, 1.05):
        other = (result.vectors * (result.shrunk * factor)) @ result.vectors.T
        assert np.sum((other - truth) ** 2) / d > error


def test_rie_symmetrises_and_refuses_what_is_not_finite() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.standard_normal((12, 12))
    once, twice = rie(noisy, 0.3, 0.5), rie(0.5 * (noisy + noisy.T), 0.3, 0.5)
    assert_allclose(once.matrix, twice.matrix)
    assert_allclose(once.matrix, once.matrix.T, rtol=0, atol=0)
    noisy[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        rie(noisy, 0.3, 0.5)
