"""A softmax policy over K arms: everything about the gradient estimate in closed form (spec section 6a).

theta in R^K, p = softmax(theta), score of arm a: s_a = e_a - p, J = sum_a p_a r_a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.language.oblr_po.method.estimators import optimal_loo, rloo
from engines.language.oblr_po.method.snr import optimal_step
from engines.language.oblr_po.method.variance import (
    Moments,
    moments_of_policy,
    rloo_variance,
    within_variance,
)

Array = NDArray[np.float64]
SMOOTHNESS = 2.5
"""L of J with rewards in [0, 1]: 5/2 (Mei et al. 2020, from memory)."""


@dataclass(frozen=True)
class Bandit:
    """`logits` (K,) and `rewards` (K,) in [0, 1]."""

    logits: Array
    rewards: Array

    @property
    def p(self) -> Array:
        """Probability of each arm, (K,)."""
        shifted = np.exp(self.logits - self.logits.max())
        return shifted / shifted.sum()

    @property
    def scores(self) -> Array:
        """s_a as rows, (K, K)."""
        return np.eye(len(self.logits)) - self.p

    @property
    def value(self) -> float:
        """J."""
        return float(self.p @ self.rewards)

    @property
    def gradient(self) -> Array:
        """g_J = p * (r - J), (K,)."""
        return self.p * (self.rewards - self.value)

    def moments(self) -> Moments:
        """Moments of the one prompt."""
        return moments_of_policy(self.p[None], self.scores[None], self.rewards[None])

    def values_at(self, logits: Array) -> Array:
        """J at many parameters, (M, K) to (M,)."""
        e = np.exp(logits - logits.max(1, keepdims=True))
        return (e / e.sum(1, keepdims=True)) @ self.rewards


def two_arms(probability: float) -> Bandit:
    """Rewards (1, 0), the first arm drawn with `probability`: b* = 1 - p there, and its variance is exactly 0."""
    return Bandit(np.array([np.log(probability), np.log1p(-probability)]), np.array([1.0, 0.0]))


def variances(bandit: Bandit, group: int) -> dict[str, float]:
    """Exact variance of the estimate from `group` draws: no baseline, oracle mean, RLOO, oracle b*."""
    m = bandit.moments()
    return {
        "none": within_variance(m, np.zeros(1), group),
        "mean": within_variance(m, m.r, group),
        "RLOO": rloo_variance(m, group) if group > 1 else float("nan"),
        "b*": within_variance(m, m.optimal_baseline, group),
    }


def sampled_gradients(
    bandit: Bandit, baseline: str, group: int, draws: int, rng: np.random.Generator
) -> Array:
    """(draws, K) gradient estimates; `baseline` none, mean, b*, RLOO or "estimated b*"."""
    arms = rng.choice(len(bandit.p), size=(draws, group), p=bandit.p)
    r = bandit.rewards[arms]
    m = bandit.moments()
    fixed = {"none": 0.0, "mean": float(m.r[0]), "b*": float(m.optimal_baseline[0])}
    if baseline in fixed:
        advantage = r - fixed[baseline]
    elif baseline == "RLOO":
        advantage = rloo(r)
    else:
        advantage = optimal_loo(r, (bandit.scores**2).sum(1)[arms])
    counts = np.zeros((draws, len(bandit.p)))
    np.add.at(counts, (np.arange(draws)[:, None], arms), advantage)
    return (counts - advantage.sum(1, keepdims=True) * bandit.p) / group


@dataclass(frozen=True)
class Step:
    """One step at eta*: `gain` measured over many draws with standard error `error`, `bound` guaranteed."""

    variance: float
    snr: float
    rho: float
    gain: float
    error: float
    bound: float
    gain_plain: float
    """Gain of the plain step 1/L, for comparison."""


def measured_step(bandit: Bandit, baseline: str, group: int, draws: int, rng: np.random.Generator) -> Step:
    """Mean gain of theta + eta* g over `draws` estimates beside the bound (eta*/2)||g_J||^2."""
    exact = variances(bandit, group)
    g_squared = float(bandit.gradient @ bandit.gradient)
    estimates = sampled_gradients(bandit, baseline, group, draws, rng)
    variance = exact.get(baseline, float(((estimates - bandit.gradient) ** 2).sum(1).mean()))
    eta = optimal_step(g_squared, variance, SMOOTHNESS)
    gains = bandit.values_at(bandit.logits + eta * estimates) - bandit.value
    plain = bandit.values_at(bandit.logits + estimates / SMOOTHNESS) - bandit.value
    return Step(
        variance,
        g_squared / variance if variance > 0 else float("inf"),
        eta * SMOOTHNESS,
        float(gains.mean()),
        float(gains.std() / np.sqrt(draws)),
        eta / 2 * g_squared,
        float(plain.mean()),
    )
