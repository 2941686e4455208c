"""What a reader may set: the parameters of the GAMP-RIE engine, their bounds and their combinations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from engines.contract import Params, Refusal, knob
from engines.devices import memory_bytes

Mode = Literal["sweep", "single", "map"]
Baseline = Literal["gd", "linear"]

SWEEP = "Sweep and map"
ITERATION = "GAMP-RIE iteration"
DESCENT = "Gradient descent"
CONTRAST = "Contrast run with noise"

GUARD_SHARE = 0.05
"""Samples drawn on top of n for the guard, as a share of n (at least 64)."""


class Settings(Params):
    """Parameters of one run. Surface fields first, then the advanced ones by group."""

    mode: Mode = knob(
        "sweep",
        title="Experiment",
        help="A sweep over the number of samples, one number of samples in detail, or the theory's map alone.",
        labels={
            "sweep": "Sweep: error against samples",
            "single": "One run in detail",
            "map": "Map of the best possible error",
        },
    )
    alpha: float = knob(
        0.3,
        title="Samples, alpha",
        help="Number of samples over d squared, 0.02 to 1. In a sweep: where the live spectrum is shown.",
        unit="n / d²",
        ge=0.02,
        le=1.0,
        step=0.01,
    )
    kappa: float = knob(
        0.5,
        title="Width, kappa",
        help="Hidden units of the teacher over its inputs, 0.05 to 5.",
        unit="m / d",
        ge=0.05,
        le=5.0,
        step=0.05,
    )
    delta: float = knob(
        0.0,
        title="Hidden noise, Delta",
        help="Variance of the noise inside each hidden unit, 0 to 1.",
        unit="variance",
        ge=0.0,
        le=1.0,
        step=0.0125,
    )
    dimension: int = knob(
        100,
        title="Inputs, d",
        help="Input dimension, 10 to 1000; the cost grows as its fourth power. Theory is the limit of large d.",
        unit="inputs",
        ge=10,
        le=1000,
        step=10,
        demo_max=150,
    )
    seeds: int = knob(
        3,
        title="Repetitions",
        help="Independent teachers and data sets for each number of samples, 1 to 32.",
        unit="data sets",
        ge=1,
        le=32,
        demo_max=8,
    )
    baselines: tuple[Baseline, ...] = knob(
        ("gd", "linear"),
        title="Compared with",
        help="Gradient descent (alone and averaged over initialisations), and the best linear estimator.",
        widget="choices",
        max_length=2,
        labels={"gd": "Gradient descent and its average", "linear": "Best linear estimator"},
    )

    # Sweep and map -----------------------------------------------------------------------------------
    alpha_from: float = knob(
        0.1,
        title="Sweep from alpha",
        help="Smallest alpha of the sweep, 0.02 to 1.",
        unit="n / d²",
        ge=0.02,
        le=1.0,
        advanced=True,
        group=SWEEP,
    )
    alpha_to: float = knob(
        0.5,
        title="Sweep to alpha",
        help="Largest alpha of the sweep, 0.02 to 1, not below the smallest.",
        unit="n / d²",
        ge=0.02,
        le=1.0,
        advanced=True,
        group=SWEEP,
    )
    alpha_points: int = knob(
        9,
        title="Points of the sweep",
        help="Values of alpha in the sweep, evenly spaced, 1 to 40.",
        unit="values",
        ge=1,
        le=40,
        demo_max=12,
        advanced=True,
        group=SWEEP,
    )
    map_points: int = knob(
        32,
        title="Map resolution",
        help="Values of alpha and of kappa in the map of the best possible error, up to 120; 0 leaves the map out.",
        unit="values a side",
        ge=0,
        le=120,
        advanced=True,
        group=SWEEP,
    )

    # GAMP-RIE iteration ------------------------------------------------------------------------------
    damping: float = knob(
        0.5,
        title="Damping",
        help="Share of the old value kept in each update, 0 to 0.95. Without damping the run can settle at a wrong point.",
        ge=0.0,
        le=0.95,
        advanced=True,
        group=ITERATION,
    )
    iterations: int = knob(
        100,
        title="Iterations",
        help="At most so many, 1 to 1000; a guarded run may use them twice.",
        unit="iterations",
        ge=1,
        le=1000,
        demo_max=200,
        advanced=True,
        group=ITERATION,
    )
    tolerance: float = knob(
        1e-6,
        title="Tolerance",
        help="Stops when the estimate's squared change per dimension falls below it, 0 to 0.01.",
        ge=0.0,
        le=1e-2,
        advanced=True,
        group=ITERATION,
    )
    scale: Literal["empirical", "population"] = knob(
        "empirical",
        title="Precision A",
        help="From the samples, as the official notebook, or from its large-d value (diverges for few samples).",
        labels={"empirical": "From the samples", "population": "Large-d value"},
        advanced=True,
        group=ITERATION,
    )
    centring: Literal["sample", "known"] = knob(
        "sample",
        title="Centring of the labels",
        help="Subtract the labels' own mean, or their known expectation 1 + Delta.",
        labels={"sample": "Mean of the labels", "known": "Known, 1 + Delta"},
        advanced=True,
        group=ITERATION,
    )
    guard: bool = knob(
        True,
        title="Held-out guard",
        help="Draw 5 % more samples that never enter the iteration; begin again with more damping where they disagree.",
        advanced=True,
        group=ITERATION,
    )

    # Gradient descent --------------------------------------------------------------------------------
    baseline_dimension: int = knob(
        60,
        title="Inputs of gradient descent",
        help="Its own d, 10 to 1000 (GAMP-RIE runs on the same data too); 0 takes the d above.",
        unit="inputs",
        ge=0,
        le=1000,
        demo_max=80,
        advanced=True,
        group=DESCENT,
    )
    students: int = knob(
        8,
        title="Initialisations",
        help="Students trained on the same data and averaged, 1 to 64.",
        unit="students",
        ge=1,
        le=64,
        demo_max=16,
        advanced=True,
        group=DESCENT,
    )
    student_kappa: float = knob(
        0.0,
        title="Width of the student",
        help="Hidden units of the student over inputs, up to 5; 0 takes the teacher's.",
        unit="m / d",
        ge=0.0,
        le=5.0,
        advanced=True,
        group=DESCENT,
    )
    baseline_seeds: int = knob(
        2,
        title="Repetitions",
        help="Data sets for gradient descent at each number of samples, 1 to 32.",
        unit="data sets",
        ge=1,
        le=32,
        demo_max=4,
        advanced=True,
        group=DESCENT,
    )
    optimiser: Literal["adam", "gd"] = knob(
        "adam",
        title="Optimiser",
        help="Full-batch Adam, or plain gradient descent (needs many more steps).",
        labels={"adam": "Adam", "gd": "Plain gradient descent"},
        advanced=True,
        group=DESCENT,
    )
    rate: float = knob(
        0.05,
        title="Learning rate",
        help="Adam's rate, or the plain step in units of 1 / (2 alpha d); above 0, up to 2.",
        gt=0.0,
        le=2.0,
        log=True,
        advanced=True,
        group=DESCENT,
    )
    steps: int = knob(
        800,
        title="Steps",
        help="Full-batch steps of each student, 1 to 20000.",
        unit="steps",
        ge=1,
        le=20000,
        demo_max=2000,
        advanced=True,
        group=DESCENT,
    )
    weight_decay: float = knob(
        0.0,
        title="Weight decay",
        help="Strength of the penalty on the student's weights, 0 to 1.",
        ge=0.0,
        le=1.0,
        advanced=True,
        group=DESCENT,
    )

    # Contrast run ------------------------------------------------------------------------------------
    contrast_delta: float = knob(
        0.0625,
        title="Noise of the contrast run",
        help="A noiseless sweep adds one noisy run of all contenders, to see where averaging fails; 0 leaves it out.",
        unit="variance",
        ge=0.0,
        le=1.0,
        advanced=True,
        group=CONTRAST,
    )
    contrast_alpha: float = knob(
        0.35,
        title="Samples of the contrast run",
        help="Its alpha, 0.02 to 1.",
        unit="n / d²",
        ge=0.02,
        le=1.0,
        advanced=True,
        group=CONTRAST,
    )

    @model_validator(mode="after")
    def _combinations(self) -> Settings:
        if self.alpha_from > self.alpha_to:
            raise Refusal(
                "alpha_from",
                f"alpha_from must not exceed alpha_to = {self.alpha_to:g}; got {self.alpha_from:g}.",
            )
        if 0 < self.baseline_dimension < 10:
            raise Refusal(
                "baseline_dimension",
                f"baseline_dimension must be 0 (as d) or from 10 to 1000; got {self.baseline_dimension}.",
            )
        if 0.0 < self.student_kappa < 0.05:
            raise Refusal(
                "student_kappa",
                f"student_kappa must be 0 (as the teacher's) or from 0.05 to 5; got {self.student_kappa:g}.",
            )
        self._check_size("kappa", self.kappa, self.dimension, "dimension")
        if "gd" in self.baselines:
            self._check_size("kappa", self.kappa, self.small_dimension, "baseline_dimension")
            if self.student_kappa:
                self._check_size(
                    "student_kappa", self.student_kappa, self.small_dimension, "baseline_dimension"
                )
        return self

    def _check_size(self, name: str, kappa: float, d: int, cure: str) -> None:
        if round(kappa * d) < 1:
            raise Refusal(
                name,
                f"{name} * d must round to at least one hidden unit; got {kappa:g} * {d}. "
                f"Raise {name} or {cure}.",
            )
        alpha = min(self.alphas)
        if round(alpha * d * d) < 2:
            raise Refusal(
                "alpha",
                f"alpha * d^2 must give at least 2 samples; got {alpha:g} * {d}^2. Raise alpha or {cure}.",
            )

    @property
    def small_dimension(self) -> int:
        """The d on which gradient descent runs."""
        return self.baseline_dimension or self.dimension

    @property
    def alphas(self) -> tuple[float, ...]:
        """The numbers of samples, over d^2, that the run visits."""
        if self.mode == "single":
            return (self.alpha,)
        if self.alpha_points == 1 or self.alpha_from == self.alpha_to:
            return (self.alpha_from,)
        step = (self.alpha_to - self.alpha_from) / (self.alpha_points - 1)
        return tuple(round(self.alpha_from + i * step, 12) for i in range(self.alpha_points))

    @property
    def watched(self) -> float:
        """The alpha whose first run is shown iteration by iteration."""
        return min(self.alphas, key=lambda alpha: abs(alpha - self.alpha))


def data_bytes(dimension: int, alpha: float) -> int:
    """Bytes that a data set takes: float32 inputs (n + guard) x d, six float64 vectors of length n, some d x d
    matrices, and the pieces that are worked on at once."""
    n = alpha * dimension**2 * (1.0 + GUARD_SHARE)
    return int(n * dimension * 4 + n * 48 + 40 * dimension**2 * 8 + 2**27)


def check(settings: Settings, inputs: Mapping[str, Path]) -> None:
    """Refuses data that this machine's free memory cannot hold, and says which d fits."""
    if settings.mode == "map":
        return
    free, alpha = memory_bytes(), max(settings.alphas)
    sizes = {"dimension": settings.dimension}
    if "gd" in settings.baselines and settings.baseline_dimension:
        sizes["baseline_dimension"] = settings.baseline_dimension
    for name, d in sizes.items():
        need = data_bytes(d, alpha)
        if need <= 0.8 * free:
            continue
        fits = next((size for size in range(d, 9, -1) if data_bytes(size, alpha) <= 0.8 * free), 0)
        cure = f"d up to {fits} fits." if fits else "Free some memory."
        raise Refusal(
            name,
            f"{name} = {d} needs {need / 2**30:.1f} GiB for alpha = {alpha:g}, "
            f"of {free / 2**30:.1f} GiB that are free. {cure}",
        )
