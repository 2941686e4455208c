"""Rankings and measures against closed forms, SciPy, and slow obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from engines.images.ttsnap.method.metrics import (
    GRID,
    kendall,
    left_open,
    mean_over_prompts,
    mean_top_accuracy,
    relative_increase,
    residual,
    simpson,
    spearman,
    top_accuracy,
    top_gap,
)
from engines.images.ttsnap.method.ranking import best, can_still_win, combined, ranks

RNG = np.random.default_rng(0)


def test_rank_sum_of_one_reward_is_plain_ranking():
    scores = RNG.normal(size=(1, 4, 9))
    assert np.array_equal(best(combined(scores), 9), np.argsort(-scores[0], axis=-1))


def test_rank_sum_does_not_see_the_units():
    scores = RNG.normal(size=(2, 12))
    other = np.stack([scores[0], 1000 * scores[1] + 7])
    assert np.array_equal(combined(scores), combined(other))
    assert combined(scores).sum() == 2 * sum(range(12))


def test_z_scores_have_equal_weight():
    scores = RNG.normal(size=(2, 12))
    assert np.allclose(combined(scores, "z"), combined(scores * np.array([[3.0], [50.0]]) + 1, "z"))
    assert np.array_equal(combined(np.ones((1, 5)), "z"), np.zeros(5)), "no spread, no preference"


def test_ties_go_to_the_lower_seed_and_nan_is_worst():
    assert best(np.array([1.0, 2.0, 2.0, 2.0]), 2).tolist() == [1, 2]
    assert best(np.array([np.nan, -5.0]), 1).tolist() == [1]
    assert ranks(np.array([np.nan, 1.0, 1.0])).tolist() == [0.0, 1.5, 1.5]


def test_adaptive_cut_keeps_who_can_still_win():
    assert can_still_win(np.array([0.0, 1.0, 1.9, 2.0]), 0.5, 2.0).tolist() == [False, True, True, True]
    assert can_still_win(np.array([0.0, 1.0]), 0.0, 2.0).tolist() == [False, True]
    assert can_still_win(np.array([0.0, 1.0]), np.inf, 0.0).all(), "unknown spread drops nobody"


def test_residual_is_inside_a_prompt():
    final = RNG.normal(size=(5, 300))
    assert residual(final + np.arange(5)[:, None], final) == pytest.approx(0.0, abs=1e-12)
    assert residual(np.zeros((5, 300)), final) == pytest.approx(1.0, abs=0.05)


def test_correlations_equal_scipy():
    a, b = RNG.normal(size=(3, 11)), RNG.normal(size=(3, 11))
    a[:, 3] = a[:, 4]
    for measure, theirs in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        wanted = [float(theirs(x, y).statistic) for x, y in zip(a, b, strict=True)]
        assert np.allclose(measure(a, b), wanted)


def test_undefined_correlations_are_nan_and_left_out():
    a, b = np.stack([np.ones(5), np.arange(5.0)]), np.stack([np.arange(5.0), np.arange(5.0)])
    assert np.isnan(spearman(a, b)[0])
    assert np.isnan(kendall(a, b)[0])
    assert mean_over_prompts(spearman(a, b)) == pytest.approx(1.0)
    assert np.isnan(mean_over_prompts(np.array([np.nan])))


def test_top_accuracy_of_perfect_and_random_predictors():
    final = RNG.normal(size=(4000, 40))
    assert mean_top_accuracy(final, final) == 1.0
    noise = RNG.normal(size=final.shape)
    for share in (0.25, 0.5):
        assert top_accuracy(noise, final, share) == pytest.approx(share, abs=0.03)
    assert mean_top_accuracy(noise, final) == pytest.approx(0.5, abs=0.03)
    assert len(GRID) == 19


def test_top_gap():
    final = np.array([[0.0, 1.0, 2.0, 5.0]])
    assert top_gap(final, final, 0.25) == 0.0
    assert top_gap(-final, final, 0.25) == 5.0


def test_simpson_equals_scipy_on_the_papers_grid():
    x = np.arange(400, 4001, 200.0)
    assert len(x) == 19
    y = np.log(x) + RNG.normal(size=19)
    assert simpson(y, x) == pytest.approx(integrate.simpson(y, x=x))
    assert simpson(x[:3] ** 3, x[:3]) == pytest.approx((x[2] ** 4 - x[0] ** 4) / 4), "exact for cubics"
    assert simpson(np.array([1.0, 3.0]), np.array([0.0, 2.0])) == 4.0
    with pytest.raises(ValueError, match="equally spaced"):
        simpson(np.zeros(3), np.array([0.0, 1.0, 3.0]))


def test_relative_increase_is_zero_for_the_baseline_and_affine_invariant():
    budgets = np.linspace(50, 250, 9)
    base, method = np.sqrt(budgets), np.sqrt(budgets) + 0.3
    assert relative_increase(base, base, budgets) == 0.0
    omega = relative_increase(method, base, budgets)
    assert omega > 0
    assert relative_increase(4 * method - 3, 4 * base - 3, budgets) == pytest.approx(omega)
    assert np.isnan(relative_increase(method, np.ones(9), budgets))


def test_what_scores_leave_open_is_what_least_squares_leaves():
    rng = np.random.default_rng(5)
    final = rng.normal(size=(3, 40))
    scores = 0.3 * final + rng.normal(size=(3, 40)) + rng.normal(size=(3, 1)) * 10
    x, y = (np.concatenate([row - row.mean() for row in table]) for table in (scores, final))
    (slope,), *_ = np.linalg.lstsq(x[:, None], y, rcond=None)
    assert left_open(scores, final) == pytest.approx(float(np.sqrt(np.mean((y - slope * x) ** 2))))
    assert left_open(5 - 2 * final, final) == pytest.approx(0, abs=1e-7), (
        "an affine score leaves nothing open"
    )
    assert left_open(np.ones((3, 40)), final) == pytest.approx(float(y.std()))
