"""Greedy answers of many questions at once, without padding.

Prompts of equal length are generated together, so that no row ever holds a pad token: the answer to a question is
the same alone and in company, token by token, whatever the model makes of padding and positions.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engines.language.prompts import Template, encode_prompt


@dataclass(frozen=True)
class Answer:
    """A generated answer: its tokens without end mark, its text, and whether the model ended it by itself."""

    ids: tuple[int, ...]
    text: str
    ended: bool


@torch.no_grad()
def continue_greedily(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: frozenset[int],
    rows: int = 256,
) -> list[tuple[int, ...]]:
    """The most likely continuation of each prompt, token by token, up to and with an end mark or `max_new_tokens`.

    Prompts of one length share forwards of at most `rows` rows with a key-value cache; a row that has ended leaves
    the result alone while the others go on. Cost: one forward a new token and group of equal length."""
    device = next(model.parameters()).device
    groups: dict[int, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        groups[len(prompt)].append(i)
    found: dict[int, tuple[int, ...]] = {}
    for members in groups.values():
        for start in range(0, len(members), rows):
            chosen = members[start : start + rows]
            ids = torch.tensor([list(prompts[i]) for i in chosen], device=device)
            for i, tokens in zip(chosen, _greedy(model, ids, max_new_tokens, ends), strict=True):
                found[i] = tokens
    return [found[i] for i in range(len(prompts))]


def _greedy(
    model: nn.Module, ids: torch.Tensor, max_new_tokens: int, ends: frozenset[int]
) -> list[tuple[int, ...]]:
    """Continuations of prompts `ids` (B, T) of one length."""
    open_rows = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    stop = torch.tensor(sorted(ends), device=ids.device)
    step_ids, cache, told = ids, None, []
    extra = {"logits_to_keep": 1} if keeps_last_logits(model) else {}
    for _ in range(max_new_tokens):
        out = model(input_ids=step_ids, past_key_values=cache, use_cache=True, **extra)
        cache = out.past_key_values
        chosen = out.logits[:, -1].float().argmax(1)
        told.append(torch.where(open_rows, chosen, -1))
        open_rows = open_rows & ~torch.isin(chosen, stop)
        if not bool(open_rows.any()):
            break
        step_ids = chosen[:, None]
    rows = torch.stack(told, 1).tolist() if told else [[] for _ in ids]
    return [tuple(token for token in row if token >= 0) for row in rows]


def keeps_last_logits(model: nn.Module) -> bool:
    """Whether the model's forward takes `logits_to_keep` (the number of last positions that get logits)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def answer_questions(
    model: nn.Module,
    tokenizer: Any,
    template: Template,
    questions: Sequence[str],
    *,
    max_new_tokens: int,
    context: int,
    rows: int = 256,
) -> list[Answer]:
    """A greedy answer to each question, in order; equal to asking one by one.

    `context` bounds prompt and answer together. Raises ValueError for a question that leaves no room."""
    prompts = [encode_prompt(tokenizer, template, question) for question in questions]
    for question, prompt in zip(questions, prompts, strict=True):
        if len(prompt) >= context:
            raise ValueError(
                f"the question {question[:60]!r}... takes {len(prompt)} tokens; the model reads {context}"
            )
    ends = end_marks(model, tokenizer)
    room = [min(max_new_tokens, context - len(prompt)) for prompt in prompts]
    answers: dict[int, Answer] = {}
    for steps in sorted(set(room)):
        members = [i for i, value in enumerate(room) if value == steps]
        told = continue_greedily(
            model, [prompts[i] for i in members], max_new_tokens=steps, ends=ends, rows=rows
        )
        for i, ids in zip(members, told, strict=True):
            ended = bool(ids) and ids[-1] in ends
            kept = ids[:-1] if ended else ids
            answers[i] = Answer(kept, tokenizer.decode(list(kept)).strip(), ended)
    return [answers[i] for i in range(len(questions))]


def end_marks(model: nn.Module, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the tokenizer's end mark and those of the model's generation configuration."""
    config = getattr(model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    marks = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    return frozenset(int(mark) for mark in marks if mark is not None)
