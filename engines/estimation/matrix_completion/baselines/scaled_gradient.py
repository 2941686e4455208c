"""Scaled gradient descent on the factors (Tong, Ma, Chi 2021):

U <- U - (eta/p) P_Omega(U V^T - M) V (V^T V)^-1 and likewise V, both from the old pair. The scaling makes its
rate independent of the condition number. O(|Omega| k + (m + n) k^2) a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.estimation.matrix_completion.baselines.sparse_low_rank import Array, Pair, Residual, residual_of
from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.observations import Observations

PASSES = 1.5


@dataclass(frozen=True)
class State:
    """M ~ pair, its residual, and the step length eta (halved where the residual rose)."""

    pair: Pair
    residual: Residual
    rank: int
    eta: float


def init(pair: Pair, obs: Observations, rank: int, team: RowTeam, eta: float = 0.5) -> State:
    """From a start that the contenders share; eta = 0.5 as in the experiments of its paper."""
    return State(pair, residual_of(pair, obs, team), rank, eta)


def step(state: State, obs: Observations, team: RowTeam) -> State:
    """One step."""
    left, right = state.pair.left, state.pair.right
    scale = left.dtype.type(state.eta * obs.shape[0] * obs.shape[1] / obs.count)
    toward_left = state.residual.times(right, team) @ _inverse_gram(right, state.rank)
    toward_right = state.residual.transposed_times(left, team) @ _inverse_gram(left, state.rank)
    pair = Pair(left + scale * toward_left, right + scale * toward_right)
    residual = residual_of(pair, obs, team)
    if not residual.relative < state.residual.relative:
        return State(state.pair, state.residual, state.rank, state.eta / 2.0)
    return State(pair, residual, state.rank, state.eta)


def _inverse_gram(F: Array, k: int) -> Array:
    """(F^T F)^-1 padded to K x K; a pseudo-inverse, as a factor may have lost rank."""
    out: Array = np.zeros((F.shape[1], F.shape[1]), F.dtype)
    gram: Any = (F[:, :k].T @ F[:, :k]).astype(np.float64)
    out[:k, :k] = np.linalg.pinv(gram, hermitian=True)
    return out
