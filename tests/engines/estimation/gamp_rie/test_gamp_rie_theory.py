"""The Bayes-optimal error against the official repository's stored curve, closed limits, and the state evolution."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.estimation.gamp_rie.method.theory import (
    bayes_curve,
    bayes_error,
    bayes_map,
    effective_noise,
    linear_error,
    narrow_error,
    recovery_threshold,
    state_evolution,
)

REPOSITORY = [  # kappa, alpha, MMSE: CSV files of the official code
    (0.5, 0.0304488, 0.9313798, 1e-5),
    (0.5, 0.1187953, 0.6606494, 1e-5),
    (0.5, 0.2365906, 0.2838870, 1e-5),
    (0.5, 0.3249370, 0.0799489, 1e-5),
    (1.0, 0.0402913, 0.9130599, 1e-5),
    (1.0, 0.1581654, 0.6102372, 1e-5),
    (1.0, 0.3153307, 0.2296276, 1e-5),
    (1.0, 0.4332047, 0.0437048, 1e-5),
    (0.1, 0.0306063, 0.8774535, 2e-3),
    (0.1, 0.0602126, 0.61088, 2e-3),
    (0.1, 0.0824173, 0.31290, 2e-3),
    (2.0, 0.1581654, 0.64786, 2e-3),
    (2.0, 0.3153307, 0.29775, 2e-3),
]


@pytest.mark.parametrize(("kappa", "alpha", "expected", "rtol"), REPOSITORY)
def test_published_curve(kappa: float, alpha: float, expected: float, rtol: float) -> None:
    assert_allclose(bayes_error(alpha, kappa), expected, rtol=rtol)


@pytest.mark.parametrize(
    ("kappa", "values"),
    [
        (0.5, {0.075: 0.80452, 0.1: 0.72368, 0.2: 0.39220, 0.25: 0.24729, 0.3: 0.12813, 0.35: 0.03933}),
        (1.0, {0.1: 0.76492, 0.2: 0.49992, 0.3: 0.26145, 0.4: 0.08426}),
        (2.0, {0.1: 0.78323, 0.2: 0.55093, 0.3: 0.32953, 0.4: 0.13909}),
        (0.1, {0.02: 0.937102, 0.04: 0.807703, 0.06: 0.613933, 0.08: 0.354044, 0.09: 0.143892}),
    ],
)
def test_noiseless_values(kappa: float, values: dict[float, float]) -> None:
    found = [bayes_error(alpha, kappa) for alpha in values]
    assert_allclose(found, list(values.values()), atol=6e-6)
    assert_allclose(bayes_curve(list(values), kappa), found, atol=5e-5)


@pytest.mark.parametrize(
    ("kappa", "values"),
    [
        (0.5, {0.0402913: 0.9185695, 0.1581654: 0.6174868, 0.3153307: 0.3148498, 0.4332047: 0.2020360}),
        (0.5, {0.1: 0.76945, 0.2: 0.51785, 0.3: 0.33570, 0.4: 0.22673}),
        (1.0, {0.1: 0.82473, 0.2: 0.64735, 0.3: 0.49994, 0.4: 0.38994}),
    ],
)
def test_values_with_noise(kappa: float, values: dict[float, float]) -> None:
    found = [bayes_error(alpha, kappa, 0.5) for alpha in values]
    assert_allclose(found, list(values.values()), atol=6e-6)
    assert_allclose(bayes_curve(list(values), kappa, 0.5), found, atol=5e-5)


def test_effective_noise_of_the_network() -> None:
    noise = effective_noise(0.0625, 0.5)
    assert_allclose(noise, 0.515625)
    found = [bayes_error(alpha, 0.5, noise) for alpha in (0.0402913, 0.1581654, 0.3153307, 0.4332047)]
    assert_allclose(found, [0.91891, 0.61956, 0.31847, 0.20551], atol=6e-6)


@pytest.mark.parametrize(("kappa", "step"), [(0.1, 1e-3), (0.5, 1e-3), (1.0, 1e-3), (2.0, 1e-3)])
def test_recovery_threshold(kappa: float, step: float) -> None:
    threshold = float(recovery_threshold(kappa))
    assert_allclose(threshold, kappa - kappa**2 / 2 if kappa <= 1 else 0.5)
    assert bayes_error(threshold - step, kappa) > 0
    assert bayes_error(threshold + step, kappa) == 0
    assert bayes_curve([threshold + step], kappa)[0] == 0


def test_noise_forbids_perfect_recovery() -> None:
    assert bayes_error(0.6, 0.5, 1e-4) > 0


def test_narrow_limit() -> None:
    a = np.array([0.3, 0.6, 0.8, 0.95])
    kappa = 0.001
    assert_allclose([bayes_error(x * kappa, kappa) for x in a], narrow_error(a), atol=0.015)


@pytest.mark.parametrize(("alpha", "noise"), [(0.1, 0.0), (0.2, 0.0), (0.3, 0.0), (0.35, 0.0), (0.3, 0.5)])
def test_state_evolution_decreases_to_the_fixed_point(alpha: float, noise: float) -> None:
    evolution = state_evolution(alpha, 0.5, noise, 2000)
    assert (np.diff(evolution.error) <= 1e-14).all()
    assert_allclose(0.5 * evolution.error[-1], bayes_error(alpha, 0.5, noise), atol=1e-7)
    damped = state_evolution(alpha, 0.5, noise, 4000, damping=0.5)
    assert_allclose(damped.error[-1], evolution.error[-1], atol=1e-8)


def test_fixed_point_equation_of_the_paper() -> None:
    from engines.estimation.gamp_rie.method.spectral import law

    alpha, kappa, noise = 0.3, 0.5, 0.5
    error = bayes_error(alpha, kappa, noise)
    qhat = 2 * alpha / (error / kappa + noise / 2)
    nodes = law(1 / qhat, kappa)
    cube = float(nodes.integral(nodes.density**2))
    assert_allclose(1 - 2 * alpha + noise * qhat / 2, 4 * np.pi**2 / (3 * qhat) * cube, rtol=1e-8)


def test_linear_estimator_needs_half_whatever_the_width() -> None:
    for kappa in (0.1, 2.0):
        assert_allclose(linear_error([0.1, 0.25, 0.4], kappa), [0.8, 0.5, 0.2])
    assert linear_error(0.3, 0.5, 0.5) > linear_error(0.3, 0.5)
    assert linear_error(0.3, 0.5, 0.5) > bayes_error(0.3, 0.5, 0.5)


def test_map_has_a_row_for_each_kappa() -> None:
    alphas, kappas = np.array([0.05, 0.2, 0.45]), np.array([0.2, 0.5, 1.5])
    found = bayes_map(alphas, kappas)
    assert found.shape == (3, 3)
    for row, kappa in zip(found, kappas, strict=True):
        assert_allclose(row, [bayes_error(a, float(kappa)) for a in alphas], atol=3e-4)


@pytest.mark.parametrize(
    ("arguments", "word"), [((0.0, 0.5), "alpha"), ((0.1, 0.0), "kappa"), ((0.1, 0.5, -1.0), "noise")]
)
def test_refuses_what_makes_no_sense(arguments: tuple[float, ...], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        bayes_error(*arguments)
