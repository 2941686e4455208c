"""Stage 7: G, the one-step generator: F's network called once at t = 999, x0 = -v, text encoder as F left it.

--name g-pairs                  regression on F's pairs (pseudo-Huber), 5 CPU minutes
--name g --start g-pairs        distribution matching: a second network learns the score of G's pictures, and
                                G follows the difference to F's (guidance 3), 7 CPU minutes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engines.devices import numpy_generator
from engines.images.training.architecture import alphas, make_scheduler, make_unet
from engines.images.training.f import final_stack
from engines.images.training.loop import Average, Budget, arguments, flat_then_cosine, numbers, train, weights
from engines.images.training.sampling import Stack, accuracy, guided, one_step
from engines.images.world import draw_captions

GUIDANCE = 3.0
FAKE_UPDATES = 2
BATCH = 32


class Pairs:
    """The stored pairs; right ones are drawn with weight 1, others with .3."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        stored = np.load(folder / "pairs.npz")
        self.noise = torch.from_numpy(stored["noise"]).float()
        self.latents = torch.from_numpy(stored["latents"]).float()
        self.places = stored["captions"]
        share = np.where(stored["strict"], 1.0, 0.3)
        self.share = share / share.sum()
        self.embeds = stack.embed(np.arange(1002))

    def loss(self, unet: nn.Module, rng: np.random.Generator, size: int) -> torch.Tensor:
        """Pseudo-Huber of whole latents, c = .03 sqrt(d), divided by sqrt(d)."""
        rows = rng.choice(len(self.places), size=size, p=self.share)
        x0 = one_step(unet, self.noise[rows], self.embeds[self.places[rows]])
        square = (x0 - self.latents[rows]).square().flatten(1).sum(1)
        d = x0[0].numel()
        c = 0.03 * d**0.5
        return ((square + c * c).sqrt() - c).mean() / d**0.5


def averaged(average: Average, stack: Stack) -> Stack:
    """The one-step stack with G's averaged weights."""
    unet = make_unet()
    unet.load_state_dict(average.weights)
    return Stack(unet.eval(), stack.text, stack.vae)


def regression(options: Any, stack: Stack, pairs: Pairs) -> None:
    """Stage 1."""
    unet = make_unet()
    unet.load_state_dict(stack.unet.state_dict())
    optimizer = torch.optim.AdamW(unet.parameters(), lr=8e-4, betas=(0.9, 0.99), weight_decay=1e-3)
    average = {"unet": Average(unet, 0.995)}

    def step(number: int, progress: float) -> dict[str, float]:
        loss = pairs.loss(unet, numpy_generator(options.seed, "g-pairs", number), 48)
        loss.backward()
        return numbers(loss=loss)

    train(
        Budget.of(options, options.name or "g-pairs"),
        {"unet": unet},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=50, flat=0.5, end=0.02),
        average=average,
        report=lambda: accuracy(averaged(average["unet"], stack), per_task=40, seed=3, steps=1),
        report_minutes=2.0,
    )


class Matching:
    """Distribution matching: F as the teacher, a second copy of F as the score of G's own pictures."""

    def __init__(self, stack: Stack, unet: nn.Module, fake: nn.Module, pairs: Pairs) -> None:
        self.stack, self.unet, self.fake, self.pairs = stack, unet, fake, pairs
        self.alpha, self.sigma = alphas(make_scheduler())
        self.empty = stack.empty()

    def noisy(self, x0: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        """A random time (20..980), the noise, and the noisy latent."""
        t = torch.from_numpy(rng.integers(20, 981, len(x0)))
        eps = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        a, s = self.alpha[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)
        return t, a, s, eps, a * x0 + s * eps

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt embeddings and unit noise of a batch."""
        embeds = self.pairs.embeds[draw_captions(rng, BATCH)]
        return embeds, torch.from_numpy(rng.standard_normal((BATCH, 8, 8, 8), dtype=np.float32))

    def fake_loss(self, rng: np.random.Generator) -> torch.Tensor:
        """v loss of the second network on G's pictures."""
        embeds, eps = self.draw(rng)
        with torch.no_grad():
            x0 = one_step(self.unet, eps, embeds)
        t, a, s, noise, x = self.noisy(x0, rng)
        v = self.fake(x, t, encoder_hidden_states=embeds).sample
        return functional.mse_loss(v, a * noise - s * x0)

    def match_loss(self, rng: np.random.Generator) -> torch.Tensor:
        """A loss whose gradient in G's latents is (x0_fake - x0_real) / mean |x - x0_real|."""
        embeds, eps = self.draw(rng)
        x0 = one_step(self.unet, eps, embeds)
        with torch.no_grad():
            t, a, s, _, x = self.noisy(x0, rng)
            real = a * x - s * guided(self.stack.unet, x, t, embeds, self.empty, GUIDANCE)
            fake = a * x - s * self.fake(x, t, encoder_hidden_states=embeds).sample
            scale = (x0 - real).abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
            target = x0 - (fake - real) / scale
        return 0.5 * functional.mse_loss(x0, target)


def matching(options: Any, stack: Stack, pairs: Pairs) -> None:
    """Stage 2."""
    unet, fake = make_unet(), make_unet()
    unet.load_state_dict(weights(options.folder, options.start, "unet"))
    fake.load_state_dict(stack.unet.state_dict())
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2.5e-4, betas=(0.0, 0.99), weight_decay=1e-3)
    second = torch.optim.AdamW(fake.parameters(), lr=5e-4, betas=(0.0, 0.99), weight_decay=1e-3)
    rule = Matching(stack, unet, fake, pairs)
    average = {"unet": Average(unet, 0.99)}

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, "g", number)
        for _ in range(FAKE_UPDATES):
            second.zero_grad(set_to_none=True)
            learnt = rule.fake_loss(rng)
            learnt.backward()
            nn.utils.clip_grad_norm_(fake.parameters(), 1.0)
            second.step()
        match = rule.match_loss(rng)
        anchor = pairs.loss(unet, rng, BATCH)
        (match + 0.25 * anchor).backward()
        return numbers(match=match, fake=learnt, anchor=anchor)

    train(
        Budget.of(options, options.name or "g"),
        {"unet": unet, "fake": fake},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=20, flat=0.5, end=0.05),
        average=average,
        others=[second],
        report=lambda: accuracy(averaged(average["unet"], stack), per_task=40, seed=3, steps=1),
        report_minutes=2.0,
    )


def main() -> None:
    """Run the stage that the name asks for."""
    options = arguments("Train G.", 6.0, is_staged=True)
    torch.manual_seed(options.seed)
    stack = final_stack(options.folder)
    pairs = Pairs(options.folder, stack)
    if options.start:
        matching(options, stack, pairs)
    else:
        regression(options, stack, pairs)


if __name__ == "__main__":
    main()
