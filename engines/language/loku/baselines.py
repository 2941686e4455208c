"""The losses that unlearn: the method's and those that the paper and open-unlearning compare with (spec section 4).

Each takes a `Pair` of batches and answers `Terms`: what pushes away from the forget set and what holds the retain set.
The sum that is minimised is forget + retain_weight * retain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, logsigmoid, mse_loss

from engines.language.loku.contenders import LossKey
from engines.language.loku.method.inverted_hinge import IGNORED, answer_positions, inverted_hinge, watch

if TYPE_CHECKING:
    from engines.language.prompts import Batch

LOSS_KEYS: tuple[LossKey, ...] = get_args(LossKey)
NEEDS_REFERENCE: frozenset[LossKey] = frozenset({"kl", "npo", "dpo", "rmu"})
"""Losses that look at the original model. It must be a real copy: FILA's base is not the original."""
NEEDS_REFUSALS: frozenset[LossKey] = frozenset({"idk", "dpo"})


@dataclass(frozen=True)
class LossSettings:
    """Constants of the losses (spec section 3 and 4).

    npo_beta, simnpo_beta, simnpo_delta, simnpo_weight, dpo_beta, wga_beta: as in their papers
    rmu_scale: length of the random vector that hidden states are pushed to; rmu_layer: which hidden states (0: the
    middle ones); rmu_direction: (hidden,) unit vector, drawn once a run"""

    npo_beta: float = 0.1
    simnpo_beta: float = 4.5
    simnpo_delta: float = 0.0
    simnpo_weight: float = 0.125
    dpo_beta: float = 0.1
    wga_beta: float = 1.0
    rmu_scale: float = 20.0
    rmu_layer: int = 0
    rmu_direction: Tensor | None = None


@dataclass(frozen=True)
class Pair:
    """What one step sees: as many questions to keep as to forget; for IDK and DPO the latter also with an evasive
    answer."""

    forget: Batch
    retain: Batch
    refusal: Batch | None = None


@dataclass(frozen=True)
class Terms:
    """The two parts of a loss, and what is worth plotting of the forget batch."""

    forget: Tensor
    retain: Tensor | None
    seen: Mapping[str, float]


