"""Who stays: one or several rewards into one order, and cuts (ttsnap.md 2.4, 10). Scores are float [R, ..., N]: rewards
first, seeds last."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Combine = Literal["rank", "z"]


def ranks(scores: NDArray[Any]) -> Floats:
    """Rank of each seed on the last axis, 0 for the worst; equal scores share the mean of their ranks.

    NaN counts as the worst."""
    from scipy.stats import rankdata

    values = np.where(np.isnan(scores), -np.inf, np.asarray(scores, dtype=np.float64))
    return np.asarray(rankdata(values, axis=-1), dtype=np.float64) - 1


def combined(scores: NDArray[Any], how: Combine = "rank") -> Floats:
    """One number a seed out of R rewards, [..., N]: the sum of the ranks inside the set (the paper's), or the sum of
    scores standardised inside the set. With one reward ranks keep its order."""
    if how == "rank":
        return np.asarray(ranks(scores).sum(0))
    values = np.asarray(scores, dtype=np.float64)
    spread = values.std(-1, keepdims=True)
    return np.asarray(((values - values.mean(-1, keepdims=True)) / np.where(spread > 0, spread, 1)).sum(0))


def best(total: NDArray[Any], number: int) -> NDArray[np.int64]:
    """Places of the `number` largest of the last axis, best first; ties go to the lower place (seed)."""
    values = np.where(np.isnan(total), -np.inf, np.asarray(total, dtype=np.float64))
    return np.argsort(-values, axis=-1, kind="stable")[..., :number]


def can_still_win(total: NDArray[Any], residual: float, z: float) -> NDArray[np.bool_]:
    """The adaptive cut (ours): seeds of one reward whose prediction plus z residual standard deviations reaches the
    best prediction; predictions [..., N]. An infinite residual drops nobody."""
    values = np.asarray(total, dtype=np.float64)
    if np.isinf(residual):
        return np.ones(values.shape, dtype=bool)
    return np.asarray(values + z * residual >= np.nanmax(values, axis=-1, keepdims=True))
