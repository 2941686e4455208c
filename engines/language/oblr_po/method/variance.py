"""Exact variance of a policy-gradient estimate, and the baseline that minimises it.

Spec section 2.2, derived from first principles; the paper's abstract describes these results, its body could not be
had. A finite problem: prompts x with probabilities, for each K possible responses with probability p, score
s = grad log pi (a vector) and reward r. "Variance" is the trace, E||g - g_J||^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """All that the formulas need of one prompt's responses; each (X,), one entry a prompt.

    w = ||s||^2, r the reward, g = E[s r]; `pair` = E||h||^2 with h = (s_1 - s_2)(r_1 - r_2)/2."""

    w: Array
    wr: Array
    wrr: Array
    r: Array
    g_squared: Array
    pair: Array

    @property
    def optimal_baseline(self) -> Array:
        """b*(x) = E[w r]/E[w]: the lowest point of the parabola E[w (r - b)^2]. (X,)"""
        return np.where(self.w > 0, self.wr / np.where(self.w > 0, self.w, 1.0), self.r)

    def weighted_square(self, baseline: Array) -> Array:
        """E[w (r - b)^2] for each prompt; `baseline` (X,) or a number."""
        return self.wrr - 2 * baseline * self.wr + baseline**2 * self.w


def moments_of_policy(p: Array, scores: Array, rewards: Array) -> Moments:
    """Moments of prompts whose responses can be enumerated: p (X, K), scores (X, K, P), rewards (X, K)."""
    return moments_from_gram(p, np.einsum("xkp,xlp->xkl", scores, scores), rewards)


def moments_from_gram(p: Array, gram: Array, rewards: Array) -> Moments:
    """The same from inner products of scores, gram (X, K, K): nothing here needs the scores themselves."""
    w = np.einsum("xkk->xk", gram)
    r = (p * rewards).sum(1)
    pr = p * rewards
    g_squared = np.einsum("xk,xkl,xl->x", pr, gram, pr)
    # E||(s_1-s_2)(r_1-r_2)||^2/4, written out over pairs
    difference = w[:, :, None] + w[:, None, :] - 2 * gram
    reward_gap = (rewards[:, :, None] - rewards[:, None, :]) ** 2
    pair = np.einsum("xk,xl,xkl->x", p, p, difference * reward_gap) / 4
    return Moments((p * w).sum(1), (p * w * rewards).sum(1), (p * w * rewards**2).sum(1), r, g_squared, pair)


def within_variance(moments: Moments, baseline: Array, group: int, prompts: int = 1) -> float:
    """1/(NG) E_x[ E[w (r - b)^2] - ||g_x||^2 ]: the part of the variance that a baseline acts on, prompts equally
    likely. `baseline` (X,) or a number, independent of the sampled responses."""
    value = (moments.weighted_square(baseline) - moments.g_squared).mean() / (prompts * group)
    return max(0.0, float(value))  # rounding can leave -1e-17 where it is exactly 0


def between_variance(prompt_gradients_gram: Array) -> float:
    """E_x||g_x - g_J||^2 from the prompts' inner products g_x . g_x' (X, X): no baseline removes it."""
    return float(np.trace(prompt_gradients_gram) / len(prompt_gradients_gram) - prompt_gradients_gram.mean())


def excess_variance(moments: Moments, baseline: Array, group: int, prompts: int = 1) -> float:
    """Var(b) - Var(b*) = 1/(NG) E_x[ E[w] (b - b*)^2 ]."""
    return float((moments.w * (baseline - moments.optimal_baseline) ** 2).mean() / (prompts * group))


def best_constant(moments: Moments) -> float:
    """The one baseline for all prompts with the lowest variance, E[w r]/E[w] over x and y."""
    return float(moments.wr.mean() / moments.w.mean())


def rloo_variance(moments: Moments, group: int, prompts: int = 1) -> float:
    """Variance of RLOO within prompts, exactly: a U-statistic of order 2.

    4(G-2)/(G(G-1)) z1 + 2/(G(G-1)) z2, z1 = (E[w (r-mu)^2] - ||g||^2)/4, z2 = E||h||^2 - ||g||^2."""
    z1 = (moments.weighted_square(moments.r) - moments.g_squared) / 4
    z2 = moments.pair - moments.g_squared
    pairs = group * (group - 1)
    return float((4 * (group - 2) / pairs * z1 + 2 / pairs * z2).mean() / prompts)
