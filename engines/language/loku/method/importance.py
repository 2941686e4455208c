"""Which weights carry the forget set: empirical Fisher values, their ratio to the retain set's, and row weights.

Source: LoKU, arXiv 2408.06621v5; official code `measure_importance.py`, `forget.py`. Departures, each by an argument:
the official Fisher squares the gradient of a batch mean (`fisher_batch` 4 or 2; ours 1 by default, the proper empirical
Fisher value), and its epsilons are absolute (`Epsilons.OFFICIAL`; ours are relative to the tensor).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from engines.language.loku.method.inverted_hinge import IGNORED

if TYPE_CHECKING:
    from engines.language.prompts import Batch

Fisher = Mapping[str, Tensor]
"""Name of a linear layer (as in the base model) to its Fisher values, (d_out, d_in) float32, whatever way round the
layer stores its weight."""


def is_transposed(layer: nn.Module) -> bool:
    """Whether a layer stores its weight (d_in, d_out), as GPT-2's Conv1D does."""
    return type(layer).__name__ == "Conv1D"


def target_layers(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Module]:
    """The linear layers whose last name is in `targets`, by full name, in order. Raises ValueError for none."""
    found = {
        name: part
        for name, part in model.named_modules()
        if name.rsplit(".", 1)[-1] in targets and isinstance(getattr(part, "weight", None), Tensor)
    }
    if not found:
        raise ValueError(f"no layer of the model is called {', '.join(targets)}")
    return found


