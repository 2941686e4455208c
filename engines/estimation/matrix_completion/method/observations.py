"""The observed entries P_Omega(M), by row and by column, and the checks that they must pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engines.contract import Refusal
from engines.estimation.matrix_completion.method.sparse import stable_order

Duplicates = Literal["refuse", "mean"]


@dataclass(frozen=True)
class Side:
    """Entries grouped by the rows of one side, sorted within each row (CSR)."""

    indptr: NDArray[np.int64]
    """(rows + 1): where each row begins."""
    indices: NDArray[np.int32]
    """(|Omega|): the other side's index of each entry."""
    values: NDArray[Any]
    """(|Omega|): float64 or float32."""

    @property
    def rows(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(rows): entries of each row, L_i in the paper."""
        return np.diff(self.indptr)


@dataclass(frozen=True)
class Observations:
    """Omega and the values on it. Build it with `from_entries` or `from_sparse`."""

    shape: tuple[int, int]
    by_row: Side
    by_col: Side
    to_col: NDArray[np.int64]
    """by_col.values == by_row.values[to_col]."""

    @property
    def count(self) -> int:
        """|Omega|."""
        return len(self.by_row.values)

    @cached_property
    def norm(self) -> float:
        """||P_Omega(M)||_F."""
        return float(np.sqrt(np.sum(np.square(self.by_row.values, dtype=np.float64))))

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(|Omega|): row of each entry, in the order of by_row."""
        return np.repeat(np.arange(self.shape[0]), self.by_row.counts)

    @classmethod
    def from_entries(
        cls,
        rows: ArrayLike,
        cols: ArrayLike,
        values: ArrayLike,
        shape: tuple[int, int] | None = None,
        *,
        dtype: Any = np.float64,
        duplicates: Duplicates = "refuse",
    ) -> Observations:
        """Entries (rows[e], cols[e]) -> values[e], three arrays of one length, in any order.

        `shape` (m, n) defaults to the largest indices. With duplicates="mean" an entry that appears several
        times counts once with the mean of its values. Raises `Refusal` (a ValueError) for no entries, unequal
        lengths, indices that are no whole numbers or out of range, values that are not finite, duplicates.
        Cost O(|Omega| + m + n)."""
        i, j = _index(rows, "rows"), _index(cols, "cols")
        v = np.asarray(values, dtype=dtype).ravel()
        if not len(i) == len(j) == len(v):
            raise Refusal(
                "values", f"rows, cols and values must have one length; got {len(i)}, {len(j)} and {len(v)}."
            )
        if len(v) == 0:
            raise Refusal("values", "values must hold at least one observed entry; got none.")
        m, n = shape or (int(i.max()) + 1, int(j.max()) + 1)
        for name, index, limit in (("rows", i, m), ("cols", j, n)):
            if index.min() < 0 or index.max() >= limit:
                wrong = int(index[(index < 0) | (index >= limit)][0])
                raise Refusal(
                    name,
                    f"{name} must be between 0 and {limit - 1}; got {wrong}. Correct it or enlarge shape.",
                )
        bad = np.flatnonzero(~np.isfinite(v))
        if len(bad):
            where = ", ".join(f"({i[e]}, {j[e]})" for e in bad[:3])
            raise Refusal(
                "values",
                f"values must be finite; {len(bad)} are not, first at {where}. Leave missing entries out.",
            )
        return cls._sorted(i, j, v, (m, n), duplicates)

    @classmethod
    def _sorted(
        cls,
        i: NDArray[np.int64],
        j: NDArray[np.int64],
        v: NDArray[Any],
        shape: tuple[int, int],
        duplicates: Duplicates,
    ) -> Observations:
        m, n = shape
        order, by_row = np.empty(len(v), np.int64), np.empty(len(v), np.int64)
        stable_order(j, n, order)
        indptr = stable_order(i[order], m, by_row)
        order = order[by_row]
        i, j, v = i[order], j[order], v[order]
        again = np.flatnonzero((i[1:] == i[:-1]) & (j[1:] == j[:-1]))
        if len(again):
            if duplicates == "refuse":
                first = f"({i[again[0]]}, {j[again[0]]})"
                raise Refusal(
                    "values",
                    f"each entry may be given once; {len(again)} are given again, the first is {first}. "
                    'Remove them or pass duplicates="mean".',
                )
            i, j, v = _averaged(i, j, v)
            indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=m))])
        return cls._from_rows(shape, Side(indptr, j.astype(np.int32), v), i)

    @classmethod
    def _from_rows(cls, shape: tuple[int, int], side: Side, rows: NDArray[np.int64]) -> Observations:
        to_col = np.empty(len(rows), np.int64)
        indptr = stable_order(side.indices, shape[1], to_col)
        by_col = Side(indptr, rows[to_col].astype(np.int32), side.values[to_col])
        return cls(shape, side, by_col, to_col)

    @classmethod
    def from_sparse(cls, matrix: Any, *, dtype: Any = np.float64) -> Observations:
        """A scipy sparse matrix or array: its stored entries are the observed ones, stored zeros included.

        Entries that a COO matrix stores twice are refused (scipy would add them up)."""
        coo = matrix.tocoo()
        return cls.from_entries(coo.row, coo.col, coo.data, coo.shape, dtype=dtype)

    def subset(self, chosen: NDArray[np.bool_]) -> Observations:
        """The entries where `chosen` (|Omega|, bool, in the order of by_row) holds."""
        rows = self.rows[chosen]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self.shape[0]))])
        side = Side(indptr, self.by_row.indices[chosen], self.by_row.values[chosen])
        return self._from_rows(self.shape, side, rows)

    def with_values(self, values: NDArray[Any]) -> Observations:
        """The same Omega with other `values` (|Omega|, in the order of by_row)."""
        side = Side(self.by_row.indptr, self.by_row.indices, values)
        other = Side(self.by_col.indptr, self.by_col.indices, values[self.to_col])
        return Observations(self.shape, side, other, self.to_col)

    def transposed(self) -> Observations:
        """The same entries of M^T."""
        back = np.empty_like(self.to_col)
        back[self.to_col] = np.arange(self.count)
        return Observations(self.shape[::-1], self.by_col, self.by_row, back)

    def undetermined(self, rank: int) -> tuple[int, int]:
        """How many rows and columns have fewer entries than `rank`."""
        return int(np.sum(self.by_row.counts < rank)), int(np.sum(self.by_col.counts < rank))


