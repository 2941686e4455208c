"""A reward without weights, for a dry run: built from configurations as fake tensors."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engines.images.embedded import WEIGHTS
from engines.images.generators.skeleton import weights_in
from engines.images.reasons import reason
from engines.images.rewards import sources
from engines.images.rewards.aesthetic import WIDTHS as HEAD
from engines.images.rewards.aesthetic import AestheticReward
from engines.images.rewards.base import Features, Reward, RewardMissing
from engines.images.rewards.blip_reward import BlipReward
from engines.images.rewards.clip import ClipReward
from engines.images.rewards.image_reward import TEXT, VISION, WIDTHS, ImageReward
from engines.images.rewards.loading import NAMES


def reward_skeleton(name: str, source: str, mode: AbstractContextManager[Any], dtype: torch.dtype) -> Reward:
    """The reward of `load_reward` with the same arguments, without weights and tokenizer. Raises RewardMissing."""
    try:
        with mode, weights_in(dtype):
            return _build(name, source)
    except (OSError, ValueError, KeyError) as error:
        raise RewardMissing(
            f'The reward "{name}" could not be read: {reason(error, source or sources.CLIP_H)}.'
        ) from error


def _build(name: str, source: str) -> Reward:
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModelWithProjection

    if name in ("r1", "clip", "pickscore", "hpsv2.1"):
        at = {
            "r1": str(WEIGHTS / "r1"),
            "clip": source or sources.CLIP_H,
            "pickscore": source or sources.PICKSCORE,
            "hpsv2.1": sources.config_at(source, sources.CLIP_H),
        }[name]
        model = CLIPModel(CLIPConfig.from_pretrained(at))
        return ClipReward(_TITLES[name], model, None)
    if name == "r2":
        config = json.loads(Path(WEIGHTS / "r2" / "config.json").read_text())
        return ImageReward(
            "R2", BlipReward(config["vision"], config["text"], tuple(config["widths"])), None, length=12
        )
    if name == "imagereward":
        return ImageReward("ImageReward", BlipReward(dict(VISION), dict(TEXT), WIDTHS), None)
    if name == "aesthetic":
        config = CLIPConfig.from_pretrained(sources.config_at(source, sources.CLIP_L))
        config.vision_config.projection_dim = config.projection_dim
        head = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(HEAD)))
        model = CLIPVisionModelWithProjection(config.vision_config)
        return AestheticReward("Aesthetic", model, head)
    raise RewardMissing(f'"{name}" is not a reward; known are {", ".join(NAMES)}.')


_TITLES = {"r1": "R1", "clip": "CLIP", "pickscore": "PickScore", "hpsv2.1": "HPSv2.1"}


def blank_features(reward: Any, number: int) -> Features:
    """What `encode` gives for `number` prompts, as zeros."""
    if isinstance(reward, ClipReward):
        return Features(
            {"text": torch.zeros((number, reward.model.config.projection_dim), dtype=reward.model.dtype)}
        )
    if isinstance(reward, ImageReward):
        ids = torch.zeros((number, reward.length), dtype=torch.long)
        return Features({"ids": ids, "mask": torch.ones_like(ids)})
    return Features({"rows": torch.zeros(number)})
