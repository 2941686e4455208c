"""Measures (ttsnap.md 2.6): alignment of a step's scores with the final reward, and the relative increase over budgets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.images.ttsnap.method.ranking import best, ranks

GRID = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())
"""Shares over which Tacc and Tgap are averaged."""


def spearman(scores: NDArray[Any], final: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's correlation over seeds for each prompt, [P]; NaN where one side does not vary. Both [P, S]."""
    a, b = ranks(scores), ranks(final)
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    size = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, (a * b).sum(-1) / size, np.nan))


def kendall(scores: NDArray[Any], final: NDArray[Any]) -> NDArray[np.float64]:
    """Kendall's tau-b over seeds for each prompt, [P]; NaN where one side does not vary. Quadratic in the seeds."""
    a = np.sign(scores[..., :, None] - scores[..., None, :])
    b = np.sign(final[..., :, None] - final[..., None, :])
    size = np.sqrt((a * a).sum((-1, -2)) * (b * b).sum((-1, -2)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, (a * b).sum((-1, -2)) / size, np.nan))


def kept(scores: NDArray[Any], share: float) -> NDArray[np.int64]:
    """Places of the top `share` of the seeds by prediction, [P, m], m = max(1, round(S share))."""
    return best(scores, max(1, round(scores.shape[-1] * share)))


def top_accuracy(scores: NDArray[Any], final: NDArray[Any], share: float) -> float:
    """Tacc(a): share of prompts whose best seed by the final reward survives keeping the top a by prediction."""
    winner = best(final, 1)
    return float((kept(scores, share) == winner).any(-1).mean())


def top_gap(scores: NDArray[Any], final: NDArray[Any], share: float) -> float:
    """Tgap(a): best final reward of all minus that of the survivors, mean over prompts."""
    left = np.take_along_axis(np.asarray(final), kept(scores, share), -1).max(-1)
    return float((np.asarray(final).max(-1) - left).mean())


def mean_top_accuracy(scores: NDArray[Any], final: NDArray[Any]) -> float:
    """Tacc averaged over shares .05, .10, ..., .95."""
    return float(np.mean([top_accuracy(scores, final, share) for share in GRID]))


def mean_over_prompts(values: NDArray[Any]) -> float:
    """Mean of what is defined; NaN where nothing is (step 0 of a model whose first estimate does not vary)."""
    seen = values[np.isfinite(values)]
    return float(seen.mean()) if seen.size else float("nan")


def residual(predicted: NDArray[Any], final: NDArray[Any]) -> float:
    """Standard deviation of final - predicted inside a prompt, over all prompts; both [P, S]."""
    gap = np.asarray(final, dtype=np.float64) - predicted
    return float((gap - gap.mean(-1, keepdims=True)).std())


def left_open(scores: NDArray[Any], final: NDArray[Any]) -> float:
    """Standard deviation of what scores [P, S] leave open of `final` inside a prompt, after the best common slope.

    That of `final` itself where the scores say nothing."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(final, dtype=np.float64)
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    power = (x * x).sum()
    slope = (x * y).sum() / power if power > 0 else 0.0
    return float(np.sqrt(((y - slope * x) ** 2).mean()))


def simpson(y: NDArray[Any], x: NDArray[Any]) -> float:
    """Simpson's rule over equal intervals; an odd number of them ends with a trapezium.

    Raises ValueError for fewer than two points or unequal spacing."""
    y, x = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    if len(y) < 2 or len(y) != len(x):
        raise ValueError(f"at least two points; got {len(y)} values at {len(x)} places.")
    h = np.diff(x)
    if not np.allclose(h, h[0]):
        raise ValueError("budgets must be equally spaced.")
    even = (len(y) - 1) // 2 * 2
    body = y[: even + 1]
    total = h[0] / 3 * (body[0] + body[-1] + 4 * body[1:-1:2].sum() + 2 * body[2:-1:2].sum()) if even else 0.0
    if even < len(y) - 1:
        total += h[0] * (y[-2] + y[-1]) / 2
    return float(total)


def relative_increase(method: NDArray[Any], baseline: NDArray[Any], budgets: NDArray[Any]) -> float:
    """Omega in percent: 100 (I(method) - I(baseline)) / I(baseline) with I(f) the integral over budgets of f - y0 and
    y0 the baseline's reward at the smallest budget. NaN where the baseline gains nothing.

    The official notebook's; that it is the abstract's "new metric" is unconfirmed."""
    y0 = float(np.asarray(baseline)[0])
    own, reference = (simpson(np.asarray(f) - y0, budgets) for f in (method, baseline))
    return 100 * (own - reference) / reference if reference else float("nan")
