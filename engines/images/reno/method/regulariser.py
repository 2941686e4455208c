"""What keeps the noise typical: the paper's term on its norm, and optional terms on its shape."""

from __future__ import annotations

import math

import torch


def typical_norm(d: int) -> float:
    """The norm at which the penalty is smallest: sqrt(d - 1)."""
    return math.sqrt(d - 1)


def norm_band(d: int, deviations: float = 2.0) -> tuple[float, float]:
    """Mean of the norm of a standard normal vector less and plus so many standard deviations.

    Exact moments of the chi distribution with d degrees of freedom: mean sqrt(2) Gamma((d+1)/2) / Gamma(d/2)."""
    mean = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
    deviation = math.sqrt(max(0.0, d - mean * mean))
    return mean - deviations * deviation, mean + deviations * deviation


def norm_penalty(noise: torch.Tensor) -> torch.Tensor:
    """-K(eps) = ||eps||^2 / 2 - (d - 1) log ||eps||, [N], for noise [N, ...] (section 2.2 of the notes).

    K is, up to a constant, the log density of the norm of a standard normal vector. Zero noise gives infinity."""
    flat = noise.flatten(1)
    d = flat.shape[1]
    square = flat.square().sum(1)
    return square / 2 - (d - 1) / 2 * square.log()


def norm_gradient(noise: torch.Tensor) -> torch.Tensor:
    """Gradient of `norm_penalty`, [N, ...]: eps (1 - (d - 1) / ||eps||^2)."""
    flat = noise.flatten(1)
    d = flat.shape[1]
    return (flat * (1 - (d - 1) / flat.square().sum(1, keepdim=True))).view_as(noise)


def shape_penalty(noise: torch.Tensor) -> torch.Tensor:
    """How far the noise [N, C, H, W] is from white in ways that its norm does not see, [N]. Not in the paper.

    The negative log densities, up to constants, of three statistics of each channel of white noise with n = H W
    entries, in their normal approximation: the mean ~ N(0, 1/n), the mean square ~ N(1, 2/n), and the correlation of
    neighbours along each axis ~ N(0, 1/n)."""
    n = noise.shape[-1] * noise.shape[-2]
    mean = noise.mean((-1, -2))
    square = noise.square().mean((-1, -2))
    total = n * mean.square() / 2 + n * (square - 1).square() / 4
    for axis in (-1, -2):
        size = noise.shape[axis]
        first, second = noise.narrow(axis, 0, size - 1), noise.narrow(axis, 1, size - 1)
        total = total + n * (first * second).mean((-1, -2)).square() / 2
    return total.sum(1)
