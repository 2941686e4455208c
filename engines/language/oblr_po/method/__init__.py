"""OBLR-PO's mathematics in NumPy: estimators, exact variances, the signal-to-noise ratio and the step it allows.

`estimators` (spec 2.1), `variance` (2.2), `snr` (2.3, 2.4), `softmax_bandit` (6a). The symbols: N prompts, G responses
each, r reward, w squared score norm, b baseline, A advantage, rho share of the largest learning rate.
"""

from engines.language.oblr_po.method.estimators import loo_baseline, optimal_in_group, optimal_loo, rloo
from engines.language.oblr_po.method.snr import Measured, SnrState, measure, optimal_step, rate_share, update
from engines.language.oblr_po.method.variance import (
    Moments,
    moments_of_policy,
    rloo_variance,
    within_variance,
)

__all__ = [
    "Measured",
    "Moments",
    "SnrState",
    "loo_baseline",
    "measure",
    "moments_of_policy",
    "optimal_in_group",
    "optimal_loo",
    "optimal_step",
    "rate_share",
    "rloo",
    "rloo_variance",
    "update",
    "within_variance",
]
