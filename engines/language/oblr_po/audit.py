"""Variance of the estimators at fixed parameters: the fair comparison (spec section 6b).

A population of K responses to each of X prompts stands for the policy: groups are drawn from it with replacement, so
that the exact formulas of `method.variance` hold for it, and any estimate is a coefficient vector c over the
population with ||sum c s||^2 = c^T Gram c. Scores are centred within each prompt's population, since the mean score
of a policy is zero and that of a sample is not: so the population is a policy in its own right. Prompts are fixed, so the between-prompt part is absent: it is reported
apart, and no baseline removes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.language import rl_rollouts
from engines.language.char_policy import Problem
from engines.language.oblr_po.method import estimators, variance
from engines.language.per_sample_norms import record
from engines.language.per_sample_norms_proxies import (
    correlation,
    head_errors,
    head_input,
    head_norm,
    logit_proxy,
)
from engines.language.rl_models import Policy
from engines.language.verifiers import Reward

Matrix = NDArray[np.float64]
ORACLES = ("none", "oracle mean", "oracle b*")
ESTIMATED = (
    "batch mean",
    "group mean",
    "RLOO",
    "GRPO",
    "OPO (length)",
    "shrinkage",
    "OB",
    "OB shrunk 0.5",
    "OB in-group",
    "OB logit proxy",
    "OB head proxy",
    "OB one for the batch",
)


@dataclass(frozen=True)
class Population:
    """`gram` (XK, XK) inner products of scores; `rewards`, `weights` (squared score norms), `lengths`, `logit`, `head`
    (X, K); `prompts` X texts; `entropy` of the policy on them in nats."""

    gram: Matrix
    rewards: Matrix
    weights: Matrix
    lengths: Matrix
    logit: Matrix
    head: Matrix
    prompts: list[str]
    entropy: float

    def moments(self) -> variance.Moments:
        """Exact moments of each prompt's population."""
        x, k = self.rewards.shape
        blocks = np.stack([self.gram[i * k : (i + 1) * k, i * k : (i + 1) * k] for i in range(x)])
        return variance.moments_from_gram(np.full((x, k), 1 / k), blocks, self.rewards)

    def mean_coefficients(self) -> Matrix:
        """(XK,) coefficients of the true gradient g_J = mean over x of E[s r]."""
        return self.rewards.ravel() / self.rewards.size

    def proxy_correlations(self) -> dict[str, float]:
        """Correlation of each stand-in with the exact weight over all responses."""
        stand_ins = {"length": self.lengths, "logit proxy": self.logit, "output head": self.head}
        return {name: correlation(values, self.weights) for name, values in stand_ins.items()}


def draw_population(
    policy: Policy,
    reward: Reward,
    problems: list[Problem],
    responses: int,
    max_new_tokens: int,
    generator: torch.Generator,
) -> Population:
    """Sample the population and all inner products of its scores. Cost (XK)^2 P; one layer's scores in memory."""
    repeated = [p for p in problems for _ in range(responses)]
    rollout = rl_rollouts.sample(
        policy.model,
        policy.tokenizer,
        [p.prompt for p in repeated],
        max_new_tokens=max_new_tokens,
        generator=generator,
    )
    found = [
        reward(p.prompt, r, p.answer) if done else 0.0
        for p, r, done in zip(repeated, rollout.responses, rollout.ended, strict=True)
    ]
    rewards = np.array([0.0 if v is None else v for v in found])
    with head_input(policy.model) as kept, record(policy.model) as tape:
        tokens, logits = rl_rollouts.token_log_probs(policy.model, rollout)
        mask = rollout.response[:, 1:]
        total = (tokens * mask).sum()
    tape.differentiate(total)
    gram = torch.zeros(len(repeated), len(repeated), device=tokens.device)
    for _, scores in tape.rows():
        gram.addmm_(scores, scores.T)
    logits, chosen = logits.detach(), rollout.ids[:, 1:]
    shape = (len(problems), responses)
    gram = _centred(gram, responses)
    as_matrix = lambda values: values.double().cpu().numpy().reshape(shape)  # noqa: E731
    return Population(
        gram.double().cpu().numpy(),
        rewards.reshape(shape),
        as_matrix(gram.diagonal()),
        rollout.lengths.astype(np.float64).reshape(shape),
        as_matrix(logit_proxy(logits, chosen, mask)),
        as_matrix(head_norm(head_errors(logits, chosen, mask), kept[0][:, :-1])),
        [p.prompt for p in problems],
        rl_rollouts.entropy(logits, mask),
    )


def _centred(gram: torch.Tensor, responses: int) -> torch.Tensor:
    """Inner products of the scores less their mean over each block of `responses` rows."""
    blocks = gram.reshape(-1, responses, len(gram))
    rows = (blocks - blocks.mean(1, keepdim=True)).reshape(gram.shape)
    columns = rows.reshape(len(gram), -1, responses)
    return (columns - columns.mean(2, keepdim=True)).reshape(gram.shape)


@dataclass(frozen=True)
class Estimate:
    """One estimator at one group size: `variance` of the batch gradient with the half-width of its 95 % interval,
    `snr` = ||E g||^2/variance, `cosine` between E g and the true gradient; `ratio` to RLOO's variance on the same draws with its
    interval (low, high)."""

    variance: float
    half_width: float
    snr: float
    cosine: float
    ratio: float
    ratio_low: float
    ratio_high: float


