"""The view of GAMP-RIE: section by section what the spec wants to be seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.estimation.gamp_rie_figures import (
    ALPHA,
    MSE,
    best_error,
    convergence,
    denoising,
    descent,
    estimate,
    main,
    matrix,
    measured,
    predictions,
    spectrum,
)
from ui.views import FigureSpec, PictureLayout, Values, View


def _mode(*modes: str) -> Callable[[Values], bool]:
    return lambda params: params.get("mode", "sweep") in modes


def _mapped(params: Values) -> bool:
    return params.get("mode", "sweep") != "single" and params.get("map_points", 1) > 0


def _descends(params: Values) -> bool:
    return _RUN(params) and "gd" in params.get("baselines", ("gd",))


_RUN = _mode("sweep", "single")
_SPECTRUM = ("array:spectrum", "array:spectrum theory", "array:spectrum edges")
_WATCHED = "Appears when the watched run begins."
ITERATION = Axis("iteration", integer=True)
NOISE = Axis("noise level sₜ", log=True)
CHANGE = Axis("‖Ŝₜ − Ŝₜ₋₁‖² / d", log=True)


def _spec(key: str, title: str, subtitle: str, draw: Any, *reads: str, **more: Any) -> FigureSpec:
    return FigureSpec(key, title, subtitle, draw, reads, **{"when": _RUN, "awaits": _WATCHED, **more})


FIGURES = (
    _spec(
        "mse",
        "Error against samples",
        "Dots are runs at this size with their spread over data sets, ink lines are theory. Lower is better.",
        main,
        "series:mse",
        "series:mse sd",
        height=360,
        awaits="Theory appears first, then a dot for each run.",
        x=ALPHA,
        y=MSE,
    ),
    _spec(
        "map",
        "Best possible error",
        "Right of the red line the teacher is recovered perfectly. Click to set α and κ.",
        best_error,
        "array:best error",
        "array:recovery line",
        height=360,
        when=_mapped,
        awaits="Fills in row by row.",
        x=ALPHA,
        y=Axis("width κ = m / d"),
    ),
    _spec(
        "spectrum",
        "Spectrum that the denoiser sees",
        "Eigenvalues of Rₜ against the density of S* plus noise at the algorithm's own noise level.",
        spectrum,
        *_SPECTRUM,
        x=Axis("eigenvalue λ of Rₜ"),
        y=Axis("density"),
    ),
    _spec(
        "denoising",
        "What the denoiser does",
        "Each eigenvalue moves from the diagonal to the curve: noise is taken out, bulk by bulk.",
        denoising,
        *_SPECTRUM[:2],
        x=Axis("eigenvalue λ of Rₜ"),
        y=Axis("denoised ξ(λ)"),
    ),
    _spec(
        "estimate",
        "Spectrum of the estimate",
        "The estimate's eigenvalues settle on those of the teacher as the error falls.",
        estimate,
        "array:spectrum",
        "array:true spectrum",
        "array:true spectrum theory",
        x=Axis("eigenvalue"),
        y=Axis("density"),
    ),
    _spec(
        "convergence",
        "Error by iteration",
        "State evolution predicts every step; its own estimate is what a user without the truth sees.",
        partial(convergence, name="mse by iteration", y=Axis(MSE.title, log=True)),
        "series:mse by iteration",
        x=ITERATION,
        y=MSE,
    ),
    _spec(
        "noise",
        "Noise level by iteration",
        "The noise of the matrix that is denoised, against state evolution.",
        partial(convergence, name="noise level by iteration", y=NOISE),
        "series:noise level by iteration",
        x=ITERATION,
        y=NOISE,
    ),
    _spec(
        "change",
        "Change of the estimate",
        "The run stops where this falls below the tolerance.",
        partial(convergence, name="change by iteration", y=CHANGE),
        "series:change by iteration",
        x=ITERATION,
        y=CHANGE,
    ),
    _spec(
        "descent",
        "Gradient descent on the same data",
        "One student is a sample from the posterior; the average over students comes close to the best.",
        descent,
        "series:mse by step",
        "series:mse by GFLOP",
        when=_descends,
        height=360,
        awaits="Appears when gradient descent begins.",
        x=Axis("optimiser step"),
        y=MSE,
    ),
    _spec(
        "loss",
        "Training loss of gradient descent",
        "Mean over students.",
        partial(
            measured,
            name="loss by step",
            x=Axis("optimiser step", integer=True),
            y=Axis("training loss", log=True),
            dots=False,
        ),
        "series:loss by step",
        when=_descends,
        height=360,
        awaits="Appears when gradient descent begins.",
        x=Axis("optimiser step"),
        y=Axis("training loss"),
    ),
    _spec(
        "ratio",
        "Error over that of GAMP-RIE",
        "On the same data. Without noise theory says 2 for one student and 1 for their average.",
        partial(
            measured,
            name="GD over GAMP-RIE",
            x=ALPHA,
            y=Axis("ratio of errors", low=0),
            level=(2.0, "2, a sample from the posterior"),
        ),
        "series:GD over GAMP-RIE",
        when=_descends,
        awaits="Appears with the first average over students.",
        x=ALPHA,
        y=Axis("ratio of errors"),
    ),
    _spec(
        "iterations",
        "Iterations that GAMP-RIE took",
        "It slows down where recovery becomes perfect.",
        partial(measured, name="iterations", x=ALPHA, y=Axis("iterations", low=0)),
        "series:iterations",
        awaits="Appears with the first run.",
        x=ALPHA,
        y=Axis("iterations"),
    ),
    _spec(
        "predictions",
        "Prediction on fresh inputs",
        "On the line the network is learnt.",
        predictions,
        "array:predictions",
        awaits="Appears at the end of the watched run.",
        x=Axis("true Tr[Z S*]"),
        y=Axis("predicted Tr[Z Ŝ]"),
    ),
    _spec(
        "truth",
        "Teacher S*",
        "First rows and columns; the three matrices share their colours.",
        partial(matrix, name="S*"),
        "array:S*",
        "array:Shat",
    ),
    _spec(
        "learnt",
        "Estimate Ŝ",
        "The same entries, learnt.",
        partial(matrix, name="Shat"),
        "array:S*",
        "array:Shat",
    ),
    _spec(
        "difference",
        "Difference Ŝ − S*",
        "What is still wrong.",
        partial(matrix, name="difference"),
        "array:S*",
        "array:Shat",
        "array:difference",
    ),
)

VIEW = View(
    FIGURES,
    PictureLayout(
        order=("matrices",),
        labels={"matrices": "S*, Ŝ and their difference for each α"},
        pixelated=True,
        title="Matrices",
        step="α",
    ),
    tables=("results", "numbers", "contrast with noise"),
)
