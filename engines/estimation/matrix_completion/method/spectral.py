"""The start: top singular vectors of the zero-filled matrix, clipped (steps 2 and 3 of the paper)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import incoherence, orthonormal, padded
from engines.estimation.matrix_completion.method.observations import Observations, Side
from engines.estimation.matrix_completion.method.sparse import sparse_times

Array = NDArray[Any]


def times(side: Side, X: Array, team: RowTeam) -> Array:
    """(sparse matrix of `side`) X for a padded X; O(|Omega| K)."""
    out = np.empty((side.rows, X.shape[1]), X.dtype)
    weights = side.indptr
    team.run(
        sparse_times,
        weights,
        side.indptr,
        side.indices,
        side.values,
        X.reshape(-1),
        X.shape[1],
        out.reshape(-1),
    )
    return out


def top_left_vectors(
    obs: Observations,
    k: int,
    rng: np.random.Generator,
    team: RowTeam,
    *,
    power_steps: int = 2,
    oversample: int = 10,
) -> Array:
    """Top k left singular vectors (m x k, orthonormal) of P_Omega(M) with zeros elsewhere, by a randomised SVD
    (Halko, Martinsson, Tropp 2011): `power_steps` rounds of subspace iteration on k + `oversample` columns.

    The paper takes the exact SVD; O(|Omega| k) for each step here."""
    width = min(k + oversample, *obs.shape)
    dtype = obs.by_row.values.dtype
    Y = times(obs.by_row, padded(rng.standard_normal((obs.shape[1], width)), dtype), team)
    for _ in range(power_steps):
        Z = times(obs.by_col, orthonormal(Y, width), team)
        Y = times(obs.by_row, orthonormal(Z, width), team)
    Q = orthonormal(Y, width)
    B = times(obs.by_col, Q, team)[:, :width]
    _, W = np.linalg.eigh((B.T @ B).astype(np.float64))
    return Q[:, :width] @ W[:, ::-1][:, :k].astype(dtype)


def clipped(U: Array) -> Array:
    """Step 3: entries of U (m x k, orthonormal) above 2 mu sqrt(k/m) in magnitude become zero, then the columns
    are orthonormalised. mu is estimated from U itself: the .999 quantile of sqrt(m/k) ||row_i||."""
    m, k = U.shape
    rows = np.sqrt(m / k * np.einsum("ij,ij->i", U, U))
    mu = float(np.quantile(rows, 0.999))
    if incoherence(U) <= 2.0 * mu and float(np.abs(U).max()) <= 2.0 * mu * np.sqrt(k / m):
        return U
    kept = np.where(np.abs(U) > 2.0 * mu * np.sqrt(k / m), 0.0, U)
    return np.linalg.qr(kept)[0].astype(U.dtype)
