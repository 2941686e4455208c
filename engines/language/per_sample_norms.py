"""Exact gradient norms of every row and every group of a batch, from one forward and one backward pass.

    with record(model) as tape:
        log_probs, _ = token_log_probs(model, rollout)
        per_row = (log_probs * mask).sum(1)                 # (B,) any objective that is a sum over rows
    tape.differentiate(per_row.sum())
    weights = tape.squared_norms()                          # (B,)  ||grad of row b||^2
    mean = tape.combine(advantages / B, groups=N)           # gradient of sum_b c_b row_b, and group norms

`differentiate` asks autograd for the gradients of layer *outputs* only; parameters' gradients come from `combine`,
for coefficients that may depend on the norms. So a gradient-weighted baseline needs no second backward pass. Layers:
Linear, Conv1D (transformers), Embedding, LayerNorm, RMSNorm, LoRA adapters (whose parts are Linear), tied tables.
The norm test of adaptive batch sizes and the gradient noise scale are functions of the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engines.language.per_sample_norms_factors import (
    Factor,
    Outer,
    Scatter,
    Summed,
    formed,
    merged,
    squared_norms,
)

FORMED_LIMIT = 2**27
"""Numbers of group gradients of one parameter that are formed at once."""


class UnsupportedLayer(ValueError):
    """A trainable parameter in a layer whose per-row gradient is not known here."""


@dataclass(frozen=True)
class Combined:
    """`gradients`: parameter name to sum_b c_b grad_b; `group_squared_norms` (groups,): the same over the rows of
    each group alone."""

    gradients: dict[str, Tensor]
    group_squared_norms: Tensor

    @property
    def squared_norm(self) -> float:
        """Squared norm of the whole gradient."""
        return squared_length(self.gradients)


def squared_length(gradients: Mapping[str, Tensor]) -> float:
    """Squared norm over all tensors, each summed in float32 or wider, together in float64."""
    lengths = torch.stack([torch.linalg.vector_norm(g.float()) for g in gradients.values()])
    return float(lengths.double().square().sum())


class Tape:
    """What `record` saw: layer inputs, then (after `differentiate`) gradients of layer outputs."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._calls: list[tuple[nn.Module, Tensor, Tensor]] = []
        self._factors: dict[str, list[Factor]] = {}

    def note(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Forward hook: keep what the layer's gradient will be made of."""
        if torch.is_grad_enabled() and output.requires_grad:
            self._calls.append((module, inputs[0].detach(), output))

    def differentiate(self, total: Tensor) -> None:
        """Gradients of the layer outputs of `total`, a scalar that is a sum over rows; frees the graph."""
        outputs = [output for _, _, output in self._calls]
        gradients = torch.autograd.grad(total, outputs, allow_unused=True)
        collected: dict[str, list[Factor]] = {}
        batch = max(output.shape[0] for output in outputs)
        for (module, inputs, _), gradient in zip(self._calls, gradients, strict=True):
            if gradient is None:
                continue
            if gradient.shape[0] != batch:
                raise UnsupportedLayer(
                    f"{type(module).__name__} was called on {gradient.shape[0]} rows, the batch has {batch}: pass "
                    "inputs with one row for each sample (position_ids of shape (B, T), tokens not flattened)."
                )
            for parameter, factor in _RULES[_kind(module)](module, inputs, gradient):
                if parameter.requires_grad:
                    collected.setdefault(self._names[id(parameter)], []).append(factor)
        self._calls = []
        self._factors = {name: merged(factors) for name, factors in collected.items()}

    def squared_norms(self) -> Tensor:
        """(B,) squared gradient norm of each row over all trainable parameters, float32."""
        return sum(squared_norms(factors) for factors in self._factors.values())  # type: ignore[return-value]

    def combine(self, coefficients: Tensor, groups: int) -> Combined:
        """Gradient of sum_b coefficients_b row_b, and the squared norm of each group's part.

        `coefficients` (B,); the rows are `groups` blocks of consecutive rows of equal size."""
        gradients, norms = {}, []
        for name, factors in self._factors.items():
            regrouped = [f.scaled(coefficients).regrouped(groups) for f in factors]
            whole, group_norms = _group_gradients(regrouped, groups)
            gradients[name] = whole
            norms.append(group_norms)
        return Combined(gradients, torch.stack(norms).sum(0))

    def first_rows(self, count: int) -> Tape:
        """The same for the first `count` rows alone: a sub-sample on which to check a stand-in."""
        part = Tape(self._names)
        part._factors = {name: [f.first(count) for f in factors] for name, factors in self._factors.items()}
        return part

    def rows(self) -> Iterator[tuple[str, Tensor]]:
        """(parameter name, its gradient for each row as (B, entries)), one parameter at a time."""
        for name, factors in self._factors.items():
            yield name, formed(factors).flatten(1)


def _group_gradients(factors: list[Factor], groups: int) -> tuple[Tensor, Tensor]:
    """(sum over groups, squared norm of each group): formed all at once where they are small enough, else one by
    one."""
    first = factors[0]
    entries = first.values.shape[2] if isinstance(first, Summed) else 0
    if isinstance(first, Outer):
        entries = first.left.shape[2] * first.right.shape[2]
    elif isinstance(first, Scatter):
        entries = first.rows * first.values.shape[2]
    if entries * groups <= FORMED_LIMIT:
        each = formed(factors)
        return each.sum(0), torch.linalg.vector_norm(each.flatten(1), dim=1).square()
    joined = [f.regrouped(1) for f in factors]
    return formed(joined)[0], squared_norms(factors)


@contextmanager
def record(model: nn.Module) -> Iterator[Tape]:
    """Watch one forward pass of `model`; raises `UnsupportedLayer` where a trainable parameter is not covered."""
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    tape, handles, covered = Tape(names), [], set()
    for module in model.modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if own and _kind(module):
            handles.append(module.register_forward_hook(tape.note))
            covered |= {id(p) for p in own}
    try:
        missing = [name for key, name in names.items() if key not in covered]
        if missing:
            raise UnsupportedLayer(
                f"per-sample norms know Linear, Conv1D, Embedding, LayerNorm and RMSNorm; {missing[0]} belongs to none "
                "of these: freeze it, or train LoRA adapters only."
            )
        yield tape
    finally:
        for handle in handles:
            handle.remove()


def _kind(module: nn.Module) -> str:
    """Which rule gives the layer's gradient; empty where none does."""
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return "linear"
    if name == "Conv1D" and getattr(module, "nf", None) is not None:
        return "conv1d"
    if isinstance(module, nn.Embedding):
        return (
            "" if module.max_norm is not None or module.scale_grad_by_freq or module.sparse else "embedding"
        )
    if isinstance(module, nn.LayerNorm):
        return "layer norm" if len(module.normalized_shape) == 1 else ""
    if name.endswith("RMSNorm") and getattr(module, "weight", None) is not None and module.weight.dim() == 1:
        return "rms norm"
    return ""


Rule = Callable[[Any, Tensor, Tensor], list[tuple[Tensor, Factor]]]


def _steps(values: Tensor) -> Tensor:
    """(B, T, last) float32 or wider: everything between the row and the last axis counts as position."""
    wide = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    return wide.reshape(wide.shape[0], -1, wide.shape[-1])


def _linear(module: nn.Linear, inputs: Tensor, gradient: Tensor) -> list[tuple[Tensor, Factor]]:
    x, d = _steps(inputs), _steps(gradient)
    found: list[tuple[Tensor, Factor]] = [(module.weight, Outer(d, x))]
    if module.bias is not None:
        found.append((module.bias, Summed(d)))
    return found


def _conv1d(module: Any, inputs: Tensor, gradient: Tensor) -> list[tuple[Tensor, Factor]]:
    x, d = _steps(inputs), _steps(gradient)
    return [(module.weight, Outer(x, d)), (module.bias, Summed(d))]


def _embedding(module: nn.Embedding, inputs: Tensor, gradient: Tensor) -> list[tuple[Tensor, Factor]]:
    ids, d = inputs.reshape(inputs.shape[0], -1), _steps(gradient)
    if module.padding_idx is not None:
        d = d * (ids != module.padding_idx)[:, :, None]
    return [(module.weight, Scatter(ids, d, module.num_embeddings))]


def _layer_norm(module: nn.LayerNorm, inputs: Tensor, gradient: Tensor) -> list[tuple[Tensor, Factor]]:
    x, d = _steps(inputs), _steps(gradient)
    normal = nn.functional.layer_norm(x, module.normalized_shape, eps=module.eps)
    found: list[tuple[Tensor, Factor]] = [(module.weight, Summed(d * normal))]
    if module.bias is not None:
        found.append((module.bias, Summed(d)))
    return found


def _rms_norm(module: Any, inputs: Tensor, gradient: Tensor) -> list[tuple[Tensor, Factor]]:
    x, d = _steps(inputs), _steps(gradient)
    eps = (
        getattr(module, "variance_epsilon", None) or getattr(module, "eps", None) or torch.finfo(x.dtype).eps
    )
    return [(module.weight, Summed(d * x * torch.rsqrt(x.square().mean(2, keepdim=True) + eps)))]


_RULES: dict[str, Rule] = {
    "linear": _linear,
    "conv1d": _conv1d,
    "embedding": _embedding,
    "layer norm": _layer_norm,
    "rms norm": _rms_norm,
}
