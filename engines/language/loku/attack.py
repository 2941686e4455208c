"""The re-learning attack: teach a quarter of the forget set again, and see whether the rest comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from engines.devices import numpy_generator
from engines.language.answers import score
from engines.language.loku.baselines import token_loss
from engines.language.loku.evaluation import known_accuracy
from engines.language.loku.params import LokuParams
from engines.language.prompts import Encoded, collate

if TYPE_CHECKING:
    from engines.language.loading import LanguageModel

SHARE = 0.25
BATCH = 16


def relearn(
    model: LanguageModel, forget: Sequence[Encoded], params: LokuParams, seed: int
) -> tuple[float, float]:
    """(before, after): accuracy on the questions that are NOT taught, over the tokens that carry the fact (all answer
    tokens where none are marked). Trains the model's trainable parameters in place; the same rows, order, rate and steps
    for every contender. With fewer than four questions there is nothing to hold back: both are NaN."""
    taught = list(forget[::4])
    rest = [row for k, row in enumerate(forget) if k % 4]
    if not rest or not taught:
        return float("nan"), float("nan")
    before = _known(model, rest)
    parameters = [p for p in model.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=params.relearn_rate, weight_decay=0.0)
    device = parameters[0].device
    for step in range(params.relearn_steps):
        draw = numpy_generator(seed, "re-learning", step)
        chosen = draw.permutation(len(taught))[:BATCH]
        batch = collate([taught[int(i)] for i in chosen], model.pad, device)
        optimizer.zero_grad()
        token_loss(model.model(**batch.inputs(), use_cache=False).logits, batch.labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return before, _known(model, rest)


def _known(model: LanguageModel, rows: Sequence[Encoded]) -> float:
    return known_accuracy(score(model.model, rows, pad=model.pad))
