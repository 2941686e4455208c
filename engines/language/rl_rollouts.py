"""Sampling responses with a key-value cache, and the log-probability of what was sampled.

Works for any causal language model of transformers. Prompts are padded on the left; all sampling is at temperature 1
without truncation unless asked, since otherwise a policy gradient scored at temperature 1 is no longer unbiased.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Rollout:
    """`ids` (B, T) prompt and response tokens; `attention` (B, T) 1 where a token is real; `response` (B, T) 1 on
    response tokens (the end mark included); `responses` the texts without end mark; `ended` (B,) False where the
    response was cut off."""

    ids: Tensor
    attention: Tensor
    response: Tensor
    responses: list[str]
    ended: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Response tokens of each row, (B,)."""
        return self.response.sum(1).cpu().numpy()

    def rows(self, start: int, stop: int) -> Rollout:
        """The rows from `start` to `stop`."""
        cut = slice(start, stop)
        return Rollout(
            self.ids[cut], self.attention[cut], self.response[cut], self.responses[cut], self.ended[cut]
        )


def position_ids(attention: Tensor) -> Tensor:
    """(B, T) position of each real token from 0, whatever padding stands before it."""
    return (attention.long().cumsum(1) - 1).clamp(min=0)


def takes_positions(model: nn.Module) -> bool:
    """Whether the model's forward takes `position_ids`."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "position_ids" in inspect.signature(inner.forward).parameters


@torch.no_grad()
def sample(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    generator: torch.Generator,
    greedy: bool = False,
    temperature: float = 1.0,
) -> Rollout:
    """One response to each prompt (repeat a prompt to get a group).

    `generator` lives on the CPU, so that the draws do not depend on the device. Rows that have ended are fed pads
    until the last has ended."""
    device = next(model.parameters()).device
    batch = tokenizer(list(prompts), padding=True, padding_side="left", return_tensors="pt")
    ids, attention = batch["input_ids"].to(device), batch["attention_mask"].to(device)
    prompt_length, end, pad = ids.shape[1], end_tokens(model, tokenizer), tokenizer.pad_token_id
    open_rows = torch.ones(len(prompts), dtype=torch.bool, device=device)
    step_ids, cache, real = ids, None, []
    for _ in range(max_new_tokens):
        extra = (
            {"position_ids": position_ids(attention)[:, -step_ids.shape[1] :]}
            if takes_positions(model)
            else {}
        )
        out = model(
            input_ids=step_ids, attention_mask=attention, past_key_values=cache, use_cache=True, **extra
        )
        cache = out.past_key_values
        chosen = _choose(out.logits[:, -1].float(), generator, greedy, temperature)
        chosen = torch.where(open_rows, chosen, pad)
        real.append(open_rows)
        ids = torch.cat([ids, chosen[:, None]], 1)
        attention = torch.cat([attention, open_rows[:, None].to(attention.dtype)], 1)
        open_rows = open_rows & ~torch.isin(chosen, end)
        step_ids = chosen[:, None]
        if not bool(open_rows.any()):
            break
    response = torch.zeros_like(attention)
    response[:, prompt_length:] = torch.stack(real, 1).to(attention.dtype)
    texts = _texts(tokenizer, ids[:, prompt_length:], response[:, prompt_length:], end)
    return Rollout(ids, attention, response, texts, (~open_rows).cpu().numpy())


def _choose(logits: Tensor, generator: torch.Generator, greedy: bool, temperature: float) -> Tensor:
    """Next token of each row, (B,): the largest logit, or the inverse of the cumulative distribution at a uniform
    draw made on the CPU in float64."""
    if greedy:
        return logits.argmax(1)
    cumulative = torch.softmax(logits.double() / temperature, 1).cumsum(1)
    draw = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64).to(logits.device)
    return torch.searchsorted(cumulative, draw * cumulative[:, -1:]).squeeze(1).clamp(max=logits.shape[1] - 1)


def end_tokens(model: nn.Module, tokenizer: Any) -> Tensor:
    """Ids that end a response: the tokenizer's and the generation configuration's."""
    found = {tokenizer.eos_token_id}
    config = getattr(model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    found |= set(named) if isinstance(named, list) else {named}
    return torch.tensor(sorted(i for i in found if i is not None), device=next(model.parameters()).device)


def _texts(tokenizer: Any, ids: Tensor, real: Tensor, end: Tensor) -> list[str]:
    keep = (real.bool() & ~torch.isin(ids, end)).cpu()
    return [tokenizer.decode(row[mask].tolist()) for row, mask in zip(ids.cpu(), keep, strict=True)]


def token_log_probs(model: nn.Module, rollout: Rollout, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """(log-probability (B, T-1) of each token given those before it, logits (B, T-1, V) in float32).

    Position t of the result belongs to token t + 1; mask it with `rollout.response[:, 1:]`. Every row is given its
    own positions (B, T), so that gradients of position embeddings can be told apart by row."""
    extra = {"position_ids": position_ids(rollout.attention)} if takes_positions(model) else {}
    out = model(input_ids=rollout.ids, attention_mask=rollout.attention, use_cache=False, **extra)
    logits = out.logits[:, :-1].float() / temperature
    chosen = logits.gather(2, rollout.ids[:, 1:, None]).squeeze(2)
    return chosen - logits.logsumexp(2), logits


def entropy(logits: Tensor, mask: Tensor) -> float:
    """Mean entropy of the next-token distribution over the masked positions, in nats. logits (B, T, V)."""
    log_p = logits.detach().log_softmax(2)
    per_token = -(log_p.exp() * log_p).sum(2)
    return float((per_token * mask).sum() / mask.sum().clamp(min=1))
