"""Stand-ins for the squared gradient norm of a response that need a forward pass only, and how good they are.

All take the score of the sampled tokens, grad log pi, so d_t = onehot(y_t) - pi_t at each response position.
Measured on the embedded character policy these correlate poorly with the exact norm; show the correlation on a
sub-sample (`correlation`) wherever one is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


def logit_proxy(logits: Tensor, chosen: Tensor, mask: Tensor) -> Tensor:
    """(B,) sum over response positions of ||d_t||^2 = 1 - 2 pi_t(y_t) + sum_v pi_t(v)^2.

    logits (B, T, V), chosen (B, T) token ids, mask (B, T). The form used by verl's optimal token baseline (read in
    the spec's notes of its source, 0.9.1)."""
    p = logits.softmax(2)
    picked = p.gather(2, chosen[:, :, None]).squeeze(2)
    return ((1 - 2 * picked + p.square().sum(2)) * mask).sum(1)


def head_errors(logits: Tensor, chosen: Tensor, mask: Tensor) -> Tensor:
    """(B, T, V) d_t = onehot(y_t) - pi_t, zero where the mask is: what the head's gradient is made of."""
    d = -logits.softmax(2)
    d.scatter_add_(2, chosen[:, :, None], torch.ones_like(d[:, :, :1]))
    return d * mask[:, :, None]


def head_norm(errors: Tensor, hidden: Tensor) -> Tensor:
    """(B,) exact squared norm of the gradient of the output head's weight alone.

    sum_{t,t'} (h_t . h_t') (d_t . d_t'); `errors` (B, T, V) of `head_errors`, `hidden` (B, T, d) the head's input.
    Cost B T^2 (V + d)."""
    h = hidden.to(errors.dtype)
    return ((errors @ errors.mT) * (h @ h.mT)).sum((1, 2))


def head_groups(errors: Tensor, hidden: Tensor, coefficients: Tensor, groups: int) -> Tensor:
    """(groups, V, d) gradient of the head's weight for sum_b c_b log pi_b over the rows of each group: `groups`
    blocks of consecutive rows; `coefficients` (B,). What the signal-to-noise ratio of the head is measured on."""
    left = (errors * coefficients[:, None, None]).reshape(groups, -1, errors.shape[2])
    return left.mT @ hidden.to(errors.dtype).reshape(groups, -1, hidden.shape[2])


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two sets of weights (any shape); NaN where one of them is constant."""
    a, b = np.ravel(first).astype(float), np.ravel(second).astype(float)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


@contextmanager
def head_input(model: nn.Module, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Keeps the input of the output head of each forward pass of a transformers model, detached, where wanted."""
    kept: list[Tensor] = []
    if not wanted:
        yield kept
        return
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _m, inputs, _o: kept.append(inputs[0].detach())
    )
    try:
        yield kept
    finally:
        hook.remove()
