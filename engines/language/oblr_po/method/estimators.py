"""Advantages A_ij of the critic-free policy-gradient estimators, g = 1/(NG) sum_ij A_ij grad log pi(y_ij | x_i).

Spec section 2.1. Every function takes `rewards` (N, G) float64, N prompts of G responses each, and returns (N, G).
A reward that could not be scored is NaN: it counts in no baseline and its advantage is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
TINY_WEIGHT = 1e-12
"""Below this sum of the other responses' weights, the weighted mean falls back to the plain one."""


def _scored(rewards: Matrix) -> tuple[Matrix, Matrix]:
    """(rewards with 0 for what was not scored, 1 where scored)."""
    mask = np.isfinite(rewards).astype(np.float64)
    return np.where(mask > 0, rewards, 0.0), mask


def _need_group(rewards: Matrix, name: str) -> None:
    if rewards.shape[1] < 2:
        raise ValueError(f"{name} needs at least 2 responses a prompt; got 1. Use the batch mean.")


def none(rewards: Matrix) -> Matrix:
    """A = r. Unbiased."""
    r, mask = _scored(rewards)
    return r * mask


def batch_mean(rewards: Matrix) -> Matrix:
    """A = r - mean over the batch (REINFORCE). Bias factor 1 - 1/(NG) within a prompt."""
    r, mask = _scored(rewards)
    return (r - r.sum() / max(mask.sum(), 1.0)) * mask


def group_mean(rewards: Matrix) -> Matrix:
    """A = r - mean of the group ("Dr. GRPO"): (G-1)/G times RLOO."""
    r, mask = _scored(rewards)
    return (r - r.sum(1, keepdims=True) / np.maximum(mask.sum(1, keepdims=True), 1.0)) * mask


def rloo(rewards: Matrix) -> Matrix:
    """A = r - mean of the other responses to the prompt. Unbiased."""
    _need_group(rewards, "RLOO")
    return optimal_loo(rewards, np.ones_like(rewards))


def grpo(rewards: Matrix, eps: float = 1e-4) -> Matrix:
    """A = (r - mean)/(std + eps) with the group's Bessel-corrected std. Weighs prompts by 1/std, hence biased."""
    _need_group(rewards, "GRPO")
    _, mask = _scored(rewards)
    centred = group_mean(rewards)
    count = mask.sum(1, keepdims=True)
    std = np.sqrt((centred**2).sum(1, keepdims=True) / np.maximum(count - 1, 1.0))
    return centred / (std + eps)


def remax(rewards: Matrix, greedy: Matrix) -> Matrix:
    """A = r - reward of the greedy response; `greedy` (N,). Unbiased, one more rollout a prompt."""
    r, mask = _scored(rewards)
    return (r - np.nan_to_num(greedy)[:, None]) * mask


def reinforce_pp(rewards: Matrix, eps: float = 1e-8) -> Matrix:
    """REINFORCE++ with baseline: centred in the group, scaled by the batch's std. Biased in scale only."""
    centred, (_, mask) = group_mean(rewards), _scored(rewards)
    return centred / (np.sqrt((centred**2).sum() / max(mask.sum(), 1.0)) + eps)


def opo(rewards: Matrix, lengths: Matrix) -> Matrix:
    """A = r - length-weighted mean of the group (OPO, arXiv 2505.23585, from memory)."""
    return optimal_in_group(rewards, lengths)


def optimal_in_group(rewards: Matrix, weights: Matrix) -> Matrix:
    """A = r - sum_k w_k r_k / sum_k w_k over the group, own reward included: shrinks the gradient."""
    r, mask = _scored(rewards)
    w = weights * mask
    total = w.sum(1, keepdims=True)
    plain = r.sum(1, keepdims=True) / np.maximum(mask.sum(1, keepdims=True), 1.0)
    safe = np.where(total > TINY_WEIGHT, total, 1.0)
    return (r - np.where(total > TINY_WEIGHT, (w * r).sum(1, keepdims=True) / safe, plain)) * mask


