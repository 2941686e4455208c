"""Stage 3: latents of 96,000 renders (half of them mirror images), 6 CPU minutes; `latents.npz` in the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from engines.devices import numpy_generator
from engines.images.training.pieces import Arrays, arguments, cut, finish, in_pieces, read
from engines.images.training.vae import final_vae
from engines.images.world import draw_captions, draw_scenes, mirror_captions, mirror_scenes, render

SCENES, AT_ONCE, PIECE = 48_000, 250, 2_000


@torch.no_grad()
def encoded(vae: nn.Module, seed: int, first: int, end: int) -> Arrays:
    """Latents float16 [N, 8, 8, 8] and captions int16 [N] of the scenes `first` .. `end` and their mirror images."""
    latents, captions = [], []
    for start in range(first, end, AT_ONCE):
        rng = numpy_generator(seed, "encode", start)
        places = draw_captions(rng, AT_ONCE)
        scenes = draw_scenes(rng, places)
        for some, named in ((scenes, places), (mirror_scenes(scenes), mirror_captions(places))):
            pictures = torch.from_numpy(render(some))
            latents.append(vae.encode(pictures * 2 - 1).latents.half().numpy())
            captions.append(named.astype(np.int16))
    return {"latents": np.concatenate(latents), "captions": np.concatenate(captions)}


def draw(folder: Path, seed: int, minutes: float, scenes: int = SCENES, piece: int = PIECE) -> None:
    """Render, encode, and store sorted by caption."""
    pieces = folder / f"latents-{seed}-{scenes}.pieces"
    vae = final_vae(folder)
    planned = cut(scenes, piece, lambda first, end: encoded(vae, seed, first, end))
    found = read(in_pieces(pieces, folder / "encode.log", planned, minutes=minutes))
    order = np.argsort(found["captions"], kind="stable")
    finish(folder / "latents.npz", {key: value[order] for key, value in found.items()}, pieces)


def main() -> None:
    """Draw what is missing."""
    options = arguments("Encode renders.")
    draw(options.folder, options.seed, options.minutes)


if __name__ == "__main__":
    main()
