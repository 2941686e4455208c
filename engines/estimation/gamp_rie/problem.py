"""One data set: a teacher, its labels, and what each contender is given of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.devices import numpy_generator
from engines.estimation.gamp_rie.method import (
    Guard,
    Sensing,
    Teacher,
    centred,
    draw_inputs,
    draw_teacher,
    effective_noise,
    hidden_units,
    network_labels,
    sensing,
)
from engines.estimation.gamp_rie.method.spectral import Float
from engines.estimation.gamp_rie.params import GUARD_SHARE


class Problem(NamedTuple):
    """A data set and the sensing problem that it stands for."""

    teacher: Teacher
    inputs: NDArray[np.float32]
    """X of the samples that are learnt from, n x d."""
    labels: Float
    """y of these, shape [n]."""
    sensing: Sensing
    targets: Float
    """ytilde, shape [n]."""
    guard: Guard | None
    kappa: float
    """m / d after rounding."""
    alpha: float
    """n / d^2 after rounding."""
    noise: float
    """Dt."""

    def mse(self, estimate: Float) -> float:
        """kappa ||Shat - S*||_F^2 / d."""
        difference = estimate - self.teacher.matrix
        return float(self.kappa * np.sum(difference * difference) / len(difference))


def draw_problem(
    dimension: int,
    kappa: float,
    alpha: float,
    delta: float,
    *,
    seed: int,
    repetition: int,
    guarded: bool = True,
    known_mean: bool = False,
    device: str = "cpu",
) -> Problem:
    """Data set number `repetition`. The same teacher at each alpha, and the samples of a smaller alpha are the
    first ones of a larger alpha, so that a sweep shows the effect of samples and not of luck."""
    d, n = dimension, max(2, round(alpha * dimension**2))
    extra = max(64, round(GUARD_SHARE * n)) if guarded else 0
    names = (d, f"{kappa!r}", repetition)
    teacher = draw_teacher(d, kappa, numpy_generator(seed, "teacher", *names))
    inputs = draw_inputs(n + extra, d, numpy_generator(seed, "inputs", *names))
    labels = network_labels(teacher, inputs, delta, numpy_generator(seed, "noise", *names))
    mean = 1.0 + delta if known_mean else float(np.mean(labels[:n]))
    targets = centred(labels, d, mean)
    actual = hidden_units(d, kappa) / d
    guard = Guard(sensing(inputs[n:], device), targets[n:]) if guarded else None
    return Problem(
        teacher,
        inputs[:n],
        labels[:n],
        sensing(inputs[:n], device),
        targets[:n],
        guard,
        actual,
        n / d**2,
        effective_noise(delta, actual),
    )
