"""OBLR-PO: variance-optimal baselines and learning rates from the gradient's signal-to-noise ratio.

`ENGINE` is light. The method's public names load what they need when they are first used:

    from engines.language.oblr_po import optimal_loo, SnrState      # NumPy only
    from engines.language.oblr_po import Trainer, Settings          # torch
    from engines.language.oblr_po import OBLRTrainer                # TRL, `pip install paper-workbench[trl]`
"""

from __future__ import annotations

import importlib
from typing import Any

from engines.language.oblr_po.experiment import ENGINE

_HOMES = {
    "loo_baseline": "method.estimators",
    "optimal_loo": "method.estimators",
    "optimal_in_group": "method.estimators",
    "rloo": "method.estimators",
    "grpo": "method.estimators",
    "Moments": "method.variance",
    "moments_of_policy": "method.variance",
    "within_variance": "method.variance",
    "rloo_variance": "method.variance",
    "SnrState": "method.snr",
    "measure": "method.snr",
    "update": "method.snr",
    "rate_share": "method.snr",
    "optimal_step": "method.snr",
    "Bandit": "method.softmax_bandit",
    "Settings": "training",
    "Trainer": "training",
    "OBLRTrainer": "trl_trainer",
    "OBLRConfig": "trl_trainer",
}

__all__ = [
    "ENGINE", "Bandit", "Moments", "OBLRConfig", "OBLRTrainer", "Settings", "SnrState", "Trainer", "grpo", "loo_baseline",
    "measure", "moments_of_policy", "optimal_in_group", "optimal_loo", "optimal_step", "rate_share", "rloo",
    "rloo_variance", "update", "within_variance",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
