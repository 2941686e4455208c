"""How much of a run is done, in units of matrix-product flops: what the progress bar counts."""

from __future__ import annotations

from engines.estimation.gamp_rie.params import Settings
from engines.events import Progress

_SPECTRAL = 3e7
"""What an eigendecomposition and a denoising cost at d = 100, in flops of matrix products on one core."""


class Work:
    """Adds up stages; `done` grows with `add`."""

    def __init__(self, settings: Settings) -> None:
        self.done = 0.0
        self.map = 1e9 * settings.map_points / 32 if settings.mode in ("sweep", "map") else 0.0
        total = self.map
        if settings.mode != "map":
            total += settings.seeds * sum(self.gamp(settings, settings.dimension, a) for a in settings.alphas)
        if settings.mode != "map" and "gd" in settings.baselines:
            small = settings.small_dimension
            visits = list(settings.alphas) * settings.baseline_seeds
            if has_contrast(settings):
                sides = 1 if settings.contrast_alpha in settings.alphas else 2
                visits += [settings.contrast_alpha] * (sides * settings.baseline_seeds)
            total += sum(self.descent(settings, small, a) + self.gamp(settings, small, a) for a in visits)
        self.total = max(total, 1.0)

    @staticmethod
    def gamp(settings: Settings, d: int, alpha: float) -> float:
        """Flops of one run of GAMP-RIE."""
        return settings.iterations * (gamp_flops(d, alpha) + _SPECTRAL * (d / 100.0) ** 3)

    @staticmethod
    def descent(settings: Settings, d: int, alpha: float) -> float:
        """Flops of all students of one data set."""
        return (
            settings.steps
            * settings.students
            * descent_flops(d, settings.student_kappa or settings.kappa, alpha)
        )

    def add(self, flops: float, note: str) -> Progress:
        """The progress after `flops` more."""
        self.done = min(self.done + flops, self.total)
        return Progress(self.done, self.total, note)


def has_contrast(settings: Settings) -> bool:
    """Whether the run ends with noisy and noiseless data at `contrast_alpha`."""
    return (
        settings.mode == "sweep"
        and "gd" in settings.baselines
        and settings.delta == 0.0
        and settings.contrast_delta > 0.0
    )


def gamp_flops(d: int, alpha: float) -> float:
    """4 n d^2: the two products of an iteration with Z, symmetry not counted."""
    return 4.0 * alpha * d**4


def descent_flops(d: int, kappa: float, alpha: float) -> float:
    """4 n m d: the two products of a step of one student."""
    return 4.0 * alpha * d**2 * round(kappa * d) * d
