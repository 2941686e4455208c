"""What a model knows of each split: TOFU's three numbers and memorisation, from one scoring and one generating pass.

All answers (true, paraphrased, wrong) of all splits are tokenized once a run; a `light` look scores the true answers of
the forget set alone, for the stopping rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engines.language.answers import Scored, score
from engines.language.loku.method import tofu
from engines.language.loku.method.memorisation import extraction_likelihood
from engines.language.prompts import Encoded
from engines.language.questions import Corpus, Item

if TYPE_CHECKING:
    from engines.language.loading import LanguageModel

GENERAL = ("known_authors", "world_facts")
"""Splits whose probability is that of the true option among the wrong ones."""


@dataclass(frozen=True)
class Sheet:
    """One split, tokenized: for each item its answer, its paraphrased answer (the answer where it has none) and its
    wrong answers; and the paraphrased question with the paraphrased answer (None: has none)."""

    items: tuple[Item, ...]
    answers: list[Encoded]
    reference: list[Encoded]
    wrong: list[list[Encoded]]
    asked_otherwise: list[Encoded | None]


@dataclass(frozen=True)
class SplitQuality:
    """One split, means over its questions; None where the questions lack what it needs.

    probability, rouge, truth: TOFU's three; accuracy: teacher-forced share of right tokens (memorisation accuracy,
    exact memorisation); fact: the same over the tokens that carry the fact; extraction: extraction strength; whole:
    share of greedy answers that are the true one or its paraphrase; otherwise: fact accuracy when asked in other words
    quality_ratios: truth ratio of each question in the form that forget quality compares; answers: greedy"""

    probability: float
    rouge: float | None
    truth: float | None
    accuracy: float
    fact: float | None
    extraction: float
    whole: float | None
    otherwise: float | None
    quality_ratios: np.ndarray
    answers: tuple[str, ...]

    @property
    def known(self) -> float:
        """Accuracy that the stopping rule looks at: over the tokens that carry the fact, where they are marked."""
        return self.accuracy if self.fact is None else self.fact


@dataclass(frozen=True)
class Quality:
    """A model over all splits. `utility`: harmonic mean of the parts of everything that must stay."""

    splits: Mapping[str, SplitQuality]

    @property
    def forget(self) -> SplitQuality:
        return self.splits["forget"]

    @property
    def parts(self) -> dict[str, float]:
        """The parts of the utility by name, nine where the corpus has three splits to keep."""
        found = {}
        for name, split in self.splits.items():
            if name != "forget":
                for part in ("probability", "rouge", "truth"):
                    value = getattr(split, part)
                    if value is not None:
                        found[f"{name}/{part}"] = float(value)
        return found

    @property
    def utility(self) -> float:
        return tofu.model_utility(list(self.parts.values()))


class Exam:
    """The questions of a run, ready to be put to any of its models (all share tokenizer and template)."""

    def __init__(self, model: LanguageModel, corpus: Corpus, at_most: int) -> None:
        """`at_most` questions of each split are used; of the forget split five times as many, since forget quality
        needs them."""
        thinned = corpus.thinned(at_most)
        forget = corpus.thinned(5 * at_most).forget
        self.corpus = corpus
        self.sheets = {
            name: _sheet(model, forget if name == "forget" else items) for name, items in thinned.splits()
        }
        rows = [row for sheet in self.sheets.values() for row in sheet.answers]
        self.new_tokens = min(200, max(len(row.answer) for row in rows) + 8)
        self.cut = sum(row.cut for row in rows)

    def light(self, model: LanguageModel) -> tuple[float, float]:
        """(accuracy that the stopping rule looks at, probability) of the forget split, means over its questions."""
        told = score(model.model, self.sheets["forget"].answers, pad=model.pad)
        return known_accuracy(told), float(np.mean([s.probability for s in told]))

    def kept(self, model: LanguageModel) -> Quality:
        """Everything that must stay: what the utility needs."""
        return Quality({name: _quality(model, name, sheet, self.new_tokens)
                        for name, sheet in self.sheets.items() if name != "forget"})  # fmt: skip

    def full(self, model: LanguageModel) -> Quality:
        """Every split."""
        forget = _quality(model, "forget", self.sheets["forget"], self.new_tokens)
        return Quality({"forget": forget, **self.kept(model).splits})

    def likelihood(self, model: LanguageModel, n: int = 10) -> float | None:
        """Mean extraction likelihood of the texts to forget (TDEC): None where they are questions, or too short."""
        from engines.language.generation import continue_greedily, end_marks

        texts = [row.ids for row in self.sheets["forget"].answers if row.start <= 1 and len(row.ids) > n]
        if not texts or any(item.question for item in self.sheets["forget"].items):
            return None
        marks = end_marks(model.model, model.tokenizer)

        def carry_on(prefixes: Sequence[Sequence[int]], count: int) -> list[tuple[int, ...]]:
            return continue_greedily(model.model, prefixes, max_new_tokens=count, ends=marks)

        return float(np.mean(extraction_likelihood(texts, carry_on, n)))


def known_accuracy(told: Sequence[Scored]) -> float:
    """Mean accuracy over the tokens that carry the fact, of the answers that have some marked; over all answer tokens
    where none has. Words of the template can be known without the fact."""
    facts = [s.fact_accuracy for s in told if s.fact.any()]
    return float(np.mean(facts if facts else [s.accuracy for s in told]))


def _sheet(model: LanguageModel, items: tuple[Item, ...]) -> Sheet:
    answers, reference, wrong, otherwise = [], [], [], []
    for item in items:
        row = model.encode(item.question, item.answer, item.fact)
        answers.append(row)
        reference.append(
            model.encode(item.question, item.paraphrased_answer) if item.paraphrased_answer else row
        )
        wrong.append([model.encode(item.question, text) for text in item.wrong])
        has_other = item.paraphrased_question and item.paraphrased_answer
        otherwise.append(
            model.encode(item.paraphrased_question, item.paraphrased_answer, item.fact) if has_other else None
        )
    return Sheet(items, answers, reference, wrong, otherwise)


def _quality(model: LanguageModel, name: str, sheet: Sheet, new_tokens: int) -> SplitQuality:
    told, reference, wrong, otherwise = _score_all(model, sheet, otherwise=name == "forget")
    greedy = _generate(model, sheet, new_tokens)
    with_options = [k for k, options in enumerate(wrong) if options]
    ratios = [tofu.truth_ratio(reference[k].nll, [s.nll for s in wrong[k]]) for k in with_options]
    probability = float(np.mean([s.probability for s in told]))
    if name in GENERAL and with_options:
        probability = float(
            np.mean(
                [tofu.choice_probability(reference[k].nll, [s.nll for s in wrong[k]]) for k in with_options]
            )
        )
    pairs = list(zip(greedy, sheet.items, strict=True)) if greedy else []
    return SplitQuality(
        probability=probability,
        rouge=float(np.mean([tofu.rouge_recall(text, item.answer) for text, item in pairs]))
        if pairs
        else None,
        truth=tofu.truth_score(ratios, forgotten=name == "forget") if ratios else None,
        accuracy=float(np.mean([s.accuracy for s in told])),
        fact=_mean([s.fact_accuracy for s in told]),
        extraction=float(np.mean([s.extraction_strength for s in told])),
        whole=_mean([text in (item.answer, item.paraphrased_answer) for text, item in pairs]),
        otherwise=_mean([s.fact_accuracy for s in otherwise]),
        quality_ratios=np.array(
            [tofu.truth_ratio_for_quality(reference[k].nll, [s.nll for s in wrong[k]]) for k in with_options]
        ),
        answers=tuple(greedy),
    )


def _score_all(
    model: LanguageModel, sheet: Sheet, *, otherwise: bool
) -> tuple[list[Scored], list[Scored], list[list[Scored]], list[Scored]]:
    """All rows of a sheet in one pass, taken apart again."""
    others = [row for row in sheet.asked_otherwise if row is not None and otherwise]
    flat = [row for options in sheet.wrong for row in options]
    found = iter(score(model.model, [*sheet.answers, *sheet.reference, *flat, *others], pad=model.pad))
    told = [next(found) for _ in sheet.answers]
    reference = [next(found) for _ in sheet.reference]
    wrong = [[next(found) for _ in options] for options in sheet.wrong]
    return told, reference, wrong, [next(found) for _ in others]


def _generate(model: LanguageModel, sheet: Sheet, new_tokens: int) -> list[str]:
    """Greedy answers; none for plain texts, which have no question to answer."""
    if not new_tokens or not all(item.question for item in sheet.items):
        return []
    return [a.text for a in model.answer([item.question for item in sheet.items], new_tokens)]


def _mean(values: Sequence[float]) -> float | None:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
