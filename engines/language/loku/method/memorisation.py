"""How much of a text a model has memorised, and when to stop: TDEC's extraction likelihood and memorisation accuracy.

Source: Jang et al. 2022 (joeljang/knowledge-unlearning), as LoKU uses it (spec section 2.7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Continue = Callable[[Sequence[Sequence[int]], int], Sequence[Sequence[int]]]
"""continue_(prefixes, count): the greedy continuation of each prefix (all of one length) by `count` tokens."""


def overlap(generated: Sequence[int], true: Sequence[int], n: int) -> float:
    """OV_n: share of the n-grams of `generated` (a list: repeats count) that occur in `true` (a set); 0 where there is
    no n-gram."""
    grams = [tuple(generated[i : i + n]) for i in range(len(generated) - n + 1)]
    known = {tuple(true[i : i + n]) for i in range(len(true) - n + 1)}
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def extraction_likelihood(texts: Sequence[Sequence[int]], continue_: Continue, n: int = 10) -> list[float]:
    """EL_n of each text of T > n tokens: the mean over i = 1..T-n of OV_n(continuation of x_<i to length T, x_≥i).

    With x_<i of i tokens. Texts of one length share the calls of `continue_`. Cost: T - n generations a text.
    Raises ValueError for a text of n tokens or fewer."""
    short = [len(text) for text in texts if len(text) <= n]
    if short:
        raise ValueError(f"extraction likelihood needs texts of more than {n} tokens; got one of {short[0]}")
    totals = [0.0] * len(texts)
    for length in sorted({len(text) for text in texts}):
        members = [k for k, text in enumerate(texts) if len(text) == length]
        for i in range(1, length - n + 1):
            told = continue_([texts[k][:i] for k in members], length - i)
            for k, tokens in zip(members, told, strict=True):
                totals[k] += overlap(tokens, texts[k][i:], n)
    return [total / (len(text) - n) for total, text in zip(totals, texts, strict=True)]


def memorisation_accuracy(right: Sequence[bool] | np.ndarray) -> float:
    """MA = (1/(T-1)) Σ 1[argmax p(·|x_<t) = x_t] from the teacher-forced hits of a text's tokens after the first; for
    question and answer, of the answer's tokens. NaN without tokens."""
    return float(np.mean(right)) if len(right) else float("nan")


@dataclass(frozen=True)
class StopRule:
    """Stop once the mean memorisation accuracy, and where one is given the mean extraction likelihood, are at or below
    their thresholds, not before `after` epochs."""

    accuracy: float
    likelihood: float | None = None
    after: float = 0

    def is_met(self, accuracy: float, likelihood: float | None = None, epoch: float = 0) -> bool:
        """Whether to stop. Raises ValueError where a likelihood is due and missing."""
        if self.likelihood is not None and likelihood is None:
            raise ValueError("this rule needs the extraction likelihood too")
        fits = self.likelihood is None or (likelihood is not None and likelihood <= self.likelihood)
        return epoch >= self.after and accuracy <= self.accuracy and fits
