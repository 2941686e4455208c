"""The view of ReNO: pictures first, then who climbs how far, and whether anybody is being fooled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from engines.images import choices
from engines.images.reno.params import CLOSED_FORM, WEIGHT_FIELDS, RenoParams
from ui.figures import Axis
from ui.tabs.images import reno_figures as draw
from ui.tabs.images.reno_figures import ITERATION, REWARD
from ui.views import FigureSpec, PictureLayout, Values, View


def _shows(experiment: str) -> Callable[[Values], bool]:
    return lambda params: params.get("experiment", "prompt") == experiment


TEMPLATE, LESS_BLUR = "Template", "Template less blur"
PROMPT, LIST = _shows("prompt"), _shows("list")


def _is_world(params: Values) -> bool:
    return params.get("model", choices.G) in (choices.G, CLOSED_FORM)


def _watched(params: Values, name: str) -> bool:
    """Whether a run with these parameters looks at that reward without optimising it (`objective.open_objective`)."""
    model = params.get("model", choices.G)
    if name not in choices.REWARD_TITLES:
        return model == {TEMPLATE: choices.G, LESS_BLUR: CLOSED_FORM}[name]
    field = WEIGHT_FIELDS[name]
    is_idle = not params.get(field, RenoParams.model_fields[field].default)
    is_seen = model == choices.G if name in choices.EMBEDDED_REWARDS else name in params.get("watch", ())
    fits = model == choices.G if name in choices.EMBEDDED_REWARDS else not _is_world(params)
    return is_idle and is_seen and fits


def _spec(key: str, title: str, subtitle: str, build: Any, *reads: str, **more: Any) -> FigureSpec:
    options = {"awaits": "Appears with the first iteration.", "when": PROMPT, "x": ITERATION, **more}
    return FigureSpec(key, title, subtitle, build, reads, **options)


def _curve(key: str, title: str, subtitle: str, name: str, y: Axis, **more: Any) -> FigureSpec:
    return _spec(
        key, title, subtitle, partial(draw.by_iteration, name=name, y=y), f"series:{name}", y=y, **more
    )


def _not_optimised() -> Iterator[FigureSpec]:
    """A figure for each reward that may be watched, shown where it is."""
    for name in (TEMPLATE, LESS_BLUR, *choices.REWARD_TITLES):
        title = choices.REWARD_TITLES.get(name, name)
        key = re.sub(r"\W+", "-", name.lower())
        yield _curve(
            f"watched-{key}", f"{title}, which nobody optimised", "If the optimised rewards rise and this one falls, they are being fooled.",
            f"not optimised: {title}", Axis(f"{title}, best so far"), when=partial(_shown, name=name),
        )  # fmt: skip


def _shown(params: Values, name: str) -> bool:
    return PROMPT(params) and _watched(params, name)


_MET = Axis("demands met", low=0, high=1)
_RIGHT = Axis("share of right pictures", low=0, high=1)
_END = "Appears at the end."

FIGURES = (
    _spec(
        "accuracy", "Right by task", "Higher is better. Judged by the exact checker; bars of error are 95 % intervals.",
        partial(draw.by_task, name="accuracy", y=_RIGHT), "array:accuracy*", when=lambda params: LIST(params) and _is_world(params), wide=True, height=360, x=Axis(), y=_RIGHT,
        awaits="Appears with the first prompts.",
    ),
    _spec(
        "rewards", "Reward by task", "Higher is better. Bars of error are one standard error over prompts.",
        partial(draw.by_task, name="reward by task", y=REWARD), "array:reward by task*", when=lambda params: LIST(params) and not _is_world(params), wide=True,
        height=360, x=Axis(), y=REWARD, awaits="Appears with the first prompts.",
    ),
    _spec(
        "reward", "Best reward so far", "Higher is better, all in the same weights. Equal passes or equal seconds are the fair race.",
        draw.best_reward, "series:best reward", "series:time/seconds", when=lambda params: True, height=360, y=REWARD,
    ),
    _curve("met", "What the exact checker says", "Higher is better. Share of the prompt's demands that the best picture meets; nobody optimises it.",
           "demands met", _MET, when=lambda params: PROMPT(params) and _is_world(params), height=360),
    _spec(
        "gains", "Each reward of ReNO", "Weighted gain since the start, of the picture at hand; it need not rise at every step.",
        draw.gains, "series:gain", "series:best reward", y=Axis("weighted gain since the start"),
    ),
    *_not_optimised(),
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
