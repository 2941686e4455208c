"""Random-matrix layer: the law of S* + sqrt(s) GOE, its edges, density and Hilbert transform.

`S* = W^T W / m` with W in R^{m x d} of iid N(0, 1) entries has, for d -> inf with m = kappa d, a
Marchenko-Pastur spectrum of mean 1; GOE has off-diagonal variance 1/d and diagonal variance 2/d, hence a
semicircle of variance 1. The law mu_s of the sum is their free convolution. Its Stieltjes transform
g(z) = int mu_s(dt) / (z - t) solves

    z = 1/g + s g + kappa / (kappa - g).                                                   (*)

Everything here works with **w = 1/g**, in which (*) is a cubic that stays well scaled for s -> 0 (the
leading coefficient of the cubic in g is s; that in w is kappa):

    P(w) = kappa w^3 - (1 - kappa + kappa z) w^2 + (z + kappa s) w - s = 0.

At a real z inside the support, P has one real root and a conjugate pair: g is the member with Im g > 0, so
that no small imaginary offset is needed. Outside the support P has three real roots, and exactly one of
them lies on a decreasing branch of z(g), as the Stieltjes transform of a measure must: dz/dg < 0 reads
Q(w) > 0 with

    Q(w) = kappa^2 w^4 - 2 kappa w^3 + (1 - kappa - s kappa^2) w^2 + 2 s kappa w - s,

and the edges of the support are the images of the real roots of Q: two for one bulk, four when the blurred
atom at 0 (mass 1 - kappa, kappa < 1, s small) has separated from the rest.

Source: Maillard, Troiani, Martin, Krzakala, Zdeborova 2024 (arXiv 2408.03733) for the role of mu_s; the cubic
and the edges are the standard R-transform calculation; the two root rules are derived here and tested
against the subordination g = g_MP(z - s g).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]

NODES = 96
"""Gauss-Legendre nodes on each of the two panels of a law; mass and mean are then exact to about 1e-9."""


class Law(NamedTuple):
    """Quadrature of mu_s for a batch of s: integrals are sums over the last axis with `weight`."""

    x: Float
    """Nodes, shape [..., 2 * NODES]."""
    weight: Float
    """Lebesgue weight dx of each node (no density in it)."""
    density: Float
    """rho_s(x)."""
    hilbert: Float
    """h_s(x) = p.v. int rho_s(t) / (x - t) dt."""

    def integral(self, values: ArrayLike) -> Float:
        """Integral of `values * rho_s` over the support."""
        total: Float = np.sum(self.weight * self.density * np.asarray(values), axis=-1)
        return total


def stieltjes(x: ArrayLike, s: ArrayLike, kappa: float) -> Complex:
    """g(x - i0) of mu_s at real x: real part h_s(x), imaginary part pi rho_s(x) >= 0.

    `x` and `s` broadcast; s > 0, kappa > 0. Cost: about 60 vector operations, no eigenvalue problem."""
    z, s_ = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(s, np.float64))
    roots, inside = _cubic(z, s_, kappa)
    # Outside the bulk three real roots compete: the physical one has Q > 0 (dz/dg < 0).
    slopes = np.stack([_edge_quartic(root.real, s_, kappa) for root in roots])
    outside = np.choose(np.argmax(slopes, axis=0), roots).real
    w = np.where(inside, roots[1], outside + 0j)
    g = 1.0 / w
    return g.real + 1j * np.abs(g.imag)


def density(x: ArrayLike, s: ArrayLike, kappa: float) -> Float:
    """rho_s(x), the density of mu_s."""
    rho: Float = stieltjes(x, s, kappa).imag / np.pi
    return rho


def hilbert(x: ArrayLike, s: ArrayLike, kappa: float) -> Float:
    """h_s(x) = p.v. int rho_s(t) / (x - t) dt, in and outside the support."""
    h: Float = stieltjes(x, s, kappa).real
    return h


def edges(s: float, kappa: float) -> Float:
    """Edges of the support of mu_s in increasing order: two numbers for one bulk, four for two."""
    w, real = _critical_points(np.asarray([s], np.float64), kappa)
    x = _position(w[0][real[0]], s, kappa).real
    return np.sort(x)


def law(s: ArrayLike, kappa: float) -> Law:
    """Quadrature of mu_s for every s of an array (a table of F costs one call).

    One bulk is cut in two panels at the real part of its complex branch points, where the density dips just
    before the two bulks part; two bulks are one panel each. On a panel, x is a polynomial of the node that
    removes the square root at the outer edge and flattens the cube root at the inner one."""
    s_ = np.atleast_1d(np.asarray(s, np.float64))
    outer, inner = _panels(s_, kappa)
    u, du = _legendre(NODES)
    ramp = u * u * (6.0 - 8.0 * u + 3.0 * u * u)
    slope = 12.0 * u * (1.0 - u) ** 2
    length = (inner - outer)[..., None]  # [S, 2, 1], the second one negative
    x = (outer[..., None] + length * ramp).reshape(len(s_), -1)
    weight = (np.abs(length) * slope * du).reshape(len(s_), -1)
    g = stieltjes(x, s_[:, None], kappa)
    parts = (x, weight, g.imag / np.pi, g.real)
    if np.ndim(s) == 0:
        parts = tuple(part[0] for part in parts)
    return Law(*parts)


def marchenko_pastur(x: ArrayLike, kappa: float) -> Float:
    """Density of the continuous part of the spectrum of S* (for kappa < 1 an atom of mass 1 - kappa sits at 0)."""
    x_ = np.asarray(x, np.float64)
    low, high = (1.0 - kappa**-0.5) ** 2, (1.0 + kappa**-0.5) ** 2
    body = np.sqrt(np.clip((high - x_) * (x_ - low), 0.0, None))
    rho: Float = kappa * body / (2.0 * np.pi * np.where(x_ > 0, x_, 1.0)) * (x_ > 0)
    return rho


def _cubic(z: Float, s: Float, kappa: float) -> tuple[list[Complex], NDArray[np.bool_]]:
    """The three roots of P(w), and where two of them are complex. There, root 1 has Im(1/w) > 0."""
    b = -(1.0 - kappa + kappa * z) / (3.0 * kappa)
    c = (z + kappa * s) / kappa
    d = -s / kappa
    # w = t - b: t^3 + 3 p t + 2 q = 0
    p = c / 3.0 - b * b
    q = b * b * b - 0.5 * b * c + 0.5 * d
    gap = p * p * p + q * q
    inside = gap > 0.0
    root_gap = np.sqrt(np.where(inside, gap, 0.0))
    u = -np.cbrt(q + np.where(q >= 0, root_gap, -root_gap))
    v = np.where(u != 0.0, -p / np.where(u != 0.0, u, 1.0), 0.0)
    # A complex pair: conjugates, so Im(1/w) > 0 is Im w < 0.
    single = u + v - b
    pair = -0.5 * (u + v) - b - 1j * (0.5 * np.sqrt(3.0)) * np.abs(u - v)
    # Three real roots: the trigonometric form.
    size = np.sqrt(np.clip(-p, 0.0, None))
    cosine = np.clip(-q / np.where(size > 0.0, size**3, 1.0), -1.0, 1.0)
    angle = np.arccos(cosine) / 3.0
    real = [2.0 * size * np.cos(angle - 2.0 * np.pi * k / 3.0) - b for k in range(3)]
    roots = [
        np.where(inside, single, real[0]) + 0j,
        np.where(inside, pair, real[1]),
        np.where(inside, np.conj(pair), real[2]),
    ]
    return [_polish(root, z, s, kappa) for root in roots], inside


def _polish(w: Complex, z: Float, s: Float, kappa: float, steps: int = 2) -> Complex:
    """Newton steps on P: they give back the digits that Cardano's formula cancels away."""
    c2 = -(1.0 - kappa + kappa * z)
    c1 = z + kappa * s
    for _ in range(steps):
        value = ((kappa * w + c2) * w + c1) * w - s
        slope = (3.0 * kappa * w + 2.0 * c2) * w + c1
        flat = np.abs(slope) < 1e-12 * (np.abs(c1) + np.abs(w) + 1e-300)
        w = w - np.where(flat, 0.0, value / np.where(flat, 1.0, slope))
    return w


