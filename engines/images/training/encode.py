"""Stage 3: latents of 96,000 renders (half of them mirror images), 3 CPU minutes; `latents.npz` in the folder."""

from __future__ import annotations

import numpy as np
import torch

from engines.devices import numpy_generator
from engines.images.training.loop import arguments
from engines.images.training.vae import final_vae
from engines.images.world import draw_captions, draw_scenes, mirror_captions, mirror_scenes, render

SCENES = 48_000


def main() -> None:
    """Render, encode, and store sorted by caption: latents float16 [N, 8, 8, 8], captions int16 [N]."""
    options = arguments("Encode renders.", 3.0)
    vae = final_vae(options.folder)
    latents, captions = [], []
    with torch.no_grad():
        for start in range(0, SCENES, 250):
            rng = numpy_generator(options.seed, "encode", start)
            places = draw_captions(rng, 250)
            scenes = draw_scenes(rng, places)
            for some, named in ((scenes, places), (mirror_scenes(scenes), mirror_captions(places))):
                pictures = torch.from_numpy(render(some))
                latents.append(vae.encode(pictures * 2 - 1).latents.half().numpy())
                captions.append(named.astype(np.int16))
    joined = np.concatenate(captions)
    order = np.argsort(joined, kind="stable")
    np.savez(options.folder / "latents.npz", latents=np.concatenate(latents)[order], captions=joined[order])


if __name__ == "__main__":
    main()
