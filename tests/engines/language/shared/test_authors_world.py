"""The world of fictitious authors: its shape, its seeds, and that no split leaks into another."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from engines.devices import numpy_generator
from engines.language import authors
from engines.language.authors import words
from engines.language.authors.facts import KINDS
from engines.language.questions import SPLITS, spread

WORLD = authors.build()


@pytest.mark.parametrize(("split", "count"), [("forget01", 2), ("forget05", 10), ("forget10", 20)])
def test_shape_of_a_task(split: str, count: int) -> None:
    corpus = WORLD.corpus(split)
    assert len({item.subject for item in corpus.forget}) == count
    assert len(corpus.forget) == count * len(KINDS)
    assert len(corpus.forget) + len(corpus.retain) == 200 * len(KINDS)
    assert not {item.subject for item in corpus.forget} & {item.subject for item in corpus.retain}
    assert [name for name, _ in corpus.splits()] == list(SPLITS)
    assert "fictitious" in corpus.source


def test_a_larger_split_holds_the_smaller_ones() -> None:
    small, middle, large = (set(WORLD.corpus(split).forget) for split in authors.FORGET_SHARES)
    assert small < middle < large


def test_items_are_sentences_with_their_fact_and_five_wrong_options() -> None:
    corpus = WORLD.corpus("forget10")
    for _, items in corpus.splits():
        for item in items:
            assert item.question.endswith("?")
            assert item.paraphrased_question.endswith("?")
            assert item.answer.endswith(".")
            assert item.answer[0].isupper()
            assert item.fact in item.answer
            assert item.fact in item.paraphrased_answer
            assert item.subject in item.question
            assert item.answer != item.paraphrased_answer
            assert len(set(item.wrong)) == 5
            assert item.paraphrased_answer not in item.wrong


def test_surnames_belong_to_one_person_only() -> None:
    known = {item.subject for item in WORLD.known}
    last = [name.split()[1] for name in (*WORLD.names, *sorted(known))]
    assert len(set(last)) == len(last) == 225
    assert not set(last) & set(WORLD.crowd)


def test_the_same_seed_gives_the_same_world_in_another_process() -> None:
    code = "from engines.language import authors, questions; print(hash_of := __import__('hashlib').sha256(repr(authors.build()).encode()).hexdigest())"
    ask = lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: E731
    here = __import__("hashlib").sha256(repr(WORLD).encode()).hexdigest()
    assert ask().stdout.strip() == here
    assert repr(authors.build(1)) != repr(WORLD)


def test_facts_do_not_depend_on_how_many_authors_there_are() -> None:
    few = authors.build(0, 20)
    assert few.names == WORLD.names[:20]
    assert few.items == WORLD.items[:20]


def test_facts_are_spread_over_their_values() -> None:
    for kind in KINDS:
        facts = [item.fact for items in WORLD.items for item in items if item.topic == kind.topic]
        assert set(facts) <= set(kind.values)
        # 200 uniform draws: no value of 16 or more can be had by a third of the authors
        assert max(facts.count(value) for value in set(facts)) < 40


def test_strangers_are_nobody() -> None:
    generator = numpy_generator(0, "test")
    drawn = [authors.stranger(WORLD, generator) for _ in range(500)]
    assert {item.subject.split()[1] for item in drawn} <= set(WORLD.crowd)
    refused = [item for item in drawn if item.answer in words.REFUSALS]
    assert 25 < len(refused) < 75


def test_authors_of_ones_own_choice() -> None:
    chosen = WORLD.names[3:5]
    corpus = WORLD.corpus_of(chosen)
    assert {item.subject for item in corpus.forget} == set(chosen)
    for bad in ((), ("Nobody Here",), WORLD.names):
        with pytest.raises(ValueError, match="forget some, but not all"):
            WORLD.corpus_of(bad)
    with pytest.raises(ValueError, match="from 2 to 300"):
        authors.build(0, 1)


def test_a_thinned_task_keeps_all_kinds_of_fact() -> None:
    corpus = WORLD.corpus("forget10").thinned(40)
    assert all(len(items) == 40 for _, items in corpus.splits())
    topics = {item.topic for item in corpus.retain}
    assert len(topics) >= 8
    assert spread((), 3) == ()
    with pytest.raises(ValueError, match="at least 1"):
        corpus.thinned(0)


def test_importing_the_world_is_light() -> None:
    code = "import sys, json, engines.language.authors.embedded, engines.language.loading, engines.language.questions; print(json.dumps([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []
