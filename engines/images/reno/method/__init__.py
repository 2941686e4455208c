"""ReNO itself: the objective, the ascent on the noise, and what is kept. Torch only; no models, no events."""

from engines.images.reno.method.ascent import Evaluate, Info, Settings, State, init, step, values
from engines.images.reno.method.regulariser import (
    norm_band,
    norm_gradient,
    norm_penalty,
    shape_penalty,
    typical_norm,
)

__all__ = [
    "Evaluate",
    "Info",
    "Settings",
    "State",
    "init",
    "norm_band",
    "norm_gradient",
    "norm_penalty",
    "shape_penalty",
    "step",
    "typical_norm",
    "values",
]
