"""The view of matrix completion: section by section what the spec wants to be seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.estimation.matrix_completion_figures import (
    ITERATION,
    METHOD,
    distortion,
    incoherence,
    inner_steps,
    phase,
    plain,
    race,
    scaling,
    singular_values,
)
from ui.views import FigureSpec, PictureLayout, Values, View

_FIRST = "Appears with the first iteration."


def _problem(*problems: str) -> Callable[[Values], bool]:
    return lambda params: params.get("problem", "tour") in problems


_TOUR = ("tour", "everything")
RACE, PICTURE, PHASE = (_problem(one, *_TOUR) for one in ("synthetic", "picture", "phase"))
RATINGS, SCALING = _problem("ratings"), _problem("scaling", "everything")


def _sketched(params: Values) -> bool:
    return RACE(params) and (
        "sketch" in params.get("rivals", ("sketch",)) or params.get("solver") == "sketch-per-row"
    )


def _spec(key: str, title: str, subtitle: str, draw: Any, *reads: str, **more: Any) -> FigureSpec:
    return FigureSpec(key, title, subtitle, draw, reads, **{"awaits": _FIRST, **more})


_WORK = ("series:time/CPU seconds", "series:passes")
_PICTURE_WORK = ("series:time/picture CPU seconds", "series:picture passes")
_RATINGS_WORK = ("series:time/ratings CPU seconds", "series:ratings passes")
_MEETS = (
    "Lower is better. Robust and exact steps meet on the iteration axis; what parts them is the time axis."
)
_ERROR, _HELD, _RESIDUAL = (Axis(f"relative {what}", log=True) for what in ("error", "error", "residual"))

FIGURES = (
    _spec(
        "error",
        "Error against the true matrix",
        _MEETS,
        partial(race, name="error", y=_ERROR),
        "series:error",
        *_WORK,
        when=RACE,
        height=360,
        y=_ERROR,
        x=ITERATION,
    ),
    _spec(
        "held-out",
        "Error on entries that nobody saw",
        "Lower is better. This is what a user without the truth can measure.",
        partial(race, name="held-out error", y=_HELD),
        "series:held-out error",
        *_WORK,
        when=RACE,
        height=360,
        y=_HELD,
        x=ITERATION,
    ),
    _spec(
        "residual",
        "Residual on the entries used",
        "Never rises for alternating minimisation, exact or not.",
        partial(race, name="residual", y=_RESIDUAL),
        "series:residual",
        *_WORK,
        when=RACE,
        y=_RESIDUAL,
        x=ITERATION,
    ),
    _spec(
        "subspace",
        "Distance to the true column space",
        "Shrinks by a constant factor an iteration: the heart of the proof.",
        partial(plain, name="subspace distance", y=Axis("‖(I − U*U*ᵀ)Uₜ‖", log=True)),
        "series:subspace distance",
        when=RACE,
        x=ITERATION,
        y=Axis("‖(I − U*U*ᵀ)Uₜ‖"),
    ),
    _spec(
        "incoherence",
        "Incoherence of the iterate",
        "Stays near that of the true factor under inexact steps: the paper's lemma.",
        incoherence,
        "series:incoherence",
        "series:true incoherence",
        when=RACE,
        x=ITERATION,
        y=Axis("μ(Uₜ)"),
    ),
    _spec(
        "singular",
        "Singular values of the iterate",
        "They settle on the true spectrum, largest first. Slide back through the iterations.",
        partial(singular_values, name="singular values", truth="true singular values"),
        "array:singular values",
        "array:true singular values",
        when=RACE,
    ),
    _spec(
        "inner",
        "Inner steps for each row",
        "The warm start leaves few steps of conjugate gradients to do.",
        inner_steps,
        "array:inner steps per row",
        when=RACE,
        height=280,
    ),
    _spec(
        "distortion",
        "How well the sketch preconditions",
        "Eigenvalues near 1 mean few inner steps; dotted: what theory expects.",
        distortion,
        "array:sketch distortion",
        when=_sketched,
        height=280,
        awaits="Appears when the sketch of a row has been measured.",
    ),
    _spec(
        "psnr",
        "Picture quality on the missing pixels",
        "Peak signal-to-noise ratio; higher is better.",
        partial(race, name="picture PSNR", y=Axis("PSNR", "dB"), work="picture "),
        "series:picture PSNR",
        *_PICTURE_WORK,
        when=PICTURE,
        height=360,
        x=ITERATION,
        y=Axis("PSNR", "dB"),
    ),
    _spec(
        "ssim",
        "Structural similarity of the picture",
        "1 is the original; higher is better.",
        partial(race, name="picture SSIM", y=Axis("SSIM"), work="picture "),
        "series:picture SSIM",
        *_PICTURE_WORK,
        when=PICTURE,
        height=360,
        x=ITERATION,
        y=Axis("SSIM"),
    ),
    _spec(
        "picture-residual",
        "Residual on the pixels used",
        "Falls even where the missing pixels get worse: that is overfitting.",
        partial(race, name="picture residual", y=_RESIDUAL, work="picture "),
        "series:picture residual",
        *_PICTURE_WORK,
        when=PICTURE,
        x=ITERATION,
        y=_RESIDUAL,
    ),
    _spec(
        "picture-singular",
        "Singular values of the completed picture",
        "A photograph is only nearly of low rank: the values fall, they do not end.",
        partial(singular_values, name="picture singular values"),
        "array:picture singular values",
        when=PICTURE,
    ),
    _spec(
        "rmse",
        "Error on the test ratings",
        "Root mean square, in the file's own unit; lower is better.",
        partial(race, name="ratings RMSE", y=Axis("RMSE"), work="ratings "),
        "series:ratings RMSE",
        *_RATINGS_WORK,
        when=RATINGS,
        height=360,
        x=ITERATION,
        y=Axis("RMSE"),
    ),
    _spec(
        "mae",
        "Mean absolute error on the test ratings",
        "In the file's own unit; lower is better.",
        partial(race, name="ratings MAE", y=Axis("MAE"), work="ratings "),
        "series:ratings MAE",
        *_RATINGS_WORK,
        when=RATINGS,
        height=360,
        x=ITERATION,
        y=Axis("MAE"),
    ),
    _spec(
        "ratings-residual",
        "Residual on the ratings used",
        "Falls even where the test error rises: that is overfitting.",
        partial(race, name="ratings residual", y=_RESIDUAL, work="ratings "),
        "series:ratings residual",
        *_RATINGS_WORK,
        when=RATINGS,
        x=ITERATION,
        y=_RESIDUAL,
    ),
    _spec(
        "ratings-singular",
        "Singular values of the completed ratings",
        "How many directions the ratings have.",
        partial(singular_values, name="ratings singular values"),
        "array:ratings singular values",
        when=RATINGS,
    ),
    _spec(
        "phase",
        "Where robust steps recover the matrix",
        "Above the line there are fewer entries than unknowns: no method can.",
        partial(phase, contender=METHOD),
        f"array:recovered/{METHOD}",
        "array:threshold",
        when=PHASE,
        height=340,
        awaits="Fills in cell by cell.",
        x=Axis("sampling rate"),
        y=Axis("rank"),
    ),
    _spec(
        "phase-exact",
        "Where exact steps recover the matrix",
        "The same cells with exact least squares: the region is the same.",
        partial(phase, contender="Exact AM"),
        "array:recovered/Exact AM",
        "array:threshold",
        when=PHASE,
        height=340,
        awaits="Fills in cell by cell.",
        x=Axis("sampling rate"),
        y=Axis("rank"),
    ),
    _spec(
        "scaling-rank",
        "Cost of an iteration against the rank",
        "Power 1 is linear in the rank, exact solves tend to 2.",
        partial(scaling, by="rank", x=Axis("rank", log=True)),
        "series:time/* by rank",
        when=SCALING,
        height=360,
        awaits="Appears with the first timing.",
        x=Axis("rank"),
        y=Axis("CPU time for an iteration", "s"),
    ),
    _spec(
        "scaling-entries",
        "Cost of an iteration against the entries",
        "Power 1: the cost of looking at the data.",
        partial(scaling, by="entries", x=Axis("observed entries", log=True)),
        "series:time/* by entries",
        when=SCALING,
        height=360,
        awaits="Appears with the first timing.",
        x=Axis("observed entries"),
        y=Axis("CPU time for an iteration", "s"),
    ),
)

VIEW = View(
    FIGURES,
    PictureLayout(
        order=("original", "observed", f"completed/{METHOD}", "completed/*", "difference/*"),
        labels={
            "original": "Original",
            "observed": "Observed",
            f"difference/{METHOD}": f"Difference, {METHOD}",
        },
        winner=f"completed/{METHOD}",
        pixelated=False,
        title="The picture fills in",
        step="iteration",
    ),
    tables=("race", "picture", "ratings", "tuning", "ratings preview"),
)
