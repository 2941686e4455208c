"""Signal-to-noise ratio of a gradient from its groups, and the step size that it allows.

Spec sections 2.3 and 2.4. For an L-smooth J and theta' = theta + eta g:
E J(theta') >= J + eta ||g_J||^2 - (L eta^2/2)(||g_J||^2 + Var), whose maximiser is eta* = (1/L) SNR/(1 + SNR).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


def optimal_step(gradient_squared: float, variance: float, smoothness: float) -> float:
    """eta* = (1/L) ||g_J||^2/(||g_J||^2 + Var)."""
    total = gradient_squared + variance
    return gradient_squared / total / smoothness if total > 0 else 0.0


def guaranteed_gain(gradient_squared: float, variance: float, smoothness: float) -> float:
    """(eta*/2) ||g_J||^2: what one step at eta* gains at least, on average."""
    return optimal_step(gradient_squared, variance, smoothness) / 2 * gradient_squared


@dataclass(frozen=True)
class Measured:
    """One batch: `variance` V of the mean gradient, `signal` S for ||g_J||^2 (may be negative), `square` ||g||^2."""

    variance: float
    signal: float
    square: float

    @property
    def has_signal(self) -> bool:
        """False where the gradient is exactly zero: all groups had equal rewards."""
        return self.square > 0


def measure(group_squared_norms: NDArray[np.float64], squared_norm: float) -> Measured:
    """V and S from the N groups' gradients g_i, whose mean is g: both unbiased for independent groups.

    `group_squared_norms` (N,) holds ||g_i||^2, `squared_norm` is ||g||^2.
    V = (sum_i ||g_i||^2 - N ||g||^2)/(N(N-1)), S = ||g||^2 - V. Raises ValueError for N < 2."""
    n = len(group_squared_norms)
    if n < 2:
        raise ValueError(f"the signal-to-noise ratio needs at least 2 prompts in a batch; got {n}.")
    variance = max(0.0, (float(np.sum(group_squared_norms)) - n * squared_norm) / (n * (n - 1)))
    return Measured(variance, squared_norm - variance, squared_norm)


@dataclass(frozen=True)
class SnrState:
    """Running means of the three measured quantities; `count` batches with a signal so far."""

    variance: float = 0.0
    signal: float = 0.0
    square: float = 0.0
    count: int = 0

    @property
    def snr(self) -> float:
        """max(EMA(S), 0)/EMA(V); infinite without noise, NaN before the first signal."""
        if self.count == 0:
            return float("nan")
        return max(self.signal, 0.0) / self.variance if self.variance > 0 else float("inf")


def update(state: SnrState, batch: Measured, beta: float, start: float | None) -> SnrState:
    """The running means after one more batch; unchanged by a batch without signal.

    The ratio is taken of the means, never a mean of the ratio. `start` is the share rho_0 of signal assumed before the
    first batch, which counts as one batch with the first batch's size; None starts at the first batch itself."""
    if not batch.has_signal:
        return state
    if state.count == 0:
        if start is None:
            return SnrState(batch.variance, batch.signal, batch.square, 1)
        state = SnrState((1 - start) * batch.square, start * batch.square, batch.square)
    return replace(
        state,
        variance=beta * state.variance + (1 - beta) * batch.variance,
        signal=beta * state.signal + (1 - beta) * batch.signal,
        square=beta * state.square + (1 - beta) * batch.square,
        count=state.count + 1,
    )


def rate_share(state: SnrState, floor: float) -> float:
    """rho = clip(EMA(S)/EMA(||g||^2), floor, 1): the learning rate is lr_max * rho."""
    if state.count == 0 or state.square <= 0:
        return floor
    return float(np.clip(state.signal / state.square, floor, 1.0))


def prompts_for_unit_snr(state: SnrState, prompts: int) -> float:
    """How many prompts a batch needs for SNR 1, N EMA(V)/EMA(S): the gradient noise scale in prompts. Infinite where
    no signal can be seen."""
    if state.count == 0:
        return float("nan")
    return prompts * state.variance / state.signal if state.signal > 0 else float("inf")
