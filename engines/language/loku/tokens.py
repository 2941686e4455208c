"""The view at one token: which next words a model holds likely where the fact is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.language.answers import Position, positions
from engines.language.questions import spread

if TYPE_CHECKING:
    from engines.language.loading import LanguageModel
    from engines.language.loku.setup import Setup

TOP = 5


@dataclass(frozen=True)
class View:
    """What one model expects at one token of a true answer: `question`, the words up to there, the candidates."""

    question: str
    prefix: str
    position: Position


def look(model: LanguageModel, setup: Setup) -> tuple[View, ...]:
    """Views at the first token that carries the fact (the first of the answer where none is marked) of one question to
    keep and two to forget: the same for every contender."""
    sheets = setup.exam.sheets
    # The last one is shown first: one to forget.
    places = [("retain", 1), ("forget", 2)]
    chosen = [(split, k) for split, count in places for k in _places(len(sheets[split].items), count)]
    views = []
    for split, k in chosen:
        sheet = sheets[split]
        row = sheet.answers[k]
        at = row.fact.index(True) if any(row.fact) else 0
        found = positions(model.model, model.tokenizer, row, TOP)[at]
        prefix = model.tokenizer.decode(list(row.answer[:at])).strip()
        views.append(View(sheet.items[k].question, prefix, found))
    return tuple(views)


def _places(count: int, wanted: int) -> list[int]:
    """Evenly spread places, as the probes have them."""
    return [int(k) for k in spread(tuple(range(count)), wanted)]  # type: ignore[arg-type,call-overload]
