"""TOFU's numbers: probability, ROUGE, truth ratio, model utility, forget quality.

Source: arXiv 2401.06121; its `utils.py` and `evaluate_util.py` (spec section 2.7). All likelihoods are token means,
`nll` in nats. Losses come from `engines.language.answers.score`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

FEW_QUESTIONS = 20
"""Below about so many questions the Kolmogorov-Smirnov test has no power."""


def probability(nll: float) -> float:
    """exp(-nll): the length-normalised probability of an answer."""
    return math.exp(-nll)


def choice_probability(nll_true: float, nll_wrong: Sequence[float]) -> float:
    """Probability of the true answer among the options, exp(-nll) each, normalised: for general knowledge."""
    all_nll = np.array([nll_true, *nll_wrong])
    chances = np.exp(all_nll.min() - all_nll)  # the largest is 1: no underflow of all at once
    return float(chances[0] / chances.sum())


def truth_ratio(nll_paraphrase: float, nll_wrong: Sequence[float]) -> float:
    """R = mean_k exp(-nll(wrong_k)) / exp(-nll(paraphrase)): small where the truth is likelier than falsehoods."""
    return float(np.mean(np.exp(nll_paraphrase - np.asarray(nll_wrong, dtype=np.float64))))


def truth_ratio_for_quality(nll_paraphrase: float, nll_wrong: Sequence[float]) -> float:
    """exp(mean_k nll(wrong_k) - nll(paraphrase)), the form in which the repository compares two models: the log-mean,
    and the other way up. (The inversion leaves the Kolmogorov-Smirnov test alone, the log-mean does not.)"""
    return math.exp(float(np.mean(nll_wrong)) - nll_paraphrase)


def truth_score(ratios: Sequence[float], *, forgotten: bool) -> float:
    """Truth ratio of a split as a score in [0, 1]: mean max(0, 1 - R) for what must stay, mean min(R, 1/R) for what
    must be forgotten (1: truth and falsehood are alike)."""
    r = np.asarray(ratios, dtype=np.float64)
    if forgotten:
        with np.errstate(divide="ignore"):
            return float(np.minimum(r, 1 / r).mean())
    return float(np.maximum(0.0, 1 - r).mean())


def rouge_recall(generated: str, true: str) -> float:
    """ROUGE-L recall of an answer against the true one, Porter stemmer on (package rouge-score)."""
    return float(_scorer().score(true, generated)["rougeL"].recall)


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def model_utility(numbers: Sequence[float]) -> float:
    """Harmonic mean of the parts (nine in TOFU: three splits that must stay x probability, ROUGE, truth ratio). One
    that is 0 makes it 0. Raises ValueError for none, for NaN and for negative ones."""
    parts = np.asarray(numbers, dtype=np.float64)
    if not parts.size or not np.isfinite(parts).all() or (parts < 0).any():
        raise ValueError("model utility needs finite parts that are not negative")
    return 0.0 if (parts == 0).any() else float(parts.size / (1 / parts).sum())


@dataclass(frozen=True)
class ForgetQuality:
    """Two-sample Kolmogorov-Smirnov test between the truth ratios of an unlearned and of a retain-only model.

    p above 0.05: the two cannot be told apart, which counts as forgotten. `has_power`: enough questions to tell
    anything. Never to be read without the model's utility: a destroyed model can pass."""

    statistic: float
    p: float
    questions: int

    @property
    def log10_p(self) -> float:
        return math.log10(self.p) if self.p > 0 else -math.inf

    @property
    def has_power(self) -> bool:
        return self.questions >= FEW_QUESTIONS


def forget_quality(unlearned: Sequence[float], retain_only: Sequence[float]) -> ForgetQuality:
    """The test on per-question truth ratios (`truth_ratio_for_quality`) of the same questions."""
    from scipy.stats import ks_2samp

    found = ks_2samp(unlearned, retain_only)
    return ForgetQuality(float(found.statistic), float(found.pvalue), len(unlearned))
