"""Run ids sort by time, and do not collide."""

from __future__ import annotations

from storage.ids import is_id, new_id


def test_ids_have_the_form_of_lower_case_ulids() -> None:
    made = {new_id() for _ in range(2000)}
    assert len(made) == 2000
    assert all(is_id(item) and item == item.lower() and not set(item) & set("ilou") for item in made)


def test_ids_sort_by_their_millisecond() -> None:
    moments = [0.0, 1.0, 1.001, 1.7e9, 1.7e9 + 0.001, 4.1e9]
    made = [new_id(moment) for moment in moments]
    assert made == sorted(made)


def test_a_known_moment_gives_the_known_prefix() -> None:
    # The example of the ULID specification: 01ARYZ6S41... is 1469918176385 ms.
    assert new_id(1469918176.385).startswith("01aryz6s41")


def test_other_texts_are_no_ids() -> None:
    assert not any(
        is_id(text) for text in ("", "0" * 25, "0" * 27, "0" * 25 + "A", "../" + "0" * 23, "0" * 26 + "\n")
    )
