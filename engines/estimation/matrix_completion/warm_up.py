"""Compiles the kernels that a run will use, so that no contender's time includes a compiler's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.estimation.matrix_completion.contenders import line_up, racer

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.settings import Settings


def compile_kernels(settings: Settings) -> None:
    """Runs each contender for one iteration on a 12 x 12 matrix. A few seconds at the first time on a machine;
    afterwards the compiled code comes from disk in a few tens of milliseconds."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas
    from engines.estimation.matrix_completion.method.observations import Observations

    rng = np.random.default_rng(0)
    rows, cols = np.divmod(np.flatnonzero(rng.random(144) < 0.8), 12)
    obs = Observations.from_entries(
        rows, cols, rng.standard_normal(len(rows)), (12, 12), dtype=np.dtype(settings.precision)
    )
    with single_threaded_blas(), RowTeam(1) as team:
        for plan in line_up(settings, rank=2, ridge=0.1):
            if plan.key in ("cmfrec", "split"):
                continue
            warm = racer(plan, obs, settings, 0, team, iterations=1, tol=1e-30)
            warm.advance()
            warm.advance()
