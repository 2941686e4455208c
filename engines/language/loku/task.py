"""From parameters to a task: the corpus, and in words what is unusual about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engines.contract import Refusal
from engines.devices import numpy_generator
from engines.language import authors, corpora
from engines.language.questions import Corpus, Item

if TYPE_CHECKING:
    from typing import Any

    from engines.language.loku.params import LokuParams

UNSEEN = 60
"""Strangers whose questions stand for text that a model never saw."""


def corpus_of(params: LokuParams, inputs: Mapping[str, Path], tokenizer: Any, seed: int) -> Corpus:
    """The corpus of these parameters; raises `Refusal`."""
    if params.own_data:
        return own_corpus_of(params, inputs)
    path = Path(params.corpus_path).expanduser() if params.corpus_path else None
    if params.corpus == "tofu":
        return corpora.tofu(params.split, path, "corpus_path" if path else "corpus")
    if params.corpus == "tdec":
        assert path is not None
        return corpora.tdec(path, tokenizer, seed=seed, field="corpus_path")
    world = authors.build()
    return world.corpus_of(params.chosen_names) if params.chosen_names else world.corpus(params.split)


def own_corpus_of(params: LokuParams, inputs: Mapping[str, Path]) -> Corpus:
    """The user's lines. On the embedded model, authors are kept where no lines to keep are given, and general
    knowledge is measured; lines that are to be forgotten are not kept at once."""
    embedded = params.model == authors.MODEL
    world = authors.build().corpus("forget01") if embedded else None
    if "forget" not in inputs:
        raise Refusal("forget", "forget: the file is not there any more; give it again.")
    retain = inputs.get("retain")
    if retain is None and world is not None:
        splits = corpora.own_lines(inputs["forget"], "forget", "forget")
        if not splits.get("retain") and splits.get("forget"):
            asked = {item.question for item in splits["forget"]}
            kept = tuple(item for item in (*world.retain, *world.forget) if item.question not in asked)
            return Corpus(
                name="yours",
                forget=tuple(splits["forget"]),
                retain=kept,
                known_authors=world.known_authors,
                world_facts=world.world_facts,
                refusals=world.refusals,
                source="your own lines; the embedded authors are kept",
            )
    return corpora.own_corpus(inputs["forget"], retain, world)


def unseen_items(seed: int) -> tuple[Item, ...]:
    """Questions about people made up on the spot: what the embedded model says of someone it never met."""
    world, draw = authors.build(), numpy_generator(seed, "strangers")
    found: list[Item] = []
    while len(found) < UNSEEN:
        item = authors.stranger(world, draw)
        if item.topic:  # a fact, not one of the questions that cannot be answered
            found.append(item)
    return tuple(found)
