"""The teacher, its labels, and the sensing operator Z of the equivalent matrix-sensing problem.

Labels of the network (arXiv 2408.03733; d inputs, m = round(kappa d) hidden units, n = round(alpha d^2) samples):

    y_i = (1/m) sum_k (w*_k . x_i / sqrt(d) + sqrt(Delta) z_ik)^2.

With S* = W*^T W* / m, Z_i = (x_i x_i^T - I) / sqrt(d) and ytilde_i = sqrt(d) (y_i - mean y) this is, for large d,
ytilde_i = Tr[Z_i S*] + sqrt(Dt) xi_i with Dt = 2 Delta (2 + Delta) / kappa. Z has n d^2 numbers and is never
formed: both products with it are matrix products with X, 2 n d^2 flops each, of which symmetry saves a part.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.estimation.gamp_rie.method.spectral import Float

ROWS = 2048
"""Rows of X that are worked on at once: the chunk and its product stay in a core's cache."""
BLOCK = 128
"""Width of the column blocks of which the backward product computes the lower half only."""


class Teacher(NamedTuple):
    """A random network with quadratic activation."""

    weights: Float
    """W*, m x d, iid N(0, 1)."""
    matrix: Float
    """S* = W*^T W* / m, d x d."""


class Sensing(Protocol):
    """The linear map S -> (Tr[Z_i S])_i and its transpose, wherever the data lives."""

    samples: int
    dimension: int

    def forward(self, matrix: Float) -> Float:
        """Tr[Z_i S] = (x_i^T S x_i - Tr S) / sqrt(d), shape [n], for a symmetric S."""
        ...

    def backward(self, weights: Float) -> Float:
        """sum_i g_i Z_i = (X^T diag(g) X - (sum_i g_i) I) / sqrt(d), shape [d, d]."""
        ...


class HostSensing:
    """Z on the CPU, through BLAS. X is kept in its own dtype (float32 is enough); sums are float64."""

    def __init__(self, inputs: NDArray[np.floating]) -> None:
        from scipy.linalg import blas

        self.inputs = np.ascontiguousarray(inputs)
        self.samples, self.dimension = inputs.shape
        self._trmm = blas.strmm if self.inputs.dtype == np.float32 else blas.dtrmm

    def forward(self, matrix: Float) -> Float:
        """See `Sensing`. x^T S x = 2 x^T L x with L the lower half of S (its diagonal halved): n d^2 flops."""
        lower = np.tril(matrix)
        lower[np.diag_indices(self.dimension)] *= 0.5
        lower = np.asfortranarray(lower, dtype=self.inputs.dtype)
        form = np.empty(self.samples)
        for start in range(0, self.samples, ROWS):
            x = self.inputs[start : start + ROWS]
            half = self._trmm(2.0, lower, x.T, side=0, lower=1)
            form[start : start + ROWS] = np.einsum("ji,ij->i", half, x)
        result: Float = (form - np.trace(matrix)) / np.sqrt(self.dimension)
        return result

    def backward(self, weights: Float) -> Float:
        """See `Sensing`. Large matrices are built from the column blocks below the diagonal only."""
        d = self.dimension
        g = weights.astype(self.inputs.dtype)
        width = -(-d // max(1, d // BLOCK))
        total = np.zeros((d, d))
        for start in range(0, self.samples, ROWS):
            x = self.inputs[start : start + ROWS]
            scaled = g[start : start + ROWS, None] * x
            for j in range(0, d, width):
                total[j : j + width, : j + width] += x[:, j : j + width].T @ scaled[:, : j + width]
        total = np.tril(total) + np.tril(total, -1).T
        total[np.diag_indices(d)] -= weights.sum()
        result: Float = total / np.sqrt(d)
        return result


class DeviceSensing:
    """Z on a torch device (a GPU): float32 products, results back on the host in float64."""

    def __init__(self, inputs: NDArray[np.floating], device: str) -> None:
        import torch

        self.samples, self.dimension = inputs.shape
        self.inputs = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).to(device)

    def forward(self, matrix: Float) -> Float:
        """See `Sensing`."""
        import torch

        s = torch.from_numpy(np.ascontiguousarray(matrix, np.float32)).to(self.inputs.device)
        form = ((self.inputs @ s) * self.inputs).sum(1).cpu().numpy().astype(np.float64)
        result: Float = (form - np.trace(matrix)) / np.sqrt(self.dimension)
        return result

    def backward(self, weights: Float) -> Float:
        """See `Sensing`."""
        import torch

        g = torch.from_numpy(np.ascontiguousarray(weights, np.float32)).to(self.inputs.device)
        product = (self.inputs.T @ (g[:, None] * self.inputs)).cpu().numpy().astype(np.float64)
        product[np.diag_indices(self.dimension)] -= weights.sum()
        result: Float = 0.5 * (product + product.T) / np.sqrt(self.dimension)
        return result


def sensing(inputs: NDArray[np.floating], device: str = "cpu") -> Sensing:
    """The sensing operator of `inputs` (n x d) on a device."""
    return HostSensing(inputs) if device == "cpu" else DeviceSensing(inputs, device)


def draw_teacher(dimension: int, kappa: float, generator: np.random.Generator) -> Teacher:
    """W* of iid N(0, 1), m = round(kappa d) rows."""
    hidden = hidden_units(dimension, kappa)
    weights = generator.standard_normal((hidden, dimension))
    return Teacher(weights, weights.T @ weights / hidden)


def hidden_units(dimension: int, kappa: float) -> int:
    """m = round(kappa d). Raises ValueError where that is 0."""
    hidden = round(kappa * dimension)
    if hidden < 1:
        raise ValueError(f"kappa * d must round to at least one hidden unit; got {kappa} * {dimension}.")
    return hidden


def draw_inputs(samples: int, dimension: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """X of iid N(0, 1), float32, n x d. The first rows of a longer draw are the shorter draw."""
    return generator.standard_normal((samples, dimension), dtype=np.float32)


def network_labels(
    teacher: Teacher, inputs: NDArray[np.floating], delta: float, generator: np.random.Generator
) -> Float:
    """y_i of the teacher with hidden noise of variance `delta`, shape [n], float64. Works in chunks of rows."""
    hidden, d = teacher.weights.shape
    scaled = (teacher.weights.T / np.sqrt(d)).astype(inputs.dtype)
    labels = np.empty(len(inputs))
    for start in range(0, len(inputs), ROWS):
        before = inputs[start : start + ROWS] @ scaled
        if delta > 0.0:
            before = before + np.sqrt(delta) * generator.standard_normal(before.shape)
        labels[start : start + ROWS] = np.einsum("ij,ij->i", before, before, dtype=np.float64) / hidden
    return labels


def centred(labels: Float, dimension: int, mean: float | None = None) -> Float:
    """ytilde = sqrt(d) (y - mean). The sample mean (default) needs neither Delta nor Tr S*."""
    centre = float(np.mean(labels)) if mean is None else mean
    shifted: Float = np.sqrt(dimension) * (labels - centre)
    return shifted
