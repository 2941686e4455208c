"""Batches for the rewards: fresh renders, and stored pictures of generators labelled by the checker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from engines.images.world import (
    Found,
    Scenes,
    all_captions,
    as_scene,
    check,
    draw_captions,
    draw_scenes,
    hard_negatives,
    held_out,
    judge,
    relation_variants,
    render,
    truth_table,
)
from engines.images.world.tokens import word_ids

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def caption_ids() -> torch.Tensor:
    """Token numbers of all captions, int64 [1002, 12]."""
    return torch.tensor(word_ids([c.text for c in all_captions()]))


def pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures in 0..1 as the towers want them (CLIP mean and std)."""
    return (pictures - MEAN) / STD


@dataclass
class Batch:
    """`pictures` float32 [N, 3, 64, 64]; `places` [N] the caption each picture was made for; `truth` bool
    [N, 1002]; `scenes` what is in the picture (rows of unclear pictures are empty scenes); `found` per row
    for stored pictures, else None; `clear` bool [N]."""

    pictures: torch.Tensor
    places: np.ndarray
    truth: np.ndarray
    scenes: Scenes
    found: list[tuple[Found, ...] | None]
    clear: np.ndarray


def renders(rng: np.random.Generator, number: int, mix: dict[str, float] | None = None) -> Batch:
    """Fresh renders of training captions."""
    places = draw_captions(rng, number, mix=mix)
    scenes = draw_scenes(rng, places)
    pictures = torch.from_numpy(render(scenes))
    return Batch(pictures, places, truth_table(scenes), scenes, [None] * number, np.ones(number, dtype=bool))


def degrade(rng: np.random.Generator, pictures: torch.Tensor, strongest: float = 0.12) -> torch.Tensor:
    """Noise of a strength of its own for each picture, and a 3x3 blur on a third of them."""
    n = len(pictures)
    blur = torch.from_numpy(rng.random(n) < 0.33)
    soft = functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.where(blur[:, None, None, None], soft, pictures)
    strength = torch.from_numpy(rng.uniform(0, strongest, (n, 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(pictures.shape, dtype=np.float32))
    return (pictures + strength * noise).clamp(0, 1)


class Pool:
    """Stored pictures of generators: uint8 [N, 3, 64, 64], the captions they were made for, and what the
    checker finds in them."""

    def __init__(self, pictures: np.ndarray, places: np.ndarray) -> None:
        from engines.images.world import look

        self.pictures, self.places = pictures, places
        self.found = [look(p.astype(np.float32) / 255) for p in pictures]
        self.clear, self.scenes = stack_scenes(self.found)
        self.truth = truth_table(self.scenes) & self.clear[:, None]

    @classmethod
    def read(cls, *paths: Path) -> Pool:
        """Pools that `pictures.py` wrote, joined."""
        stored = [np.load(path) for path in paths]
        return cls(
            np.concatenate([s["pictures"] for s in stored]), np.concatenate([s["places"] for s in stored])
        )

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: np.ndarray) -> Batch:
        """A batch of those rows."""
        pictures = torch.from_numpy(self.pictures[rows].astype(np.float32) / 255)
        return Batch(
            pictures,
            self.places[rows],
            self.truth[rows],
            self.scenes.take(rows),
            [self.found[int(r)] for r in rows],
            self.clear[rows],
        )


def stack_scenes(found: list[tuple[Found, ...]]) -> tuple[np.ndarray, Scenes]:
    """Which pictures are clear (bool [N]), and all as scenes; an unclear picture is an empty scene."""
    empty = as_scene(())
    rows = [as_scene(f) for f in found]
    clear = np.array([row is not None for row in rows], dtype=bool)
    kept = [row if row is not None else empty for row in rows]
    names = ("count", "shape", "color", "x", "y", "r")
    return clear, Scenes(*(np.concatenate([getattr(row, name) for row in kept]) for name in names))


def as_bytes(pictures: torch.Tensor) -> np.ndarray:
    """Pictures in 0..1 as uint8 [N, 3, 64, 64]."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def join(a: Batch, b: Batch) -> Batch:
    """Two batches as one."""
    names = ("count", "shape", "color", "x", "y", "r")
    scenes = Scenes(*(np.concatenate([getattr(a.scenes, name), getattr(b.scenes, name)]) for name in names))
    return Batch(
        torch.cat([a.pictures, b.pictures]),
        np.concatenate([a.places, b.places]),
        np.concatenate([a.truth, b.truth]),
        scenes,
        a.found + b.found,
        np.concatenate([a.clear, b.clear]),
    )


_HELD = frozenset(held_out())


def negatives(rng: np.random.Generator, place: int, number: int, relation_share: float = 0.5) -> list[int]:
    """`number` hard negatives of a caption, never held out ones; with a relation, `relation_share` of them
    differ in the relation or the order only. They may be true: look them up in the truth."""
    variants = relation_variants(place)
    out = []
    for _ in range(number):
        pool = variants if variants and rng.random() < relation_share else hard_negatives(place)
        choice = int(pool[rng.integers(len(pool))])
        if choice not in _HELD:
            out.append(choice)
    return out


def softly(batch: Batch, row: int, place: int) -> float:
    """Target of a picture and a caption: 1 if strictly true, else 0 for renders and .35 soft^2 for stored
    pictures."""
    if batch.truth[row, place]:
        return 1.0
    found = batch.found[row]
    return 0.0 if found is None else 0.35 * judge(found, all_captions()[place]).soft ** 2


def checker_labels(pictures: torch.Tensor, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strict and soft of pictures for the captions they were made for."""
    verdicts = [check(p.numpy(), all_captions()[int(i)]) for p, i in zip(pictures, places, strict=True)]
    return np.array([v.strict for v in verdicts]), np.array([v.soft for v in verdicts])
