"""Diffusion models that predict noise or v: Stable Diffusion, SDXL, PixArt; the embedded stack is of this kind.

Pipelines run under no_grad, so encoder, network and decoder are driven by hand here, with the ten lines of Euler
written out: no scheduler state can leak from one iteration or one pruned batch to the next.

Latents are kept in the variance-preserving scale x = a x0 + s eps with a = 1 / sqrt(1 + sigma^2), s = sigma a. In
it the sigma of 4096 of zero-terminal-SNR schedules costs no precision."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from engines.images.generators.base import Conditioning, Generator, Level, Sampling
from engines.images.generators.known import PIXART_DMD, TURBO, GeneratorMissing, OneStep

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class DiffusionGenerator(Generator):
    """Base of the three families; they differ in how prompts are encoded and the network is called."""

    def __init__(
        self, pipeline: DiffusionPipeline, network: torch.nn.Module, once: OneStep, size: int = 0
    ) -> None:
        from diffusers import EulerDiscreteScheduler

        self.pipeline, self.network, self.once = pipeline, network, once
        self.vae = pipeline.vae
        freeze(network, self.vae, *(getattr(pipeline, n, None) for n in ("text_encoder", "text_encoder_2")))
        self.device, self.dtype = network.device, network.dtype
        self.factor = int(getattr(pipeline, "vae_scale_factor", 8))
        self.size = size or int(network.config.sample_size) * self.factor
        side = self.size // self.factor
        self.noise_shape = (int(self.vae.config.latent_channels), side, side)
        self.scheduler = pipeline.scheduler
        self.prediction = str(self.scheduler.config.prediction_type)
        if self.prediction not in ("epsilon", "v_prediction"):
            raise GeneratorMissing(
                f"{type(pipeline).__name__}: prediction_type must be epsilon or v_prediction; this model's scheduler says "
                f"{self.prediction!r}."
            )
        # what the folder's own class merely defaults to is dropped here for Euler's default: read from this one only
        self.euler = EulerDiscreteScheduler.from_config(dict(self.scheduler.config))
        # float64: 1 - alpha_bar cancels in float32 at the first time steps
        self.alpha_bar: list[float] = self.euler.alphas_cumprod.double().tolist()

    # what a family fills in

    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        """See `Generator.encode`; here for models with one text encoder."""
        with self.encoding():
            embeds, negative = self.pipeline.encode_prompt(
                list(prompts), self.device, 1, guided, negative_prompt=[""] * len(prompts) if guided else None
            )
        blank = Conditioning({"embeds": negative}) if guided else None
        return Conditioning({"embeds": embeds}, blank)

    def call(self, x: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Raw prediction of the network."""
        return self.network(x, time, encoder_hidden_states=conditioning.tensors["embeds"]).sample

    # the method

    def one_step(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """See `Generator.one_step`."""
        bar = self.alpha_bar[self.once.time]
        a, s = bar**0.5, (1 - bar) ** 0.5
        x = (noise * s if self.once.is_scaled else noise).to(self.dtype)
        time = torch.full((len(x),), self.once.time, device=x.device)
        return self._clean(x, self.call(x, time, conditioning), a, s)

    def _clean(self, x: torch.Tensor, predicted: torch.Tensor, a: float, s: float) -> torch.Tensor:
        """x0 from a prediction at x = a x0 + s eps: (x - s eps) / a, or a x - s v."""
        if self.prediction == "epsilon":
            return (x - s * predicted) / a
        return a * x - s * predicted

    def levels(self, steps: int) -> tuple[Level, ...]:
        """Time steps and sigmas of the folder's own spacing for an Euler sampler, with the closing 0."""
        scheduler = copy.copy(self.euler)  # set_timesteps writes into it
        with warnings.catch_warnings():
            # NumPy 2 and torch tensors meet inside diffusers
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            scheduler.set_timesteps(steps)
        sigmas = [float(v) for v in scheduler.sigmas]
        times = [float(v) for v in scheduler.timesteps]
        return tuple(Level(t, s) for t, s in zip([*times, 0.0], sigmas, strict=True))

    def start(
        self, noise: torch.Tensor, conditioning: Conditioning, *, steps: int, guidance: float
    ) -> Sampling:
        """See `Generator.start`. Noise is scaled as Euler's init_noise_sigma does."""
        levels = self.levels(steps)
        sigma = levels[0].sigma
        spacing = self.euler.config.timestep_spacing
        scale = sigma / (1 + sigma * sigma) ** 0.5 if spacing in ("linspace", "trailing") else 1.0
        return Sampling(noise.to(self.dtype) * scale, conditioning, guidance, levels)

    def advance_with_gradients(self, sampling: Sampling) -> Sampling:
        """See `Generator.advance_with_gradients`: Euler in sigma, x_next = x0hat + sigma_next eps_hat."""
        if sampling.is_done:
            raise ValueError(f"this sampling is done after {sampling.steps} steps.")
        level, after = sampling.levels[sampling.index], sampling.levels[sampling.index + 1]
        a = 1 / (1 + level.sigma**2) ** 0.5
        s = level.sigma * a
        x = sampling.latents
        predicted = self._guided(x, level.time, sampling.conditioning, sampling.guidance)
        clean = self._clean(x, predicted, a, s)
        eps = predicted if self.prediction == "epsilon" else s * x + a * predicted
        b = 1 / (1 + after.sigma**2) ** 0.5
        return replace(
            sampling, latents=b * clean + after.sigma * b * eps, clean=clean, index=sampling.index + 1
        )

    def _guided(
        self, x: torch.Tensor, time: float, conditioning: Conditioning, guidance: float
    ) -> torch.Tensor:
        t = torch.full((len(x),), time, device=x.device)
        if guidance <= 1:
            return self.call(x, t, conditioning)
        raw = self.call(torch.cat([x, x]), torch.cat([t, t]), conditioning.joined())
        blank, named = raw.chunk(2)
        return blank + guidance * (named - blank)


class StableDiffusion(DiffusionGenerator):
    """StableDiffusionPipeline folders: sd-turbo, SD 2.1, and the embedded F and G."""

    def __init__(self, pipeline: DiffusionPipeline, once: OneStep = TURBO, size: int = 0) -> None:
        super().__init__(pipeline, pipeline.unet, once, size)


class StableDiffusionXL(DiffusionGenerator):
    """StableDiffusionXLPipeline folders: SDXL-Turbo, Hyper-SD's UNet, SDXL base, RealVisXL."""

    def __init__(self, pipeline: DiffusionPipeline, once: OneStep = TURBO, size: int = 0) -> None:
        super().__init__(pipeline, pipeline.unet, once, size)
        # SDXL's own decoder overflows in half precision and says so; the fp16-fix one does not
        if self.dtype == self.vae.dtype == torch.float16 and self.vae.config.force_upcast:
            self.vae.to(torch.float32)

    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        """See `Generator.encode`. The empty prompt is zeros where the model's folder says so."""
        zeros = guided and bool(self.pipeline.config.get("force_zeros_for_empty_prompt", True))
        negative = None if zeros or not guided else [""] * len(prompts)
        with self.encoding():
            embeds, blank, pooled, blank_pooled = self.pipeline.encode_prompt(
                list(prompts), None, self.device, 1, guided, negative_prompt=negative
            )
        sizes = torch.tensor([[self.size, self.size, 0, 0, self.size, self.size]], device=self.device)
        ids = sizes.to(embeds.dtype).expand(len(prompts), -1)
        own = Conditioning({"embeds": embeds, "pooled": pooled, "ids": ids})
        if not guided:
            return own
        return replace(own, negative=Conditioning({"embeds": blank, "pooled": blank_pooled, "ids": ids}))

    def call(self, x: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Raw prediction; SDXL is also told pooled text and sizes."""
        t = conditioning.tensors
        added = {"text_embeds": t["pooled"], "time_ids": t["ids"]}
        return self.network(x, time, encoder_hidden_states=t["embeds"], added_cond_kwargs=added).sample


class PixArt(DiffusionGenerator):
    """PixArt-alpha with the one-step DMD transformer: eps in the first half of the channels, t = 400."""

    def __init__(self, pipeline: DiffusionPipeline, once: OneStep = PIXART_DMD, size: int = 0) -> None:
        super().__init__(pipeline, pipeline.transformer, once, size)

    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        """See `Generator.encode`; with the attention mask of the T5 tokens."""
        with self.encoding():
            embeds, mask, blank, blank_mask = self.pipeline.encode_prompt(
                list(prompts), guided, device=self.device, clean_caption=False
            )
        negative = Conditioning({"embeds": blank, "mask": blank_mask}) if guided else None
        return Conditioning({"embeds": embeds, "mask": mask}, negative)

    def call(self, x: torch.Tensor, time: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Raw prediction without the learnt variance."""
        added: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
        if self.network.config.sample_size == 128:
            side = torch.full((len(x), 2), float(self.size), dtype=x.dtype, device=x.device)
            added = {
                "resolution": side,
                "aspect_ratio": torch.ones((len(x), 1), dtype=x.dtype, device=x.device),
            }
        out = self.network(
            x,
            encoder_hidden_states=conditioning.tensors["embeds"],
            encoder_attention_mask=conditioning.tensors["mask"],
            timestep=time,
            added_cond_kwargs=added,
        ).sample
        return out.chunk(2, dim=1)[0] if out.shape[1] == 2 * x.shape[1] else out


def freeze(*modules: Any) -> None:
    """No gradients in weights, eval mode; names that a pipeline does not have are None and skipped."""
    for module in modules:
        if module is not None:
            module.requires_grad_(False)
            module.eval()


FAMILIES: dict[str, Callable[..., DiffusionGenerator]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "PixArtAlphaPipeline": PixArt,
}
"""Class name of a pipeline to the generator that drives it; FLUX is in `flux.py`."""
