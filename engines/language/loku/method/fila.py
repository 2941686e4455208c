"""FILA: a LoRA start that moves the weights important for the forget set into the adapter and out of the base.

Source: LoKU, arXiv 2408.06621v5; official code `forget.py`. Departures: an exact SVD where the smaller side is at most
1024, else a randomised one with oversampling (the official code draws without); the factors are rounded to the
adapter's type *before* the base is formed, so that rounding them cannot change the model's function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engines.language.loku.method.importance import (
    Epsilons,
    Fisher,
    relative_importance,
    row_weights,
    share_above,
)

SvdKind = Literal["auto", "exact", "randomised"]
EXACT_UP_TO = 1024
OVERSAMPLING, POWER_ITERATIONS = 8, 4


@dataclass(frozen=True)
class Factors:
    """B (d_out, r) and A (r, d_in) with scaling s: the adapter adds s B A. `singular` (k,): singular values of
    diag(ρ) W, all of them from the exact SVD, the first r from the randomised one."""

    b: Tensor
    a: Tensor
    singular: Tensor


def weighted_factors(
    weight: Tensor,
    rho: Tensor,
    rank: int,
    scaling: float,
    *,
    eps_row: float = 0.0,
    svd: SvdKind = "auto",
    generator: torch.Generator | None = None,
) -> Factors:
    """The best B A of rank r for min ‖ diag(ρ)(W - s B A) ‖_F, by SVD of diag(ρ) W.

    weight (d_out, d_in), rho (d_out,) positive. With diag(ρ) W ≈ U S Vᵀ and S' = S/s: A = S'^½ Vᵀ,
    B = diag(1/(ρ + eps_row)) U S'^½. float32 throughout; the randomised SVD draws from `generator`.
    Raises ValueError for a rank above min(d_out, d_in). Cost: O(d_out d_in min(d_out, d_in)), or O(d_out d_in r)."""
    smaller = min(weight.shape)
    if not 1 <= rank <= smaller:
        raise ValueError(f"rank must be from 1 to {smaller}, the smaller side of the weight; got {rank}")
    scaled = rho[:, None].float() * weight.float()
    exact = svd == "exact" or (svd == "auto" and smaller <= EXACT_UP_TO)
    u, s, vh = torch.linalg.svd(scaled, full_matrices=False) if exact else _sketched(scaled, rank, generator)
    root = (s[:rank] / scaling).sqrt()
    a = root[:, None] * vh[:rank]
    b = u[:, :rank] * root / (rho.float() + eps_row)[:, None]
    return Factors(b, a, s)


def _sketched(matrix: Tensor, rank: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """Randomised truncated SVD (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1): range finder with
    oversampling and power iterations, each orthogonalised. Ours because torch.svd_lowrank takes no generator."""
    width = min(rank + OVERSAMPLING, min(matrix.shape))
    probe = torch.randn(matrix.shape[1], width, generator=generator).to(matrix)
    q, _ = torch.linalg.qr(matrix @ probe)
    for _ in range(POWER_ITERATIONS):
        q, _ = torch.linalg.qr(matrix.T @ q)
        q, _ = torch.linalg.qr(matrix @ q)
    u, s, vh = torch.linalg.svd(q.T @ matrix, full_matrices=False)
    return (q @ u)[:, :rank], s[:rank], vh[:rank]


@dataclass(frozen=True)
class LayerReport:
    """What FILA found at one layer.

    rho: (d_out,) row weights; share: of the squared singular values of diag(ρ) W that rank r takes (and `plain_share`
    of W's own, NaN where not asked for); singular, plain_singular: those values, as far as computed;
    above_eps: share of the entries of F_r above the epsilon; floored: rows that were lifted to the floor"""

    name: str
    rho: Tensor
    share: float
    plain_share: float
    singular: Tensor
    plain_singular: Tensor
    above_eps: float
    floored: int


@torch.no_grad()
def fila_init(
    peft_model: nn.Module,
    fisher_forget: Fisher,
    fisher_retain: Fisher,
    *,
    eps: Epsilons = Epsilons.RELATIVE,
    svd: SvdKind = "auto",
    generator: torch.Generator | None = None,
    adapter: str = "default",
    spectra: bool = False,
) -> list[LayerReport]:
    """Start the LoRA adapters of any PeftModel at FILA's factors and take them out of the frozen base, in place.

    The model's function stays as it was (rounding apart: below 1e-3 on the logits in float32); what changes is which
    part of it is trained. `fisher_forget` and `fisher_retain` map names of layers to (d_out, d_in) values, as
    `FisherMeter.values()` of the model before it got adapters gives them. Linear and Conv1D layers alike.

    The base is not the original any more: keep it (or merged weights) beside the adapter, and do not take
    `disable_adapter()` for the reference model. Raises ValueError for a model without LoRA layers of that adapter, one
    that is quantised, uses DoRA or has merged adapters, and for a layer without Fisher values or of too high a rank."""
    layers = _lora_layers(peft_model, adapter)
    draw = generator or torch.Generator().manual_seed(0)
    for name, layer in layers.items():  # everything is checked before anything changes
        _check(name, layer, adapter, fisher_forget, fisher_retain)
    return [
        _start(name, layer, adapter, fisher_forget[name], fisher_retain[name], eps, svd, draw, spectra)
        for name, layer in layers.items()
    ]


def _lora_layers(model: nn.Module, adapter: str) -> dict[str, Any]:
    """LoRA layers by the names that their layers have in the base model."""
    from peft.tuners.lora import LoraLayer

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    found = {
        name: part
        for name, part in base.named_modules()  # type: ignore[operator,union-attr]
        if isinstance(part, LoraLayer) and adapter in part.lora_A
    }
    if not found:
        raise ValueError(f"the model has no LoRA layer with an adapter {adapter!r} on a linear layer")
    return found


def _check(name: str, layer: Any, adapter: str, forget: Fisher, retain: Fisher) -> None:
    weight = layer.get_base_layer().weight
    shape = (layer.out_features, layer.in_features)
    if not weight.is_floating_point() or weight.dim() != 2 or sorted(weight.shape) != sorted(shape):
        raise ValueError(
            f"layer {name} has a quantised weight; FILA changes the base: load the model in floats"
        )
    if layer.lora_variant.get(adapter) is not None or layer.merged:
        raise ValueError(f"layer {name}: FILA starts plain, unmerged LoRA adapters only")
    for which, fisher in (("fisher_forget", forget), ("fisher_retain", retain)):
        if name not in fisher:
            raise ValueError(f"{which} has no values for layer {name}")
        if tuple(fisher[name].shape) != shape:
            raise ValueError(f"{which}[{name!r}] must be {shape}; got {tuple(fisher[name].shape)}")
    if layer.r[adapter] > min(shape):
        raise ValueError(f"rank must be at most {min(shape)} at layer {name}; got {layer.r[adapter]}")


def _start(
    name: str,
    layer: Any,
    adapter: str,
    forget: Tensor,
    retain: Tensor,
    eps: Epsilons,
    svd: SvdKind,
    generator: torch.Generator,
    spectra: bool,
) -> LayerReport:
    base = layer.get_base_layer()
    turned = tuple(base.weight.shape) != (layer.out_features, layer.in_features) or layer.fan_in_fan_out
    weight = (base.weight.T if turned else base.weight).float().clone()
    forget, retain = forget.to(weight.device).float(), retain.to(weight.device).float()
    relative = relative_importance(forget, retain, eps)
    rho = row_weights(relative, eps)
    rank, scaling = layer.r[adapter], layer.scaling[adapter]
    eps_row = eps.row * (float(rho.max()) if eps.relative else 1.0)
    found = weighted_factors(weight, rho, rank, scaling, eps_row=eps_row, svd=svd, generator=generator)
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    a.copy_(found.a)
    b.copy_(found.b)
    # W* = W - s B A, with the factors as they were stored
    remaining = weight - scaling * b.float() @ a.float()
    base.weight.copy_(remaining.T if turned else remaining)
    total = float((rho[:, None] * weight).square().sum())
    plain = torch.linalg.svdvals(weight) if spectra else torch.empty(0, device=weight.device)
    return LayerReport(
        name=name,
        rho=rho.cpu(),
        share=float(found.singular[:rank].square().sum()) / total if total else 0.0,
        plain_share=float(plain[:rank].square().sum() / plain.square().sum()) if spectra else float("nan"),
        singular=found.singular.cpu(),
        plain_singular=plain.cpu(),
        above_eps=share_above(retain, eps),
        floored=int((relative.sum(1).sqrt() < rho).sum()) if bool(forget.any()) else 0,
    )