def row_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(summed -log p of each row's answer tokens (B,), their number (B,)), float32."""
    losses = cross_entropy(logits[:, :-1].float().transpose(1, 2), labels[:, 1:], reduction="none")
    return losses.sum(1), (labels[:, 1:] != IGNORED).sum(1).float()


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """CE: the mean of -log p over all answer tokens of a batch, a scalar."""
    return cross_entropy(*answer_positions(logits, labels))


def npo(nll: Tensor, reference_nll: Tensor, beta: float) -> Tensor:
    """(-2/β) mean log σ(β (nll_θ - nll_ref)), sums over the answers (B,). (2/β) ln 2 where θ is the reference; its
    gradient tends to gradient ascent's as β -> 0. Source: arXiv 2404.05868."""
    return -2 / beta * logsigmoid(beta * (nll - reference_nll)).mean()


def simnpo(nll: Tensor, tokens: Tensor, beta: float, delta: float) -> Tensor:
    """(-2/β) mean log σ(β (nll/length - δ)): no reference model. Source: arXiv 2410.07163."""
    return -2 / beta * logsigmoid(beta * (nll / tokens - delta)).mean()


def dpo(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """(-2/β) mean log σ(β (chosen - rejected)) of log-likelihood ratios to the reference (B,): the evasive answer is
    chosen, the true one rejected. Scaled as NPO, of which it is the origin."""
    return -2 / beta * logsigmoid(beta * (chosen - rejected)).mean()


def weighted_ascent(logits: Tensor, labels: Tensor, beta: float) -> Tensor:
    """WGA: -mean(p^β · nll) with p held fixed: tokens that are already unlikely are left alone. Source:
    arXiv 2502.19301."""
    picked, targets = answer_positions(logits, labels)
    nll = cross_entropy(picked, targets, reduction="none")
    return -((-nll).exp().detach() ** beta * nll).mean()


def drift(original: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """KL(original ‖ current) over the answer tokens of the retain batch, mean a token, in nats."""
    now, _ = answer_positions(logits, labels)
    before, _ = answer_positions(original, labels)
    return kl_div(log_softmax(now, -1), log_softmax(before, -1), log_target=True, reduction="batchmean")


def terms(
    key: LossKey, model: nn.Module, pair: Pair, settings: LossSettings, original: nn.Module | None = None
) -> Terms:
    """The terms of loss `key` on a pair of batches. `original` is the model before unlearning, for `NEEDS_REFERENCE`.

    Raises ValueError where the original or the evasive answers are missing."""
    if key in NEEDS_REFERENCE and original is None:
        raise ValueError(f"{key} compares with the original model, which is missing")
    if key in NEEDS_REFUSALS and pair.refusal is None:
        raise ValueError(f"{key} needs evasive answers, which this corpus does not have")
    return _TERMS[key](model, pair, settings, original)


Compute = Callable[[nn.Module, Pair, LossSettings, "nn.Module | None"], Terms]


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = model(**batch.inputs(), use_cache=False).logits
    return logits


def _retain(model: nn.Module, pair: Pair) -> Tensor:
    return token_loss(_logits(model, pair.retain), pair.retain.labels)


def _simple(loss: Callable[[Tensor, Tensor, LossSettings], Tensor], *, keeps: bool) -> Compute:
    """A loss of the forget batch's logits alone, with or without CE on the retain batch."""

    def compute(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
        logits = _logits(model, pair.forget)
        forget = loss(logits, pair.forget.labels, s)
        return Terms(forget, _retain(model, pair) if keeps else None, watch(logits, pair.forget.labels))

    return compute


def _kl(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
    assert original is not None
    logits = _logits(model, pair.forget)
    with torch.no_grad():
        before = _logits(original, pair.retain)
    away = drift(before, _logits(model, pair.retain), pair.retain.labels)
    return Terms(-token_loss(logits, pair.forget.labels), away, watch(logits, pair.forget.labels))


def _idk(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
    assert pair.refusal is not None
    with torch.no_grad():
        seen = watch(_logits(model, pair.forget), pair.forget.labels)
    forget = token_loss(_logits(model, pair.refusal), pair.refusal.labels)
    return Terms(forget, _retain(model, pair), seen)


def _npo(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
    assert original is not None
    logits, labels = _logits(model, pair.forget), pair.forget.labels
    with torch.no_grad():
        before, _ = row_losses(_logits(original, pair.forget), labels)
    forget = npo(row_losses(logits, labels)[0], before, s.npo_beta)
    return Terms(forget, _retain(model, pair), watch(logits, labels))


def _dpo(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
    assert original is not None
    assert pair.refusal is not None
    logits, labels = _logits(model, pair.forget), pair.forget.labels
    refusal, _ = row_losses(_logits(model, pair.refusal), pair.refusal.labels)
    with torch.no_grad():
        before, _ = row_losses(_logits(original, pair.forget), labels)
        refusal_before, _ = row_losses(_logits(original, pair.refusal), pair.refusal.labels)
    forget = dpo(refusal_before - refusal, before - row_losses(logits, labels)[0], s.dpo_beta)
    return Terms(forget, _retain(model, pair), watch(logits, labels))


def _rmu(model: nn.Module, pair: Pair, s: LossSettings, original: nn.Module | None) -> Terms:
    """Source: arXiv 2403.03218: hidden states of the forget answers go to a random vector, those of the retain
    answers stay where they were."""
    assert original is not None
    if s.rmu_direction is None:
        raise ValueError("rmu needs its random direction")
    hidden, logits = _hidden(model, pair.forget, s.rmu_layer)
    due = pair.forget.labels[:, 1:] != IGNORED
    goal = s.rmu_scale * s.rmu_direction.to(hidden)
    forget = mse_loss(hidden[:, :-1][due], goal.expand_as(hidden[:, :-1][due]))
    now, _ = _hidden(model, pair.retain, s.rmu_layer)
    with torch.no_grad():
        before, _ = _hidden(original, pair.retain, s.rmu_layer)
    kept = pair.retain.labels[:, 1:] != IGNORED
    return Terms(forget, mse_loss(now[:, :-1][kept], before[:, :-1][kept]), watch(logits, pair.forget.labels))


def _hidden(model: nn.Module, batch: Batch, layer: int) -> tuple[Tensor, Tensor]:
    out = model(**batch.inputs(), use_cache=False, output_hidden_states=True)
    return out.hidden_states[layer or len(out.hidden_states) // 2], out.logits


_TERMS: Mapping[LossKey, Compute] = {
    "ihl": _simple(lambda logits, labels, s: inverted_hinge(logits, labels), keeps=True),
    "ga": _simple(lambda logits, labels, s: -token_loss(logits, labels), keeps=False),
    "graddiff": _simple(lambda logits, labels, s: -token_loss(logits, labels), keeps=True),
    "kl": _kl,
    "idk": _idk,
    "npo": _npo,
    "simnpo": _simple(
        lambda logits, labels, s: (
            s.simnpo_weight * simnpo(*row_losses(logits, labels), s.simnpo_beta, s.simnpo_delta)
        ),
        keeps=True,
    ),
    "dpo": _dpo,
    "wga": _simple(lambda logits, labels, s: weighted_ascent(logits, labels, s.wga_beta), keeps=True),
    "rmu": _rmu,
}
