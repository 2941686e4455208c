"""GAMP-RIE: approximate message passing whose prior step is the optimal rotation-invariant denoiser.

Units of S (the official notebook works with sqrt(kappa) S*). One iteration, with C the algorithm's own
estimate of ||Shat - S*||_F^2 / d, V = 2 C the variance of Tr[Z (Shat - S*)] (the diagonal of Z has variance 2):

    1  V    <- 2 C                                                              damped
    2  w_i  <- Tr[Z_i Shat] - V g_i               (Onsager term, g of the step before)   damped
    3  g_i   = (ytilde_i - w_i) / (Dt + V)        (Gaussian output channel)
    4  A     = 2 alpha mean_i g_i^2               (or its population value 2 alpha / (Dt + V))
    5  R     = Shat + (1 / (A d)) sum_i g_i Z_i,  s = 1 / (2 A)
    6  Shat  = f_RIE(R; s),  C = F(s)

Source: arXiv 2408.03733 (algorithm GAMP-RIE), with damping as in the official notebook. Cost: 4 n d^2 flops
of matrix products (fewer by symmetry) and one eigendecomposition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from engines.estimation.gamp_rie.method.denoiser import error_table, rie
from engines.estimation.gamp_rie.method.sensing import Sensing
from engines.estimation.gamp_rie.method.spectral import Float

Scale = Literal["empirical", "population"]
SMALLEST_ERROR = 1e-14
MORE_DAMPING = 0.7
"""Damping of the second attempt."""
DOUBT = 3.0
"""The guard steps in where the held-out error is that many times the own estimate ..."""
DOUBT_FLOOR = 0.01
"""... and above this, in units of the prior variance 1/kappa. The wrong fixed points that were met lie at 0.05
and more; close to perfect recovery the own estimate of a finite system runs ahead without harm."""


@dataclass(frozen=True)
class Settings:
    """What the iteration is told besides the data."""

    kappa: float
    """m / d of the teacher, > 0."""
    noise: float = 0.0
    """Dt, the variance of the noise on Tr[Z S*] (`theory.effective_noise`)."""
    damping: float = 0.5
    """Share of the old V and w that is kept, in [0, 1)."""
    scale: Scale = "empirical"
    """How A is found: from the mean of g^2 (as the official notebook) or from its population value."""
    iterations: int = 100
    tolerance: float = 1e-8
    """Stops when ||Shat_t - Shat_{t-1}||_F^2 / d is below it."""


class State(NamedTuple):
    """All that is needed to go on."""

    estimate: Float
    """Shat, d x d."""
    error: float
    """C, the algorithm's own estimate of ||Shat - S*||_F^2 / d."""
    variance: float
    """V after damping."""
    mean: Float
    """w after damping, shape [n]: the prediction of ytilde_i from the other samples."""
    output: Float
    """g, shape [n]."""
    iteration: int


class Info(NamedTuple):
    """What is worth plotting of one iteration."""

    noise_level: float
    """s: the variance of the noise in R."""
    own_error: float
    """C = F(s)."""
    change: float
    """||Shat - Shat_old||_F^2 / d."""
    residual: float
    """mean_i (ytilde_i - w_i)^2: what the samples say about Dt + V."""
    eigenvalues: Float
    """lambda_j of R, increasing."""
    shrunk: Float
    """xi_j, the eigenvalues of Shat in the same order."""
    held_out: float
    """Error estimate C_ho from samples outside the iteration; NaN without any (filled in by `iterate`)."""
    damping: float
    attempt: int
    """0; 1 after the guard began again with more damping; 2 for its fallback, the best held-out estimate."""


class Guard(NamedTuple):
    """Samples that never enter the iteration, to notice when it believes in an error that it does not have."""

    sensing: Sensing
    targets: Float
    """ytilde of these samples."""

    def error(self, estimate: Float, noise: float) -> float:
        """C_ho = (mean (ytilde - Tr[Z Shat])^2 - Dt) / 2: needs no teacher."""
        miss = self.targets - self.sensing.forward(estimate)
        return max((float(np.mean(miss * miss)) - noise) / 2.0, 0.0)


def init(sensing: Sensing, settings: Settings) -> State:
    """Start from the prior mean: Shat = I, C = 1/kappa, g = 0."""
    d, n = sensing.dimension, sensing.samples
    variance = 1.0 / settings.kappa
    return State(np.eye(d), variance, 2.0 * variance, np.zeros(n), np.zeros(n), 0)


