"""Pairs of factors in balanced form, and what can be read off them without forming the matrix.

Factors are C-contiguous arrays with K columns, K the rank k rounded up to a multiple of 8 (see `simd`);
columns k..K-1 are zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def padded_width(k: int) -> int:
    """k rounded up to a multiple of 8."""
    return (k + 7) // 8 * 8


def padded(factor: Array, dtype: Any = None) -> Array:
    """A copy of `factor` (rows x k) with zero columns up to K."""
    rows, k = factor.shape
    out = np.zeros((rows, padded_width(k)), dtype or factor.dtype)
    out[:, :k] = factor
    return out


def rebalanced(G: Array, Q: Array, k: int) -> tuple[Array, Array, Array]:
    """G Q^T in balanced form: (L, R, s) with G Q^T = L R^T, L^T L = I and R^T R = diag(s^2), where Q (orthonormal
    columns) and G are padded factors and s (k, descending) are the singular values of the matrix.

    With the k x k eigenvectors W of G^T G = W S^2 W^T: L = G W S^-1, R = Q W S. This is the shared
    preconditioner: L has orthonormal columns. O((m + n) k^2). Where G is nearly singular (smallest singular
    value below 1e-6 of the largest, 1e-3 in single precision) by QR, which needs no division."""
    squares, W = np.linalg.eigh((G[:, :k].T @ G[:, :k]).astype(np.float64))
    squares, W = squares[::-1], W[:, ::-1]
    limit = 1e-12 if G.dtype == np.float64 else 1e-6
    if squares[-1] > limit * squares[0] > 0.0:
        s = np.sqrt(squares)
        L = G @ _square(W / s, G)
    else:
        basis, triangle = np.linalg.qr(G[:, :k].astype(np.float64))
        inner, s, transposed = np.linalg.svd(triangle)
        W = transposed.T
        L = padded(basis @ inner, G.dtype)
    return L, Q @ _square(W * s, Q), s


def _square(small: Array, like: Array) -> Array:
    """k x k to K x K, so that products run over whole contiguous factors."""
    out = np.zeros((like.shape[1], like.shape[1]), like.dtype)
    out[: len(small), : len(small)] = small
    return out


def orthonormal(factor: Array, k: int) -> Array:
    """Padded orthonormal basis of the first k columns, by QR."""
    return padded(np.linalg.qr(factor[:, :k].astype(np.float64))[0], factor.dtype)


def thin_svd(left: Array, right: Array) -> tuple[Array, Array, Array]:
    """U (m x k), s (k, descending), V (n x k) with left right^T = U diag(s) V^T, by QR of both factors and an
    SVD of k x k."""
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right)
    u, s, vt = np.linalg.svd(r_left @ r_right.T)
    return q_left @ u, s, q_right @ vt.T


def incoherence(basis: Array) -> float:
    """mu = max_i sqrt(m/k) ||row_i|| of an orthonormal basis (m x k), from 1 (spread out) to sqrt(m/k)."""
    m, k = basis.shape
    return float(np.sqrt(m / k * np.max(np.einsum("ij,ij->i", basis, basis))))


def subspace_distance(truth: Array, basis: Array) -> float:
    """||(I - U* U*^T) U||_2 of orthonormal bases (m x k): the sine of the largest angle."""
    rest = basis - truth @ (truth.T @ basis)
    return float(np.linalg.norm(rest, 2))


def relative_error(left: Array, right: Array, true_left: Array, true_right: Array) -> float:
    """||left right^T - true_left true_right^T||_F / ||true_left true_right^T||_F without forming a matrix.

    The difference is a product of factors [left, -true_left] [right, true_right]^T; QR of both keeps all
    digits (norms through Gram matrices would lose half of them). O((m + n) k^2)."""
    r_left = np.linalg.qr(np.hstack([left, -true_left]), mode="r")
    r_right = np.linalg.qr(np.hstack([right, true_right]), mode="r")
    r_true = np.linalg.qr(true_left, mode="r") @ np.linalg.qr(true_right, mode="r").T
    return float(np.linalg.norm(r_left @ r_right.T) / np.linalg.norm(r_true))
