"""Trajectories of F for noise-aware rewards (ttsnap.md 6.1): clean estimates of every step, and the finished pictures.

    python -m engines.images.training.trajectories --folder train-images [--backwards]

All sentences of the world in three parts: `held` (figures of the card and of the page, never trained on and never chosen by),
`tuning` (schedules, borders and rates are chosen here), `training`. Goes on where it was stopped, chunk by chunk; a second
process with `--backwards` helps from the other end."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from engines.devices import torch_generator
from engines.images.choices import F, open_generator
from engines.images.embedded import GUIDANCE, STEPS
from engines.images.rewards.loading import load_reward
from engines.images.training.loop import add_common, parse
from engines.images.training.pieces import add_minutes, in_pieces
from engines.images.ttsnap.prompts import split

Part = Literal["held", "tuning", "training"]
LEVELS = 15
"""Estimates after 1 .. 15 calls are learnt; later ones keep the plain reward, as in the paper."""
CHUNK = 12
HELD, TUNING = 48, 24
SEEDS = {"held": 24, "tuning": 64}
FEW, MANY = 24, 64
"""Seeds of a training prompt: tasks with hundreds of sentences, and those with a few dozen."""
LARGE = ("attr", "full")
REWARDS = ("r1", "r2")
TOGETHER = 8
"""Pictures decoded at once: few stay in the cache."""


def parts(seed: int) -> dict[Part, list[str]]:
    """Sentences of each part; the tuning ones are dealt over the tasks, as the held ones are."""
    from engines.images.world import all_captions

    taught, held = split(seed, len(all_captions()) - HELD, HELD)
    tuning = taught[3 : 3 + 3 * TUNING : 3]
    return {"held": held, "tuning": tuning, "training": [p for p in taught if p not in set(tuning)]}


def chunks(prompts: list[str], part: Part) -> list[tuple[str, list[str], int]]:
    """Name, sentences and seeds a sentence of every chunk."""
    from engines.images.world import caption_of

    if part != "training":
        return [
            (f"{part}-{k:04d}", prompts[k : k + CHUNK], SEEDS[part]) for k in range(0, len(prompts), CHUNK)
        ]
    out = []
    for seeds, large in ((MANY, False), (FEW, True)):
        some = [p for p in prompts if (caption_of(p).task in LARGE) == large]
        width = CHUNK * FEW // seeds
        out += [(f"{part}-{seeds}-{k:04d}", some[k : k + width], seeds) for k in range(0, len(some), width)]
    return out


@torch.no_grad()
def draw(prompts: list[str], seeds: int, name: str, seed: int, *, scored: bool) -> dict[str, NDArray[Any]]:
    """Trajectories of some prompts: `final` uint8 [P, S, 3, 64, 64], the finished pictures, and

    `latents` float16 [P, S, LEVELS, 8, 8, 8], the estimates, or, `scored`, the estimates decoded: `pictures` uint8
    [P, S, LEVELS + 1, 3, 64, 64] (the last is the finished one) and the plain scores `r1`, `r2` [P, S, LEVELS + 1]."""
    generator = open_generator(F, "cpu")
    rows = torch.arange(len(prompts)).repeat_interleave(seeds)
    noise = torch.randn(
        (len(rows), *generator.noise_shape), generator=torch_generator(seed, "trajectories", name)
    )
    conditioning = generator.encode(prompts, guided=True).take(rows)
    state = generator.start(noise, conditioning, steps=STEPS, guidance=GUIDANCE)
    estimates = []
    while not state.is_done:
        state = generator.advance(state)
        if state.index <= LEVELS or state.is_done:
            assert state.clean is not None
            estimates.append(state.clean)
    shape = (len(prompts), seeds)
    if not scored:
        latents = torch.stack(estimates[:LEVELS], 1).half().numpy()
        final = decoded(generator, estimates[-1]).numpy()
        return {
            "latents": latents.reshape(*shape, *latents.shape[1:]),
            "final": final.reshape(*shape, *final.shape[1:]),
        }
    pictures = torch.stack([decoded(generator, z) for z in estimates], 1)
    out = {"pictures": pictures.numpy().reshape(*shape, *pictures.shape[1:])}
    for key in REWARDS:
        reward = load_reward(key)
        told = reward.encode(prompts).take(rows)
        scores = [reward.score(pictures[:, k].float() / 255, told) for k in range(LEVELS + 1)]
        out[key] = torch.stack(scores, 1).numpy().reshape(*shape, LEVELS + 1)
    return out


def decoded(generator: Any, latents: torch.Tensor) -> torch.Tensor:
    """Pictures uint8 [N, 3, H, W] of latents [N, C, h, w]."""
    shown = torch.cat([generator.decode(z) for z in latents.split(TOGETHER)])
    return (shown * 255).round().to(torch.uint8)


def files(folder: Path, part: Part) -> list[tuple[Path, list[str]]]:
    """Chunks of a part that are there, with their sentences."""
    known = json.loads((folder / "trajectories" / "prompts.json").read_text())[part]
    found = [(folder / "trajectories" / f"{name}.npz", some) for name, some, _ in chunks(known, part)]
    return [(path, some) for path, some in found if path.exists()]


def read_scored(folder: Path, part: Part) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Prompts and joined arrays of a scored part."""
    found = files(folder, part)
    loaded = [np.load(path) for path, _ in found]
    prompts = [p for _, some in found for p in some]
    return prompts, {k: np.concatenate([each[k] for each in loaded]) for k in ("pictures", *REWARDS)}


def main() -> None:
    """Draw what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common(parser)
    add_minutes(parser)
    parser.add_argument(
        "--part", choices=("held", "tuning", "training"), nargs="*", default=["held", "tuning", "training"]
    )
    parser.add_argument(
        "--backwards", action="store_true", help="from the last chunk: a second process helps"
    )
    args = parse(parser)
    folder = args.folder / "trajectories"
    folder.mkdir(exist_ok=True)
    dealt = parts(args.seed)
    (folder / "prompts.json").write_text(json.dumps(dealt, indent=1))
    planned = [
        (name, partial(draw, prompts, seeds, name, args.seed, scored=part != "training"))
        for part in args.part
        for name, prompts, seeds in chunks(dealt[part], part)[:: -1 if args.backwards else 1]
    ]
    log = args.folder / f"trajectories{'-backwards' if args.backwards else ''}.log"
    in_pieces(folder, log, planned, minutes=args.minutes)


if __name__ == "__main__":
    main()
