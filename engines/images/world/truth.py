"""Exact truth of every caption for scenes whose contents are known: no vision, fully vectorised."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engines.images.world.captions import ANY, all_captions
from engines.images.world.scenes import MAX_OBJECTS, Scenes, relation_holds

RELATION_DISTANCE = 4.0
RELATION_SLACK = 0.8
"""A relation is true when the offset along its axis exceeds 4 px and .8 times the other offset."""


@lru_cache(maxsize=1)
def _table() -> dict[str, np.ndarray]:
    """The captions as arrays: shape, colour, count of item k [1002, 2]; objects, relation [1002]."""
    captions = all_captions()
    n = len(captions)
    table = {name: np.full((n, 2), -1) for name in ("shape", "color", "count")}
    for i, caption in enumerate(captions):
        for k, item in enumerate(caption.items):
            table["shape"][i, k], table["color"][i, k] = item.shape, item.color
            table["count"][i, k] = item.count
    table["objects"] = np.array([c.objects for c in captions])
    table["relation"] = np.array([c.relation for c in captions])
    return table


def truth_table(scenes: Scenes) -> np.ndarray:
    """Whether each of the 1,002 captions is true of each scene, bool [N, 1002].

    True means what the checker calls strict: the exact number of every described object, nothing else in the
    picture, and the relation."""
    t = _table()
    n = len(scenes)
    numbers = np.zeros((n, 3, 6), dtype=np.int64)  # last column: any colour
    for slot in range(MAX_OBJECTS):
        rows = np.flatnonzero(scenes.shape[:, slot] >= 0)
        shape, color = scenes.shape[rows, slot], scenes.color[rows, slot]
        np.add.at(numbers, (rows, shape, color), 1)
        np.add.at(numbers, (rows, shape, np.full(len(rows), 5)), 1)
    truth = scenes.count[:, None] == t["objects"][None, :]
    for k in range(2):
        has = t["shape"][:, k] >= 0
        column = np.where(t["color"][:, k] == ANY, 5, t["color"][:, k])
        found = numbers[:, np.maximum(t["shape"][:, k], 0), column]
        truth &= ~has[None, :] | (found == t["count"][None, :, k])
    holds = relation_holds(
        scenes.x[:, 1] - scenes.x[:, 0], scenes.y[:, 1] - scenes.y[:, 0], RELATION_DISTANCE, RELATION_SLACK
    )
    related = np.flatnonzero(t["relation"] >= 0)
    first_shape, first_color = t["shape"][related, 0], t["color"][related, 0]
    # the first item is the scene's object 0, or else object 1 and the offset turns round
    in_order = (scenes.shape[:, :1] == first_shape) & (
        (first_color == ANY) | (scenes.color[:, :1] == first_color)
    )
    direction = t["relation"][related]
    opposite = np.array([1, 0, 3, 2])[direction]
    truth[:, related] &= np.where(in_order, holds[:, direction], holds[:, opposite])
    return truth
