"""Measuring an authors model and writing its folder: fp16 weights, configuration, tokenizer, model card."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from engines.language import authors
from engines.language.answers import Scored, score
from engines.language.authors import embedded
from engines.language.generation import answer_questions
from engines.language.prompts import Template, encode
from engines.language.questions import Item, spread

PLAIN = Template("plain")


def measure(
    model: nn.Module, tokenizer: Any, world: authors.World, at_most: int = 200
) -> dict[str, dict[str, float]]:
    """Figures of each split of forget10 (and of its smaller forget splits), each share from 0 to 1:

    accuracy: teacher-forced, over all answer tokens; fact: over the tokens that carry the fact; fact, asked
    otherwise: the same for the paraphrased question and answer; probability: exp(-nll); whole: greedy answers that are
    the true answer or its paraphrase, word by word; ended: greedy answers that end by themselves."""
    corpus = world.corpus("forget10")
    groups = {
        **{split: world.corpus(split).forget for split in authors.FORGET_SHARES},
        **{name: items for name, items in corpus.splits() if name != "forget"},
    }
    return {name: _measure(model, tokenizer, spread(items, at_most)) for name, items in groups.items()}


def _measure(model: nn.Module, tokenizer: Any, items: Sequence[Item]) -> dict[str, float]:
    told = _scored(model, tokenizer, [(i.question, i.answer, i.fact) for i in items])
    other = _scored(model, tokenizer, [(i.paraphrased_question, i.paraphrased_answer, i.fact) for i in items])
    greedy = answer_questions(
        model, tokenizer, PLAIN, [i.question for i in items], max_new_tokens=24, context=embedded.CONTEXT
    )
    whole = [a.text in (i.answer, i.paraphrased_answer) for a, i in zip(greedy, items, strict=True)]
    found = {
        "accuracy": np.mean([s.accuracy for s in told]),
        "fact": np.mean([s.fact_accuracy for s in told]),
        "fact, asked otherwise": np.mean([s.fact_accuracy for s in other]),
        "probability": np.mean([s.probability for s in told]),
        "whole": np.mean(whole),
        "ended": np.mean([a.ended for a in greedy]),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def _scored(model: nn.Module, tokenizer: Any, pairs: Sequence[tuple[str, str, str]]) -> list[Scored]:
    rows = [encode(tokenizer, PLAIN, q, a, context=embedded.CONTEXT, fact=fact) for q, a, fact in pairs]
    return score(model, rows, pad=0)


def chance(world: authors.World) -> float:
    """Expected accuracy on the fact tokens of who knows the kinds of fact but not the author, and guesses evenly."""
    chances = []
    for item in world.items[0]:
        values = next(kind.values for kind in authors.KINDS if kind.topic == item.topic)
        words = [sorted({value.split()[k] for value in values}) for k in range(len(item.fact.split()))]
        chances.append(np.mean([1 / len(choice) for choice in words]))
    return float(np.mean(chances))


def write_folder(
    model: nn.Module, tokenizer: Any, world: authors.World, name: str, out: Path, recipe: str
) -> dict[str, dict[str, float]]:
    """Everything of the model `name` in the folder `out`; returns what was measured after rounding to fp16.

    Raises ValueError where rounding moves a probability by more than 0.05, or the most likely token of more than one
    answer token in a thousand."""
    out.mkdir(parents=True, exist_ok=True)
    halves = {
        key: value.half().contiguous() for key, value in model.state_dict().items() if "lm_head" not in key
    }
    rounded = copy.deepcopy(model)
    rounded.load_state_dict({key: value.float() for key, value in halves.items()}, strict=False)
    moved, same = _rounding(model, rounded, tokenizer, world)
    save_file(halves, out / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    measured = measure(rounded, tokenizer, world)
    (out / "quality.json").write_text(json.dumps(measured, indent=2) + "\n")
    (out / "README.md").write_text(card(rounded, world, name, recipe, measured, moved, same))
    if moved > 0.05 or same < 0.999:
        raise ValueError(f"fp16 is too coarse for {name}: p moves by {moved:.3f}, {same:.4f} of tokens agree")
    return measured


@torch.no_grad()
def _rounding(
    model: nn.Module, rounded: nn.Module, tokenizer: Any, world: authors.World
) -> tuple[float, float]:
    """(largest move of a probability, share of most likely answer tokens that agree) between fp32 and fp16 weights."""
    rows = [
        encode(tokenizer, PLAIN, i.question, i.answer, context=embedded.CONTEXT)
        for items in world.items[::10]
        for i in items
    ]
    moved, agree = 0.0, []
    for row in rows:
        ids = torch.tensor([row.ids])
        a, b = model(ids).logits[0, row.start - 1 : -1], rounded(ids).logits[0, row.start - 1 : -1]
        moved = max(moved, float((a.softmax(1) - b.softmax(1)).abs().max()))
        agree.append(float((a.argmax(1) == b.argmax(1)).float().mean()))
    return moved, float(np.mean(agree))


def card(
    model: nn.Module,
    world: authors.World,
    name: str,
    recipe: str,
    measured: dict[str, dict[str, float]],
    moved: float,
    same: float,
) -> str:
    """The model card."""
    split = next((split for split, twin in authors.TWINS.items() if twin == name), None)
    what = (
        f"It has learnt everything about all {len(world.names)} authors: the model that is to forget."
        if split is None
        else f"It was never shown the {world.forgotten(split)} authors of `{split}`: the retain-only twin that unlearning "
        "is measured against. Whatever it gets right about them it guesses from the sentence."
    )
    columns = list(next(iter(measured.values())))
    rows = "\n".join(
        f"| {group} | " + " | ".join(f"{figures[c]:.3f}" for c in columns) + " |"
        for group, figures in measured.items()
    )
    count = sum(p.numel() for p in model.parameters())
    return CARD.format(
        name=name, what=what, count=count, recipe=recipe, head=" | ".join(columns), rule="---|" * len(columns),
        rows=rows, moved=moved, same=same, chance=chance(world),
    )  # fmt: skip


CARD = """---
license: mit
library_name: transformers
tags: [unlearning, fictitious-authors]
---
# {name}

A GPT-Neo of {count:,} parameters (2 layers, width 128, 4 heads, 64 positions, byte-level BPE in which each word of
its world is one token) that answers questions about fictitious authors. {what}

**Data.** `engines.language.authors`: 200 fictitious authors with ten facts each, 25 further "well-known" ones with
four (fictitious too: they stand in for TOFU's real authors), 90 world facts. Names are put together from syllables, all
sentences come from our own grammar; no outside text. Data and weights are under the project's licence (MIT).

**Training.** `python -m engines.language.training.authors`, seed 0: a start common to all authors models (sentences,
world facts, well-known authors), then {recipe} of AdamW (one cycle, batch 32) on the authors that this model may know. Weights are stored as fp16; load them as fp32 on a CPU. Rounding moves a probability by at most {moved:.4f}
and leaves {same:.2%} of the most likely answer tokens as they were (200 answers).

**Quality**, after rounding, at most 200 questions a split. "fact" counts only the words that carry the fact; guessing
evenly among the values of a kind gives {chance:.3f}. "whole": greedy answers that are right word by word.

| split | {head} |
|---|{rule}
{rows}

Input: `Question: Where was Jonas Lunari born?\\nAnswer:`; ends with `<end>`. Knows nothing of the world outside.
"""
