"""ReNO itself: the objective, the ascent on the noise, and what is kept. Torch only; no models, no events."""

from engines.images.reno.method.ascent import PASSES, Evaluate, Info, Settings, State, init, step, values
from engines.images.reno.method.keeping import begin_best, state_of, tensors_of
from engines.images.reno.method.regulariser import (
    norm_band,
    norm_gradient,
    norm_penalty,
    shape_penalty,
    typical_norm,
)

__all__ = [
    "PASSES",
    "Evaluate",
    "Info",
    "Settings",
    "State",
    "begin_best",
    "init",
    "norm_band",
    "norm_gradient",
    "norm_penalty",
    "shape_penalty",
    "state_of",
    "step",
    "tensors_of",
    "typical_norm",
    "values",
]
