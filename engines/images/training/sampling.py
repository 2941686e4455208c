"""Sampling with F and G in the training scripts: the Euler steps of the folder's scheduler in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from engines.devices import numpy_generator, torch_generator
from engines.images.training.architecture import LATENT, alphas, make_scheduler
from engines.images.training.samples import caption_ids, checker_labels
from engines.images.world import TASKS, draw_captions, held_out, training_captions
from engines.images.world.tokens import word_ids

LAST = 999


@dataclass
class Stack:
    """What it takes to draw: network, text encoder, autoencoder, all in eval mode and without gradients."""

    unet: nn.Module
    text: nn.Module
    vae: nn.Module

    @torch.no_grad()
    def embed(self, places: np.ndarray) -> torch.Tensor:
        """Prompt embeddings [N, 12, 64] of captions."""
        return self.text(input_ids=caption_ids()[places]).last_hidden_state

    @torch.no_grad()
    def empty(self) -> torch.Tensor:
        """Embedding [1, 12, 64] of the empty prompt."""
        return self.text(input_ids=torch.tensor(word_ids([""]))).last_hidden_state

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures [N, 3, 64, 64] in 0..1."""
        return (self.vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)


def one_step(unet: nn.Module, noise: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
    """x0 = -v at t = 999, where the network sees pure noise."""
    t = torch.full((len(noise),), LAST)
    return -unet(noise, t, encoder_hidden_states=embeds).sample


def guided(
    unet: nn.Module,
    x: torch.Tensor,
    t: torch.Tensor,
    embeds: torch.Tensor,
    empty: torch.Tensor,
    guidance: float,
) -> torch.Tensor:
    """v with classifier-free guidance; x [N, 8, 8, 8] in variance-preserving scale, t [N]."""
    if guidance == 1.0:
        return unet(x, t, encoder_hidden_states=embeds).sample
    both = torch.cat([embeds, empty.expand(len(x), -1, -1)])
    named, blank = unet(torch.cat([x, x]), torch.cat([t, t]), encoder_hidden_states=both).sample.chunk(2)
    return blank + guidance * (named - blank)


@torch.no_grad()
def sample(
    stack: Stack, noise: torch.Tensor, embeds: torch.Tensor, *, steps: int = 20, guidance: float = 3.0
) -> torch.Tensor:
    """Latents [N, 8, 8, 8] after `steps` Euler steps at trailing time steps (999, 949, ... for 20)."""
    alpha, sigma = alphas(make_scheduler())
    times = torch.arange(LAST + 1, 0, -(LAST + 1) / steps).round().long() - 1
    empty, x = stack.empty(), noise
    for i, time in enumerate(times):
        t = torch.full((len(x),), int(time))
        v = guided(stack.unet, x, t, embeds, empty, guidance)
        x0 = alpha[time] * x - sigma[time] * v
        if i + 1 == len(times):
            return x0
        eps = sigma[time] * x + alpha[time] * v
        after = times[i + 1]
        x = alpha[after] * x0 + sigma[after] * eps
    raise ValueError("steps must be at least 1.")


def noise_of(number: int, seed: int, name: str) -> torch.Tensor:
    """Unit noise [N, 8, 8, 8] of a named stream."""
    return torch.randn((number, *LATENT), generator=torch_generator(seed, name))


def prompts_for(per_task: int, seed: int, *, held: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Caption numbers, `per_task` of each task, and the task of each. Held-out ones exist for two tasks."""
    rng = numpy_generator(seed, "prompts")
    allowed = held_out() if held else training_captions()
    tasks = ("attr", "full") if held else TASKS
    places = [draw_captions(rng, per_task, mix={task: 1.0}, allowed=allowed) for task in tasks]
    return np.concatenate(places), np.repeat(np.array(tasks), per_task)


@torch.no_grad()
def judged(
    stack: Stack, *, per_task: int, seed: int, steps: int, guidance: float = 3.0, held: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strict and soft verdicts [N] on pictures of `per_task` captions a task, and the task of each. `steps` 1: the one-step
    model."""
    places, tasks = prompts_for(per_task, seed, held=held)
    noise = noise_of(len(places), seed, "noise")
    pictures = []
    for start in range(0, len(places), 100):
        part = slice(start, start + 100)
        embeds = stack.embed(places[part])
        if steps == 1:
            z = one_step(stack.unet, noise[part], embeds)
        else:
            z = sample(stack, noise[part], embeds, steps=steps, guidance=guidance)
        pictures.append(stack.decode(z))
    return *checker_labels(torch.cat(pictures), places), tasks


def accuracy(stack: Stack, **options: Any) -> dict[str, float]:
    """Strict accuracy per task, and the mean over tasks of strict and soft. Options as of `judged`."""
    strict, soft, tasks = judged(stack, **options)
    out = {str(task): round(float(strict[tasks == task].mean()), 3) for task in dict.fromkeys(tasks)}
    out["strict"], out["soft"] = round(float(strict.mean()), 3), round(float(soft.mean()), 3)
    return out
