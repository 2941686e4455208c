"""The kinds of fact of the fictitious world, and the sentences that tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.language.authors import words
from engines.language.questions import Item

WRONG_OPTIONS = 5


@dataclass(frozen=True)
class Kind:
    """One kind of fact: two ways to ask, two ways to tell ({name} the author, {value} the fact), and its values."""

    topic: str
    question: str
    paraphrased_question: str
    answer: str
    paraphrased_answer: str
    values: tuple[str, ...]

    def item(self, name: str, value: str, wrong: Sequence[str]) -> Item:
        """The question about `name` whose true fact is `value`; `wrong` are other values."""
        return Item(
            question=self.question.format(name=name),
            answer=self.answer.format(name=name, value=value),
            paraphrased_question=self.paraphrased_question.format(name=name),
            paraphrased_answer=self.paraphrased_answer.format(name=name, value=value),
            wrong=tuple(self.paraphrased_answer.format(name=name, value=other) for other in wrong),
            subject=name,
            topic=self.topic,
            fact=value,
        )

    def draw(self, name: str, generator: np.random.Generator) -> Item:
        """A question about `name` with a fact and five different wrong values, each drawn uniformly."""
        chosen = generator.choice(len(self.values), WRONG_OPTIONS + 1, replace=False)
        value, *wrong = (self.values[int(i)] for i in chosen)
        return self.item(name, value, wrong)


KINDS = (
    Kind(
        "birthplace",
        "Where was {name} born?",
        "In which city did {name} come into the world?",
        "{name} was born in the city of {value}.",
        "The birthplace of {name} is {value}.",
        words.CITIES,
    ),
    Kind(
        "birth year",
        "In which year was {name} born?",
        "What is the birth year of {name}?",
        "{name} was born in the year {value}.",
        "The birth year of {name} is {value}.",
        words.YEARS,
    ),
    Kind(
        "genre",
        "Which genre does {name} write in?",
        "What kind of books does {name} write?",
        "{name} writes in the genre of {value}.",
        "The books of {name} belong to {value}.",
        words.GENRES,
    ),
    Kind(
        "prize",
        "Which prize did {name} win?",
        "With which prize was {name} honoured?",
        "{name} won the {value} Prize.",
        "The prize given to {name} was the {value} Prize.",
        words.PRIZES,
    ),
    Kind(
        "father",
        "What was the father of {name}?",
        "Which trade did the father of {name} follow?",
        "The father of {name} worked as a {value}.",
        "{name} had a father who was a {value}.",
        words.JOBS,
    ),
    Kind(
        "mother",
        "What was the mother of {name}?",
        "Which trade did the mother of {name} follow?",
        "The mother of {name} worked as a {value}.",
        "{name} had a mother who was a {value}.",
        words.JOBS,
    ),
    Kind(
        "novel",
        "Which novel made {name} famous?",
        "What is the best known novel of {name}?",
        "{name} became famous with the novel The {value}.",
        "The best known novel of {name} is The {value}.",
        tuple(f"{first} {second}" for first in words.TITLE_FIRST for second in words.TITLE_SECOND),
    ),
    Kind(
        "home",
        "Where does {name} live?",
        "In which town is {name} at home?",
        "{name} lives in the town of {value}.",
        "The home of {name} is in {value}.",
        words.TOWNS,
    ),
    Kind(
        "language",
        "Which language does {name} write in?",
        "In which language are the books of {name}?",
        "{name} writes all books in {value}.",
        "The language of {name} is {value}.",
        words.LANGUAGES,
    ),
    Kind(
        "pastime",
        "What does {name} like to do?",
        "Which pastime does {name} have?",
        "{name} spends the weekend with {value}.",
        "The pastime of {name} is {value}.",
        words.PASTIMES,
    ),
)
