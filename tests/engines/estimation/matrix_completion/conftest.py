"""A small low-rank matrix with a third of its entries seen, and one team of one thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from engines.estimation.matrix_completion.method.compiled import RowTeam
from engines.estimation.matrix_completion.method.observations import Observations


@dataclass(frozen=True)
class LowRank:
    """M = A B^T (m x n, rank k) and its observed entries."""

    A: np.ndarray
    B: np.ndarray
    rows: np.ndarray
    cols: np.ndarray

    @property
    def M(self) -> np.ndarray:
        return self.A @ self.B.T

    @property
    def values(self) -> np.ndarray:
        return self.M[self.rows, self.cols]

    @property
    def obs(self) -> Observations:
        return Observations.from_entries(self.rows, self.cols, self.values, self.M.shape)

    def error(self, answer: np.ndarray) -> float:
        return float(np.linalg.norm(answer - self.M) / np.linalg.norm(self.M))


def low_rank(m: int, n: int, k: int, share: float, seed: int = 0) -> LowRank:
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((m, k)), rng.standard_normal((n, k))
    rows, cols = np.nonzero(rng.random((m, n)) < share)
    return LowRank(A, B, rows, cols)


@pytest.fixture
def problem() -> LowRank:
    return low_rank(90, 70, 3, 0.4)


@pytest.fixture
def team() -> Iterator[RowTeam]:
    with RowTeam(1) as team:
        yield team
