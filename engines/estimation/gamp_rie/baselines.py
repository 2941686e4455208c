"""What the paper compares GAMP-RIE with: gradient descent, its average, and the best linear estimator.

Gradient descent trains a student of the same architecture, S = W^T W / m, from W of iid N(0, 1), on

    L(W) = (1/4) sum_i ( (1/sqrt(m)) sum_k (w_k . x_i)^2 / d - sqrt(m) y_i )^2

(loss of the official code of arXiv 2408.03733). J initialisations run as one batch: one pair of matrix products
a step. Averaging means averaging the matrices S of the J solutions, not their weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.estimation.gamp_rie.method.sensing import Sensing
from engines.estimation.gamp_rie.method.spectral import Float

Optimiser = Literal["adam", "gd"]
CHUNK_BYTES = 2**22
"""Hidden activations that are worked on at once: a piece stays in a core's cache."""


class Descent(NamedTuple):
    """Where J students stand after a number of steps."""

    step: int
    weights: NDArray[np.floating]
    """W, J x m x d, on the host."""
    loss: Float
    """L of each student at the point before the step, shape [J] (without weight decay)."""

    def matrices(self) -> Float:
        """S_j = W_j^T W_j / m, shape [J, d, d], float64."""
        w = self.weights.astype(np.float64)
        return np.asarray(np.swapaxes(w, 1, 2) @ w / w.shape[1])


class DescentSettings(NamedTuple):
    """How the students are trained."""

    optimiser: Optimiser = "adam"
    rate: float = 0.05
    """Adam's learning rate, or for "gd" the step in units of 1 / (2 alpha d), the curvature of the overall scale."""
    steps: int = 1500
    weight_decay: float = 0.0
    """lambda of an added (lambda / 2) ||W||^2."""
    settle: float = 0.3
    """Last share of the steps in which the rate falls to a hundredth (half a cosine)."""


def descend(
    inputs: NDArray[np.floating],
    labels: Float,
    start: NDArray[np.floating],
    settings: DescentSettings,
    every: int = 50,
    device: str = "cpu",
) -> Iterator[Descent]:
    """Train from `start` (J x m x d); yields before the first step, each `every` steps, and at the end.

    `inputs` n x d and `labels` [n] are the network's own y. Deterministic. Raises FloatingPointError when the
    loss leaves the finite numbers. Cost of a step: 4 n J m d flops. Runs in the dtype of `start`."""
    students, hidden, d = start.shape
    x = _place(np.asarray(inputs, start.dtype), device)
    target = _place(np.asarray(np.sqrt(hidden) * labels, start.dtype), device)
    w = _place(start.reshape(students * hidden, d).copy(), device)
    optimiser = _Optimiser(w, settings, 1.0 / (2.0 * len(labels) / d))
    for step in range(settings.steps):
        gradient, loss = _gradient(w, x, target, hidden)
        if step % every == 0:
            yield _point(step, w, loss, start.shape)
        optimiser.move(step, gradient)
    yield _point(settings.steps, w, _gradient(w, x, target, hidden)[1], start.shape)


def draw_students(
    students: int, hidden: int, dimension: int, generator: np.random.Generator, dtype: type = np.float32
) -> NDArray[np.floating]:
    """Initial weights of J students, iid N(0, 1), J x m x d. Use a stream that the teacher has not seen."""
    return generator.standard_normal((students, hidden, dimension)).astype(dtype)


def average_error(matrices: Float, target: Float) -> tuple[Float, float, float]:
    """C of each student [J], of their average (AGD), and extrapolated to infinitely many students.

    The error of a mean of J exchangeable solutions is E_inf + (E_1 - E_inf) / J, hence
    E_inf = (J E_J - E_1) / (J - 1); equal to E_J for J = 1."""
    d, count = len(target), len(matrices)
    single = np.sum((matrices - target) ** 2, axis=(1, 2)) / d
    mean = float(np.sum((matrices.mean(axis=0) - target) ** 2)) / d
    limit = (count * mean - float(single.mean())) / (count - 1) if count > 1 else mean
    return single, mean, limit


