"""Compiled half-steps of alternating minimisation: one least-squares problem for each row.

Common arguments. `first`, `last`: range of rows. `indptr` (rows + 1, int64), `indices` (|Omega|, int32) and
`values` (|Omega|) are the observed entries in CSR form. `Q`: the fixed factor, flattened, `K` numbers a row, `K`
a multiple of 8 (columns beyond the rank are zero). `G`: the unknown factor likewise, updated in place from its
present value (the warm start). `ridge` (K): weights d of the penalty, sum_j d_j g_j^2. `omega`: relaxation, the
update is multiplied by it. Results for each row: `before`, the squared residual ||b - A g||^2 at the warm start;
`gain`, by how much the full update (omega = 1) lowers ||b - A g||^2 + g^T D g; `taken`, inner steps.

A row's matrix A (L x K, the rows of Q at its entries) is gathered once into a buffer that stays in the caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.estimation.matrix_completion.method.compiled import kernel
from engines.estimation.matrix_completion.method.simd import (
    fma,
    item,
    lane_sum,
    load,
    mul,
    prefetch,
    splat,
    store,
    zeros_like,
)

AHEAD = 8
"""Rows of the fixed factor that are fetched ahead of their use."""


@kernel
def gather(
    begin: int, end: int, indices: Any, values: Any, Q: Any, K: int, G: Any, at: int, A: Any, r: Any, z: Any
) -> float:
    """One pass over the entries begin..end of a row: copies A out of Q, r = b - A g, z = A^T r; returns ||r||^2.

    A may have lower precision than Q: r and z are computed from Q itself. The rows of A and r are padded with
    zeros to a multiple of four. Four entries at a time, so that z is read and written once for all four."""
    L = end - begin
    line = 64 // Q.itemsize
    for v in range(0, K, 8):
        store(z, v, zeros_like(z))
    total = 0.0
    for i in range(0, L - 3, 4):
        e = begin + i
        if e + AHEAD + 4 <= end:
            for s in range(4):
                ahead = np.int64(item(indices, e + AHEAD + s)) * K
                for v in range(0, K, line):
                    prefetch(Q, ahead + v)
        a, b = np.int64(item(indices, e)) * K, np.int64(item(indices, e + 1)) * K
        c, d = np.int64(item(indices, e + 2)) * K, np.int64(item(indices, e + 3)) * K
        sa, sb, sc, sd = zeros_like(Q), zeros_like(Q), zeros_like(Q), zeros_like(Q)
        for v in range(0, K, 8):
            g8 = load(G, at + v)
            qa, qb, qc, qd = load(Q, a + v), load(Q, b + v), load(Q, c + v), load(Q, d + v)
            store(A, i * K + v, qa)
            store(A, (i + 1) * K + v, qb)
            store(A, (i + 2) * K + v, qc)
            store(A, (i + 3) * K + v, qd)
            sa, sb, sc, sd = fma(qa, g8, sa), fma(qb, g8, sb), fma(qc, g8, sc), fma(qd, g8, sd)
        ra, rb = item(values, e) - lane_sum(sa), item(values, e + 1) - lane_sum(sb)
        rc, rd = item(values, e + 2) - lane_sum(sc), item(values, e + 3) - lane_sum(sd)
        r[i], r[i + 1], r[i + 2], r[i + 3] = ra, rb, rc, rd
        total += (ra * ra + rb * rb) + (rc * rc + rd * rd)
        xa, xb, xc, xd = splat(z, ra), splat(z, rb), splat(z, rc), splat(z, rd)
        for v in range(0, K, 8):
            z8 = fma(load(Q, a + v), xa, load(z, v))
            z8 = fma(load(Q, b + v), xb, z8)
            z8 = fma(load(Q, c + v), xc, z8)
            store(z, v, fma(load(Q, d + v), xd, z8))
    return total + _gather_rest(L // 4 * 4, begin, end, indices, values, Q, K, G, at, A, r, z)


@kernel
def _gather_rest(i: int, begin: int, end: int, indices: Any, values: Any, Q: Any, K: int, G: Any, at: int, A: Any, r: Any, z: Any) -> float:  # fmt: skip
    """The last one to three entries of `gather`, and the padding."""
    total = 0.0
    whole = (end - begin + 3) // 4 * 4
    while i < whole:
        if begin + i < end:
            row = np.int64(item(indices, begin + i)) * K
            sum8 = zeros_like(Q)
            for v in range(0, K, 8):
                store(A, i * K + v, load(Q, row + v))
                sum8 = fma(load(Q, row + v), load(G, at + v), sum8)
            r[i] = item(values, begin + i) - lane_sum(sum8)
            total += r[i] * r[i]
            rest8 = splat(z, r[i])
            for v in range(0, K, 8):
                store(z, v, fma(load(Q, row + v), rest8, load(z, v)))
        else:
            r[i] = 0.0
            for v in range(0, K, 8):
                store(A, i * K + v, zeros_like(A))
        i += 1
    return total


@kernel
def normal_product(A: Any, L: int, K: int, p: Any, h: Any, whole: bool) -> float:
    """h = A^T A p in one pass over A, four rows at a time; returns ||A p||^2 (and only that unless `whole`)."""
    if whole:
        for v in range(0, K, 8):
            store(h, v, zeros_like(h))
    total = 0.0
    for i in range(0, L, 4):
        a, b, c, d = i * K, (i + 1) * K, (i + 2) * K, (i + 3) * K
        sa = zeros_like(A)
        sb = zeros_like(A)
        sc = zeros_like(A)
        sd = zeros_like(A)
        for v in range(0, K, 8):
            p8 = load(p, v)
            sa = fma(load(A, a + v), p8, sa)
            sb = fma(load(A, b + v), p8, sb)
            sc = fma(load(A, c + v), p8, sc)
            sd = fma(load(A, d + v), p8, sd)
        ta, tb, tc, td = lane_sum(sa), lane_sum(sb), lane_sum(sc), lane_sum(sd)
        total += (ta * ta + tb * tb) + (tc * tc + td * td)
        if whole:
            xa, xb, xc, xd = splat(A, ta), splat(A, tb), splat(A, tc), splat(A, td)
            for v in range(0, K, 8):
                h8 = fma(load(A, a + v), xa, load(h, v))
                h8 = fma(load(A, b + v), xb, h8)
                h8 = fma(load(A, c + v), xc, h8)
                store(h, v, fma(load(A, d + v), xd, h8))
    return total


@kernel
def dot(a: Any, b: Any, K: int) -> float:
    """a^T b over K numbers."""
    sum8 = zeros_like(a)
    for v in range(0, K, 8):
        sum8 = fma(load(a, v), load(b, v), sum8)
    return lane_sum(sum8)


@kernel
def add_scaled(x: Any, scale: float, y: Any, K: int) -> None:
    """x += scale * y."""
    scale8 = splat(x, scale)
    for v in range(0, K, 8):
        store(x, v, fma(scale8, load(y, v), load(x, v)))


@kernel
def scaled_plus(p: Any, scale: float, z: Any, K: int) -> None:
    """p = z + scale * p."""
    scale8 = splat(p, scale)
    for v in range(0, K, 8):
        store(p, v, fma(scale8, load(p, v), load(z, v)))


@kernel
def add_ridge(h: Any, ridge: Any, p: Any, K: int) -> float:
    """h += D p; returns p^T D p."""
    sum8 = zeros_like(h)
    for v in range(0, K, 8):
        p8 = load(p, v)
        weighted = mul(load(ridge, v), p8)
        sum8 = fma(weighted, p8, sum8)
        store(h, v, fma(splat(h, 1.0), weighted, load(h, v)))
    return lane_sum(sum8)


@kernel
def nothing(x: Any) -> float:
    """Squares of entries up to 1 below this are rounding only, in the precision of x."""
    return 1e-28 if x.itemsize == 8 else 1e-12


@kernel
def conjugate_gradients(
    A: Any, L: int, K: int, ridge: Any, steps: int, tol: float, z: Any, p: Any, h: Any, x: Any
) -> Any:
    """x with (A^T A + D) x ~ z by at most `steps` conjugate-gradient steps from x = 0 (z is overwritten).

    Stops once ||residual|| <= tol ||z||. Returns (steps taken, x^T z - the part of the objective gained).
    """
    for v in range(0, K, 8):
        store(x, v, zeros_like(x))
        store(p, v, load(z, v))
    zeta = float(dot(z, z, K))
    # Below the rounding of z the direction is noise; a row with fewer entries than unknowns would follow it far out.
    rounding = 1e-14 if z.itemsize == 8 else 1e-6
    enough = max(tol, rounding) ** 2 * zeta
    gained = 0.0
    for step in range(steps):
        last = step + 1 == steps
        curvature = float(normal_product(A, L, K, p, h, not last))
        curvature += float(add_ridge(h, ridge, p, K))
        # Columns of A have norms up to 1: a direction that the entries see only through rounding is not followed, which in
        # single precision would lead out of the numbers.
        if not curvature > nothing(z) * zeta or not zeta > 0.0:
            return step, gained
        alpha = zeta / curvature
        add_scaled(x, alpha, p, K)
        gained += alpha * zeta
        if last:
            break
        add_scaled(z, -alpha, h, K)
        fresh = float(dot(z, z, K))
        if fresh <= enough:
            return step + 1, gained
        scaled_plus(p, fresh / zeta, z, K)
        zeta = fresh
    return steps, gained


@kernel
def solve_rows_cg(
    first: int, last: int, indptr: Any, indices: Any, values: Any, Q: Any, G: Any, K: int, ridge: Any,
    omega: float, steps: int, tol: float, like: Any, before: Any, gain: Any, taken: Any,
) -> None:  # fmt: skip
    """Half-step by conjugate gradients; `like` is any array of the inner precision.

    The fixed factor has orthonormal columns, so that A^T A ~ p I for a random set of entries: the sample is the
    sketch, one orthonormalisation preconditions all rows. The residual is taken in the factors' precision, the
    correction may be computed in a lower one (mixed-precision refinement)."""
    longest = 0
    for i in range(first, last):
        longest = max(longest, indptr[i + 1] - indptr[i])
    room = (longest + 3) // 4 * 4
    A = np.empty(room * K, like.dtype)
    r = np.empty(room, Q.dtype)
    z = np.empty(K, Q.dtype)
    weights = np.empty(K, like.dtype)
    for j in range(K):
        weights[j] = ridge[j]
    zi, p, h, x = (
        np.empty(K, like.dtype),
        np.empty(K, like.dtype),
        np.empty(K, like.dtype),
        np.empty(K, like.dtype),
    )
    for i in range(first, last):
        begin, end = indptr[i], indptr[i + 1]
        at = i * K
        taken[i], gain[i], before[i] = 0, 0.0, 0.0
        if begin == end:
            for j in range(K):
                G[at + j] = 0.0
            continue
        before[i] = gather(begin, end, indices, values, Q, K, G, at, A, r, z)
        for j in range(K):
            z[j] -= ridge[j] * G[at + j]
        # The inner problem is scaled to ||z|| = 1, so that single precision neither under- nor overflows.
        size = np.sqrt(float(dot(z, z, K)))
        if not size > 0.0 or not np.isfinite(size):
            continue
        for j in range(K):
            zi[j] = z[j] / size
        count, gained = conjugate_gradients(A, end - begin, K, weights, steps, tol, zi, p, h, x)
        taken[i], gain[i] = count, gained * size * size
        for j in range(K):
            G[at + j] += omega * size * x[j]


@kernel
def gram(A: Any, L: int, K: int, H: Any) -> None:
    """H (K x K, flat) = A^T A, upper triangle by blocks of 4 rows and 8 or 16 columns."""
    for j in range(0, K, 4):
        v = j // 8 * 8
        while v + 16 <= K:
            a0, b0, c0, d0 = zeros_like(A), zeros_like(A), zeros_like(A), zeros_like(A)
            a1, b1, c1, d1 = zeros_like(A), zeros_like(A), zeros_like(A), zeros_like(A)
            for i in range(0, L * K, K):
                left, right = load(A, i + v), load(A, i + v + 8)
                a, b, c, d = (
                    splat(A, A[i + j]),
                    splat(A, A[i + j + 1]),
                    splat(A, A[i + j + 2]),
                    splat(A, A[i + j + 3]),
                )
                a0, b0, c0, d0 = fma(a, left, a0), fma(b, left, b0), fma(c, left, c0), fma(d, left, d0)
                a1, b1, c1, d1 = fma(a, right, a1), fma(b, right, b1), fma(c, right, c1), fma(d, right, d1)
            store(H, j * K + v, a0)
            store(H, (j + 1) * K + v, b0)
            store(H, (j + 2) * K + v, c0)
            store(H, (j + 3) * K + v, d0)
            store(H, j * K + v + 8, a1)
            store(H, (j + 1) * K + v + 8, b1)
            store(H, (j + 2) * K + v + 8, c1)
            store(H, (j + 3) * K + v + 8, d1)
            v += 16
        if v < K:
            a0, b0, c0, d0 = zeros_like(A), zeros_like(A), zeros_like(A), zeros_like(A)
            for i in range(0, L * K, K):
                left = load(A, i + v)
                a0, b0 = fma(splat(A, A[i + j]), left, a0), fma(splat(A, A[i + j + 1]), left, b0)
                c0, d0 = fma(splat(A, A[i + j + 2]), left, c0), fma(splat(A, A[i + j + 3]), left, d0)
            store(H, j * K + v, a0)
            store(H, (j + 1) * K + v, b0)
            store(H, (j + 2) * K + v, c0)
            store(H, (j + 3) * K + v, d0)


@kernel
def cholesky(H: Any, k: int, K: int) -> bool:
    """H = U^T U in place (upper triangle; k rows of K); False where H is not positive definite."""
    for j in range(k):
        pivot = H[j * K + j]
        if not pivot > 0.0:
            return False
        scale8 = splat(H, 1.0 / np.sqrt(pivot))
        for v in range(j // 8 * 8, K, 8):
            store(H, j * K + v, mul(load(H, j * K + v), scale8))
        for i in range(j + 1, k):
            factor = splat(H, -H[j * K + i])
            for v in range(i // 8 * 8, K, 8):
                store(H, i * K + v, fma(factor, load(H, j * K + v), load(H, i * K + v)))
    return True


@kernel
def solve_factored(U: Any, k: int, K: int, z: Any, x: Any) -> None:
    """x with U^T U x = z (z is kept)."""
    for v in range(0, K, 8):
        store(x, v, load(z, v))
    for j in range(k):
        value = x[j] / U[j * K + j]
        for v in range(j + 1, k):
            x[v] -= value * U[j * K + v]
        x[j] = value
    for j in range(k - 1, -1, -1):
        value = x[j]
        for v in range(j + 1, k):
            value -= U[j * K + v] * x[v]
        x[j] = value / U[j * K + j]


@kernel
def factor_normal(A: Any, L: int, k: int, K: int, ridge: Any, H: Any) -> bool:
    """H = Cholesky factor of A^T A + D. A singular matrix gets the ridge 1e-8 trace/k (1e-4 in single precision)
    on top, and the answer is then False: the row's entries do not determine its k unknowns. The same where A is nothing
    but rounding; the ridge is then that of rounding."""
    gram(A, L, K, H)
    trace = 0.0
    for j in range(k):
        H[j * K + j] += ridge[j]
        trace += H[j * K + j]
    tiny = max(trace / k * (1e-8 if H.itemsize == 8 else 1e-4), nothing(H))
    enough = (k <= L or ridge[0] > 0.0) and trace > nothing(H)
    if enough and cholesky(H, k, K):
        return True
    gram(A, L, K, H)
    for j in range(k):
        H[j * K + j] += ridge[j] + tiny
    cholesky(H, k, K)
    return False


@kernel
def solve_rows_exact(
    first: int, last: int, indptr: Any, indices: Any, values: Any, Q: Any, G: Any, k: int, K: int, ridge: Any,
    omega: float, before: Any, gain: Any, taken: Any,
) -> None:  # fmt: skip
    """Half-step by normal equations and Cholesky, O(L k^2 + k^3) a row. `taken` is 1, or 2 where the row's
    entries did not determine it (see `factor_normal`)."""
    longest = 0
    for i in range(first, last):
        longest = max(longest, indptr[i + 1] - indptr[i])
    room = (longest + 3) // 4 * 4
    A, r = np.empty(room * K, Q.dtype), np.empty(room, Q.dtype)
    z, x, H = np.empty(K, Q.dtype), np.empty(K, Q.dtype), np.empty(K * K, Q.dtype)
    for i in range(first, last):
        begin, end = indptr[i], indptr[i + 1]
        at = i * K
        taken[i], gain[i], before[i] = 0, 0.0, 0.0
        if begin == end:
            for j in range(K):
                G[at + j] = 0.0
            continue
        before[i] = gather(begin, end, indices, values, Q, K, G, at, A, r, z)
        for j in range(K):
            z[j] -= ridge[j] * G[at + j]
        taken[i] = 1 if factor_normal(A, end - begin, k, K, ridge, H) else 2
        solve_factored(H, k, K, z, x)
        gain[i] = dot(z, x, K)
        for j in range(K):
            G[at + j] += omega * x[j]
