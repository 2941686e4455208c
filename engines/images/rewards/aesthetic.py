"""The LAION aesthetic predictor: unit picture features of CLIP ViT-L/14 through linear layers, about 1 to 10.

The score does not look at the prompt. In ReNO it is optional and off by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from engines.images.rewards.base import Features, Reward, preprocess

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

WIDTHS = (768, 1024, 128, 64, 16, 1)
"""Of sac+logos+ava1-l14-linearMSE, which has no activations between its layers."""


class AestheticReward(Reward):
    """`head` is applied to the unit features [N, D] of `model`."""

    def __init__(self, name: str, model: CLIPVisionModelWithProjection, head: nn.Sequential) -> None:
        self.name, self.model, self.head = name, model, head
        for module in (model, head):
            module.requires_grad_(False)
            module.eval()
        self.size = int(model.config.image_size)

    @property
    def towers(self) -> tuple[nn.Module, ...]:
        """The picture tower."""
        return (self.model.vision_model,)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The picture tower and the head."""
        return (self.model, self.head)

    def encode(self, prompts: Sequence[str]) -> Features:
        """Nothing of the prompts is used; one row for each."""
        return Features({"rows": torch.zeros(len(prompts), device=self.model.device)})

    def score(self, pictures: torch.Tensor, features: Features) -> torch.Tensor:
        """Predicted rating [N]."""
        pixels = preprocess(pictures, self.size).to(self.model.dtype)
        seen = functional.normalize(self.model(pixel_values=pixels).image_embeds, dim=-1)
        return self.head(seen)[:, 0]


def from_predictor(state: dict[str, torch.Tensor]) -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """The head of a weights file, filled, and the weights of the picture tower where the file has them too.

    Two layouts: the original `.pth`, whose `layers.N` count the dropouts between the linear layers (0, 2, 4, 6, 7),
    and the transformers port with `vision_model.*` and `visual_projection.weight` beside the same `layers.N`. The
    variant with activations numbers its layers otherwise and is refused: ValueError. KeyError for other names."""
    numbers = sorted({int(k.split(".")[1]) for k in state if k.startswith("layers.")})
    if numbers != [0, 2, 4, 6, 7]:
        raise ValueError(
            f"the linear predictor has the layers 0, 2, 4, 6 and 7; this file has {numbers or 'none'}"
        )
    weights = [(state[f"layers.{n}.weight"], state[f"layers.{n}.bias"]) for n in numbers]
    head = nn.Sequential(*(nn.Linear(w.shape[1], w.shape[0]) for w, _ in weights))
    head.load_state_dict(
        {
            f"{k}.{kind}": v
            for k, pair in enumerate(weights)
            for kind, v in zip(("weight", "bias"), pair, strict=True)
        }
    )
    tower: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if key.startswith(("vision_model.", "visual_projection.")):
            if not key.endswith("position_ids"):
                tower[key] = value
        elif not key.startswith("layers."):
            raise KeyError(f"{key} is not a weight of the aesthetic predictor")
    return head, tower