def _edge_quartic(w: Float, s: Float, kappa: float) -> Float:
    """Q(w): its real roots are the edges; positive where z(g) decreases."""
    value: Float = (
        (kappa * kappa * w - 2.0 * kappa) * w**3
        + ((1.0 - kappa - s * kappa * kappa) * w + 2.0 * s * kappa) * w
        - s
    )
    return value


def _position(w: Complex, s: ArrayLike, kappa: float) -> Complex:
    """x = z(1/w) = w + s/w + kappa w / (kappa w - 1)."""
    return np.asarray(w + np.asarray(s) / w + kappa * w / (kappa * w - 1.0))


def _critical_points(s: Float, kappa: float) -> tuple[Complex, NDArray[np.bool_]]:
    """The four roots of Q for each s, shape [S, 4], and which of them are real."""
    top = kappa * kappa
    last = (
        np.stack([np.full_like(s, -2.0 * kappa), 1.0 - kappa - s * top, 2.0 * s * kappa, -s], axis=-1) / top
    )
    companion = np.zeros((len(s), 4, 4))
    companion[:, 0, :] = -last
    companion[:, [1, 2, 3], [0, 1, 2]] = 1.0
    w = np.linalg.eigvals(companion).astype(np.complex128)
    column = s[:, None]
    for _ in range(3):  # Newton: eigvals is only accurate relative to the largest root
        value = _edge_quartic(w, column, kappa)  # type: ignore[arg-type]
        slope = (
            (4.0 * top * w - 6.0 * kappa) * w + 2.0 * (1.0 - kappa - column * top)
        ) * w + 2.0 * column * kappa
        safe = np.abs(slope) > 1e-300
        w = w - np.where(safe, value / np.where(safe, slope, 1.0), 0.0)
    return w, np.abs(w.imag) <= 1e-9 * np.abs(w)


def _panels(s: Float, kappa: float) -> tuple[Float, Float]:
    """Outer and inner end of the left and the right panel, each of shape [S, 2]."""
    w, real = _critical_points(s, kappa)
    x = _position(w, s[:, None], kappa)
    low = np.min(np.where(real, x.real, np.inf), axis=1)
    high = np.max(np.where(real, x.real, -np.inf), axis=1)
    left, right = low.copy(), high.copy()
    two = real.all(axis=1)
    ordered = np.sort(x.real, axis=1)
    left[two], right[two] = ordered[two, 1], ordered[two, 2]
    one = ~two
    # The complex pair of branch points: where the bulk dips, in the middle if that lies outside the bulk.
    dip = np.sum(np.where(real, 0.0, x.real), axis=1) / 2.0
    cut = np.where((dip > low) & (dip < high), dip, 0.5 * (low + high))
    left[one], right[one] = cut[one], cut[one]
    return np.stack([low, high], axis=1), np.stack([left, right], axis=1)


@lru_cache(maxsize=4)
def _legendre(count: int) -> tuple[Float, Float]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights
