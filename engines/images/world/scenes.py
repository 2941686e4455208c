"""Layouts: which objects a scene holds and where, drawn for captions in batches by rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.images.world.captions import (
    ANY,
    Caption,
    all_captions,
    caption_index,
    training_captions,
)

SIZE = 64
"""Side of a picture in pixels."""
MAX_OBJECTS = 4
_R_MIN = 7.6
_R_MAX = (0.0, 14.0, 11.2, 10.0, 9.2)  # by number of objects
_BORDER = 2.0  # a centre keeps r + 2 px from the border
_GAP = 3.0  # bounding boxes keep 3 px from each other
_RELATION_DISTANCE = 8.0

# half extents of the bounding box in units of r: circle, square (half side .92r), triangle (1.08r by .95r)
HALF_WIDTH = np.array([1.0, 0.92, 1.08])
HALF_HEIGHT = np.array([1.0, 0.92, 0.95])

MIX = {
    "single": 0.07,
    "two": 0.12,
    "count": 0.22,
    "color": 0.08,
    "position": 0.18,
    "attr": 0.13,
    "full": 0.20,
}
"""Share of each task in what the models are trained on."""


@dataclass(frozen=True)
class Scenes:
    """A batch of N scenes. Slots beyond `count` hold shape -1.

    `count` int [N]; `shape`, `color` int [N, 4]; `x`, `y`, `r` float64 [N, 4] in pixels, y pointing down."""

    count: np.ndarray
    shape: np.ndarray
    color: np.ndarray
    x: np.ndarray
    y: np.ndarray
    r: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    def take(self, rows: np.ndarray | slice) -> Scenes:
        """The scenes of those rows."""
        return Scenes(
            self.count[rows], self.shape[rows], self.color[rows], self.x[rows], self.y[rows], self.r[rows]
        )


def draw_captions(
    rng: np.random.Generator,
    number: int,
    *,
    mix: dict[str, float] | None = None,
    allowed: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Places in `all_captions()` of `number` captions: task by `mix`, then uniform within the task, half of
    the "count" captions without a colour. `allowed` defaults to the training captions. int64 [number]."""
    captions = all_captions()
    pool = training_captions() if allowed is None else allowed
    shares = MIX if mix is None else mix
    weights = np.zeros(len(captions))
    for place in pool:
        caption = captions[place]
        weights[place] = 5.0 if caption.task == "count" and caption.items[0].color == ANY else 1.0
    for task in {c.task for c in captions}:
        rows = np.array([c.task == task for c in captions])
        total = weights[rows].sum()
        if total > 0:
            weights[rows] *= shares.get(task, 0.0) / total
    if weights.sum() <= 0:
        raise ValueError("No caption is left to draw from: `mix` gives no weight to any allowed task.")
    return rng.choice(len(captions), size=number, p=weights / weights.sum())


def _contents(rng: np.random.Generator, captions: list[Caption]) -> tuple[np.ndarray, ...]:
    """Count [N], shape [N, 4], colour [N, 4] of each caption; unnamed colours are drawn for each object."""
    n = len(captions)
    count = np.array([c.objects for c in captions])
    shape = np.full((n, MAX_OBJECTS), -1)
    color = np.full((n, MAX_OBJECTS), -1)
    for row, caption in enumerate(captions):
        slot = 0
        for item in caption.items:
            shape[row, slot : slot + item.count] = item.shape
            color[row, slot : slot + item.count] = item.color
            slot += item.count
    free = (color < 0) & (shape >= 0)
    color[free] = rng.integers(0, 5, size=int(free.sum()))
    return count, shape, color


def relation_holds(dx: np.ndarray, dy: np.ndarray, distance: float, slack: float) -> np.ndarray:
    """Truth of the four relations for offsets (second minus first object): bool [..., 4].

    The offset along the relation's axis must exceed `distance` and `slack` times the other offset."""
    ax, ay = np.abs(dx), np.abs(dy)
    main = np.stack([dx, -dx, dy, -dy], axis=-1)
    cross = np.stack([ay, ay, ax, ax], axis=-1)
    return (main > distance) & (main >= slack * cross)


def _fits(shape: np.ndarray, x: np.ndarray, y: np.ndarray, r: np.ndarray, relation: np.ndarray) -> np.ndarray:
    """Whether each layout keeps its gaps and its relation. bool [N]"""
    width, height = HALF_WIDTH[shape] * r, HALF_HEIGHT[shape] * r
    ok = np.ones(len(shape), dtype=bool)
    for a in range(MAX_OBJECTS):
        for b in range(a + 1, MAX_OBJECTS):
            both = (shape[:, a] >= 0) & (shape[:, b] >= 0)
            gap_x = np.abs(x[:, a] - x[:, b]) - width[:, a] - width[:, b]
            gap_y = np.abs(y[:, a] - y[:, b]) - height[:, a] - height[:, b]
            ok &= ~both | (np.maximum(gap_x, gap_y) >= _GAP)
    holds = relation_holds(x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], _RELATION_DISTANCE, 1.0)
    chosen = np.take_along_axis(holds, np.maximum(relation, 0)[:, None], axis=1)[:, 0]
    return ok & ((relation < 0) | chosen)


def draw_scenes(rng: np.random.Generator, places: np.ndarray) -> Scenes:
    """One scene for each caption number in `places` [N]; whole layouts are redrawn until they fit."""
    captions = [all_captions()[int(p)] for p in places]
    count, shape, color = _contents(rng, captions)
    relation = np.array([c.relation for c in captions])
    n = len(captions)
    x, y, r = np.zeros((n, MAX_OBJECTS)), np.zeros((n, MAX_OBJECTS)), np.ones((n, MAX_OBJECTS))
    rows = np.arange(n)
    r_max = np.array(_R_MAX)
    while len(rows):
        radius = rng.uniform(_R_MIN, r_max[count[rows]][:, None], size=(len(rows), MAX_OBJECTS))
        low, high = radius + _BORDER, SIZE - radius - _BORDER
        cx, cy = rng.uniform(low, high), rng.uniform(low, high)
        x[rows], y[rows], r[rows] = cx, cy, radius
        rows = rows[~_fits(shape[rows], cx, cy, radius, relation[rows])]
    return Scenes(count, shape, color, x, y, r)


def mirror_scenes(scenes: Scenes) -> Scenes:
    """The scenes seen in a mirror (left and right exchanged)."""
    return Scenes(scenes.count, scenes.shape, scenes.color, SIZE - scenes.x, scenes.y, scenes.r)


def mirror_captions(places: np.ndarray) -> np.ndarray:
    """Caption numbers that say of the mirrored picture what `places` say of the picture: "left of" and
    "right of" exchanged."""
    index, captions = caption_index(), all_captions()
    table = np.arange(len(captions))
    for i, caption in enumerate(captions):
        if caption.relation in (0, 1):
            table[i] = index[Caption(caption.task, caption.items, 1 - caption.relation).text]
    return table[np.asarray(places)]
