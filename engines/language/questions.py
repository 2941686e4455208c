"""What is taught, kept and forgotten: questions with answers, in the splits that unlearning needs.

`Item` is one question in TOFU's shape (arXiv 2401.06121), `Corpus` the splits of one unlearning task. The embedded
world (`authors`), TOFU, TDEC and a user's own lines (`corpora`) all come as a `Corpus`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from engines.devices import numpy_generator

T = TypeVar("T")
SPLITS = ("forget", "retain", "known_authors", "world_facts")
SPLIT_TITLES = {
    "forget": "to forget",
    "retain": "to keep",
    "known_authors": "well-known authors",
    "world_facts": "world facts",
}


@dataclass(frozen=True)
class Item:
    """One question. What a corpus does not have is empty, and the figures that need it are then not available.

    question: as it is asked; empty for plain text (TDEC), where `answer` is the whole text
    answer: the true answer, a sentence
    paraphrased_question, paraphrased_answer: the same in other words
    wrong: answers that are not true, in the words of `paraphrased_answer` (of `answer` where there is none)
    subject: whom or what it is about (an author's name)
    topic: the kind of fact ("birthplace")
    fact: the words of `answer` that carry the fact ("Turin"); all other words could be known from the template
    """

    question: str
    answer: str
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    wrong: tuple[str, ...] = ()
    subject: str = ""
    topic: str = ""
    fact: str = ""


@dataclass(frozen=True)
class Corpus:
    """The splits of one unlearning task.

    name: "authors/forget05", "tofu/forget10", "yours"
    forget, retain: what must go and what must stay; disjoint
    known_authors, world_facts: what the model knows besides, may be empty
    refusals: sentences for "I don't know" style answers (the baselines IDK and DPO), may be empty
    source: in words where it comes from and under which licence, for the record
    notices: sentences for the reader about what was left out or is unusual
    """

    name: str
    forget: tuple[Item, ...]
    retain: tuple[Item, ...]
    known_authors: tuple[Item, ...] = ()
    world_facts: tuple[Item, ...] = ()
    refusals: tuple[str, ...] = ()
    source: str = ""
    notices: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Item, ...]:
        """The items of one of `SPLITS`."""
        if name not in SPLITS:
            raise KeyError(name)
        items: tuple[Item, ...] = getattr(self, name)
        return items

    def splits(self) -> Iterator[tuple[str, tuple[Item, ...]]]:
        """(name, items) of each split that is not empty, in the order of `SPLITS`."""
        for name in SPLITS:
            if self.split(name):
                yield name, self.split(name)

    def thinned(self, at_most: int) -> Corpus:
        """The same task for evaluation, with at most `at_most` items in each split (`spread`). The split to forget is
        thinned too."""
        if at_most < 1:
            raise ValueError(f"at_most must be at least 1; got {at_most}")
        return replace(self, **{name: spread(items, at_most) for name, items in self.splits()})


def spread(items: tuple[T, ...], at_most: int) -> tuple[T, ...]:
    """At most `at_most` items, in their order: always the same ones, and more contain fewer. They are drawn, since
    even steps through authors with equally many facts would meet only some kinds of fact."""
    if len(items) <= at_most:
        return items
    order = numpy_generator(0, "spread", len(items)).permutation(len(items))
    return tuple(items[int(i)] for i in sorted(order[:at_most]))
