"""Stage 5: pictures of F, G and of searches, for the second stage of the rewards. Written to `pool/*.npz`.

--source f          pictures of F (20 steps; a part with 8), for all tasks
--source g          pictures of G
--source search     best-of-n of G by the present rewards: what a search will show them, relabelled
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from engines.devices import numpy_generator
from engines.images.training import r1, r2
from engines.images.training.architecture import make_r1, make_r2
from engines.images.training.f import final_stack
from engines.images.training.loop import weights
from engines.images.training.samples import caption_ids, write_pool
from engines.images.training.sampling import Stack, noise_of, one_step, sample
from engines.images.world import draw_captions

MIX = {"single": 0.08, "two": 0.14, "count": 0.16, "color": 0.08, "position": 0.2, "attr": 0.14, "full": 0.2}


def rewards(folder: Path, first: str, second: str) -> list:
    """The scorers of R1 and R2 of those runs."""
    one, two = make_r1(), make_r2()
    one.load_state_dict(weights(folder, first, "model"))
    two.load_state_dict(weights(folder, second, "model"))
    return [r1.scorer(one.eval().requires_grad_(False)), r2.scorer(two.eval().requires_grad_(False))]


@torch.no_grad()
def from_f(stack: Stack, number: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures of F: two thirds with 20 steps, a third with 8, guidance 3."""
    places = draw_captions(numpy_generator(seed, "pool-f"), number, mix=MIX)
    noise, parts = noise_of(number, seed, "pool-f"), []
    for start in range(0, number, 100):
        some = slice(start, start + 100)
        steps = 8 if (start // 100) % 3 == 2 else 20
        parts.append(stack.decode(sample(stack, noise[some], stack.embed(places[some]), steps=steps)))
    return torch.cat(parts), places


@torch.no_grad()
def from_pairs(stack: Stack, folder: Path) -> tuple[torch.Tensor, np.ndarray]:
    """The pictures of `pairs.npz`, decoded."""
    stored = np.load(folder / "pairs.npz")
    latents = torch.from_numpy(stored["latents"]).float()
    parts = [stack.decode(latents[start : start + 100]) for start in range(0, len(latents), 100)]
    return torch.cat(parts), stored["captions"]


@torch.no_grad()
def from_g(stack: Stack, number: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """One-step pictures."""
    places = draw_captions(numpy_generator(seed, "pool-g"), number, mix=MIX)
    noise, parts = noise_of(number, seed, "pool-g"), []
    for start in range(0, number, 200):
        some = slice(start, start + 200)
        parts.append(stack.decode(one_step(stack.unet, noise[some], stack.embed(places[some]))))
    return torch.cat(parts), places


@torch.no_grad()
def searched(
    stack: Stack, scorers: list, number: int, best_of: int, seed: int
) -> tuple[torch.Tensor, np.ndarray]:
    """For each of `number` captions, the best of `best_of` one-step pictures by the rewards, each reward on its
    own and the sum of both in standard units: three pictures a caption."""
    places = draw_captions(numpy_generator(seed, "pool-search"), number, mix=MIX)
    ids, noise = caption_ids(), noise_of(number * best_of, seed, "pool-search")
    kept, named = [], []
    for k, place in enumerate(places):
        embeds = stack.embed(np.array([place])).expand(best_of, -1, -1)
        z = one_step(stack.unet, noise[k * best_of : (k + 1) * best_of], embeds)
        pictures = stack.decode(z)
        score = torch.stack([s(pictures, ids[place][None].expand(best_of, -1)) for s in scorers])
        score = (score - score.mean(1, keepdim=True)) / (score.std(1, keepdim=True) + 1e-6)
        for row in {int(score[0].argmax()), int(score[1].argmax()), int(score.sum(0).argmax())}:
            kept.append(pictures[row])
            named.append(int(place))
    return torch.stack(kept), np.array(named)


def main() -> None:
    """Write one file of pictures."""
    parser = argparse.ArgumentParser(description="Draw pictures for the rewards' second stage.")
    parser.add_argument("--folder", type=Path, default=Path("train-images"))
    parser.add_argument("--source", choices=("pairs", "f", "g", "search"), required=True)
    parser.add_argument("--number", type=int, default=6000)
    parser.add_argument("--best-of", type=int, default=16)
    parser.add_argument("--generator", default="g", help="run of the one-step generator")
    parser.add_argument("--rewards", default="r1,r2", help="runs of R1 and R2")
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.source == "pairs":
        pictures, places = from_pairs(final_stack(options.folder), options.folder)
    elif options.source == "f":
        pictures, places = from_f(final_stack(options.folder), options.number, options.seed)
    else:
        stack = final_stack(options.folder, options.generator)
        if options.source == "g":
            pictures, places = from_g(stack, options.number, options.seed)
        else:
            scorers = rewards(options.folder, *options.rewards.split(","))
            pictures, places = searched(stack, scorers, options.number, options.best_of, options.seed)
    (options.folder / "pool").mkdir(exist_ok=True)
    write_pool(options.folder / "pool" / f"{options.source}-{options.seed}.npz", pictures, places)


if __name__ == "__main__":
    main()
