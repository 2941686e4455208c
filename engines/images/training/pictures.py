"""Stage 5: pictures of F, G and of searches, for the second stage of the rewards. Written to `pool/*.npz`.

--source pairs      pictures of F: the first of `pairs.npz`, decoded
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
from engines.images.training.loop import add_common, parse, weights
from engines.images.training.pieces import Build, add_minutes, cut, finish, in_pieces, read
from engines.images.training.samples import as_bytes, caption_ids
from engines.images.training.sampling import Stack, noise_of, one_step, sample
from engines.images.world import draw_captions

MIX = {"single": 0.08, "two": 0.14, "count": 0.16, "color": 0.08, "position": 0.2, "attr": 0.14, "full": 0.2}
PIECES = {"pairs": 200, "f": 100, "g": 200, "search": 10}
"""Captions a piece."""


def rewards(folder: Path, first: str, second: str) -> list:
    """The scorers of R1 and R2 of those runs."""
    one, two = make_r1(), make_r2()
    one.load_state_dict(weights(folder, first, "model"))
    two.load_state_dict(weights(folder, second, "model"))
    return [r1.scorer(one.eval().requires_grad_(False)), r2.scorer(two.eval().requires_grad_(False))]


def from_f(stack: Stack, number: int, seed: int) -> Build:
    """Pictures of F: two thirds with 20 steps, a third with 8, guidance 3."""
    places = draw_captions(numpy_generator(seed, "pool-f"), number, mix=MIX)
    noise = noise_of(number, seed, "pool-f")

    def build(first: int, end: int) -> dict[str, np.ndarray]:
        steps = 8 if (first // PIECES["f"]) % 3 == 2 else 20
        some = places[first:end]
        return stored(stack.decode(sample(stack, noise[first:end], stack.embed(some), steps=steps)), some)

    return build


def from_pairs(stack: Stack, folder: Path) -> Build:
    """The pictures of `pairs.npz`, decoded."""
    pairs = np.load(folder / "pairs.npz")
    latents, places = torch.from_numpy(pairs["latents"]).float(), pairs["captions"]
    return lambda first, end: stored(stack.decode(latents[first:end]), places[first:end])


def from_g(stack: Stack, number: int, seed: int) -> Build:
    """One-step pictures."""
    places = draw_captions(numpy_generator(seed, "pool-g"), number, mix=MIX)
    noise = noise_of(number, seed, "pool-g")

    def build(first: int, end: int) -> dict[str, np.ndarray]:
        some = places[first:end]
        return stored(stack.decode(one_step(stack.unet, noise[first:end], stack.embed(some))), some)

    return build


def searched(stack: Stack, scorers: list, number: int, best_of: int, seed: int) -> Build:
    """For each of `number` captions, the best of `best_of` one-step pictures by the rewards, each reward on its
    own and the sum of both in standard units: up to three pictures a caption."""
    places = draw_captions(numpy_generator(seed, "pool-search"), number, mix=MIX)
    ids, noise = caption_ids(), noise_of(number * best_of, seed, "pool-search")

    def build(first: int, end: int) -> dict[str, np.ndarray]:
        kept, named = [], []
        for k, place in enumerate(places[first:end], first):
            embeds = stack.embed(np.array([place])).expand(best_of, -1, -1)
            z = one_step(stack.unet, noise[k * best_of : (k + 1) * best_of], embeds)
            pictures = stack.decode(z)
            score = torch.stack([s(pictures, ids[place][None].expand(best_of, -1)) for s in scorers])
            score = (score - score.mean(1, keepdim=True)) / (score.std(1, keepdim=True) + 1e-6)
            for row in sorted({int(score[0].argmax()), int(score[1].argmax()), int(score.sum(0).argmax())}):
                kept.append(pictures[row])
                named.append(int(place))
        return stored(torch.stack(kept), np.array(named))

    return build


def stored(pictures: torch.Tensor, places: np.ndarray) -> dict[str, np.ndarray]:
    """As `samples.Pool` reads them."""
    return {"pictures": as_bytes(pictures), "places": np.asarray(places)}


def builder(options: argparse.Namespace) -> Build:
    """What the command line asks for."""
    folder, number, seed = options.folder, options.number, options.seed
    if options.source == "pairs":
        return from_pairs(final_stack(folder), folder)
    if options.source == "f":
        return from_f(final_stack(folder), number, seed)
    stack = final_stack(folder, options.generator)
    if options.source == "g":
        return from_g(stack, number, seed)
    return searched(stack, rewards(folder, *options.rewards.split(",")), number, options.best_of, seed)


def main() -> None:
    """Write one file of pictures."""
    parser = argparse.ArgumentParser(description="Draw pictures for the rewards' second stage.")
    add_common(parser)
    add_minutes(parser)
    parser.set_defaults(seed=20)
    parser.add_argument("--source", choices=("pairs", "f", "g", "search"), required=True)
    parser.add_argument("--number", type=int, required=True, help="pictures, or captions of searches")
    parser.add_argument("--best-of", type=int, default=24)
    parser.add_argument("--generator", default="g", help="run of the one-step generator")
    parser.add_argument("--rewards", default="r1,r2", help="runs of R1 and R2")
    options = parse(parser)
    pool = options.folder / "pool"
    name = f"{options.source}-{options.seed}"
    pieces = pool / f"{name}-{options.number}-{options.best_of}.pieces"
    with torch.no_grad():
        planned = cut(options.number, PIECES[options.source], builder(options))
        found = read(
            in_pieces(pieces, options.folder / f"pictures-{name}.log", planned, minutes=options.minutes)
        )
    finish(pool / f"{name}.npz", found, pieces)


if __name__ == "__main__":
    main()
