"""Replays: identities, order statistics, and the order of the contenders in expectation."""

from __future__ import annotations

import numpy as np
import pytest

from engines.images.ttsnap.contenders import budgets, contenders, curves, outcomes
from engines.images.ttsnap.method.replay import (
    ORACLE,
    RANDOM,
    Lab,
    draw_seeds,
    random_schedule,
    replay,
    search_schedules,
    worth,
)
from engines.images.ttsnap.method.schedule import PAPER_SINGLE, Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN

LEVELS = (2, 6, 11)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lab(prompts: int = 60, seeds: int = 80, rewards: int = 1, seed: int = 0) -> Lab:
    """Scores that see the final reward through noise: much at step 2, little at 11; the noise-aware ones see better."""
    draw = rng(seed)
    final = draw.normal(size=(rewards, prompts, seeds))
    blur = np.array([2.0, 0.8, 0.3])
    scores = {
        name: final[..., None] + share * blur * draw.normal(size=(*final.shape, 3))
        for name, share in ((PLAIN, 1.5), (AWARE, 0.4))
    }
    return Lab(final, scores, LEVELS, 20, tuple(f"r{k}" for k in range(rewards)))


def test_draws_are_without_replacement_and_independent_by_prompt():
    seeds = draw_seeds(rng(), 5, 7, 12, 4)
    assert seeds.shape == (5, 7, 4)
    assert (np.diff(seeds, axis=-1) > 0).all()
    assert len({tuple(row) for row in seeds[0]}) > 1


def test_no_cut_and_keeping_all_equal_best_of_n():
    data = lab()
    plain = replay(data, PLAIN, Schedule(), 10, draws=6, rng=rng(3))
    kept = replay(data, PLAIN, Schedule(LEVELS, (1.0, 1.0, 1.0)), 10, draws=6, rng=rng(3))
    assert np.array_equal(plain.reward, kept.reward)
    by_hand = np.take_along_axis(data.final[0][None], draw_seeds(rng(3), 6, 60, 80, 10), -1).max(-1)
    assert np.array_equal(plain.reward[0], by_hand)


def test_perfect_scores_find_the_best_whatever_the_cuts():
    data = lab()
    everything = replay(data, PLAIN, Schedule(), 32, draws=8, rng=rng(1))
    prophet = replay(data, ORACLE, PAPER_SINGLE, 32, draws=8, rng=rng(1))
    assert np.array_equal(everything.reward, prophet.reward)


def test_order_in_expectation():
    data = lab()
    mean = {
        name: replay(data, name, PAPER_SINGLE, 32, draws=40, rng=rng(2)).reward.mean()
        for name in (ORACLE, AWARE, PLAIN, RANDOM)
    }
    assert mean[ORACLE] >= mean[AWARE] > mean[PLAIN] > mean[RANDOM]


@pytest.mark.parametrize(("number", "expected"), [(10, 1.5388), (32, 2.0697), (38, 2.1355)])
def test_expected_best_of_normals(number, expected):
    data = Lab(rng(5).normal(size=(1, 400, 400)), {}, (), 20)
    found = replay(data, PLAIN, Schedule(), number, draws=20, rng=rng(6)).reward
    assert found.mean() == pytest.approx(expected, abs=0.03)


def test_best_of_n_rises_with_n():
    data = lab()
    means = [
        replay(data, PLAIN, Schedule(), n, draws=60, rng=rng(7)).reward.mean() for n in (1, 2, 5, 10, 40)
    ]
    assert means == sorted(means)


def test_affine_rewards_change_no_winner():
    data = lab()
    other = Lab(3 * data.final - 8, {k: 3 * v - 8 for k, v in data.scores.items()}, LEVELS, 20)
    for scorer in (PLAIN, AWARE, ORACLE):
        one = replay(data, scorer, PAPER_SINGLE, 32, draws=5, rng=rng(8))
        two = replay(other, scorer, PAPER_SINGLE, 32, draws=5, rng=rng(8))
        assert np.array_equal(one.winner, two.winner)


def test_two_rewards_choose_by_rank_sum():
    data = lab(rewards=2)
    found = replay(data, AWARE, Schedule(), 80, draws=1, rng=rng())
    total = data.final.argsort(-1).argsort(-1).sum(0)
    picked = np.take_along_axis(total, found.winner[0][:, None], -1)[:, 0]
    assert np.array_equal(picked, total.max(-1))
    assert worth(data, found.reward).mean() > 1


def test_a_pool_that_is_too_small_is_clamped_and_said():
    found = replay(lab(seeds=12), PLAIN, Schedule(), 30, draws=2, rng=rng())
    assert found.seeds == 12
    assert found.is_clamped


def test_a_step_that_is_not_stored():
    with pytest.raises(KeyError, match="step 5 is not stored"):
        replay(lab(), PLAIN, Schedule((5,), (0.5,)), 8, draws=1, rng=rng())


def test_contenders_at_one_budget():
    data, prices = lab(), Prices(1.0, 0.12, 20)
    some = contenders(data, PAPER_SINGLE, prices, (Lab(data.final, {}, (), 10), Prices(1.0, 0.12, 10)))
    assert [c.name for c in some] == [
        "TTSnap", "Plain pruning", "Best of N", "Fewer steps", "Random pruning", "Oracle pruning",
    ]  # fmt: skip
    done = outcomes(some, 200, draws=20, seed=0, combine="rank")
    assert {name: out.seeds for name, out in done.items()} == {
        "TTSnap": 32, "Plain pruning": 32, "Best of N": 9, "Fewer steps": 19, "Random pruning": 32, "Oracle pruning": 32,
    }  # fmt: skip
    for c in some:
        spent = c.prices.spent(c.schedule.survivors(done[c.name].seeds), c.schedule)
        assert spent <= 200 * 1.02, "rounding of survivors may cost a little"
    found = curves(some, budgets(200), draws=10, seed=0, combine="rank")
    assert found["TTSnap"].mean[-1] > found["Best of N"].mean[-1]
    assert budgets(200)[2] == 100.0
    assert budgets(200)[6] == 200.0


def test_schedule_search_finds_a_better_schedule_for_other_prompts():
    data, prices = lab(prompts=80), Prices(1.0, 0.12, 20)
    choose, test = data.take(range(40)), data.take(range(40, 80))
    poor = Schedule((2,), (0.1,))
    ranked = search_schedules(choose, PLAIN, prices, 200, tries=40, draws=6, rng=rng(9), start=(poor,))
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    best = ranked[0][0]
    reward = {
        s: replay(test, PLAIN, s, prices.seeds(s, 200), draws=20, rng=rng(10)).reward.mean()
        for s in (best, poor)
    }
    assert reward[best] > reward[poor]


def test_random_schedules_are_valid():
    draw = rng(11)
    for _ in range(50):
        schedule = random_schedule(draw, (1, 2, 4, 8, 19), 20)
        schedule.check(20)
        assert set(schedule.steps) <= {1, 2, 4, 8}
