"""Exact variances, the bandit's closed forms, the SNR estimator and the rate (spec section 11)."""

from __future__ import annotations

import numpy as np
import pytest

from engines.language.oblr_po.method import snr, variance
from engines.language.oblr_po.method import softmax_bandit as sb

TEN = np.random.default_rng(1).random(10)
POLICIES = {
    "uniform": np.zeros(10),
    "worst": 6.0 * np.eye(10)[TEN.argmin()],
    "best": 5.0 * np.eye(10)[TEN.argmax()],
}


@pytest.mark.parametrize(
    ("p", "none", "mean"),
    [(0.1, 0.1458, 0.1152), (0.3, 0.2058, 0.0672), (0.5, 0.125, 0.0), (0.9, 0.0018, 0.1152)],
)
def test_two_arms_to_twelve_digits(p: float, none: float, mean: float) -> None:
    bandit = sb.two_arms(p)
    exact = sb.variances(bandit, 1)
    assert exact["none"] == pytest.approx(none, abs=1e-12)
    assert exact["mean"] == pytest.approx(mean, abs=1e-12)
    assert exact["mean"] == pytest.approx(2 * p * (1 - p) * (1 - 2 * p) ** 2, abs=1e-12)
    assert exact["b*"] == pytest.approx(0, abs=1e-12)
    assert bandit.moments().optimal_baseline[0] == pytest.approx(1 - p, abs=1e-12)


def test_scores_average_to_zero() -> None:
    bandit = sb.Bandit(np.random.default_rng(2).normal(size=10), TEN)
    np.testing.assert_allclose(bandit.p @ bandit.scores, 0, atol=1e-15)


def test_parabola_around_the_optimal_baseline() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(5), size=4)
    scores = rng.normal(size=(4, 5, 7))
    scores -= np.einsum("xk,xkp->xp", p, scores)[:, None]
    m = variance.moments_of_policy(p, scores, rng.random((4, 5)))
    for b in rng.normal(size=5):
        gap = variance.within_variance(m, np.full(4, b), 6, 4) - variance.within_variance(
            m, m.optimal_baseline, 6, 4
        )
        assert gap == pytest.approx(variance.excess_variance(m, b, 6, 4), rel=1e-10)
    saving = variance.within_variance(m, np.zeros(4), 1) - variance.within_variance(m, m.optimal_baseline, 1)
    assert saving == pytest.approx(float((m.wr**2 / m.w).mean()), rel=1e-10)
    constant = variance.best_constant(m)
    at = [variance.within_variance(m, np.full(4, constant + d), 1) for d in (-0.01, 0, 0.01)]
    assert at[1] < min(at[0], at[2])


@pytest.mark.parametrize("group", [4, 8, 32])
def test_u_statistic_formula_against_simulation(group: int) -> None:
    bandit = sb.Bandit(np.zeros(10), TEN)
    g = sb.sampled_gradients(bandit, "RLOO", group, 60_000, np.random.default_rng(4))
    measured = ((g - bandit.gradient) ** 2).sum(1).mean()
    assert measured == pytest.approx(sb.variances(bandit, group)["RLOO"], rel=0.01)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("baseline", ["none", "RLOO", "b*"])
def test_a_step_gains_at_least_the_bound(policy: str, baseline: str) -> None:
    step = sb.measured_step(sb.Bandit(POLICIES[policy], TEN), baseline, 8, 20_000, np.random.default_rng(5))
    assert step.gain + 3 * step.error >= step.bound


def test_values_of_the_specification() -> None:
    exact = sb.variances(sb.Bandit(POLICIES["best"], TEN), 8)
    assert exact["none"] == pytest.approx(0.00418, rel=3e-3)
    assert exact["b*"] == pytest.approx(0.00104, rel=1e-2)
    assert exact["RLOO"] / exact["b*"] > 3.6


def test_between_prompt_variance() -> None:
    g = np.random.default_rng(6).normal(size=(5, 3))
    expected = ((g - g.mean(0)) ** 2).sum(1).mean()
    assert variance.between_variance(g @ g.T) == pytest.approx(expected, rel=1e-12)


def test_measured_variance_and_signal_are_unbiased() -> None:
    rng = np.random.default_rng(7)
    n, trials, mu, sd = 8, 10_000, np.array([0.5, -0.2, 0.3]), np.array([1.0, 2.0, 0.5])
    g = mu + sd * rng.normal(size=(trials, n, 3))
    found = [snr.measure((x**2).sum(1), float((x.mean(0) ** 2).sum())) for x in g]
    assert np.mean([m.variance for m in found]) == pytest.approx((sd**2).sum() / n, rel=0.02)
    assert np.mean([m.signal for m in found]) == pytest.approx(
        (mu**2).sum(), abs=4 * np.std([m.signal for m in found]) / 100
    )


def test_share_of_the_rate() -> None:
    clean = snr.measure(np.full(4, 2.0), 2.0)  # four equal groups: no noise
    assert clean.variance == 0
    state = snr.update(snr.SnrState(), clean, beta=0.9, start=None)
    assert snr.rate_share(state, 0.1) == 1.0
    assert state.snr == float("inf")
    noisy = snr.Measured(variance=3.0, signal=-1.0, square=2.0)
    low = snr.update(snr.SnrState(), noisy, beta=0.0, start=None)
    assert snr.rate_share(low, 0.1) == 0.1
    assert snr.prompts_for_unit_snr(low, 8) == float("inf")
    started = snr.update(snr.SnrState(), noisy, beta=1.0, start=0.25)
    assert snr.rate_share(started, 0.1) == 0.25


def test_a_batch_without_signal_changes_nothing() -> None:
    state = snr.SnrState(1.0, 2.0, 3.0, 4)
    assert snr.update(state, snr.Measured(0.0, 0.0, 0.0), 0.9, None) is state
    with pytest.raises(ValueError, match="at least 2 prompts"):
        snr.measure(np.ones(1), 1.0)


def test_step_and_gain() -> None:
    assert snr.optimal_step(1.0, 1.0, 2.0) == 0.25
    assert snr.optimal_step(0.0, 0.0, 2.0) == 0.0
    assert snr.guaranteed_gain(4.0, 4.0, 1.0) == 1.0