def _index(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values).ravel()
    if array.dtype.kind not in "iu":
        if array.size and not (array.dtype.kind == "f" and np.all(array == np.floor(array))):
            raise Refusal(name, f"{name} must be whole numbers; got {array.dtype} values.")
        array = array.astype(np.int64)
    return array.astype(np.int64, copy=False)


def _averaged(i: NDArray[np.int64], j: NDArray[np.int64], v: NDArray[Any]) -> tuple[Any, Any, Any]:
    starts = np.flatnonzero(np.concatenate([[True], (i[1:] != i[:-1]) | (j[1:] != j[:-1])]))
    sizes = np.diff(np.concatenate([starts, [len(v)]]))
    return i[starts], j[starts], (np.add.reduceat(v, starts) / sizes).astype(v.dtype)


def observations_needed(shape: tuple[int, int], rank: int) -> int:
    """Unknowns of a rank-k m x n matrix, k (m + n - k): fewer entries than this determine no matrix."""
    return rank * (shape[0] + shape[1] - rank)


def check_rank(shape: tuple[int, int], rank: int, count: int, *, regularised: bool = False) -> None:
    """Raises `Refusal` where `rank` does not fit the matrix, or where |Omega| < k (m + n - k) and nothing
    (`regularised`: a ridge) makes up for it."""
    limit = min(shape)
    if not 1 <= rank <= limit:
        raise Refusal("rank", f"rank must be between 1 and min(rows, columns)={limit}; got {rank}.")
    need = observations_needed(shape, rank)
    if count < need and not regularised:
        raise Refusal(
            "rank",
            f"{count:,} observed entries are fewer than the {need:,} unknowns of a rank-{rank} "
            f"{shape[0]:,} x {shape[1]:,} matrix: no method can recover it. Give at least {need:,} entries or lower rank.",
        )
