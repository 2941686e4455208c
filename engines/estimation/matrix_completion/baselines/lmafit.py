"""LMaFit (Wen, Yin, Zhang 2012): nonlinear successive over-relaxation.

Z = X Y + omega P_Omega(M - X Y), X <- orth(Z Y^T), Y <- X^T Z; omega grows while the residual falls slowly and
returns to 1 (the step undone) where it rose. Z is sparse plus low rank: O(|Omega| k + (m + n) k^2) a step."""

from __future__ import annotations

from dataclasses import dataclass

from engines.estimation.matrix_completion.baselines.sparse_low_rank import Pair, Residual, residual_of
from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.factors import orthonormal
from engines.estimation.matrix_completion.method.observations import Observations

PASSES = 1.5
SLOW = 0.7
"""Residual ratio above which omega grows (gamma_1 of the paper)."""


@dataclass(frozen=True)
class State:
    """M ~ pair, its residual, and the relaxation with its increment."""

    pair: Pair
    residual: Residual
    rank: int
    omega: float = 1.0
    growth: float = 1.0


def init(pair: Pair, obs: Observations, rank: int, team: RowTeam) -> State:
    """From a start that the contenders share."""
    return State(pair, residual_of(pair, obs, team), rank)


def step(state: State, obs: Observations, team: RowTeam) -> State:
    """One step; the state's residual never rises."""
    k, omega = state.rank, state.omega
    X, Y = state.pair.left, state.pair.right  # here Y is n x k
    Z_Y = X @ (Y.T @ Y) + omega * state.residual.times(Y, team)
    basis = orthonormal(Z_Y, k)
    other = Y @ (X.T @ basis) + omega * state.residual.transposed_times(basis, team)
    pair = Pair(basis, other)
    residual = residual_of(pair, obs, team)
    ratio = residual.relative / max(state.residual.relative, 1e-300)
    if ratio >= 1.0:
        if omega > 1.0:
            return State(state.pair, state.residual, k, 1.0, 0.1 * max(omega - 1.0, 0.1))
        return State(pair, residual, k, 1.0, state.growth)
    if ratio > SLOW:
        growth = max(state.growth, 0.25 * (omega - 1.0))
        return State(pair, residual, k, omega + growth, growth)
    return State(pair, residual, k, omega, state.growth)
