"""Rewards by name, hub id or folder, or one sentence that says why not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from engines.images.embedded import WEIGHTS
from engines.images.memory import checkpoint_gradients
from engines.images.quiet import quiet
from engines.images.reasons import reason
from engines.images.rewards.aesthetic import AestheticReward, from_predictor
from engines.images.rewards.base import Reward, RewardMissing
from engines.images.rewards.clip import ClipReward, from_open_clip
from engines.images.rewards.image_reward import TEXT, VISION, WIDTHS, ImageReward, from_image_reward
from engines.images.rewards.sources import (
    AESTHETIC,
    BERT,
    CLIP_H,
    CLIP_L,
    HPS,
    IMAGE_REWARD,
    PICKSCORE,
    companion,
    config_at,
    fitting,
    folder_of,
    tokenizer_at,
    weights_file,
)

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
    """The reward of that name. `source` is a folder or hub id in place of the published one, or, for hpsv2.1,
    imagereward and aesthetic, the weights file (`sources.py`). Half precision is for a GPU (ValueError on the CPU). Raises
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
            raise RewardMissing(
                f'The reward "{name}" could not be loaded: {str(error).rstrip(".")}.'
            ) from error
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
    if name in ("clip", "pickscore"):
        return clip_folder(name, source, device, dtype)
    if name == "hpsv2.1":
        return hps(source, device, dtype)
    if name == "imagereward":
        return image_reward(source, device, dtype)
    return aesthetic(source, device, dtype)


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


def clip_folder(name: str, source: str, device: str, dtype: torch.dtype) -> ClipReward:
    """CLIP or PickScore: a CLIPModel folder or hub id."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    title, published = ("CLIP", CLIP_H) if name == "clip" else ("PickScore", PICKSCORE)
    at = source or published
    kind = CLIPConfig.get_config_dict(at)[0].get("model_type")
    if kind != "clip":
        raise RewardMissing(
            f'"{at}" is a {kind or "folder without a CLIP"}, and only models in the layout of CLIP are read'
        )
    model = CLIPModel.from_pretrained(at, dtype=dtype, use_safetensors=True).to(device)
    if name == "clip" and folder_of(source) is None:
        return ClipReward(title, model, AutoTokenizer.from_pretrained(at))
    # all published CLIP models read the same tokens; PickScore's repository has no tokenizer of its own
    words = companion("the tokenizer", tokenizer_at(source, CLIP_H), AutoTokenizer.from_pretrained)
    return ClipReward(title, model, fitting(words, model.config.text_config.vocab_size))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a .safetensors or .pt file; pickles are read as weights only."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def hps(source: str, device: str, dtype: torch.dtype) -> ClipReward:
    """HPSv2.1: OpenCLIP's ViT-H weights in the laion CLIPModel."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    state = from_open_clip(read_weights(weights_file(source, HPS)))
    config = companion("the configuration", config_at(source, CLIP_H), CLIPConfig.from_pretrained)
    words = companion("the tokenizer", tokenizer_at(source, CLIP_H), AutoTokenizer.from_pretrained)
    model = CLIPModel(config)
    fill(model, state)
    words = fitting(words, config.text_config.vocab_size)
    return ClipReward("HPSv2.1", model.to(device, dtype), words, is_scaled=False)


def image_reward(source: str, device: str, dtype: torch.dtype) -> ImageReward:
    """ImageReward v1: ViT-L/16 at 224, BERT base with cross-attention, tokens of bert-base plus two."""
    from transformers import AutoTokenizer

    from engines.images.rewards.blip_reward import BlipReward

    state = from_image_reward(read_weights(weights_file(source, IMAGE_REWARD)))
    tokenizer = companion("the tokenizer", tokenizer_at(source, BERT), AutoTokenizer.from_pretrained)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["[ENC]"])
    model = BlipReward(dict(VISION), dict(TEXT), WIDTHS)
    fill(model, state)
    return ImageReward("ImageReward", model.to(device, dtype), tokenizer)


def aesthetic(source: str, device: str, dtype: torch.dtype) -> AestheticReward:
    """The LAION predictor on CLIP ViT-L/14; the picture tower is read from the file where it has one."""
    from transformers import CLIPConfig, CLIPVisionModelWithProjection

    head, tower = from_predictor(read_weights(weights_file(source, AESTHETIC)))
    at = config_at(source, CLIP_L) if tower else CLIP_L
    config = companion("the configuration", at, CLIPConfig.from_pretrained)
    config.vision_config.projection_dim = config.projection_dim
    if tower:
        model = CLIPVisionModelWithProjection(config.vision_config)
        fill(model, tower)
    else:
        reading = partial(
            CLIPVisionModelWithProjection.from_pretrained,
            config=config.vision_config,
            dtype=dtype,
            use_safetensors=True,
        )
        with quiet(notes=False):  # or each weight of the text tower is reported as not expected
            model = companion("the picture tower", at, reading)
    width = head[0].in_features
    if model.config.projection_dim != width:
        raise ValueError(f"the predictor reads {width} features and {at} gives {model.config.projection_dim}")
    return AestheticReward("Aesthetic", model.to(device, dtype), head.to(device, dtype))


def fill(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load weights; only buffers of position numbers may be absent. Raises ValueError naming the first misfit."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    wrong = [k for k in missing if not k.endswith("position_ids")] + list(unexpected)
    if wrong:
        raise ValueError(f"weights do not fit the model: {wrong[0]}")
