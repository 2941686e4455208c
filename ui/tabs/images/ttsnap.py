"""The view of TTSnap: the survival board, the comparison, the training, the replay lab."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ui.figures import Axis
from ui.tabs.images import ttsnap_figures as draw
from ui.tabs.images.ttsnap_board import board
from ui.tabs.images.ttsnap_figures import CALLS, STEP
from ui.views import FigureSpec, PictureLayout, Values, View


def _mode(*modes: str) -> Callable[[Values], bool]:
    return lambda params: params.get("experiment", "search") in modes


SEARCH, TRAIN, REPLAY, COMPARED = _mode("search"), _mode("train"), _mode("replay"), _mode("search", "replay")
REWARD, CORRELATION = Axis("final reward"), Axis("mean Spearman", high=1)
_HELD = "Appears when the held-out prompts are drawn."


def _spec(key: str, title: str, subtitle: str, build: Any, *reads: str, **more: Any) -> FigureSpec:
    return FigureSpec(key, title, subtitle, build, reads, **{"when": SEARCH, **more})


FIGURES = (
    _spec(
        "board", "Survival board", "Columns are seeds, rows are cuts, the number is what the search goes by. Grey was cut there; the "
        "frame is the winner. The first row follows the slider over the steps. Grey pictures in the last row were drawn afterwards, to "
        "see what was lost.",
        board, "array:board", "array:board scores", "array:estimates", "array:estimate scores", "array:finished",
        "array:finished scores", height=360, wide=True,
        awaits="The first row appears at the first cut.", x=Axis("seeds, longest in the race first"),
    ),
    _spec(
        "budget", "Final reward against budget",
        "Higher is better. Held-out prompts; bands are the spread over draws of seeds. Oracle pruning is the limit.",
        partial(draw.budget, y=REWARD), "series:final reward over budgets", "series:spread over budgets", "series:seconds of the budget",
        "series:TFLOPs", height=360, when=COMPARED, awaits=_HELD, x=CALLS, y=REWARD,
    ),
    _spec(
        "alignment", "Alignment by step", "Higher is better. How well a score of the estimate ranks the seeds as their final reward does.",
        partial(draw.by_step, name="Spearman", y=CORRELATION), "series:Spearman", "array:board", height=360, when=COMPARED,
        awaits=_HELD, x=STEP, y=CORRELATION,
    ),
    _spec("predicted", "Predicted and final", "A dot a seed of this prompt; slide through the steps.", draw.predicted,
          "array:predicted and final", awaits="Appears when all seeds are drawn.", x=Axis("prediction"), y=REWARD),
    _spec("race", "Calls of the race", "What was spent up to each cut, with the seeds that raced there; and what all of them would have cost.", draw.race,
          "series:calls spent", "series:seeds in the race", awaits="Appears at the first cut.", x=STEP, y=Axis("calls")),
    _spec("funnel", "Compute by stage", "Calls of the seeds that are in the race; without cuts all would be drawn to the end.", draw.funnel,
          "array:compute", awaits="Appears when the race is over.", y=Axis("calls")),
    _spec("top", "Best seed survives", "Share of prompts whose best seed is among the top quarter by prediction.",
          partial(draw.by_step, name="top quarter", y=Axis("share", low=0, high=1)), "series:top quarter", "array:board", when=COMPARED,
          awaits=_HELD, x=STEP, y=Axis("share", low=0, high=1)),
    _spec("so-far", "Final reward, prompts so far", "Higher is better. Mean over the held-out prompts drawn up to here.",
          partial(draw.scalar, name="reward, prompts so far", x=Axis("held-out prompts", integer=True), y=REWARD),
          "series:reward, prompts so far", awaits=_HELD, x=Axis("held-out prompts", integer=True), y=REWARD),
    _spec("learning", "Alignment while it learns", "Held-out prompts; slide through the levels that were learnt.",
          partial(draw.learning, y=CORRELATION), "array:alignment while learning", height=360, wide=True, when=TRAIN,
          awaits="Appears with the first level.", x=STEP, y=CORRELATION),
    _spec("loss", "Loss", "Squared error of the predicted final reward; each level begins anew with harder pictures.",
          partial(draw.scalar, name="loss", x=Axis("update", integer=True), y=Axis("squared error"), method="Noise-aware"),
          "series:loss", when=TRAIN, awaits="Appears with the first update, after the trajectories.",
          x=Axis("update", integer=True), y=Axis("squared error")),
    _spec("levels", "Loss by level", "What each level reached; early estimates hold less of the picture.",
          partial(draw.levels, y=Axis("squared error", low=0)), "series:loss of a level", when=TRAIN,
          awaits="Appears with the first level.", x=STEP, y=Axis("squared error")),
    _spec("tried", "Schedules tried", "Each dot is a random schedule at the same budget.", draw.tried, "array:schedules", when=REPLAY,
          x=Axis("seeds that the budget buys"), y=Axis("reward")),
)  # fmt: skip

VIEW = View(
    figures=FIGURES,
    pictures=PictureLayout(order=("Winners/TTSnap*", "Winners/*", "The race/*", "In the race/*"), winner="Winners/TTSnap*"),
    tables=(
        "Contenders on this prompt", "Contenders on held-out prompts", "The same with a verification at 2.5 calls",
        "Relative increase", "Stages", "Schedules found", "Alignment by level", "seconds: what a verification costs here", "Operations of one seed",
    ),
)  # fmt: skip
