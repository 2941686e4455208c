"""ImageReward on transformers' Blip parts, and the embedded R2 of the same shape.

The PyPI package image-reward imports functions that transformers 5 no longer has, so its weights are converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engines.images.rewards.base import Features, Reward, preprocess
from engines.images.rewards.blip_reward import BlipReward

MEAN, STD = 0.16717, 1.03334
"""Raw scores minus MEAN over STD: the numbers of the official code (the paper's notes round the first to .16718)."""
LENGTH = 35
VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 16,
    "layer_norm_eps": 1e-6,
}
TEXT = {
    "vocab_size": 30524,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "encoder_hidden_size": 1024,
    "max_position_embeddings": 512,
}
WIDTHS = (1024, 128, 64, 16, 1)
"""ImageReward v1: ViT-L/16 at 224, BERT base with cross-attention, and its MLP."""


class ImageReward(Reward):
    """Score of a BlipReward. `mean` and `std` normalise it (0 and 1 for R2)."""

    def __init__(
        self,
        name: str,
        model: BlipReward,
        tokenizer: Any,
        *,
        length: int = LENGTH,
        mean: float = MEAN,
        std: float = STD,
    ) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.length, self.mean, self.std = length, mean, std
        model.requires_grad_(False)
        model.eval()
        self.size = int(model.config["vision"]["image_size"])

    @property
    def towers(self) -> tuple[torch.nn.Module, ...]:
        """The picture tower; transformers' BlipTextModel, a tenth of the work, has no checkpointing."""
        return (self.model.vision_model,)

    @property
    def modules(self) -> tuple[torch.nn.Module, ...]:
        """The whole network."""
        return (self.model,)

    def encode(self, prompts: Sequence[str]) -> Features:
        """Token numbers and mask [N, L]: the text tower sees the picture, so nothing more can be cached."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        device = next(self.model.parameters()).device
        return Features({"ids": tokens.input_ids.to(device), "mask": tokens.attention_mask.to(device)})

    def score(self, pictures: torch.Tensor, features: Features) -> torch.Tensor:
        """Normalised score [N]."""
        pixels = preprocess(pictures, self.size).to(next(self.model.parameters()).dtype)
        raw = self.model(pixels, features.tensors["ids"], features.tensors["mask"])
        return (raw - self.mean) / self.std


_VISION = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_EMBEDDINGS = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    "norm.weight": "post_layernorm.weight",
    "norm.bias": "post_layernorm.bias",
}


def from_image_reward(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in the layout of ImageReward.pt in the names of BlipReward.

    `blip.visual_encoder.*` is a ViT of timm's names, `blip.text_encoder.*` keeps BERT's, `mlp.layers.*` counts the
    dropouts between the linear layers. Raises KeyError for an unknown name."""
    out: dict[str, torch.Tensor] = {}
    layers = sorted({int(k.split(".")[2]) for k in state if k.startswith("mlp.layers.")})
    for key, value in state.items():
        if key.startswith("mlp.layers."):
            _, _, number, kind = key.split(".")
            out[f"mlp.{layers.index(int(number))}.{kind}"] = value
            continue
        name = key.removeprefix("blip.")
        if name.startswith("text_encoder."):
            if not name.endswith("position_ids"):
                out[name] = value
        elif name.startswith("visual_encoder."):
            out[_vision_name(name.removeprefix("visual_encoder."))] = value
        else:
            raise KeyError(f"{key} is not a weight of ImageReward.")
    return out


def _vision_name(name: str) -> str:
    if name in _EMBEDDINGS:
        return f"vision_model.{_EMBEDDINGS[name]}"
    _, number, rest = name.split(".", 2)
    module, _, kind = rest.rpartition(".")
    return f"vision_model.encoder.layers.{number}.{_VISION[module]}.{kind}"