class FisherMeter:
    """Sums squared gradients of target layers over batches, one backward pass a batch whatever its size.

    F(W) = (1/n) Σ_groups n_g (∂ CE_g / ∂W)², elementwise; a group are `fisher_batch` consecutive rows of a batch, CE_g
    its token-mean loss, n_g its answer tokens, n = Σ n_g. A backward pass brings each layer's input X and the gradient
    dY of its output, and the group's gradient is dYᵀX: the product that a plain backward pass forms too, so the price
    over it is the squaring. With groups of one row this is the empirical Fisher value exactly."""

    def __init__(self, model: nn.Module, targets: Sequence[str], fisher_batch: int = 1) -> None:
        if fisher_batch < 1:
            raise ValueError(f"fisher_batch must be at least 1; got {fisher_batch}")
        self.model, self.fisher_batch = model, fisher_batch
        self.layers = target_layers(model, targets)
        self.sums: dict[str, Tensor] = {}
        self.tokens = 0
        self._inputs: dict[str, Tensor] = {}
        self._weights = torch.empty(0)

    def add(self, batch: Batch) -> None:
        """Count one batch in. Parameters and their gradients stay as they are. Raises ValueError for a row group
        without answer tokens and for a layer that sees anything but (rows, tokens, features)."""
        rows = len(batch.ids)
        group = torch.arange(rows, device=batch.ids.device) // self.fisher_batch
        counts = (batch.labels[:, 1:] != IGNORED).sum(1)
        n_g = torch.zeros(int(group[-1]) + 1, device=group.device).index_add_(0, group, counts.float())
        if bool((n_g == 0).any()):
            raise ValueError("a row carries no answer token: its label is -100 everywhere")
        self._weights = n_g
        with self._listening():
            logits = self.model(**batch.inputs(), use_cache=False).logits
            losses = nn.functional.cross_entropy(
                logits[:, :-1].float().transpose(1, 2), batch.labels[:, 1:], reduction="none"
            )
            # Σ_g CE_g: the groups do not touch each other, so each sees the gradient of its own token mean.
            (losses.sum(1) / n_g[group]).sum().backward()
        self.tokens += int(counts.sum())

    def values(self) -> dict[str, Tensor]:
        """The Fisher values of all that was added. Raises ValueError for nothing."""
        if not self.tokens:
            raise ValueError("nothing was added to the Fisher values")
        return {name: total / self.tokens for name, total in self.sums.items()}

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Frozen parameters, a gradient from the embeddings on, and an ear at each target layer."""
        flags = [(p, p.requires_grad) for p in self.model.parameters()]
        handles = [layer.register_forward_hook(self._ear(name)) for name, layer in self.layers.items()]
        embedding: Any = self.model.get_input_embeddings()  # type: ignore[operator]
        handles.append(embedding.register_forward_hook(lambda module, args, out: out.requires_grad_(True)))
        for p, _ in flags:
            p.requires_grad_(False)
        try:
            with torch.enable_grad():
                yield
        finally:
            for handle in handles:
                handle.remove()
            for p, flag in flags:
                p.requires_grad_(flag)
            self._inputs.clear()

    def _ear(self, name: str) -> Any:
        def heard(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            if args[0].dim() != 3 or name in self._inputs:
                raise ValueError(
                    f"Fisher values need layer {name} to see (rows, tokens, features) once a pass"
                )
            self._inputs[name] = args[0].detach()
            out.register_hook(lambda gradient: self._count(name, gradient))

        return heard

    def _count(self, name: str, gradient: Tensor) -> None:
        x, dy, k = self._inputs[name].float(), gradient.float(), self.fisher_batch
        total = self.sums.get(name)
        if total is None:
            total = self.sums[name] = torch.zeros(dy.shape[-1], x.shape[-1], device=x.device)
        for g, n_g in enumerate(self._weights.tolist()):
            part = slice(g * k, (g + 1) * k)
            # (∂ CE_g/∂W) (d_out, d_in) = Σ over rows and tokens of the group of dy xᵀ
            g_w = dy[part].flatten(0, 1).T @ x[part].flatten(0, 1)
            total.addcmul_(g_w, g_w, value=n_g)


@dataclass(frozen=True)
class Epsilons:
    """The small numbers of FILA.

    fisher: added to F_r before the division; row: added to ρ before 1/ρ; floor: ρ is not taken below this share of
    its largest. `relative`: `fisher` counts in means of F_r of the tensor and `row` in the largest ρ; else absolute."""

    fisher: float
    row: float
    floor: float
    relative: bool

    OFFICIAL: ClassVar[Epsilons]
    RELATIVE: ClassVar[Epsilons]

    @classmethod
    def named(cls, name: str) -> Epsilons:
        """ "relative" or "official"; raises ValueError."""
        known = {"relative": cls.RELATIVE, "official": cls.OFFICIAL}
        if name not in known:
            raise ValueError(f"eps must be one of {', '.join(known)}; got {name!r}")
        return known[name]


Epsilons.OFFICIAL = Epsilons(1e-5, 1e-5, 0.0, relative=False)
Epsilons.RELATIVE = Epsilons(1e-3, 1e-6, 1e-3, relative=True)


def relative_importance(forget: Tensor, retain: Tensor, eps: Epsilons = Epsilons.RELATIVE) -> Tensor:
    """F_rel = F_f / (F_r + eps), elementwise, (d_out, d_in). Where the retain set gives no gradient at all, the
    relative epsilon is that of the forget set's mean, so that nothing is divided by 0."""
    if not eps.relative:
        return forget / (retain + eps.fisher)
    scale = retain.mean() if bool(retain.any()) else forget.mean()
    return forget / (retain + eps.fisher * scale).clamp_min(torch.finfo(torch.float32).tiny)


def share_above(retain: Tensor, eps: Epsilons = Epsilons.RELATIVE) -> float:
    """Share of the entries whose F_r exceeds the epsilon beside it: near 0, the ratio has lost its contrast with the
    retain set."""
    return float((retain > eps.fisher * (retain.mean() if eps.relative else 1.0)).float().mean())


def row_weights(relative: Tensor, eps: Epsilons = Epsilons.RELATIVE) -> Tensor:
    """ρ = sqrt(F_rel · 1): one positive number for each OUTPUT row, (d_out,).

    A layer that the forget set does not touch (F_f = 0 everywhere) gets ρ = 1, which makes FILA the plain truncated
    SVD. With `eps.floor` rows are kept above that share of the largest, else B would hold rows of size 1/ρ."""
    rho = relative.sum(1).sqrt()
    largest = rho.max()
    if not bool(largest > 0):
        return torch.ones_like(rho)
    return rho.clamp_min(eps.floor * float(largest)) if eps.floor else rho