def estimate_all(
    population: Population, group: int, trials: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every estimator at one group size, on the same resampled groups."""
    x, k = population.rewards.shape
    picks = rng.integers(k, size=(trials, x, group))
    moments = population.moments()
    g_squared = float(population.mean_coefficients() @ population.gram @ population.mean_coefficients())
    result = {}
    rloo_squares = _squares(population, picks, "RLOO")[0]
    for name in ESTIMATED:
        squares, mean_squared, cosine = _squares(population, picks, name)
        result[name] = _estimate(squares, mean_squared, cosine, rloo_squares)
    baselines = {"none": np.zeros(x), "oracle mean": moments.r, "oracle b*": moments.optimal_baseline}
    exact_rloo = variance.rloo_variance(moments, group, x)
    for name, baseline in baselines.items():
        value = variance.within_variance(moments, baseline, group, x)
        ratio = value / exact_rloo if exact_rloo > 0 else float("nan")
        snr = g_squared / value if value > 0 else float("inf")
        result[name] = Estimate(value, 0.0, snr, 1.0, ratio, ratio, ratio)
    return result


def _estimate(squares: Matrix, mean_squared: float, cosine: float, rloo: Matrix) -> Estimate:
    """From each trial's squared distance to the estimator's mean; the ratio's interval by the delta method on pairs."""
    trials = len(squares)
    value, reference = float(squares.mean()), float(rloo.mean())
    half = 1.96 * float(squares.std(ddof=1)) / float(np.sqrt(trials))
    if reference <= 0:
        return Estimate(value, half, float("nan"), cosine, float("nan"), float("nan"), float("nan"))
    ratio = value / reference
    spread = 1.96 * float((squares - ratio * rloo).std(ddof=1)) / float(np.sqrt(trials)) / reference
    snr = mean_squared / value if value > 0 else float("inf")
    return Estimate(value, half, snr, cosine, ratio, ratio - spread, ratio + spread)


def _squares(population: Population, picks: NDArray[np.int64], name: str) -> tuple[Matrix, float, float]:
    """(squared distance of each trial to the estimator's mean (trials,), ||mean||^2, cosine of mean and g_J).

    The mean of unbiased estimators is g_J itself; of the others it is that of the trials, whose own noise is
    subtracted from ||mean||^2."""
    trials, x, group = picks.shape
    k = population.rewards.shape[1]
    rows = np.arange(x)[None, :, None]
    advantage = _advantages(population, name, rows, picks)
    c = np.zeros((trials, x * k))
    flat = (rows * k + picks).reshape(trials, -1)
    np.add.at(c, (np.arange(trials)[:, None], flat), advantage.reshape(trials, -1) / (x * group))
    truth, gram = population.mean_coefficients(), population.gram
    g_squared = float(truth @ gram @ truth)
    unbiased = name in ("RLOO", "OB", "OB logit proxy", "OB head proxy", "shrinkage", "OB shrunk 0.5")
    centre = truth if unbiased else c.mean(0)
    away = c - centre
    squares = np.maximum(np.einsum("tk,tk->t", away @ gram, away), 0.0)
    if unbiased:
        return squares, g_squared, 1.0
    squares = squares * trials / (trials - 1)
    noise = float(squares.mean()) / trials
    mean_squared = max(0.0, float(centre @ gram @ centre) - noise)
    scale = np.sqrt(mean_squared * g_squared)
    return (
        squares,
        mean_squared,
        min(1.0, float(centre @ gram @ truth) / scale) if scale > 0 else float("nan"),
    )


def _advantages(
    population: Population, name: str, rows: NDArray[np.int64], picks: NDArray[np.int64]
) -> Matrix:
    """(trials, X, G) advantages; the group estimators see trials and prompts as one long list of groups."""
    trials, x, group = picks.shape
    r, w = population.rewards[rows, picks], population.weights[rows, picks]
    flat = lambda values: values.reshape(trials * x, group)  # noqa: E731
    if name == "batch mean":
        return r - r.mean((1, 2), keepdims=True)
    if name == "OB one for the batch":
        others_w = w.sum((1, 2), keepdims=True) - w
        return r - ((w * r).sum((1, 2), keepdims=True) - w * r) / others_w
    if name == "shrinkage":
        return np.stack([estimators.shrinkage(r[t]) for t in range(trials)])
    if name == "OB shrunk 0.5":
        loo = estimators.loo_baseline(flat(r), flat(w)).reshape(r.shape)
        others = (r.sum((1, 2), keepdims=True) - r) / (x * group - 1)
        return r - 0.5 * (loo + others)
    by_group = {
        "group mean": lambda: estimators.group_mean(flat(r)),
        "RLOO": lambda: estimators.rloo(flat(r)),
        "GRPO": lambda: estimators.grpo(flat(r)),
        "OPO (length)": lambda: estimators.opo(flat(r), flat(population.lengths[rows, picks])),
        "OB": lambda: estimators.optimal_loo(flat(r), flat(w)),
        "OB in-group": lambda: estimators.optimal_in_group(flat(r), flat(w)),
        "OB logit proxy": lambda: estimators.optimal_loo(flat(r), flat(population.logit[rows, picks])),
        "OB head proxy": lambda: estimators.optimal_loo(flat(r), flat(population.head[rows, picks])),
    }
    return by_group[name]().reshape(r.shape)


def parabola(population: Population, points: int = 41) -> tuple[Matrix, Matrix, dict[str, float]]:
    """(baselines, within-prompt variance at G = 1 of one baseline for all prompts, marks): the curve Var(b), whose
    lowest point is not the mean reward."""
    moments = population.moments()
    best = variance.best_constant(moments)
    mean = float(moments.r.mean())
    low, high = min(0.0, best, mean) - 0.1, max(best, mean, 0.5) + 0.25
    grid = np.linspace(low, high, points)
    curve = np.array([variance.within_variance(moments, b, 1) for b in grid])
    return grid, curve, {"no baseline": 0.0, "mean reward": mean, "optimal": best}
