"""TTSnap: test-time scaling of diffusion models by noise-aware pruning.

`ENGINE` is light. The method's public names load what they need when they are first used:

    from engines.images.ttsnap import Schedule, Prices, init, step         # a live search with any generator and judge
    from engines.images.ttsnap import Lab, replay, search_schedules        # stored rewards, no model
    from engines.images.ttsnap import NoiseAware, curriculum               # a reward that reads estimates
"""

from __future__ import annotations

import importlib
from typing import Any

from engines.images.ttsnap.experiment import ENGINE

_HOMES = {
    "Lab": "method.replay",
    "NoiseAware": "method.noise_aware",
    "Prices": "method.schedule",
    "Race": "method.search",
    "Schedule": "method.schedule",
    "Stage": "method.search",
    "can_still_win": "method.ranking",
    "combined": "method.ranking",
    "curriculum": "method.noise_aware",
    "curve": "method.replay",
    "init": "method.search",
    "kendall": "method.metrics",
    "relative_increase": "method.metrics",
    "replay": "method.replay",
    "search_schedules": "method.replay",
    "spearman": "method.metrics",
    "step": "method.search",
    "top_accuracy": "method.metrics",
    "top_gap": "method.metrics",
}

__all__ = [
    "ENGINE", "Lab", "NoiseAware", "Prices", "Race", "Schedule", "Stage", "can_still_win", "combined", "curriculum", "curve",
    "init", "kendall", "relative_increase", "replay", "search_schedules", "spearman", "step", "top_accuracy", "top_gap",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
