"""From a loaded model to one that can unlearn: adapters of peft started plain, by PiSSA or by FILA, or all weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from engines.devices import torch_generator
from engines.language.kept_models import Factors, factors
from engines.language.loku.contenders import StartKey
from engines.language.loku.method.fila import LayerReport, SvdKind, fila_init
from engines.language.loku.method.importance import Epsilons, Fisher, target_layers
from engines.language.prompts import Encoded, collate

if TYPE_CHECKING:
    from engines.language.loading import LanguageModel


@dataclass(frozen=True)
class AdapterSettings:
    """rank: r; alpha: LoRA's alpha (the adapter is scaled by alpha / r); targets: last names of the layers."""

    rank: int
    alpha: int
    targets: tuple[str, ...]
    eps: Epsilons = Epsilons.RELATIVE
    svd: SvdKind = "auto"


@dataclass(frozen=True)
class Begun:
    """A model about to unlearn: what was taken out of its base (None: nothing), and what FILA found."""

    model: LanguageModel
    taken: Factors | None
    reports: tuple[LayerReport, ...]


def begin(
    language_model: LanguageModel,
    start: StartKey,
    settings: AdapterSettings,
    seed: int,
    fishers: tuple[Fisher, Fisher] | None = None,
) -> Begun:
    """A copy of the model with the parameters of that start trainable and all others frozen; `fishers` are those of the
    forget and of the retain set, for FILA. LoRA's random A is drawn from `seed`."""
    fresh = language_model.copy()
    if start == "full":
        fresh.model.requires_grad_(True)
        return Begun(fresh, None, ())
    model = with_adapters(fresh.model, settings, seed, pissa=start == "pissa")
    reports: Sequence[LayerReport] = ()
    if start == "fila":
        if fishers is None:
            raise ValueError("FILA needs the Fisher values of both sets")
        draw = torch_generator(seed, "FILA")
        reports = fila_init(model, *fishers, eps=settings.eps, svd=settings.svd, generator=draw, spectra=True)
    begun = type(fresh)(model, fresh.tokenizer, fresh.template, fresh.reference, fresh.context)
    return Begun(begun, None if start == "lora" else factors(model), tuple(reports))


def with_adapters(
    model: nn.Module, settings: AdapterSettings, seed: int, *, pissa: bool = False
) -> nn.Module:
    """The model, frozen, with LoRA adapters on the target layers (peft), in evaluation mode: there is no dropout."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=list(settings.targets),
        init_lora_weights="pissa" if pissa else True,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # peft tells GPT-2's Conv1D apart by itself and says so; and it asks transformers 5 by a name that is going.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning
        )
        torch.manual_seed(torch_generator(seed, "adapters").initial_seed() % 2**63)
        found: nn.Module = get_peft_model(model, config).eval()
    return found


def largest_rank(model: nn.Module, targets: Sequence[str]) -> int:
    """The smallest side of any target layer: no adapter can have a higher rank."""
    return min(min(layer.weight.shape) for layer in target_layers(model, targets).values())  # type: ignore[union-attr,arg-type]


@torch.no_grad()
def largest_change(before: nn.Module, after: nn.Module, rows: Sequence[Encoded], pad: int) -> float:
    """max |Δ logits| between two models on a batch: what a start must not change."""
    batch = collate(rows, pad, next(before.parameters()).device)
    real = batch.attention.bool()
    first, second = (m(**batch.inputs(), use_cache=False).logits[real] for m in (before, after))
    return float((first - second).abs().max())


def state_bytes(model: nn.Module, adam: bool = True) -> int:
    """Memory of weights, gradients and optimizer state in bytes, activations apart: what training must hold."""
    held: dict[int, Any] = {p.data_ptr(): p for p in model.parameters()}
    weights = sum(p.numel() * p.element_size() for p in held.values())
    trained = sum(p.numel() * p.element_size() for p in held.values() if p.requires_grad)
    return weights + trained * (3 if adam else 1)
