"""ReNO: reward-based noise optimisation for one-step text-to-image models.

`ENGINE` is light. The method's public names load what they need when they are first used:

    from engines.images.reno import Settings, init, step        # torch only: bring your own generator and rewards
    from engines.images.reno import norm_penalty, shape_penalty
    from engines.images.reno import open_objective              # embedded, published or local models
"""

from __future__ import annotations

import importlib
from typing import Any

from engines.images.reno.experiment import ENGINE

_HOMES = {
    "Info": "method",
    "Settings": "method",
    "State": "method",
    "init": "method",
    "norm_penalty": "method",
    "shape_penalty": "method",
    "step": "method",
    "typical_norm": "method",
    "values": "method",
    "Search": "baselines",
    "consider": "baselines",
    "init_search": "baselines",
    "neighbour": "baselines",
    "Objective": "objective",
    "open_objective": "objective",
}

__all__ = [
    "ENGINE", "Info", "Objective", "Search", "Settings", "State", "consider", "init", "init_search", "neighbour",
    "norm_penalty", "open_objective", "shape_penalty", "step", "typical_norm", "values",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
