"""What a model says to given answers: likelihood, right and wrong tokens, and the most likely next tokens.

One forward pass over a (question, answer) pair serves TOFU's probability and truth ratio (`nll`), memorisation
accuracy and exact memorisation (`right`), extraction strength (`extraction_strength`) and accuracy on the tokens that
carry the fact (`fact_accuracy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.language.generation import keeps_last_logits
from engines.language.prompts import Encoded, collate

LOGITS = 2**26
"""Largest number of logits of one forward (256 MB in float32): a vocabulary of 150,000 words fills memory quickly."""


@dataclass(frozen=True)
class Scored:
    """One answer as the model sees it, teacher-forced.

    losses: (T,) float32, -log p of each answer token (the end mark included), in nats
    right: (T,) bool, whether the most likely token is the true one
    fact: (T,) bool, whether the token carries the fact
    """

    losses: NDArray[np.float32]
    right: NDArray[np.bool_]
    fact: NDArray[np.bool_]

    @property
    def nll(self) -> float:
        """Mean loss of a token, nats."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def total(self) -> float:
        """Loss of the whole answer, nats."""
        return float(self.losses.sum(dtype=np.float64))

    @property
    def probability(self) -> float:
        """exp(-nll): TOFU's length-normalised probability of the answer."""
        return float(np.exp(-self.nll))

    @property
    def accuracy(self) -> float:
        """Share of answer tokens that are the most likely ones: memorisation accuracy, exact memorisation."""
        return float(self.right.mean())

    @property
    def fact_accuracy(self) -> float:
        """The same over the tokens that carry the fact; NaN where none are known."""
        return float(self.right[self.fact].mean()) if self.fact.any() else float("nan")

    @property
    def extraction_strength(self) -> float:
        """1 - k / T, where k is the first token from which on all most likely tokens are the true ones
        (open-unlearning's definition): 1 for an answer that comes whole, 0 where even the end is wrong."""
        wrong = np.flatnonzero(~self.right)
        return 1.0 - (int(wrong[-1]) + 1 if len(wrong) else 0) / len(self.right)


@torch.no_grad()
def score(model: nn.Module, rows: Sequence[Encoded], *, pad: int, tokens: int = 4096) -> list[Scored]:
    """Each row scored, in order. Rows of similar length share a forward of at most `tokens` tokens, padded on the
    right, where a causal model cannot see it, and logits are computed from the first answer token on alone where the
    model can do so. The model's mode (train or eval) is left alone: call eval() first."""
    device, keeps = next(model.parameters()).device, keeps_last_logits(model)
    tokens = min(tokens, LOGITS // model.get_output_embeddings().weight.shape[0])
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].start))
    found: dict[int, Scored] = {}
    for chosen in _batches(order, [len(row.ids) for row in rows], tokens):
        batch = collate([rows[i] for i in chosen], pad, device)
        first = min(rows[i].start for i in chosen) - 1 if keeps else 0
        extra = {"logits_to_keep": batch.ids.shape[1] - first} if keeps else {}
        logits = model(**batch.inputs(), use_cache=False, **extra).logits
        losses, right = token_losses(logits, batch.labels[:, first:])
        losses, right = losses.cpu(), right.cpu()
        for b, i in enumerate(chosen):
            where = slice(rows[i].start - 1 - first, len(rows[i].ids) - 1 - first)
            fact = np.array(rows[i].fact or [False] * len(rows[i].answer), dtype=bool)
            found[i] = Scored(losses[b, where].numpy().copy(), right[b, where].numpy().copy(), fact)
    return [found[i] for i in range(len(rows))]


def token_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(-log p (B, T-1) float32 of labels[:, 1:], 0 where ignored; whether the largest logit is the label, (B, T-1)).

    logits (B, T, V). Differentiable in the logits."""
    shifted, targets = logits[:, :-1].float(), labels[:, 1:]
    losses = nn.functional.cross_entropy(shifted.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view_as(targets), shifted.argmax(2) == targets


def _batches(order: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Consecutive groups of `order` (ascending lengths) of at most `tokens` padded tokens, at least one row each."""
    groups: list[list[int]] = []
    for i in order:
        if groups and lengths[i] * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


@dataclass(frozen=True)
class NextToken:
    """One candidate for the next token: its text, its id, its probability."""

    text: str
    id: int
    probability: float


@dataclass(frozen=True)
class Position:
    """The model's view at one answer token: the true token, its probability and rank (1 = most likely), and the most
    likely tokens in falling order."""

    target: NextToken
    rank: int
    top: tuple[NextToken, ...]


@torch.no_grad()
def positions(model: nn.Module, tokenizer: Any, row: Encoded, top: int = 5) -> list[Position]:
    """The view at each answer token of one row, teacher-forced."""
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).logits[0].float()
    p = logits[row.start - 1 : -1].softmax(1).cpu()
    found = []
    for chances, target in zip(p, row.answer, strict=True):
        rank = int((chances > chances[target]).sum()) + 1
        best = chances.topk(min(top, len(chances))).indices.tolist()
        found.append(
            Position(
                _named(tokenizer, target, chances), rank, tuple(_named(tokenizer, i, chances) for i in best)
            )
        )
    return found


@torch.no_grad()
def next_tokens(
    model: nn.Module, tokenizer: Any, prompt: Sequence[int], top: int = 5
) -> tuple[NextToken, ...]:
    """The most likely tokens after a prompt, in falling order."""
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([list(prompt)], device=device), use_cache=False).logits[0, -1]
    chances = logits.float().softmax(0).cpu()
    best = chances.topk(min(top, len(chances))).indices.tolist()
    return tuple(_named(tokenizer, i, chances) for i in best)


def _named(tokenizer: Any, token: int, chances: Tensor) -> NextToken:
    return NextToken(tokenizer.decode([token]), int(token), float(chances[token]))
