"""LoKU, as the paper has it, without events: `inverted_hinge` (spec 2.2), `importance` (2.4), `fila` (2.5), `memorisation`
and `tofu` (2.7: what is measured, and the stopping rule)."""

from engines.language.loku.method.fila import Factors, LayerReport, fila_init, weighted_factors
from engines.language.loku.method.importance import (
    Epsilons,
    FisherMeter,
    relative_importance,
    row_weights,
    target_layers,
)
from engines.language.loku.method.inverted_hinge import inverted_hinge, inverted_hinge_gradient
from engines.language.loku.method.memorisation import (
    StopRule,
    extraction_likelihood,
    memorisation_accuracy,
    overlap,
)
from engines.language.loku.method.tofu import (
    ForgetQuality,
    choice_probability,
    forget_quality,
    model_utility,
    probability,
    rouge_recall,
    truth_ratio,
    truth_ratio_for_quality,
    truth_score,
)

__all__ = [
    "Epsilons",
    "Factors",
    "FisherMeter",
    "ForgetQuality",
    "LayerReport",
    "StopRule",
    "choice_probability",
    "extraction_likelihood",
    "fila_init",
    "forget_quality",
    "inverted_hinge",
    "inverted_hinge_gradient",
    "memorisation_accuracy",
    "model_utility",
    "overlap",
    "probability",
    "relative_importance",
    "rouge_recall",
    "row_weights",
    "target_layers",
    "truth_ratio",
    "truth_ratio_for_quality",
    "truth_score",
    "weighted_factors",
]
