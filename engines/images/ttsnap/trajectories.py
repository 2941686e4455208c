"""Trajectories to learn from: decoded estimates of the early steps, and what the plain reward says of the finished pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from engines.contract import Refusal
from engines.devices import memory_bytes
from engines.events import Progress
from engines.images.footprint import free_bytes, size
from engines.images.rewards.base import Features, Reward
from engines.images.ttsnap.method import search
from engines.images.ttsnap.method.noise_aware import NoiseAware
from engines.images.ttsnap.opening import Models
from engines.images.ttsnap.params import HELD_SEEDS, TTSnapParams

ENCODED_AT_ONCE = 64
ADAM_BYTES = 16
"""A trained weight in float32, with its gradient and Adam's two moments."""


@dataclass(frozen=True)
class Trajectories:
    """`pictures` uint8 [P, S, L, 3, H, W]: decoded estimates of steps 0 .. L - 1; `final` [P, S]: the plain reward of the
    finished pictures; `features` of the prompts."""

    pictures: NDArray[np.uint8]
    final: NDArray[np.float32]
    features: Features


def drawn(
    models: Models,
    prompts: Sequence[str],
    seeds: int,
    seed: int,
    levels: int,
    tick: Callable[[str], Progress],
    kind: str,
) -> Generator[Progress, None, Trajectories]:
    """Trajectories of some prompts, a prompt at a time."""
    pictures, finals = [], []
    params, generator = models.params, models.generator
    reward = models.rewards[params.rewards[0]]
    for place, prompt in enumerate(prompts):
        note = f"{kind} trajectories, prompt {place + 1} of {len(prompts)}"
        noise = models.noise(seeds, seed, prompt).to(getattr(generator, "device", "cpu"))
        race = search.init(
            generator, noise, models.conditioning(prompt, seeds), steps=params.steps, guidance=params.guidance,
        )  # fmt: skip
        seen = []
        while not race.is_done:
            race = search.call(race, generator, params.at_once)
            yield tick(note)
            if race.sampling.index <= levels or race.is_done:
                assert race.sampling.clean is not None
                shown = models.shown(race.sampling.clean, finished=race.is_done)
                if race.is_done:
                    told = reward.encode([prompt]).expand(seeds)
                    with torch.no_grad():
                        finals.append(reward.score(shown, told).float().cpu().numpy())
                else:
                    seen.append((fitted(shown, reward_size(reward)) * 255).round().to(torch.uint8).cpu())
                yield tick(note)
        pictures.append(torch.stack(seen, 1).numpy())
    return Trajectories(np.stack(pictures), np.stack(finals), encoded(reward, prompts))


def encoded(reward: Reward, prompts: Sequence[str]) -> Features:
    """All prompts, encoded some at a time."""
    parts = [reward.encode(prompts[k : k + ENCODED_AT_ONCE]) for k in range(0, len(prompts), ENCODED_AT_ONCE)]
    if len(parts) == 1:
        return parts[0]
    return Features({name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors})


def reward_size(reward: Reward) -> int:
    """Side in pixels at which a reward looks."""
    return int(getattr(reward, "size", 224))


def fitted(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures no larger than a reward looks at them, made smaller as it would: what is stored is all that it sees."""
    height, width = pictures.shape[-2:]
    scale = side / min(height, width)
    if scale >= 1:
        return pictures
    shape = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    return functional.interpolate(pictures, shape, mode="bicubic", antialias=True, align_corners=False).clamp(
        0, 1
    )


def require_room(params: TTSnapParams, pupil: NoiseAware, device: str) -> str:
    """What training takes besides drawing, in words: main memory for the trajectories and the checkpoints, and the device's
    for the optimiser. Raises Refusal where there is less."""
    weights = sum(p.numel() for p in pupil.trainable())
    cells = params.train_prompts * params.train_seeds + params.held_prompts * HELD_SEEDS
    side = reward_size(pupil.reward)
    stored = cells * params.train_levels * 3 * side * side
    checkpoints = weights * 4 * (params.train_levels if pupil.form == "levels" else 0)
    if stored + checkpoints > memory_bytes():
        raise Refusal(
            "train_prompts",
            f"train_prompts: the trajectories take {size(stored)} and the checkpoints {size(checkpoints)} of main memory, where "
            f"{size(memory_bytes())} are free. Train fewer prompts, seeds or levels, or set form to conditioned.",
        )
    training = weights * ADAM_BYTES
    if training > free_bytes(device):
        raise Refusal(
            "rewards",
            f"rewards: training {params.rewards[0]} takes {size(training)} for weights, gradients and the optimiser, where "
            f"{size(free_bytes(device))} are free. Set offload to layers, or train a smaller reward.",
        )
    return (
        f"Training takes {size(training)} on {device} for the pupil's weights, gradients and the optimiser, and {size(stored)} of "
        f"main memory for trajectories{f', {size(checkpoints)} for checkpoints' if checkpoints else ''}."
    )
