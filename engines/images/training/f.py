"""Stage 4: F, the many-step generator, 40 CPU minutes.

v prediction on the stored latents. A batch is 8 captions with 8 pictures each, and noise is dealt to the pictures
of one caption by optimal assignment: that leaves noise independent of the caption and, because v is the velocity
of the path, the sampler exact, but the network has less to average over (layout and unnamed colours are tied to
the noise). t: three quarters uniform, one quarter in 500..999, where number and places are decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional

from engines.devices import numpy_generator
from engines.images.training.architecture import alphas, make_scheduler, make_text_encoder, make_unet
from engines.images.training.loop import Average, Budget, arguments, flat_then_cosine, train, weights
from engines.images.training.samples import caption_ids
from engines.images.training.sampling import Stack, accuracy
from engines.images.training.vae import final_vae
from engines.images.world import draw_captions
from engines.images.world.tokens import word_ids

GROUPS, EACH = 8, 8
DROPPED = 0.1


class Latents:
    """The stored latents, grouped by caption."""

    def __init__(self, folder: Any) -> None:
        stored = np.load(folder / "latents.npz")
        self.latents, captions = stored["latents"], stored["captions"]
        self.first = np.searchsorted(captions, np.arange(1002))
        self.number = np.searchsorted(captions, np.arange(1002), side="right") - self.first

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, np.ndarray]:
        """Latents [64, 8, 8, 8] and their captions [64], in groups of EACH with one caption."""
        places = draw_captions(rng, GROUPS)
        places = np.where(self.number[places] > 0, places, int(np.argmax(self.number)))
        rows = self.first[places][:, None] + (
            rng.random((GROUPS, EACH)) * self.number[places][:, None]
        ).astype(int)
        return torch.from_numpy(self.latents[rows.ravel()].astype(np.float32)), np.repeat(places, EACH)


def deal(latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Noise [64, 8, 8, 8] permuted inside each group of EACH so that the summed products with the latents are
    largest."""
    a = latents.flatten(1).view(GROUPS, EACH, -1)
    b = noise.flatten(1).view(GROUPS, EACH, -1)
    gain = torch.bmm(a, b.transpose(1, 2)).numpy()
    order = [linear_sum_assignment(g, maximize=True)[1] + EACH * k for k, g in enumerate(gain)]
    return noise[torch.from_numpy(np.concatenate(order))]


def averaged(average: dict[str, Average], vae: torch.nn.Module) -> Stack:
    """The stack with the averaged weights."""
    unet, text = make_unet(), make_text_encoder()
    unet.load_state_dict(average["unet"].weights)
    text.load_state_dict(average["text"].weights)
    return Stack(unet.eval(), text.eval(), vae)


def main() -> None:
    """Train F and its text encoder."""
    options = arguments("Train F.", 40.0)
    torch.manual_seed(options.seed)
    vae, data = final_vae(options.folder), Latents(options.folder)
    unet, text = make_unet(), make_text_encoder()
    text.load_state_dict(weights(options.folder, "text", "text"))
    optimizer = torch.optim.AdamW(
        [{"params": list(unet.parameters()), "lr": 2e-3}, {"params": list(text.parameters()), "lr": 2e-4}],
        betas=(0.9, 0.99),
        weight_decay=1e-3,
    )
    alpha, sigma = alphas(make_scheduler())
    ids, blank = caption_ids(), torch.tensor(word_ids([""]))

    def step(number: int, progress: float) -> dict[str, float]:
        rng = numpy_generator(options.seed, "f", number)
        x0, places = data.draw(rng)
        noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        noise = deal(x0, noise)
        n = len(x0)
        t = np.where(rng.random(n) < 0.75, rng.integers(0, 1000, n), rng.integers(500, 1000, n))
        t = torch.from_numpy(t)
        a, s = alpha[t].view(-1, 1, 1, 1), sigma[t].view(-1, 1, 1, 1)
        named = torch.from_numpy(rng.random(n) >= DROPPED)
        tokens = torch.where(named[:, None], ids[places], blank)
        embeds = text(input_ids=tokens).last_hidden_state
        v = unet(a * x0 + s * noise, t, encoder_hidden_states=embeds).sample
        error = functional.mse_loss(v, a * noise - s * x0, reduction="none").mean((1, 2, 3))
        error.mean().backward()
        error = error.detach()
        high = t >= 700
        return {
            "low": float(error[t < 500].mean()),
            "middle": float(error[(t >= 500) & ~high].mean()),
            "high": float(error[high].mean()),
        }

    average = {"unet": Average(unet, 0.999), "text": Average(text, 0.999)}

    def report() -> dict[str, Any]:
        return accuracy(averaged(average, vae), per_task=20, seed=3, steps=20)

    train(
        Budget.of(options, "f"),
        {"unet": unet, "text": text},
        optimizer,
        step,
        schedule=lambda p, n: flat_then_cosine(p, n, warm=200, flat=0.45, end=0.01),
        average=average,
        report=report,
        report_minutes=5.0,
    )


def final_stack(folder: Any, run: str = "f") -> Stack:
    """The trained F of a folder, frozen."""
    unet, text = make_unet(), make_text_encoder()
    unet.load_state_dict(weights(folder, run, "unet"))
    text.load_state_dict(weights(folder, "f", "text"))
    for module in (unet, text):
        module.eval().requires_grad_(False)
    return Stack(unet, text, final_vae(folder))


if __name__ == "__main__":
    main()
