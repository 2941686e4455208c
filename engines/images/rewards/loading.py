"""Rewards by name, hub id or folder, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from engines.images.embedded import WEIGHTS
from engines.images.memory import checkpoint_gradients
from engines.images.reasons import reason
from engines.images.rewards.aesthetic import AestheticReward, from_predictor
from engines.images.rewards.base import Reward, RewardMissing
from engines.images.rewards.clip import ClipReward, from_open_clip
from engines.images.rewards.image_reward import TEXT, VISION, WIDTHS, ImageReward, from_image_reward

CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PICKSCORE = "yuvalkirstain/PickScore_v1"
HPS = ("xswu/HPSv2", "HPS_v2.1_compressed.pt")
IMAGE_REWARD = ("THUDM/ImageReward", "ImageReward.pt")
CLIP_L = "openai/clip-vit-large-patch14"
AESTHETIC = ("trl-lib/ddpo-aesthetic-predictor", "aesthetic-model.pth")
NAMES = ("r1", "r2", "clip", "pickscore", "hpsv2.1", "imagereward", "aesthetic")
"""Rewards known by name; the first two are embedded and read the embedded world only."""


def load_reward(
    name: str,
    *,
    source: str = "",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    checkpointing: bool = False,
) -> Reward:
    """The reward of that name. `source` is a folder or hub id in place of the published one (for hpsv2.1,
    imagereward and aesthetic the weights file). Half precision is for a GPU (ValueError on the CPU). Raises
    RewardMissing with one sentence."""
    if device.startswith("cpu") and dtype.itemsize < 4:
        raise ValueError(f"dtype must be float32 on the CPU; got {str(dtype).removeprefix('torch.')}.")
    if name not in NAMES:
        raise RewardMissing(f'"{name}" is not a reward; known are {", ".join(NAMES)}.')
    try:
        reward = _load(name, source, device, dtype)
    except (
        OSError,
        ValueError,
        KeyError,
        ImportError,
        RuntimeError,
        UnpicklingError,
        SafetensorError,
    ) as error:
        if isinstance(error, RewardMissing):
            raise
        published = {"pickscore": PICKSCORE, "hpsv2.1": HPS[0], "imagereward": IMAGE_REWARD[0]}
        published |= {"clip": CLIP_H, "aesthetic": AESTHETIC[0]}
        why = reason(error, source or published.get(name, str(WEIGHTS)))
        raise RewardMissing(f'The reward "{name}" could not be loaded: {why}.') from error
    if checkpointing:
        for tower in reward.towers:
            checkpoint_gradients(tower)
    return reward


def _load(name: str, source: str, device: str, dtype: torch.dtype) -> Reward:
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
    return aesthetic(_file(source, AESTHETIC), device, dtype)


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
        path = Path(source).expanduser()
        if path.is_dir():
            raise RewardMissing(f'"{source}" is a folder: name the weights file in it.')
        return path
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

    state = from_open_clip(read_weights(path))
    model = CLIPModel(CLIPConfig.from_pretrained(CLIP_H))
    fill(model, state)
    return ClipReward(
        "HPSv2.1", model.to(device, dtype), AutoTokenizer.from_pretrained(CLIP_H), is_scaled=False
    )


def image_reward(path: Path, device: str, dtype: torch.dtype) -> ImageReward:
    """ImageReward v1: ViT-L/16 at 224, BERT base with cross-attention, tokens of bert-base plus two."""
    from transformers import AutoTokenizer

    from engines.images.rewards.blip_reward import BlipReward

    state = from_image_reward(read_weights(path))
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["[ENC]"])
    model = BlipReward(dict(VISION), dict(TEXT), WIDTHS)
    fill(model, state)
    return ImageReward("ImageReward", model.to(device, dtype), tokenizer)


def aesthetic(path: Path, device: str, dtype: torch.dtype) -> AestheticReward:
    """The LAION predictor on CLIP ViT-L/14; the picture tower is read from the file where it has one."""
    from transformers import CLIPConfig, CLIPVisionModelWithProjection
    from transformers.utils import logging

    head, tower = from_predictor(read_weights(path))
    config = CLIPConfig.from_pretrained(CLIP_L)
    config.vision_config.projection_dim = config.projection_dim
    if tower:
        model = CLIPVisionModelWithProjection(config.vision_config)
        fill(model, tower)
    else:
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # or each weight of the text tower is reported as not expected
        try:
            model = CLIPVisionModelWithProjection.from_pretrained(
                CLIP_L, config=config.vision_config, dtype=dtype, use_safetensors=True
            )
        finally:
            logging.set_verbosity(level)
    width = head[0].in_features
    if model.config.projection_dim != width:
        raise ValueError(
            f"the predictor reads {width} features and {CLIP_L} gives {model.config.projection_dim}"
        )
    return AestheticReward("Aesthetic", model.to(device, dtype), head.to(device, dtype))


def fill(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load weights; only buffers of position numbers may be absent. Raises ValueError naming the first misfit."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    wrong = [k for k in missing if not k.endswith("position_ids")] + list(unexpected)
    if wrong:
        raise ValueError(f"weights do not fit the model: {wrong[0]}")
