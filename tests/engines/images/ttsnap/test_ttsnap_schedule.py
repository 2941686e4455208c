"""Schedules and what they cost: the figures of ttsnap.md 11."""

from __future__ import annotations

import pytest

from engines.images.ttsnap.method.schedule import PAPER_MULTI, PAPER_SINGLE, Prices, Schedule

STRICT = Prices(9.9, 1.2, 20)
OFFICIAL = Prices(9.9, 1.2, 20, "official")


def test_prices_of_the_paper():
    assert STRICT.best_of_n() == pytest.approx(199.2)
    assert OFFICIAL.pruned(PAPER_SINGLE) == pytest.approx(51.864)
    assert STRICT.pruned(PAPER_SINGLE) == pytest.approx(61.764)
    by_hand = (4 * 9.9 + 1.2) + 0.4 * (2 * 9.9 + 1.2) + 0.2 * (5 * 9.9 + 1.2) + 0.12 * (8 * 9.9 + 1.2)
    assert OFFICIAL.pruned(PAPER_MULTI) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(68.988)


def test_seeds_that_a_budget_buys():
    assert int(2000 // STRICT.best_of_n()) == 10
    assert OFFICIAL.seeds(PAPER_SINGLE, 2000) == 38
    assert STRICT.seeds(PAPER_SINGLE, 2000) == 32
    assert OFFICIAL.seeds(PAPER_MULTI, 2000) == 28
    assert STRICT.seeds(Schedule(), 2000) == 10
    assert STRICT.seeds(Schedule(), 1) == 1


def test_official_accounting_omits_one_call_of_every_seed():
    assert STRICT.pruned(PAPER_SINGLE) - OFFICIAL.pruned(PAPER_SINGLE) == pytest.approx(9.9)
    assert STRICT.pruned(Schedule()) == pytest.approx(STRICT.best_of_n())


def test_best_of_n_pays_every_call_by_both_accountings():
    """The official notebook's c = 20 x + y: 10 seeds for 2,000 TFLOPs, 20 for 4,000."""
    assert OFFICIAL.pruned(Schedule()) == OFFICIAL.best_of_n() == pytest.approx(199.2)
    assert OFFICIAL.segments(Schedule()) == (20,)
    assert [OFFICIAL.seeds(Schedule(), budget) for budget in (2000, 4000)] == [10, 20]
    assert Prices(1.0, 0.12, 20, "official").seeds(Schedule(), 200) == 9


def test_strict_segments_are_the_calls_really_made():
    assert STRICT.segments(PAPER_SINGLE) == (3, 4, 5, 8)
    assert sum(STRICT.segments(PAPER_SINGLE)) == 20
    assert STRICT.spent((32, 13, 5, 2), PAPER_SINGLE) == pytest.approx(
        (32 * 3 + 13 * 4 + 5 * 5 + 2 * 8) * 9.9 + (32 + 13 + 5 + 2) * 1.2
    )


def test_survivors_round_as_python_does_and_never_to_none():
    assert PAPER_SINGLE.survivors(32) == (32, 13, 5, 2)
    assert Schedule((1,), (0.5,)).survivors(5) == (5, 2), "round(2.5) is 2"
    assert Schedule((1, 2), (0.1, 0.1)).survivors(3) == (3, 1, 1)


@pytest.mark.parametrize(
    ("steps", "keep"),
    [
        ((2, 2), (0.5, 0.5)),
        ((3, 1), (0.5, 0.5)),
        ((-1,), (0.5,)),
        ((1,), (0.0,)),
        ((1,), (1.5,)),
        ((1, 2), (0.5,)),
    ],
)
def test_schedules_that_make_no_sense(steps, keep):
    with pytest.raises(ValueError, match=r"prune steps|shares|share"):
        Schedule(steps, keep)


def test_the_last_step_is_no_place_to_cut():
    with pytest.raises(ValueError, match="below 19"):
        Schedule((19,), (0.5,)).check(20)
    Schedule((18,), (0.5,)).check(20)


@pytest.mark.parametrize("budget", [30, 60, 100, 150, 200, 1000])
@pytest.mark.parametrize(
    "schedule",
    [Schedule((0, 5, 6), (0.7, 0.35, 0.65)), Schedule((0, 5, 7), (0.6, 0.55, 0.4)), PAPER_SINGLE, Schedule()],
)
def test_a_search_stays_within_its_budget_strictly(schedule: Schedule, budget: float):
    prices = Prices(1.0, 0.12, 20)
    number = prices.seeds(schedule, budget)
    assert number == 1 or prices.spent(schedule.survivors(number), schedule) <= budget
    share = int(budget // prices.pruned(schedule))
    dearer = [prices.spent(schedule.survivors(n), schedule) > budget for n in range(number + 1, share + 1)]
    assert all(dearer), "no more seeds than shares buy, and not fewer than the budget allows"


def test_whole_survivors_cost_more_than_their_shares_and_the_official_count_does_not_look():
    schedule = Schedule((0, 5, 6), (0.7, 0.35, 0.65))
    strict, official = Prices(1.0, 0.12, 20), Prices(1.0, 0.12, 20, "official")
    assert int(200 // strict.pruned(schedule)) == 28
    assert strict.spent((28, 20, 7, 5), schedule) == pytest.approx(207.2)
    assert strict.seeds(schedule, 200) == 26
    assert official.seeds(schedule, 200) == int(200 // official.pruned(schedule))
