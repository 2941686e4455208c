"""The optimal rotation-invariant denoiser (RIE) of a matrix in Gaussian noise, and its asymptotic error F(s).

Given R = S* + sqrt(s) GOE with S* of the Marchenko-Pastur law of aspect kappa, the Bayes-optimal estimator of
S* keeps the eigenvectors of R and moves each eigenvalue (Bun, Allez, Bouchaud, Potters 2016; the prior step of
GAMP-RIE in arXiv 2408.03733):

    xi(lambda) = lambda - 2 s h_s(lambda),      F(s) = s - (4 pi^2 / 3) s^2 int rho_s(x)^3 dx,

where F is the limit of ||f_RIE(R; s) - S*||_F^2 / d.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engines.estimation.gamp_rie.method.spectral import Float, hilbert, law

SMALLEST_S = 1e-10
"""Below it F(s) / s is at its limit to nine digits."""


class Denoised(NamedTuple):
    """What the denoiser gives back."""

    matrix: Float
    """Shat = U diag(xi) U^T, d x d, symmetric."""
    eigenvalues: Float
    """lambda_j of R, increasing."""
    shrunk: Float
    """xi_j, the eigenvalues of Shat, in the order of `eigenvalues`."""
    vectors: Float
    """U, columns are eigenvectors of R."""


def shrink(eigenvalues: ArrayLike, s: float, kappa: float) -> Float:
    """xi(lambda) = lambda - 2 s h_s(lambda): the denoising curve."""
    lam = np.asarray(eigenvalues, np.float64)
    xi: Float = lam - 2.0 * s * hilbert(lam, s, kappa)
    return xi


def rie(noisy: NDArray[np.floating], s: float, kappa: float) -> Denoised:
    """Denoise a symmetric matrix R ~ S* + sqrt(s) GOE.

    `noisy` is d x d and is symmetrised first; `s` > 0 is the noise variance, `kappa` = m/d of the prior.
    Raises ValueError for a non-finite matrix. Cost: one eigh, 60 vector operations, one d^3 product."""
    symmetric = 0.5 * (noisy + noisy.T).astype(np.float64, copy=False)
    if not np.isfinite(symmetric).all():
        raise ValueError("rie: the matrix has entries that are not finite.")
    eigenvalues, vectors = np.linalg.eigh(symmetric)
    shrunk = shrink(eigenvalues, s, kappa)
    matrix = (vectors * shrunk) @ vectors.T
    return Denoised(0.5 * (matrix + matrix.T), eigenvalues, shrunk, vectors)


def rie_error(s: ArrayLike, kappa: float) -> Float:
    """F(s), the asymptotic error of the RIE denoiser; `s` > 0 of any shape."""
    s_ = np.asarray(s, np.float64)
    return np.asarray(s_ * rie_error_ratio(s_, kappa))


def rie_error_ratio(s: ArrayLike, kappa: float) -> Float:
    """F(s) / s in (0, 1], decreasing in s, to about 1e-9.

    For s -> 0 it tends to 2 kappa - kappa^2 (kappa <= 1) or 1: that limit is used below `SMALLEST_S`."""
    s_ = np.asarray(s, np.float64)
    flat = np.maximum(s_.ravel(), SMALLEST_S)
    nodes = law(flat, kappa)
    ratio = 1.0 - (4.0 * np.pi**2 / 3.0) * flat * nodes.integral(nodes.density**2)
    ratio = np.where(s_.ravel() < SMALLEST_S, small_noise_ratio(kappa), ratio)
    return ratio.reshape(s_.shape)


def small_noise_ratio(kappa: float) -> float:
    """lim F(s) / s for s -> 0: the fraction of directions that a rank-m matrix leaves free."""
    return 2.0 * kappa - kappa * kappa if kappa < 1.0 else 1.0


class ErrorTable:
    """F(s) tabulated for one kappa: what an iteration calls instead of the integral.

    Tabulated is F / F_lin in log s, with F_lin(s) = s v / (s + v), v = 1/kappa, the error of the best linear
    denoiser: a smooth function between 0 and 1. Cubic interpolation; relative error about 1e-8."""

    def __init__(self, kappa: float, points: int = 400, low: float = SMALLEST_S, high: float = 1e6) -> None:
        from scipy.interpolate import CubicSpline

        self.kappa = kappa
        self._variance = 1.0 / kappa
        self._low, self._high = low, high
        grid = np.linspace(np.log(low), np.log(high), points)
        s = np.exp(grid)
        self._ratio = CubicSpline(grid, rie_error_ratio(s, kappa) * (1.0 + s * kappa))

    def __call__(self, s: float) -> float:
        """F(s) for s > 0; outside the table its limits."""
        inside = min(max(s, self._low), self._high)
        return float(self._ratio(np.log(inside))) * s * self._variance / (s + self._variance)


@lru_cache(maxsize=32)
def error_table(kappa: float) -> ErrorTable:
    """The table of one kappa, made once in a process (about 25 ms)."""
    return ErrorTable(kappa)
