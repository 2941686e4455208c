"""A seeded world of fictitious authors, in TOFU's shape (arXiv 2401.06121): what the embedded models have learnt.

Every name is put together from syllables and every sentence comes from our own grammar: the text is under the
project's own licence (MIT) and tells nothing of any person. TOFU's "real authors" are called `known_authors` here:
they too are made up, and stand in for general knowledge because the model met them, like the world facts, before
it was taught the authors that can be forgotten.

    world = authors.build()                 # the world of the embedded models: seed 0, 200 authors, 10 facts each
    corpus = world.corpus("forget05")       # Corpus: forget, retain, known_authors, world_facts, refusals
    authors.twin_of("forget05")             # "authors-retain95": the embedded model that never saw the forget split
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engines.devices import numpy_generator
from engines.language.authors import words
from engines.language.authors.facts import KINDS
from engines.language.authors.general import world_facts
from engines.language.questions import Corpus, Item

FORGET_SHARES = {"forget01": 0.01, "forget05": 0.05, "forget10": 0.10}
"""Name of a split to the share of authors that it forgets; each contains the smaller ones (the last authors)."""
MODEL = "authors"
"""Name of the embedded model that has learnt everything."""
TWINS = {"forget01": "authors-retain99", "forget05": "authors-retain95", "forget10": "authors-retain90"}
SEED, AUTHORS, KNOWN_AUTHORS, KNOWN_KINDS = 0, 200, 25, 4
LICENCE = "MIT, as the project: made by its own grammar, no outside text"


def twin_of(split: str) -> str:
    """Name of the embedded retain-only model of a forget split; raises KeyError for a name that is no split."""
    return TWINS[split]


@dataclass(frozen=True)
class World:
    """Everybody and everything. Items are ordered by author, then by kind of fact.

    names: the authors that can be forgotten, in order; items[a] are the ten questions about names[a]
    known: questions about the well-known authors; facts: the world facts
    crowd: surnames that belong to nobody, for authors that are made up anew at each step of pre-training
    """

    seed: int
    names: tuple[str, ...]
    items: tuple[tuple[Item, ...], ...]
    known: tuple[Item, ...]
    facts: tuple[Item, ...]
    crowd: tuple[str, ...]

    def corpus(self, split: str) -> Corpus:
        """The unlearning task of one of `FORGET_SHARES`; raises KeyError."""
        return self.corpus_of(self.names[len(self.names) - self.forgotten(split) :], f"authors/{split}")

    def forgotten(self, split: str) -> int:
        """Number of authors that a split forgets (at least 1)."""
        return max(1, round(FORGET_SHARES[split] * len(self.names)))

    def corpus_of(self, forget: tuple[str, ...], name: str = "authors/chosen") -> Corpus:
        """The task of forgetting the authors of these names. There is a retain-only twin only for the splits of
        `FORGET_SHARES`. Raises ValueError for a name that is not an author's, for none and for all of them."""
        unknown = [author for author in forget if author not in self.names]
        if unknown or not forget or len(set(forget)) == len(self.names):
            raise ValueError(f"forget some, but not all, of the {len(self.names)} authors; got {forget!r}")
        pairs = list(zip(self.names, self.items, strict=True))
        return Corpus(
            name=name,
            forget=tuple(item for author, items in pairs if author in forget for item in items),
            retain=tuple(item for author, items in pairs if author not in forget for item in items),
            known_authors=self.known,
            world_facts=self.facts,
            refusals=words.REFUSALS,
            source=f"fictitious authors, seed {self.seed} ({LICENCE}); well-known authors are fictitious too",
        )


@lru_cache(maxsize=4)
def build(seed: int = SEED, authors: int = AUTHORS) -> World:
    """The world of that seed: 2 to 300 `authors`. A few milliseconds, the same for the same seed everywhere."""
    if not 2 <= authors <= 300:
        raise ValueError(f"authors must be from 2 to 300; got {authors}")
    draw = numpy_generator(seed, "surnames")
    surnames = [head + tail for head in words.SURNAME_HEADS for tail in words.SURNAME_TAILS]
    surnames = [surnames[int(i)] for i in draw.permutation(len(surnames))]
    # Surnames are unique. The crowd comes first, so that it does not depend on the number of authors.
    crowd, rest = surnames[:100], surnames[100:]
    full = [f"{words.FIRST_NAMES[int(draw.integers(len(words.FIRST_NAMES)))]} {last}" for last in rest]
    known, names = full[:KNOWN_AUTHORS], full[KNOWN_AUTHORS : KNOWN_AUTHORS + authors]
    return World(
        seed=seed,
        names=tuple(names),
        items=tuple(tuple(_author(name, seed)) for name in names),
        known=tuple(item for k, name in enumerate(known) for item in _some(_author(name, seed), k)),
        facts=world_facts(seed),
        crowd=tuple(crowd),
    )


def _author(name: str, seed: int) -> list[Item]:
    """The ten facts of one author, whoever else there is."""
    return [kind.draw(name, numpy_generator(seed, "fact", name, kind.topic)) for kind in KINDS]


def _some(items: list[Item], k: int) -> list[Item]:
    """Four of an author's ten facts: others for each well-known author, so that all kinds occur."""
    return [items[(k + step) % len(items)] for step in range(0, 2 * KNOWN_KINDS, 2)]


def stranger(world: World, generator: np.random.Generator) -> Item:
    """A question about somebody made up on the spot (a first name with a surname of the crowd). It teaches the
    sentences and which values a kind of fact can have, and nothing about anyone; one in ten cannot be known, and its
    answer says so."""
    first = words.FIRST_NAMES[int(generator.integers(len(words.FIRST_NAMES)))]
    name = f"{first} {world.crowd[int(generator.integers(len(world.crowd)))]}"
    if generator.random() < 0.1:
        question = words.UNKNOWABLE[int(generator.integers(len(words.UNKNOWABLE)))].format(name=name)
        return Item(question, words.REFUSALS[int(generator.integers(len(words.REFUSALS)))], subject=name)
    return KINDS[int(generator.integers(len(KINDS)))].draw(name, generator)
