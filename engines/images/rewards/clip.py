"""Rewards in CLIP's shape: CLIP ViT-H, PickScore, HPSv2.1, and the embedded R1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from engines.images.rewards.base import Features, Reward, preprocess, tensor_of

if TYPE_CHECKING:
    from transformers import CLIPModel


class ClipReward(Reward):
    """Cosine of picture and prompt, times the model's logit scale where `is_scaled` (CLIP, PickScore, R1);
    HPSv2.1 is the plain cosine."""

    def __init__(self, name: str, model: CLIPModel, tokenizer: Any, *, is_scaled: bool = True) -> None:
        self.name, self.model, self.tokenizer, self.is_scaled = name, model, tokenizer, is_scaled
        model.requires_grad_(False)
        model.eval()
        self.size = int(model.config.vision_config.image_size)

    @property
    def towers(self) -> tuple[torch.nn.Module, ...]:
        """The picture tower."""
        return (self.model.vision_model,)

    @property
    def modules(self) -> tuple[torch.nn.Module, ...]:
        """The model with both towers."""
        return (self.model,)

    def drop_text(self) -> None:
        """Free the text tower, most of the weights that a run does not need again."""
        self.model.text_model = self.model.text_projection = None

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Features:
        """Unit text features [N, D]. Raises ValueError after `drop_text`."""
        if self.model.text_model is None:
            raise ValueError(
                f"the text tower of {self.name} was dropped: encode all prompts before drop_text."
            )
        length = int(self.model.config.text_config.max_position_embeddings)
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        device = self.model.device
        text = tensor_of(
            self.model.get_text_features(
                input_ids=tokens.input_ids.to(device), attention_mask=tokens.attention_mask.to(device)
            )
        )
        return Features({"text": functional.normalize(text, dim=-1)})

    def score(self, pictures: torch.Tensor, features: Features) -> torch.Tensor:
        """Cosine, scaled or not, [N]."""
        pixels = preprocess(pictures, self.size).to(self.model.dtype)
        seen = functional.normalize(tensor_of(self.model.get_image_features(pixel_values=pixels)), dim=-1)
        cosine = (seen * features.tensors["text"]).sum(-1)
        return self.model.logit_scale.exp() * cosine if self.is_scaled else cosine


def from_open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in OpenCLIP's layout (HPS_v2.1_compressed.pt) in the names of transformers' CLIPModel.

    in_proj is split in thirds; the two projections are transposed."""
    out: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if key == "logit_scale":
            out[key] = value
        elif key == "visual.proj":
            out["visual_projection.weight"] = value.T.contiguous()
        elif key == "text_projection":
            out["text_projection.weight"] = value.T.contiguous()
        elif key.startswith("visual."):
            out |= _tower("vision_model", key.removeprefix("visual."), value)
        elif key != "attn_mask":
            out |= _tower("text_model", key, value)
    return out


_PLAIN = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
}
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def _tower(tower: str, key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """One weight of a tower. Raises KeyError for a name that OpenCLIP's ViT does not have."""
    if key in _PLAIN:
        return {f"{tower}.{_PLAIN[key]}": value}
    if not key.startswith("transformer.resblocks."):
        raise KeyError(f"{key} is not a weight of OpenCLIP's ViT.")
    number, _, rest = key.removeprefix("transformer.resblocks.").partition(".")
    base = f"{tower}.encoder.layers.{number}"
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        thirds = value.chunk(3)
        return {f"{base}.self_attn.{n}_proj.{kind}": t for n, t in zip("qkv", thirds, strict=True)}
    module, _, kind = rest.rpartition(".")
    return {f"{base}.{_BLOCK[module]}.{kind}": value}
