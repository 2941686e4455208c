"""Stage 6: noise and what F makes of it, 8,000 pairs with 10 steps, 4 CPU minutes; `pairs.npz` in the folder.

Each pair is labelled by the checker; G's regression draws the right ones more often."""

from __future__ import annotations

import numpy as np
import torch

from engines.devices import numpy_generator
from engines.images.training.f import final_stack
from engines.images.training.loop import arguments
from engines.images.training.samples import checker_labels
from engines.images.training.sampling import noise_of, sample
from engines.images.world import draw_captions

NUMBER = 8_000
STEPS = 10


def main() -> None:
    """Draw and store: noise, latents float16 [N, 8, 8, 8], captions [N], strict [N]."""
    options = arguments("Draw pairs of noise and latent from F.", 4.0)
    stack = final_stack(options.folder)
    places = draw_captions(numpy_generator(options.seed, "pairs"), NUMBER)
    noise = noise_of(NUMBER, options.seed, "pairs").half()
    latents, strict = [], []
    with torch.no_grad():
        for start in range(0, NUMBER, 100):
            part = slice(start, start + 100)
            z = sample(stack, noise[part].float(), stack.embed(places[part]), steps=STEPS)
            strict.append(checker_labels(stack.decode(z), places[part])[0])
            latents.append(z.half().numpy())
    passed = np.concatenate(strict)
    np.savez(
        options.folder / "pairs.npz",
        noise=noise.numpy(),
        latents=np.concatenate(latents),
        captions=places,
        strict=passed,
    )
    print(f"{NUMBER} pairs, {passed.mean():.3f} strict")


if __name__ == "__main__":
    main()
