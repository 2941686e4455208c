"""What a search says in words."""

from __future__ import annotations

import pytest

from engines.images.ttsnap import telling


@pytest.mark.parametrize(
    ("held", "number", "words"),
    [
        (
            16,
            1,
            "Seed 0 is a noise of the file; the budget buys no other seed. 15 more of the file did not fit",
        ),
        (16, 16, "Seeds 0 to 15 are noises of the file; the budget buys no other seed."),
        (1, 20, "Seed 0 is a noise of the file; the others were drawn."),
        (2, 20, "Seeds 0 to 1 are noises of the file; the others were drawn."),
    ],
)
def test_which_seeds_are_the_readers(held, number, words):
    assert telling.brought(held, number).startswith(words)


def test_what_was_saved():
    assert telling.saved(30, 195.4, 603.6) == (
        "30 seeds for 195 calls; drawing all of them to the end would cost 604: 68\u00a0% saved."
    )


def test_nothing_is_saved_where_one_seed_races():
    words = telling.saved(1, 20.48, 20.12)
    assert words.startswith(
        "1 seed for 20 calls; drawing it to the end without a look would cost 20: nothing was saved"
    )
    assert "-" not in words


@pytest.mark.parametrize(("steps", "first"), [(20, 2), (10, 1), (50, 5), (4, 1)])
def test_the_first_step_at_which_a_hard_cut_is_fair(steps, first):
    assert telling.first_fair(steps) == first
