"""What the reader must know of a run, in the words that both experiments use."""

from __future__ import annotations

from collections.abc import Iterator

from engines.contract import Context
from engines.events import Alert, Event, Text
from engines.images.reno.objective import Objective
from engines.images.reno.params import RenoParams

UNWATCHED = (
    "Nothing is watched: no checker reads these pictures and every reward is optimised, so nothing here tells whether the "
    "rewards are being fooled. Set a reward's weight to 0 and choose it under Watched, not optimised; it takes the memory "
    "of one more reward."
)


def at_start(objective: Objective, params: RenoParams, context: Context) -> Iterator[Event]:
    """Before the first iteration: rewards that are lowered, models that are slow on this device, and whether anything
    will tell that the rewards are being fooled."""
    if not params.lr:
        whose = params.model if params.optimizer == "sgd" else f"the optimizer {params.optimizer}"
        yield Text("learning rate", f"{params.rate:g}, automatic for {whose}.")
    weights = zip(objective.rewards, objective.weights, strict=True)
    negative = [title for title, weight in weights if weight < 0]
    if negative:
        one, many = "is made worse on purpose: its weight is", "are made worse on purpose: their weights are"
        words = f"{' and '.join(negative)} {one if len(negative) == 1 else many} negative."
        yield Alert("negative weight", 0, words)
    if context.device == "cpu" and not params.is_world:
        yield Alert(
            "slow here",
            0,
            "A full-size model on a CPU takes tens of seconds an iteration; five iterations show the idea.",
        )
    if not params.is_world and not objective.watched:
        yield Text("reward hacking", UNWATCHED)


def not_finite(noise: str, step: int) -> Alert:
    """A noise, named in words, whose gradient broke."""
    return Alert(
        "not finite",
        step,
        f"The gradient of {noise} is not finite: its step is left out and its rate halved.",
    )
