"""Advantages: unbiasedness by enumeration, invariances, and what happens at the edges (spec section 11)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engines.language.oblr_po.method import estimators as est
from engines.language.oblr_po.method.softmax_bandit import Bandit

RNG = np.random.default_rng(0)
R, W = RNG.random((4, 6)), RNG.random((4, 6)) + 0.1


def expectation(bandit: Bandit, group: int, advantage) -> np.ndarray:
    """E of 1/G sum_j s_j A_j over all tuples of `group` arms, exactly."""
    total = np.zeros(len(bandit.p))
    for arms in itertools.product(range(len(bandit.p)), repeat=group):
        index = np.array(arms)
        a = advantage(bandit.rewards[index][None], (bandit.scores**2).sum(1)[index][None])[0]
        total += bandit.p[index].prod() * (a[:, None] * bandit.scores[index]).mean(0)
    return total


BANDIT = Bandit(np.array([0.3, -0.7, 1.1]), np.array([0.2, 0.9, 0.4]))


@pytest.mark.parametrize(
    ("advantage", "factor"),
    [
        (lambda r, w: est.rloo(r), 1.0),
        (lambda r, w: est.optimal_loo(r, w), 1.0),
        (lambda r, w: est.optimal_loo(r, w, shrink=0.5), 1.0),
        (lambda r, w: est.none(r), 1.0),
        (lambda r, w: est.group_mean(r), 2 / 3),
        (lambda r, w: est.batch_mean(r), 2 / 3),
    ],
)
def test_unbiased_over_all_groups_of_three(advantage, factor: float) -> None:
    np.testing.assert_allclose(expectation(BANDIT, 3, advantage), factor * BANDIT.gradient, atol=1e-12)


def test_in_group_baseline_shrinks_the_gradient() -> None:
    mean = expectation(BANDIT, 3, est.optimal_in_group)
    assert np.linalg.norm(mean) < 0.9 * np.linalg.norm(BANDIT.gradient)


def test_constant_weights_give_rloo_and_lengths_give_opo() -> None:
    np.testing.assert_allclose(est.optimal_loo(R, np.full_like(R, 3.0)), est.rloo(R), atol=1e-14)
    lengths = RNG.integers(1, 9, R.shape).astype(float)
    loo = est.optimal_loo(R, lengths)
    j = 2
    others = np.delete(np.arange(6), j)
    expected = R[:, j] - (lengths * R)[:, others].sum(1) / lengths[:, others].sum(1)
    np.testing.assert_allclose(loo[:, j], expected, atol=1e-14)
    np.testing.assert_allclose(est.opo(R, lengths), est.optimal_in_group(R, lengths))


@pytest.mark.parametrize(
    "make",
    [
        est.rloo,
        est.group_mean,
        est.batch_mean,
        est.shrinkage,
        lambda r: est.optimal_loo(r, W),
        lambda r: est.optimal_loo(r, W, 0.5),
    ],
)
def test_shift_scale_and_order(make) -> None:
    np.testing.assert_allclose(make(R + 7.5), make(R), atol=1e-12)
    np.testing.assert_allclose(make(3 * R), 3 * make(R), atol=1e-12)


def test_permuting_responses_permutes_advantages() -> None:
    order = RNG.permutation(6)
    np.testing.assert_allclose(
        est.optimal_loo(R[:, order], W[:, order]), est.optimal_loo(R, W)[:, order], atol=1e-14
    )


def test_equal_rewards_give_exactly_nothing() -> None:
    same = np.full((3, 5), 0.1)
    for make in (est.rloo, est.grpo, est.group_mean, lambda r: est.optimal_loo(r, W[:3, :5])):
        assert (make(same) == 0).all() or make is est.group_mean
    assert np.abs(est.group_mean(same)).max() < 1e-15
    assert np.isfinite(est.reinforce_pp(same)).all()


def test_vanishing_weights_fall_back_to_the_plain_mean() -> None:
    w = np.zeros_like(R)
    w[:, 0] = 1.0
    advantage = est.optimal_loo(R, w)
    np.testing.assert_allclose(advantage[:, 0], est.rloo(R)[:, 0], atol=1e-14)
    np.testing.assert_allclose(advantage[:, 1], R[:, 1] - R[:, 0], atol=1e-14)


def test_rewards_that_were_not_scored_count_nowhere() -> None:
    r = R.copy()
    r[1, 3] = np.nan
    for make in (est.rloo, est.grpo, est.batch_mean, est.reinforce_pp, lambda x: est.optimal_loo(x, W)):
        a = make(r)
        assert a[1, 3] == 0
        assert np.isfinite(a).all()
    np.testing.assert_allclose(
        np.delete(est.rloo(r)[1], 3), est.rloo(np.delete(r[1], 3)[None])[0], atol=1e-14
    )


def test_groups_of_one_are_refused() -> None:
    for make in (est.rloo, est.grpo, lambda r: est.optimal_loo(r, r)):
        with pytest.raises(ValueError, match="at least 2 responses"):
            make(R[:, :1])
    with pytest.raises(ValueError, match="at least 3 prompts"):
        est.shrinkage(R[:2])


def test_shrinkage_is_unbiased_by_simulation() -> None:
    rng = np.random.default_rng(3)
    arms = rng.choice(3, size=(60_000, 3, 4), p=BANDIT.p)
    advantages = np.stack([est.shrinkage(BANDIT.rewards[a]) for a in arms[:20_000]])
    gradients = (advantages[..., None] * BANDIT.scores[arms[:20_000]]).mean((1, 2))
    error = gradients.std(0) / np.sqrt(len(gradients))
    assert (np.abs(gradients.mean(0) - BANDIT.gradient) < 4 * error).all()
