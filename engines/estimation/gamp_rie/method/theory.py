"""What the best estimator can reach: the Bayes-optimal error, its threshold, and the state evolution.

Units: `kappa * C`, with C = ||Shat - S*||_F^2 / d, is the error shown to the user; the trivial estimator
Shat = I has 1. `alpha` = n / d^2. `noise` is Dt, the variance of the noise on Tr[Z S*] (`effective_noise`).

Fixed point (arXiv 2408.03733, with qhat = 1/s):

    1 - 2 alpha + Dt qhat / 2 = (4 pi^2 / (3 qhat)) int rho_{1/qhat}^3,    MMSE = kappa (2 alpha / qhat - Dt / 2),

that is F(s) / s + Dt / (2 s) = 2 alpha and MMSE = kappa F(s). The left side decreases in s, so every alpha has
at most one solution and the whole curve is the parametric line s -> (alpha(s), kappa F(s)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engines.estimation.gamp_rie.method.denoiser import (
    SMALLEST_S,
    error_table,
    rie_error_ratio,
    small_noise_ratio,
)
from engines.estimation.gamp_rie.method.spectral import Float


class Evolution(NamedTuple):
    """State evolution: what the iteration should do in the limit d -> inf."""

    s: Float
    """s_t, the noise variance of R_t, t = 1..T."""
    error: Float
    """C_t = F(s_t), t = 1..T (not multiplied by kappa)."""


def effective_noise(delta: float, kappa: float) -> float:
    """Dt = 2 Delta (2 + Delta) / kappa: hidden noise of variance Delta seen as noise on Tr[Z S*]."""
    return 2.0 * delta * (2.0 + delta) / kappa


def recovery_threshold(kappa: ArrayLike) -> Float:
    """alpha_PR: noiseless perfect recovery above it. Degrees of freedom of a rank-m PSD matrix over d^2."""
    k = np.minimum(np.asarray(kappa, np.float64), 1.0)
    threshold: Float = k - 0.5 * k * k
    return threshold


def bayes_error(alpha: float, kappa: float, noise: float = 0.0) -> float:
    """MMSE (times kappa) at one alpha, to about 1e-9; 0 above the threshold without noise.

    Raises ValueError unless alpha > 0, kappa > 0, noise >= 0. Cost: about twelve integrals, 10 ms."""
    from scipy.optimize import brentq

    _check(alpha, kappa, noise)

    def excess(log_s: float) -> float:
        s = float(np.exp(log_s))
        return float(rie_error_ratio(s, kappa)) + 0.5 * noise / s - 2.0 * alpha

    high = np.log(2.0 * (1.0 / kappa + noise) / alpha + 1.0)
    low = np.log(SMALLEST_S)
    if excess(low) <= 0.0:
        return 0.0
    s = float(np.exp(brentq(excess, low, high, xtol=1e-13, rtol=1e-14)))
    return kappa * max(2.0 * alpha * s - 0.5 * noise, 0.0)


def bayes_curve(alpha: ArrayLike, kappa: float, noise: float = 0.0, points: int = 400) -> Float:
    """MMSE (times kappa) on a whole grid of alpha, by interpolating the parametric line (error about 1e-6).

    Costs one table of F, about 25 ms, whatever the number of alphas."""
    a = np.asarray(alpha, np.float64)
    _check(float(np.min(a)), kappa, noise)
    high = np.log(2.0 * (1.0 / kappa + noise) / float(np.min(a)) + 1.0)
    # A third of the points for the last stretch before recovery, where s spans decades.
    log_s = np.unique(
        np.r_[np.linspace(np.log(SMALLEST_S), -7.0, points // 3), np.linspace(-7.0, high, points)]
    )
    s = np.exp(log_s)
    ratio = rie_error_ratio(s, kappa)
    line = 0.5 * ratio + 0.25 * noise / s
    error = np.interp(a, line[::-1], (kappa * s * ratio)[::-1], left=1.0)
    if noise == 0.0:
        error = np.where(a >= 0.5 * small_noise_ratio(kappa), 0.0, error)
    return np.asarray(error)


def bayes_map(alpha: ArrayLike, kappa: ArrayLike, delta: float = 0.0, points: int = 160) -> Float:
    """MMSE over a grid, shape [len(kappa), len(alpha)]; `delta` is the hidden noise variance."""
    rows = [bayes_curve(alpha, float(k), effective_noise(delta, float(k)), points) for k in np.asarray(kappa)]
    return np.stack(rows)


def state_evolution(
    alpha: float, kappa: float, noise: float = 0.0, iterations: int = 100, damping: float = 0.0
) -> Evolution:
    """s_t = (Dt + V_t) / (4 alpha), C_t = F(s_t) from C_0 = 1/kappa, with V_t = 2 C_{t-1} damped by `damping`."""
    _check(alpha, kappa, noise)
    table = error_table(kappa)
    variance, error = 2.0 / kappa, 1.0 / kappa
    s, c = np.empty(iterations), np.empty(iterations)
    for t in range(iterations):
        old = 0.0 if t == 0 else damping
        variance = (1.0 - old) * 2.0 * error + old * variance
        s[t] = (noise + variance) / (4.0 * alpha)
        error = c[t] = table(s[t])
    return Evolution(s, c)


def linear_error(alpha: ArrayLike, kappa: float, noise: float = 0.0) -> Float:
    """Error (times kappa) of the best linear estimator: the same fixed point with F_lin(s) = s v / (s + v).

    v / (s + v) + Dt / (2 s) = 2 alpha is a quadratic in s: without noise the error is 1 - 2 alpha, and needs
    alpha = 1/2 whatever kappa."""
    a = np.asarray(alpha, np.float64)
    v = 1.0 / kappa
    half = 0.5 * noise
    # 2 alpha s^2 + (2 alpha v - v - half) s - half v = 0
    b = 2.0 * a * v - v - half
    s = (-b + np.sqrt(b * b + 8.0 * a * half * v)) / (4.0 * a)
    return np.asarray(kappa * s * v / (s + v))


def narrow_error(alpha_over_kappa: ArrayLike) -> Float:
    """Limit kappa -> 0 of the noiseless MMSE at fixed a = alpha / kappa: 1, then 4 a (1 - a), then 0."""
    a = np.asarray(alpha_over_kappa, np.float64)
    return np.asarray(np.where(a < 0.5, 1.0, np.where(a < 1.0, 4.0 * a * (1.0 - a), 0.0)))


def _check(alpha: float, kappa: float, noise: float) -> None:
    if not alpha > 0.0:
        raise ValueError(f"alpha must be above 0; got {alpha}.")
    if not kappa > 0.0:
        raise ValueError(f"kappa must be above 0; got {kappa}.")
    if not noise >= 0.0:
        raise ValueError(f"noise must be at least 0; got {noise}.")