def loo_baseline(rewards: Matrix, weights: Matrix) -> Matrix:
    """b_ij = sum_{k != j} w_ik r_ik / sum_{k != j} w_ik, (N, G); the plain mean of the others where their weights
    vanish; 0 where there is no other scored response."""
    r, mask = _scored(rewards)
    # Computed on rewards centred in the group, so that equal rewards give exactly equal baselines.
    centre = r.sum(1, keepdims=True) / np.maximum(mask.sum(1, keepdims=True), 1.0)
    low, high = (
        np.where(mask > 0, r, np.inf).min(1, keepdims=True),
        np.where(mask > 0, r, -np.inf).max(1, keepdims=True),
    )
    centre = np.where(low == high, low, centre)
    shifted = (r - centre) * mask
    w = weights * mask
    others_w = w.sum(1, keepdims=True) - w
    others_n = mask.sum(1, keepdims=True) - mask
    others_wr = (w * shifted).sum(1, keepdims=True) - w * shifted
    others_r = shifted.sum(1, keepdims=True) - shifted
    usable = others_w > TINY_WEIGHT * np.maximum(1.0, w.max(initial=0.0))
    weighted = others_wr / np.where(usable, others_w, 1.0)
    plain = others_r / np.maximum(others_n, 1.0)
    return np.where(others_n > 0, centre + np.where(usable, weighted, plain), 0.0)


def optimal_loo(rewards: Matrix, weights: Matrix, shrink: float = 0.0) -> Matrix:
    """The variance-optimal baseline estimated from the other responses: A_ij = r_ij - b_ij. Unbiased.

    `weights` (N, G) squared score norms w_ij (or a stand-in). `shrink` lam in [0, 1] draws b towards the mean reward
    of all other responses of the batch, (1 - lam) b + lam mean: ours, for small groups; 0 is the method."""
    _need_group(rewards, "the leave-one-out optimal baseline")
    r, mask = _scored(rewards)
    baseline = loo_baseline(rewards, weights)
    if shrink > 0:
        others = (r.sum() - r) / np.maximum(mask.sum() - mask, 1.0)
        baseline = (1 - shrink) * baseline + shrink * others
    return (r - baseline) * mask


def shrinkage(rewards: Matrix) -> Matrix:
    """Group means drawn towards the other prompts' mean by estimated variances, all parts leaving y_ij out.

    James-Stein form after the abstract of Zeng et al. (arXiv 2511.03710); their exact coefficient is unconfirmed, so
    this is ours: c_i = v/(v + t), v = within-prompt variance/(G-1), t = between-prompt variance, both from the other
    prompts; b_ij = (1 - c_i) leave-one-out mean + c_i mean of the other prompts. Needs N >= 3."""
    _need_group(rewards, "the shrinkage baseline")
    r, mask = _scored(rewards)
    n, g = rewards.shape
    if n < 3:
        raise ValueError(f"the shrinkage baseline needs at least 3 prompts; got {n}.")
    means = r.sum(1) / np.maximum(mask.sum(1), 1.0)
    within = (((r - means[:, None]) ** 2) * mask).sum(1) / np.maximum(mask.sum(1) - 1, 1.0)
    other_mean = (means.sum() - means) / (n - 1)
    other_within = (within.sum() - within) / (n - 1)
    centred = means - means.mean()  # variance over the other prompts, for each prompt left out
    others = (centred.sum() - centred) / (n - 1)
    spread = np.maximum(((centred**2).sum() - centred**2 - (n - 1) * others**2) / (n - 2), 0.0)
    between = np.maximum(spread - other_within / g, 0.0)
    v = other_within / (g - 1)
    c = np.where(v + between > 0, v / np.where(v + between > 0, v + between, 1.0), 0.0)[:, None]
    return (r - (1 - c) * loo_baseline(rewards, np.ones_like(r)) - c * other_mean[:, None]) * mask


BY_REWARD: dict[str, Callable[[Matrix], Matrix]] = {
    "none": none,
    "batch mean": batch_mean,
    "group mean": group_mean,
    "RLOO": rloo,
    "GRPO": grpo,
    "REINFORCE++": reinforce_pp,
    "shrinkage": shrinkage,
}
"""Estimators that need rewards only."""
