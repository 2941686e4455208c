"""FLUX: a flow model on packed latents. x_sigma = (1 - sigma) x0 + sigma eps, v = eps - x0, x0 = x - sigma v."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from engines.images.generators.base import Conditioning, Generator, Level, Sampling
from engines.images.generators.diffusion import freeze

if TYPE_CHECKING:
    from diffusers import FluxPipeline


class Flux(Generator):
    """FLUX.1-schnell (one or four steps, no guidance) and FLUX.1-dev (guidance as an input of the network)."""

    def __init__(self, pipeline: FluxPipeline, size: int = 512, max_sequence_length: int = 256) -> None:
        self.pipeline, self.network, self.vae = pipeline, pipeline.transformer, pipeline.vae
        self.size, self.length = size, max_sequence_length
        freeze(self.network, self.vae, pipeline.text_encoder, pipeline.text_encoder_2)
        self.device, self.dtype = self.network.device, self.network.dtype
        side = 2 * (size // (int(pipeline.vae_scale_factor) * 2))
        self.noise_shape = (int(self.network.config.in_channels) // 4, side, side)

    def calls(self, guidance: float) -> int:
        """One: guidance is an input of the network."""
        return 1

    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        """See `Generator.encode`. Guidance is an input here, so there is no empty prompt."""
        with self.encoding():
            embeds, pooled, _ = self.pipeline.encode_prompt(
                list(prompts), None, device=self.device, max_sequence_length=self.length
            )
        return Conditioning({"embeds": embeds, "pooled": pooled})

    def velocity(
        self, x: torch.Tensor, sigma: float, conditioning: Conditioning, guidance: float
    ) -> torch.Tensor:
        """v [N, C, H, W] at noise share sigma."""
        n, channels, height, width = x.shape
        packed = self.pipeline._pack_latents(x, n, channels, height, width)
        places = self.pipeline._prepare_latent_image_ids(n, height // 2, width // 2, x.device, x.dtype)
        embeds = conditioning.tensors["embeds"]
        told = None
        if self.network.config.guidance_embeds:
            told = torch.full((n,), guidance, device=x.device, dtype=torch.float32)
        out = self.network(
            hidden_states=packed,
            timestep=torch.full((n,), sigma, device=x.device, dtype=x.dtype),
            guidance=told,
            pooled_projections=conditioning.tensors["pooled"],
            encoder_hidden_states=embeds,
            txt_ids=torch.zeros(embeds.shape[1], 3, device=x.device, dtype=x.dtype),
            img_ids=places,
        ).sample
        out = out.view(n, height // 2, width // 2, channels, 2, 2)
        return out.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, height, width)

    def one_step(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """See `Generator.one_step`: sigma from 1 to 0, x0 = eps - v."""
        x = noise.to(self.dtype)
        return x - self.velocity(x, 1.0, conditioning, 0.0)

    def levels(self, steps: int) -> tuple[Level, ...]:
        """Sigmas of the folder's own shift, as its pipeline chooses them, with the closing 0."""
        from diffusers import FlowMatchEulerDiscreteScheduler
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(self.pipeline.scheduler.config))
        config = scheduler.config
        length = (self.noise_shape[1] // 2) * (self.noise_shape[2] // 2)
        mu = calculate_shift(
            length,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        return tuple(Level(float(s) * 1000, float(s)) for s in scheduler.sigmas)

    def start(
        self, noise: torch.Tensor, conditioning: Conditioning, *, steps: int, guidance: float
    ) -> Sampling:
        """See `Generator.start`."""
        return Sampling(noise.to(self.dtype), conditioning, guidance, self.levels(steps))

    def advance_with_gradients(self, sampling: Sampling) -> Sampling:
        """See `Generator.advance_with_gradients`: x + (sigma_next - sigma) v, x0hat = x - sigma v."""
        if sampling.is_done:
            raise ValueError(f"this sampling is done after {sampling.steps} steps.")
        sigma, after = (sampling.levels[sampling.index + k].sigma for k in (0, 1))
        v = self.velocity(sampling.latents, sigma, sampling.conditioning, sampling.guidance)
        x = sampling.latents
        return replace(
            sampling, latents=x + (after - sigma) * v, clean=x - sigma * v, index=sampling.index + 1
        )
