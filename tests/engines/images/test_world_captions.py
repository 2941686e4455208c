"""The 1,002 captions, their split, and what a user may type."""

import subprocess
import sys
from collections import Counter

import pytest

from engines.images.world import (
    TASKS,
    WORDS,
    all_captions,
    caption_of,
    explain_prompt,
    hard_negatives,
    held_out,
    relation_variants,
    training_captions,
)
from engines.images.world.tokens import LENGTH, build_tokenizer, vocabulary, word_ids

TEXTS = [c.text for c in all_captions()]


def test_numbers_by_task():
    counts = Counter(c.task for c in all_captions())
    assert [counts[t] for t in TASKS] == [3, 6, 54, 15, 24, 180, 720]
    assert len(set(TEXTS)) == 1002


def test_a_tenth_of_the_pairs_is_held_out():
    held = {frozenset(all_captions()[i].items) for i in held_out()}
    every = {frozenset(c.items) for c in all_captions() if c.task == "attr"}
    assert (len(held), len(every)) == (9, 90)
    assert Counter(all_captions()[i].task for i in held_out()) == {"attr": 18, "full": 72}
    assert set(held_out()).isdisjoint(training_captions())
    assert len(training_captions()) == 912


def test_parsing_is_the_inverse_of_writing():
    assert all(caption_of(text).text == text for text in TEXTS)
    assert caption_of("A red  CIRCLE").task == "color"
    with pytest.raises(KeyError):
        caption_of("a red astronaut")


def test_hard_negatives_differ_from_their_caption():
    place = TEXTS.index("a red circle left of a blue square")
    texts = {TEXTS[i] for i in hard_negatives(place)}
    assert {
        "a red circle right of a blue square",
        "a blue square left of a red circle",
        "a blue circle left of a red square",
        "a red square left of a blue circle",
        "a green circle left of a blue square",
        "a red circle left of a blue triangle",
    } <= texts
    assert TEXTS[place] not in texts
    assert len(relation_variants(place)) == 7
    assert relation_variants(0) == ()
    assert all(hard_negatives(i) for i in range(1002))


def test_each_word_is_one_token_and_nothing_is_lost():
    tokenizer = build_tokenizer()
    ids = tokenizer(TEXTS, padding="max_length").input_ids
    assert ids == word_ids(TEXTS)
    assert all(len(row) == LENGTH for row in ids)
    assert tokenizer.batch_decode(tokenizer(TEXTS).input_ids, skip_special_tokens=True) == TEXTS
    assert tokenizer("A RED Circle").input_ids == tokenizer("a red circle").input_ids
    assert len(tokenizer("astronaut").input_ids) > 3, "unknown words fall into letters"
    assert len(vocabulary()) == len(tokenizer) == 119
    assert all(word + "</w>" in vocabulary() for word in WORDS)


@pytest.mark.parametrize(
    ("prompt", "unknown", "part"),
    [
        ("an astronaut", ("an", "astronaut"), "are not known"),
        ("a red circle, please", (",", "please"), "not known"),
        ("a pink circle", ("pink",), '"pink" is not known'),
        ("", (), "is empty"),
        ("a red circle left of a red circle", (), "same colour"),
        ("a red circle left of a square", (), "only one of the two colours"),
        ("a circle above a circle", (), "same shape twice"),
        ("two circles and a square", (), "a group stands alone"),
        ("a circle and a square and a triangle", (), "more than two"),
        ("circle a", (), "not a sentence"),
        ("a circles", (), "not a sentence"),
    ],
)
def test_what_is_outside_is_named(prompt, unknown, part):
    explanation = explain_prompt(prompt)
    assert not explanation.ok
    assert explanation.unknown == unknown
    assert part in explanation.sentence
    assert "The embedded model knows: a, two, three, four; red" in explanation.sentence


def test_every_caption_is_inside():
    assert all(explain_prompt(text).ok for text in TEXTS)
    assert explain_prompt("A Red Circle  above a blue circle").ok


def test_a_final_full_stop_does_not_matter_and_an_is_not_a():
    assert explain_prompt("a red circle.").ok
    assert explain_prompt("Two green squares. ").ok
    assert not explain_prompt("a. red circle").ok
    assert explain_prompt("an red circle").unknown == ("an",)
    assert explain_prompt(".").sentence.startswith("The prompt is empty.")


def test_the_family_imports_nothing_heavy():
    code = "import sys, engines.images, engines.images.world; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
