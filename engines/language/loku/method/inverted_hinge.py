"""The inverted hinge loss: lower the unwanted token, raise only the runner-up, and stop by itself.

Source: LoKU, arXiv 2408.06621v5, the method's section; official code `dataloader.py`. Departure: the official code
guesses from the values whether it was given probabilities; here it is always logits.
"""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100


def answer_positions(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(logits (N, V) float32 at which an answer token is due, the N true tokens).

    logits (B, T, V) of any float type; labels (B, T), not shifted, -100 where no loss is due. Raises ValueError where no
    token carries a loss: the mean over nothing would be NaN."""
    targets = labels[:, 1:]
    due = targets != IGNORED
    if not bool(due.any()):
        raise ValueError("no token of the batch carries a loss: every label is -100")
    return logits[:, :-1][due].float(), targets[due]


def hinge_terms(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(ℓ, p of the target, p of the runner-up), each (N,) float32.

    logits (N, V), targets (N,). ℓ = 1 + p(target) - max over other tokens of p, in [0, 2]."""
    p = logits.float().softmax(-1)
    p_target = p.gather(1, targets[:, None]).squeeze(1)
    # The target is masked with -1, below every probability, so it can never be its own runner-up.
    p_runner = p.scatter(1, targets[:, None], -1.0).amax(1)
    return 1 + p_target - p_runner, p_target, p_runner


def inverted_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """L_IHL = mean over all answer tokens of the batch of 1 + p(x_t) - max_{v ≠ x_t} p(v), a scalar in [0, 2].

    logits (B, T, V), labels (B, T) as transformers has them. 2: the target has all mass; 0: another token has.
    Raises ValueError without answer tokens."""
    terms, _, _ = hinge_terms(*answer_positions(logits, labels))
    return terms.mean()


def inverted_hinge_gradient(p: Tensor, target: int) -> Tensor:
    """∂ℓ/∂z in closed form for one position: p (V,) probabilities, `target` the true token; sums to 0.

    With m the runner-up: target p_t(1 - p_t + p_m), runner-up -p_m(1 - p_m + p_t), any other p_v(p_m - p_t). It is what
    makes the loss stop by itself: every entry vanishes once p_m = 1."""
    others = p.clone()
    others[target] = -1.0
    m = int(others.argmax())
    p_t, p_m = p[target], p[m]
    gradient = p * (p_m - p_t)
    gradient[target] = p_t * (1 - p_t + p_m)
    gradient[m] = -p_m * (1 - p_m + p_t)
    return gradient


@torch.no_grad()
def watch(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """What is worth plotting of a forget batch: `IHL`, and the means of `p target` and `p runner-up`."""
    terms, p_target, p_runner = hinge_terms(*answer_positions(logits, labels))
    return {
        "IHL": float(terms.mean()),
        "p target": float(p_target.mean()),
        "p runner-up": float(p_runner.mean()),
    }
