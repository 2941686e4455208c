"""The interface that engines see: a prompt encoded once, one step with gradients, many steps that can pause."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Conditioning:
    """What a network is told of prompts: named tensors whose first axis runs over the prompts, and the same of
    the empty prompt where guidance needs it."""

    tensors: Mapping[str, torch.Tensor]
    negative: Conditioning | None = None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def take(self, rows: torch.Tensor) -> Conditioning:
        """The prompts of those rows (repeats allowed)."""
        negative = self.negative.take(rows) if self.negative else None
        return Conditioning({k: v[rows] for k, v in self.tensors.items()}, negative)

    def expand(self, number: int) -> Conditioning:
        """One prompt for `number` seeds. Raises ValueError when there is more than one prompt."""
        if len(self) != 1:
            raise ValueError(f"expand needs one prompt; got {len(self)}. Use take for a choice of rows.")
        return self.take(torch.zeros(number, dtype=torch.long))

    def joined(self) -> Conditioning:
        """The empty prompts followed by the prompts, for one guided call. Raises ValueError without them."""
        if self.negative is None:
            raise ValueError("guidance needs the empty prompt: encode with guided=True.")
        return Conditioning({k: torch.cat([self.negative.tensors[k], v]) for k, v in self.tensors.items()})


@dataclass(frozen=True)
class Level:
    """A noise level of a sampler: the time step that the network is told, and sigma (noise over signal for
    diffusion models, the share of noise for flow models)."""

    time: float
    sigma: float


@dataclass(frozen=True)
class Sampling:
    """A batch in the middle of sampling. Pure data: keep it, prune it with `take`, go on with `advance`.

    `latents` [N, C, H, W] in the sampler's own scale, `index` how many calls are done, `clean` the estimate of
    the final latents after the last call (None before the first), `levels` the schedule with a closing 0."""

    latents: torch.Tensor
    conditioning: Conditioning
    guidance: float
    levels: tuple[Level, ...]
    index: int = 0
    clean: torch.Tensor | None = None

    @property
    def steps(self) -> int:
        """Network calls of the whole schedule."""
        return len(self.levels) - 1

    @property
    def is_done(self) -> bool:
        """Whether `clean` is the final result."""
        return self.index >= self.steps

    def take(self, rows: torch.Tensor) -> Sampling:
        """The seeds that survive."""
        return replace(
            self,
            latents=self.latents[rows],
            conditioning=self.conditioning.take(rows),
            clean=None if self.clean is None else self.clean[rows],
        )


class Generator(ABC):
    """A text-to-image model, frozen. Noise is unit Gaussian of `noise_shape`; pictures are [N, 3, H, W] in 0..1."""

    noise_shape: tuple[int, int, int]
    """Channels, height, width of the noise of one picture."""
    pipeline: Any
    """The pipeline of diffusers whose parts are driven here."""
    network: torch.nn.Module
    vae: Any
    """The full decoder (and encoder)."""
    tiny: Any = None
    """An AutoencoderTiny that may decode instead, or None."""
    device: torch.device
    dtype: torch.dtype
    encoders_leave = False
    """Whether text encoders are on the device only while they work."""

    def calls(self, guidance: float) -> int:
        """Network calls of one picture in one step."""
        return 2 if guidance > 1 else 1

    @abstractmethod
    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        """Encode prompts once, without gradients; `guided` adds the empty prompt."""

    @abstractmethod
    def one_step(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """Clean latents from unit noise in one call; gradients reach the noise."""

    @abstractmethod
    def start(
        self, noise: torch.Tensor, conditioning: Conditioning, *, steps: int, guidance: float
    ) -> Sampling:
        """Begin many-step sampling."""

    @abstractmethod
    def advance_with_gradients(self, sampling: Sampling) -> Sampling:
        """`advance` whose result still depends on the latents, for optimisation through several steps."""

    @torch.no_grad()
    def advance(self, sampling: Sampling) -> Sampling:
        """One call of the network (two with guidance): the next latents and the clean estimate.

        Raises ValueError when the sampling is done."""
        return self.advance_with_gradients(sampling)

    def decode(self, latents: torch.Tensor, *, tiny: bool = False) -> torch.Tensor:
        """Pictures in 0..1 of clean latents, at least float32 (bfloat16 has fewer levels than a picture); gradients reach
        the latents. `tiny` uses the small decoder and raises ValueError when there is none."""
        if tiny and self.tiny is None:
            raise ValueError("this generator has no tiny decoder: load it with Economy(tiny=...).")
        vae = self.tiny if tiny else self.vae
        scaling = float(getattr(vae.config, "scaling_factor", 1.0) or 1.0)
        shift = float(getattr(vae.config, "shift_factor", 0.0) or 0.0)
        scaled = (latents / scaling + shift).to(vae.dtype)
        shown = vae.decode(scaled).sample
        shown = shown.to(torch.promote_types(shown.dtype, torch.float32))
        return (shown / 2 + 0.5).clamp(0, 1)

    @property
    def encoders(self) -> dict[str, torch.nn.Module]:
        """The text encoders that are still there, by their names in the pipeline."""
        named = {n: getattr(self.pipeline, n, None) for n in ("text_encoder", "text_encoder_2")}
        return {n: module for n, module in named.items() if module is not None}

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Around the work of the text encoders: no gradients, and where they leave the device, their visit.

        Raises ValueError after `drop_encoders`."""
        if not self.encoders:
            raise ValueError("the text encoders were dropped: encode all prompts before drop_encoders.")
        if self.encoders_leave:
            for module in self.encoders.values():
                module.to(self.device)
        try:
            with torch.no_grad():
                yield
        finally:
            if self.encoders_leave:
                for module in self.encoders.values():
                    module.to("cpu")

    def drop_encoders(self) -> None:
        """Free the text encoders for good, once all prompts are encoded (T5-XXL is 9 GB in fp16)."""
        for name in self.encoders:
            setattr(self.pipeline, name, None)

    def sample(
        self, noise: torch.Tensor, conditioning: Conditioning, *, steps: int, guidance: float
    ) -> torch.Tensor:
        """Clean latents after the whole schedule."""
        state = self.start(noise, conditioning, steps=steps, guidance=guidance)
        while not state.is_done:
            state = self.advance(state)
        if state.clean is None:
            raise ValueError(f"steps must be at least 1; got {steps}.")
        return state.clean
