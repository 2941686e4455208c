"""What captions mean, as features: the lower-order steps without which relations stand still.

With relations and exchanges balanced, "is this caption true?" is a parity of word order, relation word and
layout: no single one of them correlates with the answer, so nothing is learnt (reno.md 6.5). Here each caption
is parsed, and every object gets its role (left, right, top, bottom, or none): "a circle left of a square" and
"a square right of a circle" both say left:circle, right:square. Text towers are trained to show these features
and vision towers to show which of them hold in a picture. Each is learnt in minutes, and the parity becomes a
sum. The features serve as auxiliary targets in training only; the exported models are plain."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engines.images.world.captions import ANY, Caption, Item, all_captions
from engines.images.world.render import SIZE
from engines.images.world.scenes import HALF_HEIGHT, HALF_WIDTH, MAX_OBJECTS, Scenes, relation_holds
from engines.images.world.tokens import LENGTH
from engines.images.world.truth import RELATION_DISTANCE, RELATION_SLACK

ROLES = ("left", "right", "top", "bottom", "free")
_KINDS = 26  # 3 shapes, 5 colours, 15 colour-shape pairs, 3 shapes without a named colour
_COUNTS = _KINDS * 3
FEATURES = len(ROLES) * _KINDS + _COUNTS + 4
"""Length of a feature vector: role by kind, number by kind, number of objects."""
GRID = 8
"""Patches along a side of the picture."""


def _kinds(item: Item) -> list[int]:
    """Indices of what the item is: its shape, and its colour and pair, or that no colour is named."""
    if item.color == ANY:
        return [item.shape, 23 + item.shape]
    return [item.shape, 3 + item.color, 8 + 3 * item.color + item.shape]


def _roles(relation: int) -> tuple[int, int]:
    """Roles of the first and the second item."""
    if relation == ANY:
        return 4, 4
    return (relation, (1, 0, 3, 2)[relation])


def _features(items: tuple[Item, ...], roles: tuple[int, ...], number: int) -> np.ndarray:
    out = np.zeros(FEATURES, dtype=np.float32)
    for item, role in zip(items, roles, strict=False):
        for kind in _kinds(item):
            out[role * _KINDS + kind] = 1
            if item.count > 1:
                out[len(ROLES) * _KINDS + (item.count - 2) * _KINDS + kind] = 1
    out[len(ROLES) * _KINDS + _COUNTS + number - 1] = 1
    return out


def caption_features(caption: Caption) -> np.ndarray:
    """Features of a whole caption, float32 [FEATURES] of 0 and 1."""
    return _features(caption.items, _roles(caption.relation), caption.objects)


@lru_cache(maxsize=1)
def feature_table() -> np.ndarray:
    """Features of all captions, float32 [1002, FEATURES]."""
    return np.stack([caption_features(c) for c in all_captions()])


def scene_features(truth: np.ndarray) -> np.ndarray:
    """Features that hold in a picture: those of its true captions. `truth` bool [N, 1002]; float32 [N, F]."""
    return (truth.astype(np.float32) @ feature_table() > 0).astype(np.float32)


def _spans(caption: Caption) -> tuple[int, int]:
    """Position of the last token of the first item, and of the relation word or "and" (0: none)."""
    first = len(caption.items[0].text.split())
    return first, (first + 1 if len(caption.items) == 2 else 0)


@lru_cache(maxsize=1)
def prefix_table() -> tuple[np.ndarray, np.ndarray]:
    """Features that a causal text tower can know at each token: of the first item from its noun on, with its
    role from the relation word on, of the whole caption from the last noun on.

    float32 [1002, 12, FEATURES], and bool [1002, 12] saying at which tokens a target exists."""
    captions = all_captions()
    target = np.zeros((len(captions), LENGTH, FEATURES), dtype=np.float32)
    known = np.zeros((len(captions), LENGTH), dtype=bool)
    for i, caption in enumerate(captions):
        first, joint = _spans(caption)
        words = len(caption.text.split())
        item = caption.items[0]
        target[i, first:] = _features((item,), (4,), item.count)
        if joint:
            target[i, joint:] = _features((item,), (_roles(caption.relation)[0],), 2)
        target[i, words:] = caption_features(caption)
        known[i, first:] = True
    return target, known


@lru_cache(maxsize=1)
def token_table() -> tuple[np.ndarray, np.ndarray]:
    """Features of the item that each token belongs to, with its role: for text towers that see both ways.

    float32 [1002, 12, FEATURES], bool [1002, 12]; the first token stands for the whole caption."""
    captions = all_captions()
    target = np.zeros((len(captions), LENGTH, FEATURES), dtype=np.float32)
    known = np.zeros((len(captions), LENGTH), dtype=bool)
    for i, caption in enumerate(captions):
        roles = _roles(caption.relation)
        position = 1
        for k, item in enumerate(caption.items):
            span = len(item.text.split())
            target[i, position : position + span] = _features((item,), (roles[k],), caption.objects)
            known[i, position : position + span] = True
            position += span + (2 if caption.relation in (0, 1) else 1)
        target[i, 0], known[i, 0] = caption_features(caption), True
    return target, known


def patch_labels(scenes: Scenes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each of the 64 patches shows: shape int64 [N, 64] (3: nothing), colour int64 [N, 64] (5: nothing),
    offset of the object's centre from the patch's in units of 8 px, float32 [N, 64, 2]."""
    n, cell = len(scenes), SIZE // GRID
    axis = (np.arange(GRID) + 0.5) * cell
    px, py = np.tile(axis, GRID)[None], np.repeat(axis, GRID)[None]
    shape, color = np.full((n, GRID * GRID), 3), np.full((n, GRID * GRID), 5)
    offset = np.zeros((n, GRID * GRID, 2), dtype=np.float32)
    for slot in range(MAX_OBJECTS):
        kind = scenes.shape[:, slot : slot + 1]
        dx, dy = scenes.x[:, slot : slot + 1] - px, scenes.y[:, slot : slot + 1] - py
        r = scenes.r[:, slot : slot + 1]
        inside = (
            (kind >= 0) & (np.abs(dx) < HALF_WIDTH[kind] * r + 2) & (np.abs(dy) < HALF_HEIGHT[kind] * r + 2)
        )
        shape = np.where(inside, kind, shape)
        color = np.where(inside, scenes.color[:, slot : slot + 1], color)
        offset[inside] = np.stack([dx, dy], axis=-1)[inside] / cell
    return shape, color, offset


