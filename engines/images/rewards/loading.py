"""Rewards by name, hub id or folder, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from engines.images.rewards.base import Reward, RewardMissing
from engines.images.rewards.clip import ClipReward, from_open_clip
from engines.images.rewards.image_reward import ImageReward, from_image_reward

CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PICKSCORE = "yuvalkirstain/PickScore_v1"
HPS = ("xswu/HPSv2", "HPS_v2.1_compressed.pt")
IMAGE_REWARD = ("THUDM/ImageReward", "ImageReward.pt")
NAMES = ("r1", "r2", "clip", "pickscore", "hpsv2.1", "imagereward")
"""Rewards known by name; the first two are embedded and read the embedded world only."""


def load_reward(
    name: str, *, source: str = "", device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Reward:
    """The reward of that name. `source` is a folder or hub id in place of the published one (for hpsv2.1 and
    imagereward the weights file). Raises RewardMissing with one sentence."""
    try:
        if name == "r1":
            return embedded_r1()
        if name == "r2":
            return embedded_r2()
        if name == "clip":
            return clip_folder("CLIP", source or CLIP_H, source or CLIP_H, device, dtype)
        if name == "pickscore":
            return clip_folder("PickScore", source or PICKSCORE, source or CLIP_H, device, dtype)
        if name == "hpsv2.1":
            return hps(_file(source, HPS), device, dtype)
        if name == "imagereward":
            return image_reward(_file(source, IMAGE_REWARD), device, dtype)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        if isinstance(error, RewardMissing):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RewardMissing(f'The reward "{name}" could not be loaded ({first}).') from error
    raise RewardMissing(f'"{name}" is not a reward; known are {", ".join(NAMES)}.')


def embedded_r1() -> ClipReward:
    """R1 of the embedded stack."""
    from engines.images.embedded import load_r1

    model, tokenizer = load_r1()
    return ClipReward("R1", model, tokenizer)


def embedded_r2() -> ImageReward:
    """R2 of the embedded stack."""
    from engines.images.embedded import load_r2

    model, tokenizer = load_r2()
    return ImageReward("R2", model, tokenizer, length=int(tokenizer.model_max_length), mean=0.0, std=1.0)


def clip_folder(name: str, source: str, tokenizer: str, device: str, dtype: torch.dtype) -> ClipReward:
    """CLIP or PickScore: a CLIPModel folder or hub id."""
    from transformers import AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(source, dtype=dtype, use_safetensors=True).to(device)
    return ClipReward(name, model, AutoTokenizer.from_pretrained(tokenizer))


def _file(source: str, published: tuple[str, str]) -> Path:
    """A local weights file, or the published one from the hub's cache or network."""
    if source:
        return Path(source)
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(*published))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a .safetensors or .pt file; pickles are read as weights only."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def hps(path: Path, device: str, dtype: torch.dtype) -> ClipReward:
    """HPSv2.1: OpenCLIP's ViT-H weights in the laion CLIPModel."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    model = CLIPModel(CLIPConfig.from_pretrained(CLIP_H))
    fill(model, from_open_clip(read_weights(path)))
    return ClipReward(
        "HPSv2.1", model.to(device, dtype), AutoTokenizer.from_pretrained(CLIP_H), is_scaled=False
    )


def image_reward(path: Path, device: str, dtype: torch.dtype) -> ImageReward:
    """ImageReward v1: ViT-L/16 at 224, BERT base with cross-attention, tokens of bert-base plus two."""
    from transformers import AutoTokenizer

    from engines.images.rewards.blip_reward import BlipReward

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["[ENC]"])
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 16,
        "layer_norm_eps": 1e-6,
    }
    text = {
        "vocab_size": 30524,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "encoder_hidden_size": 1024,
        "max_position_embeddings": 512,
    }
    model = BlipReward(vision, text, (1024, 128, 64, 16, 1))
    fill(model, from_image_reward(read_weights(path)))
    return ImageReward("ImageReward", model.to(device, dtype), tokenizer)


def fill(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load weights; only buffers of position numbers may be absent. Raises ValueError naming the first misfit."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    wrong = [k for k in missing if not k.endswith("position_ids")] + list(unexpected)
    if wrong:
        raise ValueError(f"weights do not fit the model: {wrong[0]}")
