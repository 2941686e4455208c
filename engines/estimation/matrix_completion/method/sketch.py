"""The paper's form of the half-step: each row's least-squares problem gets a sketch of its own.

min_x ||A x - b||, A (L x k): a random S with q = O(k) rows is drawn, the Cholesky factor U of (S A)^T S A makes
A U^-1 well conditioned (eigenvalues about (1 -+ sqrt(k/q))^-2), sketch-and-solve gives the start, and a few
preconditioned steps give high accuracy. O(L k log(1/delta) + q k^2 + k^3) a row.

Departure: conjugate gradients in place of the paper's fixed-step iteration, which needs the distortion 0.1
and so far more than the q = 4 k rows that pay in practice; CG takes never more steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.estimation.matrix_completion.method.compiled import kernel
from engines.estimation.matrix_completion.method.kernels import (
    add_ridge,
    add_scaled,
    dot,
    factor_normal,
    gather,
    normal_product,
    nothing,
    scaled_plus,
    solve_factored,
)
from engines.estimation.matrix_completion.method.simd import fma, load, mul, splat, store, zeros_like

KINDS = ("countsketch", "srht", "gaussian", "row-sampling")


@kernel
def random_bits(seed: Any, counter: int) -> Any:
    """64 random bits for each counter (splitmix64): no state, so rows may be drawn in any order."""
    x = np.uint64(seed) + (np.uint64(counter) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def below(bits: Any, limit: int) -> int:
    """A number from 0 to limit - 1 out of 64 random bits."""
    return np.int64((bits >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32))


@kernel
def _add_row(out: Any, to: int, scale: float, T: Any, at: int, width: int) -> None:
    scale8 = splat(out, scale)
    for v in range(0, width, 8):
        store(out, to + v, fma(scale8, load(T, at + v), load(out, to + v)))


@kernel
def _hadamard(T: Any, rows: int, width: int) -> None:
    """Unnormalised Walsh-Hadamard transform down the rows of T (rows a power of two), in place."""
    half = 1
    while half < rows:
        for block in range(0, rows, 2 * half):
            for i in range(block, block + half):
                a, b = i * width, (i + half) * width
                for v in range(0, width, 8):
                    x, y = load(T, a + v), load(T, b + v)
                    store(T, a + v, fma(splat(T, 1.0), y, x))
                    store(T, b + v, fma(splat(T, -1.0), y, x))
        half *= 2


@kernel
def apply_sketch(kind: int, T: Any, L: int, width: int, q: int, seed: Any, out: Any) -> None:
    """out (q x width) = S T for T (L x width), both flat; T is overwritten by the SRHT and then needs room for
    the next power of two of rows. `kind` indexes `KINDS`; E[S^T S] = I for each."""
    for v in range(0, q * width, 8):
        store(out, v, zeros_like(out))
    if kind == 0:  # two nonzeros +-1/sqrt(2) in each column of S
        for i in range(L):
            for s in range(2):
                bits = random_bits(seed, 2 * i + s)
                sign = 0.7071067811865476 if bits & np.uint64(1) else -0.7071067811865476
                _add_row(out, below(bits, q) * width, sign, T, i * width, width)
    elif kind == 1:  # sqrt(P/q) (sample) (H / sqrt(P)) (signs)
        rows = 1
        while rows < L:
            rows *= 2
        for i in range(rows):
            sign = 1.0 if i < L and random_bits(seed, i) & np.uint64(1) else -1.0 if i < L else 0.0
            for v in range(0, width, 8):
                lanes = mul(splat(T, sign), load(T, i * width + v)) if i < L else zeros_like(T)
                store(T, i * width + v, lanes)
        _hadamard(T, rows, width)
        for s in range(q):
            _add_row(
                out, s * width, 1.0 / np.sqrt(q), T, below(random_bits(seed, rows + s), rows) * width, width
            )
    elif kind == 2:  # independent normals of variance 1/q, by Box and Muller
        for s in range(q):
            for i in range(L):
                bits = random_bits(seed, s * L + i)
                first = (np.float64(bits >> np.uint64(32)) + 0.5) / 4294967296.0
                second = np.float64(bits & np.uint64(0xFFFFFFFF)) / 4294967296.0
                normal = np.sqrt(-2.0 * np.log(first)) * np.cos(6.283185307179586 * second)
                _add_row(out, s * width, normal / np.sqrt(q), T, i * width, width)
    else:  # q rows of T, drawn with replacement
        for s in range(q):
            _add_row(out, s * width, np.sqrt(L / q), T, below(random_bits(seed, s), L) * width, width)


@kernel
def _preconditioned(A: Any, L: int, k: int, K: int, ridge: Any, U: Any, steps: int, tol: float, z: Any, x: Any, y: Any, p: Any, h: Any) -> Any:  # fmt: skip
    """CG on (A^T A + D) x = z, preconditioned by U^T U, from x = 0; returns (steps taken, objective gained)."""
    for v in range(0, K, 8):
        store(x, v, zeros_like(x))
    solve_factored(U, k, K, z, y)
    for v in range(0, K, 8):
        store(p, v, load(y, v))
    zeta = dot(z, y, K)
    enough = tol * tol * zeta
    gained = 0.0
    for step in range(steps):
        curvature = normal_product(A, L, K, p, h, True)
        curvature += add_ridge(h, ridge, p, K)
        if not curvature > 0.0 or not zeta > 0.0:
            return step, gained
        alpha = zeta / curvature
        add_scaled(x, alpha, p, K)
        add_scaled(z, -alpha, h, K)
        gained += alpha * zeta
        solve_factored(U, k, K, z, y)
        fresh = dot(z, y, K)
        if fresh <= enough:
            return step + 1, gained
        scaled_plus(p, fresh / zeta, y, K)
        zeta = fresh
    return steps, gained


@kernel
def _sketch_and_solve(
    kind: int, A: Any, r: Any, L: int, k: int, K: int, q: int, seed: Any, ridge: Any, U: Any, start: Any, T: Any, ST: Any
) -> bool:  # fmt: skip
    """U = Cholesky factor of (S A)^T S A + D, and start = argmin ||S (A x - r)||^2 + x^T D x + 2 x^T D g, of which
    `start` holds -D g at first. Returns what `factor_normal` does. T and ST are room to work in."""
    width = K + 8  # the residual travels as one more column
    for e in range(L):
        for v in range(0, K, 8):
            store(T, e * width + v, load(A, e * K + v))
        store(T, e * width + K, zeros_like(T))
        T[e * width + K] = r[e]
    apply_sketch(kind, T, L, width, q, seed, ST)
    for s in range(q):  # from here on T holds S A without the extra column
        for v in range(0, K, 8):
            store(T, s * K + v, load(ST, s * width + v))
        _add_row(start, 0, ST[s * width + K], T, s * K, K)
    determined = factor_normal(T, q, k, K, ridge, U)
    for v in range(0, K, 8):
        store(T, v, load(start, v))
    solve_factored(U, k, K, T, start)
    return determined


@kernel
def _best_along(A: Any, L: int, K: int, ridge: Any, descent: Any, x: Any, h: Any) -> Any:
    """(gamma, gain): gamma x is the best point along x for the objective with gradient -2 `descent` at 0, and by
    how much it lowers it. So the objective falls whatever the sketch was, and going omega in (0, 2) times as far
    still lowers it (see `pace`)."""
    curvature = normal_product(A, L, K, x, h, False) + add_ridge(h, ridge, x, K)
    slope = dot(descent, x, K)
    if not curvature > nothing(x) * dot(x, x, K):
        return 0.0, 0.0
    return slope / curvature, slope * slope / curvature


@kernel
def solve_rows_sketch(
    first: int, last: int, indptr: Any, indices: Any, values: Any, Q: Any, G: Any, k: int, K: int, ridge: Any,
    omega: float, steps: int, tol: float, kind: int, q: int, seed: Any, before: Any, gain: Any, taken: Any,
) -> None:  # fmt: skip
    """Half-step with a sketch of q rows for each row; arguments as in `kernels`. A row with at most q entries
    is its own sketch."""
    longest = 1
    for i in range(first, last):
        longest = max(longest, indptr[i + 1] - indptr[i])
    room = 4
    while room < longest:
        room *= 2
    A, r, U = np.empty(room * K, Q.dtype), np.empty(room, Q.dtype), np.empty(K * K, Q.dtype)
    T, ST = np.empty(max(room, q) * (K + 8), Q.dtype), np.empty(q * (K + 8), Q.dtype)
    z, x, y, descent = np.empty(K, Q.dtype), np.empty(K, Q.dtype), np.empty(K, Q.dtype), np.empty(K, Q.dtype)
    p, h, start = np.empty(K, Q.dtype), np.zeros(K, Q.dtype), np.empty(K, Q.dtype)
    for i in range(first, last):
        begin, end = indptr[i], indptr[i + 1]
        L, at = end - begin, i * K
        taken[i], gain[i], before[i] = 0, 0.0, 0.0
        if L == 0:
            for j in range(K):
                G[at + j] = 0.0
            continue
        before[i] = gather(begin, end, indices, values, Q, K, G, at, A, r, z)
        for j in range(K):
            start[j] = -ridge[j] * G[at + j]
            z[j] += start[j]
            descent[j] = z[j]
        if q < L:
            determined = _sketch_and_solve(
                kind, A, r, L, k, K, q, random_bits(seed, i), ridge, U, start, T, ST
            )
            # z <- z - (A^T A + D) start: from here on the correction to the start is sought
            normal_product(A, L, K, start, h, True)
            add_ridge(h, ridge, start, K)
            add_scaled(z, -1.0, h, K)
        else:
            determined = factor_normal(A, L, k, K, ridge, U)
            for j in range(K):
                start[j] = 0.0
        # An undetermined row's U is nearly singular: a second step would only amplify rounding.
        most = steps if determined else 1
        taken[i], _ = _preconditioned(A, L, k, K, ridge, U, most, tol, z, x, y, p, h)
        add_scaled(x, 1.0, start, K)
        gamma, gain[i] = _best_along(A, L, K, ridge, descent, x, h)
        for j in range(K):
            G[at + j] += omega * gamma * x[j]


def sketched(kind: str, A: NDArray[np.float64], q: int, seed: int) -> NDArray[np.float64]:
    """S A (q x k) for A (L x k), S drawn as in `solve_rows_sketch`; `kind` is one of `KINDS`."""
    L, k = A.shape
    width = (k + 7) // 8 * 8
    T = np.zeros((1 << max(2, (L - 1).bit_length()), width))
    T[:L, :k] = A
    out = np.empty((q, width))
    apply_sketch(KINDS.index(kind), T.ravel(), L, width, q, np.uint64(seed), out.ravel())
    return out[:, :k]


def distortion(kind: str, A: NDArray[np.float64], q: int, seed: int) -> NDArray[np.float64]:
    """Eigenvalues (k) of R^T A^T A R, R = triangular factor inverse of S A: 1 for a perfect sketch; the condition
    number that the inner iteration sees is their ratio. inf where the sketch lost rank."""
    triangle = np.linalg.qr(sketched(kind, A, q, seed), mode="r")
    if np.min(np.abs(np.diag(triangle))) == 0.0:
        return np.full(A.shape[1], np.inf)
    AR = np.linalg.solve(triangle.T, A.T).T
    return np.linalg.svd(AR, compute_uv=False) ** 2
