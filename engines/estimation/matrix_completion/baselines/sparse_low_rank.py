"""What the baselines share: the residual on the observed entries as a sparse matrix, times thin matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.observations import Observations
from engines.estimation.matrix_completion.method.sparse import residuals
from engines.estimation.matrix_completion.method.spectral import times

Array = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """M ~ left right^T; padded factors, as in `method.factors`."""

    left: Array
    right: Array


@dataclass(frozen=True)
class Residual:
    """P_Omega(M - left right^T)."""

    obs: Observations
    """Its values on Omega."""
    relative: float
    """Its Frobenius norm over that of P_Omega(M)."""

    def times(self, X: Array, team: RowTeam) -> Array:
        """Residual (m x n) times X (n x K)."""
        return times(self.obs.by_row, X, team)

    def transposed_times(self, X: Array, team: RowTeam) -> Array:
        """Residual transposed (n x m) times X (m x K)."""
        return times(self.obs.by_col, X, team)


def residual_of(pair: Pair, obs: Observations, team: RowTeam) -> Residual:
    """The residual of `pair`, O(|Omega| k): half a pass in the count of `Info.passes`."""
    side = obs.by_row
    out = np.empty_like(side.values)
    flat = (pair.left.reshape(-1), pair.right.reshape(-1), pair.left.shape[1], out)
    team.run(residuals, side.indptr, side.indptr, side.indices, side.values, *flat)
    norm = float(np.sqrt(np.sum(np.square(out, dtype=np.float64))))
    return Residual(obs.with_values(out), norm / obs.norm if obs.norm > 0.0 else 0.0)
