"""The random-matrix layer against independent truths: numpy's polynomial roots with subordination, exact moments,
sampled matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from engines.estimation.gamp_rie.method.spectral import (
    density,
    edges,
    hilbert,
    law,
    marchenko_pastur,
    stieltjes,
)

PAIRS = [(0.5, 1.0), (0.5, 0.1), (0.5, 0.01), (1.0, 0.3), (2.0, 0.3), (0.1, 0.05), (0.1, 10.0)]


def subordinated(x: np.ndarray, s: float, kappa: float, offset: float = 1e-9) -> np.ndarray:
    """g(x - i offset) the slow way: all roots of the cubic in g, and of those the one with g = g_MP(z - s g)."""

    def g_mp(w: complex) -> complex:
        low, high = (1 - kappa**-0.5) ** 2, (1 + kappa**-0.5) ** 2
        return (kappa * w + 1 - kappa - kappa * np.sqrt(w - high) * np.sqrt(w - low)) / (2 * w)

    found = []
    for z in x - 1j * offset:
        roots = np.roots([s, -(z + kappa * s), 1 - kappa + kappa * z, -kappa])
        misfit = [abs(g - g_mp(z - s * g)) if g.imag > -1e-15 else np.inf for g in roots]
        found.append(roots[int(np.argmin(misfit))])
    return np.array(found)


@pytest.mark.parametrize(("kappa", "s"), PAIRS)
def test_stieltjes_agrees_with_subordination_in_and_outside_the_bulk(kappa: float, s: float) -> None:
    ends = edges(s, kappa)
    x = np.linspace(ends[0] - 1.0, ends[-1] + 1.0, 301)
    x = x[np.min(np.abs(x[:, None] - ends), axis=1) > 1e-3]  # at an edge the offset itself shows
    assert_allclose(stieltjes(x, s, kappa), subordinated(x, s, kappa), atol=3e-7)


@pytest.mark.parametrize(
    ("kappa", "s", "expected"),
    [
        (0.5, 1.0, [-1.65388052, 6.1187003]),
        (0.5, 0.1, [-0.48322243, 5.85769041]),
        (0.5, 0.01, [-0.14583312, 0.13550378, 0.18897354, 5.8313558]),
        (1.0, 0.3, [-0.7164125, 4.14859424]),
        (2.0, 0.3, [-0.54489289, 3.15539554]),
    ],
)
def test_edges(kappa: float, s: float, expected: list[float]) -> None:
    assert_allclose(edges(s, kappa), expected, rtol=1e-6)


@pytest.mark.parametrize("kappa", [0.05, 0.1, 0.5, 0.9, 1.0, 1.01, 2.0, 5.0])
def test_mass_mean_and_second_moment_for_every_noise(kappa: float) -> None:
    s = np.logspace(-8, 4, 241)
    nodes = law(s, kappa)
    assert_allclose(nodes.integral(1.0), 1.0, atol=2e-6)
    assert_allclose(nodes.integral(nodes.x), 1.0, atol=2e-6)
    assert_allclose(nodes.integral(nodes.x**2), 1.0 + 1.0 / kappa + s, rtol=2e-6)


def test_mass_and_mean_are_exact_to_1e7_at_the_noises_that_runs_meet() -> None:
    for kappa in (0.1, 0.5, 1.0, 2.0):
        nodes = law(np.logspace(-5, 1, 61), kappa)
        assert_allclose(nodes.integral(1.0), 1.0, atol=1e-7)
        assert_allclose(nodes.integral(nodes.x), 1.0, atol=1e-7)


def test_density_vanishes_outside_and_is_positive_inside() -> None:
    e1, e2, e3, e4 = edges(0.01, 0.5)
    outside = density(np.array([e1 - 0.1, (e2 + e3) / 2, e4 + 0.1]), 0.01, 0.5)
    assert_allclose(outside, 0.0, atol=1e-12)
    assert (density(np.array([(e1 + e2) / 2, (e3 + e4) / 2]), 0.01, 0.5) > 0.05).all()


def test_hilbert_transform_is_the_principal_value_of_the_density() -> None:
    kappa, s = 0.5, 0.3
    low, high = edges(s, kappa)
    # p.v. int rho(t)/(x - t) dt with the density interpolated at x subtracted: the rest is regular
    t = low + (high - low) * (np.arange(20_000) + 0.5) / 20_000
    w = (high - low) / 20_000
    for x in (0.3, 1.0, 4.0):
        here = float(density(x, s, kappa))
        regular = np.sum(w * (density(t, s, kappa) - here) / (x - t))
        principal = regular + here * np.log((x - low) / (high - x))
        assert_allclose(hilbert(x, s, kappa), principal, atol=2e-3)


def test_large_noise_is_the_semicircle() -> None:
    s = 1e4
    x = np.linspace(-1.5, 1.5, 7) * np.sqrt(s)
    expected = np.sqrt(4 * s - x**2) / (2 * np.pi * s)
    assert_allclose(density(x, s, 0.5) / expected, 1.0, rtol=0.05)


def test_sampled_spectrum_has_this_law() -> None:
    rng = np.random.default_rng(0)
    d, kappa, s = 500, 0.5, 0.1
    w = rng.standard_normal((round(kappa * d), d))
    noise = rng.standard_normal((d, d)) / np.sqrt(d)
    values = np.linalg.eigvalsh(w.T @ w / len(w) + np.sqrt(s) * (noise + noise.T) / np.sqrt(2))
    nodes = law(s, kappa)
    order = np.argsort(nodes.x)
    cumulative = np.cumsum((nodes.weight * nodes.density)[order])
    theory = np.interp(values, nodes.x[order], cumulative)
    assert np.max(np.abs(theory - np.arange(1, d + 1) / d)) < 0.02


def test_marchenko_pastur_has_the_continuous_mass() -> None:
    for kappa in (0.3, 1.5):
        low, high = (1 - kappa**-0.5) ** 2, (1 + kappa**-0.5) ** 2
        turn = np.linspace(0, np.pi, 4001)
        x = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(turn)
        assert_allclose(np.trapezoid(marchenko_pastur(x, kappa), x), min(kappa, 1.0), rtol=1e-4)