def linear_estimate(
    sensing: Sensing,
    targets: Float,
    kappa: float,
    noise: float,
    iterations: int = 100,
    tolerance: float = 1e-5,
) -> Float:
    """Best linear estimator of S*: ridge regression on vec(x x^T - I) with the prior's mean and variance.

    Minimises sum_i (ytilde_i - Tr[Z_i S])^2 / Dt + (kappa d / 2) ||S - I||^2 (entries of S* have variance
    1/(kappa d), twice that on the diagonal, as a GOE of variance 1/kappa); for Dt = 0 the minimum-norm
    interpolation. Conjugate gradients on matrices, two products with Z an iteration."""
    d = sensing.dimension
    identity = np.eye(d)
    # Dual form: S = I + (2 / (kappa d)) sum_i a_i Z_i with (Dt + (2 / (kappa d)) Z Z^T) a = ytilde - Tr[Z I].
    prior = 2.0 / (kappa * d)
    rest = targets - sensing.forward(identity)
    a = np.zeros_like(rest)
    direction, size = rest.copy(), float(rest @ rest)
    start = size
    for _ in range(iterations):
        if size <= tolerance * start:
            break
        image = noise * direction + prior * sensing.forward(sensing.backward(direction))
        length = size / float(direction @ image)
        a += length * direction
        rest -= length * image
        size, before = float(rest @ rest), size
        direction = rest + (size / before) * direction
    return identity + prior * sensing.backward(a)


def _gradient(w: Any, x: Any, target: Any, hidden: int) -> tuple[Any, Any]:
    """dL/dW for all students at once, and L of each. Arrays of numpy or of torch: both speak this subset."""
    d = x.shape[1]
    students = w.shape[0] // hidden
    rows = max(128, CHUNK_BYTES // (4 * w.shape[0]))
    gradient: Any = 0.0
    loss: Any = 0.0
    for start in range(0, x.shape[0], rows):
        piece = x[start : start + rows]
        with np.errstate(all="ignore"):  # a diverging descent is told by its loss
            h = (w @ piece.T).reshape(students, hidden, -1)  # h_jki = w_k . x_i
            miss = (h * h).sum(1) * (1.0 / (hidden**0.5 * d)) - target[start : start + rows]
            loss = loss + 0.25 * (miss * miss).sum(1)
            # dL/dw_k = sum_i miss_i h_ki x_i / (sqrt(m) d)
            h *= (miss * (1.0 / (hidden**0.5 * d)))[:, None, :]
            gradient = gradient + h.reshape(students * hidden, -1) @ piece
    return gradient, loss


class _Optimiser:
    """Moves the weights in place: Adam with its usual constants, or plain descent."""

    def __init__(self, w: Any, settings: DescentSettings, scale: float) -> None:
        self.w, self.settings, self.scale = w, settings, scale
        self.first, self.second = w * 0.0, w * 0.0

    def move(self, step: int, gradient: Any) -> None:
        """One step; `gradient` may be used up."""
        rate = self.settings.rate * _fading(step, self.settings)
        with np.errstate(all="ignore"):  # a diverging descent is told by its loss
            if self.settings.weight_decay:
                gradient += self.settings.weight_decay * self.w
            if self.settings.optimiser == "gd":
                self.w -= (rate * self.scale) * gradient
                return
            self.first *= 0.9
            self.first += 0.1 * gradient
            self.second *= 0.999
            self.second += 0.001 * gradient * gradient
            bias = (1.0 - 0.999 ** (step + 1)) ** 0.5 / (1.0 - 0.9 ** (step + 1))
            self.w -= (rate * bias) * self.first / (self.second**0.5 + 1e-12)


def _point(step: int, w: Any, loss: Any, shape: tuple[int, ...]) -> Descent:
    """The students on the host. Raises FloatingPointError when the loss is not finite."""
    on_host = _host(loss).astype(np.float64)
    if not np.isfinite(on_host).all():
        raise FloatingPointError(f"Gradient descent diverged before step {step}; lower its rate.")
    return Descent(step, _host(w).reshape(shape).copy(), on_host)


def _fading(step: int, settings: DescentSettings) -> float:
    begin = settings.steps * (1.0 - settings.settle)
    if step <= begin:
        return 1.0
    part = (step - begin) / (settings.steps - begin)
    return float(0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * part)))


def _place(array: NDArray[Any], device: str) -> Any:
    if device == "cpu":
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _host(array: Any) -> NDArray[Any]:
    return array if isinstance(array, np.ndarray) else array.detach().cpu().numpy()
