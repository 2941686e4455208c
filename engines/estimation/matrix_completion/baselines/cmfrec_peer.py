"""cmfrec (PyPI), the strongest packaged peer: alternating least squares in C with OpenMP. Optional."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.estimation.matrix_completion.method.observations import Observations


class PeerFailed(RuntimeError):
    """The peer is missing or broke; the sentence goes into its row of the table."""


def is_installed() -> bool:
    """Whether `cmfrec` can be imported."""
    return importlib.util.find_spec("cmfrec") is not None


def factors(
    obs: Observations, rank: int, ridge: float, sweeps: int, threads: int, seed: int, use_cg: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A (m x k), B (n x k) after `sweeps` sweeps from cmfrec's own random start; no biases, no centring.

    Raises `PeerFailed` with its reason."""
    if not is_installed():
        raise PeerFailed("cmfrec is not installed (pip install cmfrec).")
    try:
        from cmfrec import CMF
        from scipy.sparse import coo_matrix

        model = CMF(
            k=rank, method="als", use_cg=use_cg, lambda_=max(ridge, 1e-8), user_bias=False, item_bias=False,
            center=False, niter=sweeps, nthreads=threads, use_float=False, precompute_for_predictions=False,
            verbose=False, finalize_chol=False, random_state=seed % 2**31,
        )  # fmt: skip
        entries = (obs.by_row.values, (obs.rows, obs.by_row.indices))
        model.fit(coo_matrix(entries, shape=obs.shape))
        left, right = np.asarray(model.A_), np.asarray(model.B_)
    except Exception as error:  # whatever a foreign package raises is its row, not our crash
        raise PeerFailed(f"cmfrec failed: {type(error).__name__}: {error}") from error
    return left, right
