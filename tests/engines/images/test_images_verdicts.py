"""The rule of the family's comparative claims: two standard errors hold, no lead fails, in between nothing is decided."""

import numpy as np
import pytest

from engines.images.verdicts import MANY, check, compare, paired


def samples(gap, spread, n=16):
    """Pairs whose difference has that mean and that standard error."""
    around = np.tile([1.0, -1.0], n // 2) * spread * np.sqrt(n - 1)
    return around + gap, np.zeros(n)


def test_mean_and_error_of_pairs():
    assert paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]) == (2.0, pytest.approx(1 / 3**0.5))
    assert paired([1.0], [0.0]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("gap", "holds", "words"),
    [
        (0.21, True, "above two standard errors."),
        (0.19, None, "Not decided: above, but within two standard errors."),
        (0.01, None, "Not decided"),
        (0.0, False, "not above zero"),
        (-0.5, False, "not above zero"),
    ],
)
def test_many_pairs_are_read_with_their_error(gap, holds, words):
    found = compare(*samples(gap, 0.1))
    assert found.error == pytest.approx(0.1)
    assert found.holds is holds
    assert words in found.words
    assert "standard error 0.1 over 16 pairs" in found.words


def test_few_pairs_are_decided_by_the_sign_and_say_so():
    first, second = samples(0.01, 1.0, MANY - 2)
    found = compare(first, second, unit="prompts")
    assert found.holds is True
    assert "over 6 prompts: above zero; too few for the error to count (under 8)" in found.words
    assert compare(second, first).holds is False
    assert compare([1.0], [1.0]).holds is False


def test_shares_and_pairs_without_any_spread():
    right = np.ones(20, dtype=bool)
    assert compare(right, ~right).holds is True
    assert compare(right, right).holds is False


def test_what_is_not_finite_decides_nothing():
    assert compare([np.nan] * 9, [0.0] * 9).holds is None


def test_the_check_has_both_means_and_the_reason_first():
    held = check("time", *samples(1.0, 0.1), words="In 2 s.")
    assert (held.key, held.measured, held.baseline, held.holds) == ("time", pytest.approx(1.0), 0.0, True)
    assert held.detail.startswith("In 2 s. Difference +1")
    assert check("time", *samples(0.1, 0.1), words="In 2 s.").detail.startswith("Not decided")
