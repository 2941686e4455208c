"""The view of ReNO: pictures first, then who climbs how far, and whether anybody is being fooled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.images import reno_figures as draw
from ui.tabs.images.reno_figures import ITERATION, REWARD
from ui.views import FigureSpec, PictureLayout, Values, View


def _shows(experiment: str) -> Callable[[Values], bool]:
    return lambda params: params.get("experiment", "prompt") == experiment


PROMPT, LIST = _shows("prompt"), _shows("list")


def _checked(params: Values) -> bool:
    return PROMPT(params) and params.get("model", "embedded-g") in ("embedded-g", "closed-form")


def _spec(key: str, title: str, subtitle: str, build: Any, *reads: str, **more: Any) -> FigureSpec:
    options = {"awaits": "Appears with the first iteration.", "when": PROMPT, "x": ITERATION, **more}
    return FigureSpec(key, title, subtitle, build, reads, **options)


def _curve(key: str, title: str, subtitle: str, name: str, y: Axis, **more: Any) -> FigureSpec:
    return _spec(
        key, title, subtitle, partial(draw.by_iteration, name=name, y=y), f"series:{name}", y=y, **more
    )


_MET = Axis("demands met", low=0, high=1)
_END = "Appears at the end."

FIGURES = (
    _spec(
        "accuracy", "Right by task", "Higher is better. Judged by the exact checker; bars of error are 95 % intervals.", draw.accuracy,
        "array:accuracy*", when=LIST, wide=True, height=360, x=Axis(), y=Axis("share of right pictures", low=0, high=1),
        awaits="Appears with the first prompts.",
    ),
    _spec(
        "reward", "Best reward so far", "Higher is better, all in the same weights. Equal passes or equal seconds are the fair race.",
        draw.best_reward, "series:best reward", "series:time/seconds", when=lambda params: True, height=360, y=REWARD,
    ),
    _curve("met", "What the exact checker says", "Higher is better. Share of the prompt's demands that the best picture meets; nobody optimises it.",
           "demands met", _MET, when=_checked, height=360),
    _spec(
        "gains", "Each reward of ReNO", "Weighted gain since the start, of the picture at hand; it need not rise at every step.",
        draw.gains, "series:gain", "series:best reward", y=Axis("weighted gain since the start"),
    ),
    _spec(
        "watched", "A reward that nobody optimised", "If the optimised rewards rise and this one falls, they are being fooled.",
        draw.not_optimised, "series:not optimised*",
    ),
    _spec("norm", "Norm of the noise", "Shaded: where 95 % of Gaussian noises lie. Without the regulariser the norm drifts off.",
          draw.noise_norm, "series:noise norm", "array:typical norm", y=Axis("norm of the noise")),
    _spec("gradient", "Norm of the gradient", "Above the dotted line it is cut to the line, so that only its direction counts.",
          draw.gradient_norm, "series:gradient norm", y=Axis("norm of the gradient", log=True)),
    _spec("difference", "Where the picture changed", "Mean change of the colours from the first picture to the best.", draw.difference,
          "array:difference*", x=Axis("column", "pixel"), y=Axis("row", "pixel"), height=360, awaits="Appears with the first better picture."),
    _spec("histogram", "Does the noise still look Gaussian", "Its entries beside those of the start and the normal density.",
          draw.noise_histogram, "array:noise histogram", x=Axis("entry of the noise"), y=Axis("density"), awaits=_END),
    _spec("autocorrelation", "Neighbours in the noise", "White where entries have nothing to do with each other; 0, 0 is left out.",
          draw.autocorrelation, "array:noise autocorrelation", x=Axis("columns apart"), y=Axis("rows apart"), awaits=_END),
)  # fmt: skip

VIEW = View(
    figures=FIGURES,
    pictures=PictureLayout(
        order=(
            "Before and after/*", "Every iteration/*", "Contenders/Plain picture", "Contenders/Best of N*", "Contenders/ReNO",
            "Contenders/*", "The same noise*",
        ),
        winner="Contenders/ReNO",
        step="iteration",
        first=True,
        awaits="The pictures appear here: before and after with a cut to drag, then every iteration.",
    ),
    tables=(
        "Right by task", "Reward by task", "95 % intervals", "Where they ended", "seconds of each contender", "Verdicts of the exact checker",
    ),
)  # fmt: skip
