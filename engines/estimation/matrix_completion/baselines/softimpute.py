"""SoftImpute (Mazumder, Hastie, Tibshirani 2010): Z <- S_lambda(P_Omega(M - Z) + Z), S_lambda the
soft-thresholding of singular values, which minimises 1/2 ||P_Omega(Z - M)||^2 + lambda ||Z||_*.

Never dense: the matrix in brackets is sparse plus low rank, and its leading singular vectors come from one
step of subspace iteration that starts at the last ones. O(|Omega| k + (m + n) k^2) a step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engines.estimation.matrix_completion.baselines.sparse_low_rank import Array, Pair, Residual, residual_of
from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import orthonormal, padded
from engines.estimation.matrix_completion.method.observations import Observations
from engines.estimation.matrix_completion.method.spectral import times

PASSES = 1.5
"""Residual, and the sparse matrix times a thin one from both sides."""


@dataclass(frozen=True)
class State:
    """Z = left right^T, its residual, and the right basis (n x K) from which the next step starts."""

    pair: Pair
    residual: Residual
    basis: Array
    rank: int
    threshold: float
    """lambda of the next step."""


def largest_singular_value(obs: Observations, rng: np.random.Generator, team: RowTeam) -> float:
    """||P_Omega(M)||_2 by the power method on eight columns: lambda above it gives Z = 0."""
    width = min(8, *obs.shape)
    X = padded(rng.standard_normal((obs.shape[1], width)), obs.by_row.values.dtype)
    for _ in range(8):
        Y = times(obs.by_row, orthonormal(X, width), team)
        X = times(obs.by_col, orthonormal(Y, width), team)
    return float(np.linalg.norm(X, 2))


def init(obs: Observations, rank: int, threshold: float, rng: np.random.Generator, team: RowTeam) -> State:
    """Z = 0 and a random basis of `rank` columns."""
    dtype = obs.by_row.values.dtype
    basis = orthonormal(padded(rng.standard_normal((obs.shape[1], rank)), dtype), rank)
    zero = Pair(np.zeros((obs.shape[0], basis.shape[1]), dtype), np.zeros_like(basis))
    return State(zero, residual_of(zero, obs, team), basis, rank, threshold)


def step(state: State, obs: Observations, team: RowTeam, final: float, decay: float = 1.0) -> State:
    """One step. The threshold falls by the factor
    `decay` after each step until it is `final` (a warm-started path of lambda)."""
    k = state.rank
    rest = state.residual
    left, right = state.pair.left, state.pair.right
    Y = rest.times(state.basis, team) + left @ (right.T @ state.basis)
    Q = orthonormal(Y, k)
    W = rest.transposed_times(Q, team) + right @ (left.T @ Q)
    a, s, bt = np.linalg.svd(W[:, :k].astype(np.float64), full_matrices=False)
    shrunk = np.maximum(s - state.threshold, 0.0)
    basis = padded(a, W.dtype)
    pair = Pair(padded((Q[:, :k] @ bt.T) * shrunk, W.dtype), basis)
    threshold = max(final, state.threshold * decay)
    return replace(state, pair=pair, residual=residual_of(pair, obs, team), basis=basis, threshold=threshold)
