"""The cheapest noise-aware reward: the towers stay, only the last layers are fitted to each level, in closed form (ours).

A reward in ImageReward's shape ends in linear layers without activations, so its score is w . h + b of a state h. For each
level w is refitted by ridge regression towards the weights of the next cleaner level, the curriculum's "start from there"
in closed form. What differs between prompts does not matter to a race, so states and labels are centred in each prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.images.rewards.base import Features, preprocess
from engines.images.ttsnap.method.noise_aware import NoiseAware

Floats = NDArray[np.float64]
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
FOLDS = 5


@dataclass(frozen=True)
class Head:
    """Score w . h + b; `weight` [D]."""

    weight: Floats
    bias: float


def has_head(reward: Any) -> bool:
    """Whether a reward ends in linear layers that can be fitted (ImageReward, R2)."""
    return hasattr(getattr(reward, "model", None), "mlp")


def states(reward: Any, pictures: torch.Tensor, features: Features) -> torch.Tensor:
    """States h [N, D] that the last layers of a plain reward see; pictures float [N, 3, H, W] in 0..1."""
    model = reward.model
    tokens = model.picture_tokens(preprocess(pictures, reward.size))
    return model.text_tokens(features.tensors["ids"], features.tensors["mask"], tokens)[:, 0]


def head_of(scorer: Any) -> Head:
    """The last layers of a reward, or of a pupil as it stands, as one linear map, float64."""
    layers = list(scorer.model.mlp)
    weight = torch.eye(layers[0].in_features, dtype=torch.float64)
    bias = torch.zeros(layers[0].in_features, dtype=torch.float64)
    for layer in layers:
        weight = layer.weight.double() @ weight
        bias = layer.weight.double() @ bias + layer.bias.double()
    return Head(weight[0].detach().numpy(), float(bias[0]))


def ridge(h: Floats, labels: Floats, start: Head, strength: float) -> Head:
    """argmin_w mean (y - X w)^2 + strength tau |w - w0|^2 with X, y centred in each prompt and tau the mean square of X.

    h [P, S, D], labels [P, S]."""
    x = (h - h.mean(1, keepdims=True)).reshape(-1, h.shape[-1])
    y = (labels - labels.mean(1, keepdims=True)).ravel()
    gram = x.T @ x / len(x)
    scale = np.trace(gram) / len(gram)
    left = y - x @ start.weight
    change = np.linalg.solve(gram + (strength * scale + 1e-9) * np.eye(len(gram)), x.T @ left / len(x))
    weight = start.weight + change
    return Head(weight, float((labels - h @ weight).mean()))


def fit(h: Floats, labels: Floats, start: Head, rng: np.random.Generator) -> tuple[Head, float]:
    """The head of a level and the strength that was best on prompts left out (`FOLDS` folds)."""
    folds = rng.permutation(len(h)) % min(FOLDS, len(h))
    losses = []
    for strength in STRENGTHS:
        total = 0.0
        for fold in range(folds.max() + 1):
            away = folds == fold
            head = ridge(h[~away], labels[~away], start, strength)
            gap = labels[away] - h[away] @ head.weight
            total += float(((gap - gap.mean(1, keepdims=True)) ** 2).sum())
        losses.append(total)
    best = STRENGTHS[int(np.argmin(losses))]
    return ridge(h, labels, start, best), best


@torch.no_grad()
def install(pupil: NoiseAware, level: int, head: Head) -> None:
    """Make a pupil of the "levels" form score by a head at a level: the change goes into the first of the last layers,
    W1 + u^T (w - u W1) / |u|^2 where u is what follows it, and into the bias of the last."""
    plain = pupil.reward.model.state_dict()  # type: ignore[attr-defined]
    pupil.begin(level)
    pupil.model.load_state_dict(plain)
    layers = list(pupil.model.mlp)  # type: ignore[arg-type]
    after = torch.eye(1, dtype=torch.float64)
    for layer in reversed(layers[1:]):
        after = after @ layer.weight.double()
    old = layers[0].weight.double()
    change = torch.from_numpy(head.weight) - (after @ old)[0]
    layers[0].weight.copy_((old + after.T @ change[None] / after.square().sum()).float())
    here = head_of(pupil)
    layers[-1].bias += float(head.bias - here.bias)
    pupil.keep(level)
