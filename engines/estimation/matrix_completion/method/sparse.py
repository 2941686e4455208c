"""Compiled passes over the observed entries that the method, its monitors and its baselines share.

CSR arguments as in `kernels`: `indptr` int64, `indices` int32, `values` float; factors are flattened with `K`
numbers a row, `K` a multiple of 8."""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.estimation.matrix_completion.method.compiled import kernel
from engines.estimation.matrix_completion.method.simd import (
    fma,
    item,
    lane_sum,
    load,
    prefetch,
    splat,
    store,
    zeros_like,
)


@kernel
def stable_order(keys: Any, kinds: int, order: Any) -> Any:
    """Counting sort: fills `order` (int64) with the stable order of `keys` (0 <= key < kinds); returns the
    index pointer (kinds + 1, int64)."""
    indptr = np.zeros(kinds + 1, np.int64)
    for e in range(keys.size):
        indptr[keys[e] + 1] += 1
    for key in range(kinds):
        indptr[key + 1] += indptr[key]
    place = indptr[:-1].copy()
    for e in range(keys.size):
        key = keys[e]
        order[place[key]] = e
        place[key] += 1
    return indptr


@kernel
def residuals(
    first: int, last: int, indptr: Any, indices: Any, values: Any, left: Any, right: Any, K: int, out: Any
) -> None:
    """out[e] = values[e] - left_i^T right_j for the entries of rows first..last."""
    for i in range(first, last):
        at = i * K
        end = indptr[i + 1]
        for e in range(indptr[i], end):
            if e + 8 < end:
                prefetch(right, np.int64(item(indices, e + 8)) * K)
            row = np.int64(item(indices, e)) * K
            sum8 = zeros_like(right)
            for v in range(0, K, 8):
                sum8 = fma(load(right, row + v), load(left, at + v), sum8)
            out[e] = item(values, e) - lane_sum(sum8)


@kernel
def pair_products(
    first: int, last: int, rows: Any, cols: Any, left: Any, right: Any, K: int, out: Any
) -> None:
    """out[e] = left_{rows[e]}^T right_{cols[e]}, rows and cols int64."""
    for e in range(first, last):
        sum8 = zeros_like(right)
        for v in range(0, K, 8):
            sum8 = fma(load(right, cols[e] * K + v), load(left, rows[e] * K + v), sum8)
        out[e] = lane_sum(sum8)


@kernel
def sparse_times(
    first: int, last: int, indptr: Any, indices: Any, values: Any, X: Any, K: int, out: Any
) -> None:
    """out_i = sum over entries (i, j) of value * X_j: a sparse matrix times a thin one, for rows first..last."""
    for i in range(first, last):
        at = i * K
        for v in range(0, K, 8):
            store(out, at + v, zeros_like(out))
        end = indptr[i + 1]
        for e in range(indptr[i], end):
            if e + 8 < end:
                prefetch(X, np.int64(item(indices, e + 8)) * K)
            row = np.int64(item(indices, e)) * K
            value8 = splat(out, item(values, e))
            for v in range(0, K, 8):
                store(out, at + v, fma(load(X, row + v), value8, load(out, at + v)))
