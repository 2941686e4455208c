"""LoKU: make a language model forget, with the inverted hinge loss and Fisher-weighted low-rank adapters.

`ENGINE` is light. The method's public names load torch when they are first used:

    from engines.language.loku import inverted_hinge                # the loss, on logits and labels
    from engines.language.loku import FisherMeter, fila_init        # FILA on any PeftModel
    from engines.language.loku import Unlearner, Settings           # the loop, a step at a time
"""

from __future__ import annotations

import importlib
from typing import Any

from engines.language.loku.experiment import ENGINE

_HOMES = {
    "inverted_hinge": "method.inverted_hinge",
    "inverted_hinge_gradient": "method.inverted_hinge",
    "Epsilons": "method.importance",
    "FisherMeter": "method.importance",
    "relative_importance": "method.importance",
    "row_weights": "method.importance",
    "fila_init": "method.fila",
    "weighted_factors": "method.fila",
    "StopRule": "method.memorisation",
    "extraction_likelihood": "method.memorisation",
    "forget_quality": "method.tofu",
    "model_utility": "method.tofu",
    "truth_ratio": "method.tofu",
    "Questions": "unlearning",
    "Settings": "unlearning",
    "Unlearner": "unlearning",
}

__all__ = [
    "ENGINE", "Epsilons", "FisherMeter", "Questions", "Settings", "StopRule", "Unlearner", "extraction_likelihood",
    "fila_init", "forget_quality", "inverted_hinge", "inverted_hinge_gradient", "model_utility", "relative_importance",
    "row_weights", "truth_ratio", "weighted_factors",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
