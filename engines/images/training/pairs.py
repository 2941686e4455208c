"""Stage 6: noise and what F makes of it, 8,000 pairs with 10 steps, 4 CPU minutes; `pairs.npz` in the folder.

Each pair is labelled by the checker; G's regression draws the right ones more often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engines.devices import numpy_generator
from engines.images.training.f import final_stack
from engines.images.training.pieces import Arrays, arguments, cut, finish, in_pieces, read
from engines.images.training.samples import checker_labels
from engines.images.training.sampling import Stack, noise_of, sample
from engines.images.world import draw_captions

NUMBER, PIECE = 8_000, 100
STEPS = 10


@torch.no_grad()
def drawn(stack: Stack, noise: torch.Tensor, places: np.ndarray) -> Arrays:
    """Noise and latents float16 [N, 8, 8, 8], captions [N], strict [N]."""
    z = sample(stack, noise.float(), stack.embed(places), steps=STEPS)
    strict = checker_labels(stack.decode(z), places)[0]
    return {"noise": noise.numpy(), "latents": z.half().numpy(), "captions": places, "strict": strict}


def draw(folder: Path, seed: int, minutes: float, number: int = NUMBER) -> None:
    """Draw and store."""
    stack = final_stack(folder)
    places = draw_captions(numpy_generator(seed, "pairs"), number)
    noise = noise_of(number, seed, "pairs").half()
    pieces = folder / f"pairs-{seed}-{number}.pieces"
    planned = cut(number, PIECE, lambda first, end: drawn(stack, noise[first:end], places[first:end]))
    found = read(in_pieces(pieces, folder / "pairs.log", planned, minutes=minutes))
    finish(folder / "pairs.npz", found, pieces)
    print(f"{number} pairs, {found['strict'].mean():.3f} strict")


def main() -> None:
    """Draw what is missing."""
    options = arguments("Draw pairs of noise and latent from F.")
    draw(options.folder, options.seed, options.minutes)


if __name__ == "__main__":
    main()