def step(state: State, sensing: Sensing, targets: Float, settings: Settings) -> tuple[State, Info]:
    """One iteration; pure. `targets` is ytilde, shape [n].

    Raises FloatingPointError when the iteration has left the finite numbers."""
    d, alpha = sensing.dimension, sensing.samples / sensing.dimension**2
    old = 0.0 if state.iteration == 0 else settings.damping
    with np.errstate(all="ignore"):  # a diverging run overflows: it is told apart below, by a sentence
        # 1, 2: variance and mean of Tr[Z_i S*] given the other samples
        fresh_variance = 2.0 * state.error
        fresh_mean = sensing.forward(state.estimate) - fresh_variance * state.output
        variance = (1.0 - old) * fresh_variance + old * state.variance
        mean = (1.0 - old) * fresh_mean + old * state.mean
        # 3, 4: output channel and the precision that it gives
        miss = targets - mean
        total = settings.noise + variance
        output = miss / total
        residual = float(np.mean(miss * miss))
        precision = 2.0 * alpha * (residual / total**2 if settings.scale == "empirical" else 1.0 / total)
        # 5: the noisy matrix
        noisy = state.estimate + sensing.backward(output) / (precision * d)
    if not (np.isfinite(precision) and precision > 0.0 and np.isfinite(noisy).all()):
        raise FloatingPointError(f"GAMP-RIE diverged at iteration {state.iteration + 1}.")
    # 5, 6: its noise level and its optimal denoising
    noise_level = 0.5 / precision
    denoised = rie(noisy, noise_level, settings.kappa)
    error = max(error_table(settings.kappa)(noise_level), SMALLEST_ERROR)
    change = float(np.sum((denoised.matrix - state.estimate) ** 2)) / d
    after = State(denoised.matrix, error, variance, mean, output, state.iteration + 1)
    info = Info(
        noise_level, error, change, residual, denoised.eigenvalues, denoised.shrunk,
        float("nan"), settings.damping, 0,
    )  # fmt: skip
    return after, info


def iterate(
    sensing: Sensing, targets: Float, settings: Settings, guard: Guard | None = None
) -> Iterator[tuple[State, Info]]:
    """Run to convergence; yields after each iteration, at most `settings.iterations` of them (twice with a guard).

    With a `guard` the run begins again, once, with damping `MORE_DAMPING` when it ends (or is past half of its
    iterations) at a point whose held-out error contradicts its own estimate (`DOUBT`): the wrong fixed
    point that weak damping leads to. Where the second run fails too, the estimate with the smallest held-out
    error is yielded once more at the end, so that the last one yielded is always the answer.
    Raises FloatingPointError when the numbers leave the finite range."""
    best: tuple[State, Info] | None = None
    for attempt in range(2):
        state, trusted = init(sensing, settings), True
        for turn in range(settings.iterations):
            state, info = step(state, sensing, targets, settings)
            if guard:
                info = info._replace(held_out=guard.error(state.estimate, settings.noise))
                best = (state, info) if best is None or info.held_out < best[1].held_out else best
            yield state, info._replace(attempt=attempt)
            trusted = not info.held_out > max(DOUBT * info.own_error, DOUBT_FLOOR / settings.kappa)
            if info.change < settings.tolerance:
                break
            if attempt == 0 and not trusted and turn >= settings.iterations // 2:
                break
        if trusted:
            return
        settings = replace(settings, damping=max(settings.damping, MORE_DAMPING))
    if best is not None:
        yield best[0], best[1]._replace(attempt=2)


def solve(
    sensing: Sensing, targets: Float, settings: Settings, guard: Guard | None = None
) -> tuple[State, Info]:
    """The last state of `iterate`: for callers who want the answer and not the way to it."""
    if settings.iterations < 1:
        raise ValueError(f"iterations must be at least 1; got {settings.iterations}.")
    return deque(iterate(sensing, targets, settings, guard), maxlen=1)[0]


def student_weights(estimate: Float, hidden: int) -> Float:
    """W (hidden x d) of the network closest to Shat: its `hidden` largest positive eigenvalues, W^T W / m = Shat."""
    values, vectors = np.linalg.eigh(estimate)
    top = np.argsort(values)[::-1][:hidden]
    scale = np.sqrt(hidden * np.clip(values[top], 0.0, None))
    weights = np.zeros((hidden, len(estimate)))
    weights[: len(top)] = scale[:, None] * vectors[:, top].T
    return weights