PLACED = 4 * _KINDS
"""Length of the features of one object with a role: left, right, top, bottom by kind."""


def patch_roles(scenes: Scenes) -> tuple[np.ndarray, np.ndarray]:
    """For scenes of two objects: the role of the object on each patch, by kind.

    float32 [N, 64, PLACED] of 0 and 1, and bool [N, 64] saying on which patches an object lies."""
    n, cell = len(scenes), SIZE // GRID
    axis = (np.arange(GRID) + 0.5) * cell
    px, py = np.tile(axis, GRID)[None], np.repeat(axis, GRID)[None]
    target = np.zeros((n, GRID * GRID, PLACED), dtype=np.float32)
    there = np.zeros((n, GRID * GRID), dtype=bool)
    for slot in range(2):
        other = 1 - slot
        dx, dy = scenes.x[:, other] - scenes.x[:, slot], scenes.y[:, other] - scenes.y[:, slot]
        holds = relation_holds(dx, dy, RELATION_DISTANCE, RELATION_SLACK).astype(np.float32)  # [N, 4]
        shape, color = scenes.shape[:, slot], scenes.color[:, slot]
        kinds = np.zeros((n, _KINDS), dtype=np.float32)
        for place in (shape, 3 + color, 8 + 3 * color + shape, 23 + shape):
            kinds[np.arange(n), place] = 1
        own = (holds[:, :, None] * kinds[:, None, :]).reshape(n, PLACED)
        r = scenes.r[:, slot : slot + 1]
        inside = (scenes.count == 2)[:, None] & (
            np.abs(scenes.x[:, slot : slot + 1] - px) < HALF_WIDTH[shape][:, None] * r
        )
        inside &= np.abs(scenes.y[:, slot : slot + 1] - py) < HALF_HEIGHT[shape][:, None] * r
        target = np.where(inside[..., None], own[:, None, :], target)
        there |= inside
    return target, there
