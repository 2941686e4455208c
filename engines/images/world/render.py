"""The renderer: anti-aliased shapes from signed distances, vectorised over a batch."""

from __future__ import annotations

import numpy as np

from engines.images.world.captions import BACKGROUND, COLORS
from engines.images.world.scenes import MAX_OBJECTS, SIZE, Scenes

PALETTE = np.array(list(COLORS.values()), dtype=np.float32) / 255
"""The five colours, float32 [5, 3] in 0..1."""
GROUND = np.array(BACKGROUND, dtype=np.float32) / 255
"""The background, float32 [3] in 0..1."""
_AXIS = np.arange(SIZE, dtype=np.float32) + 0.5  # centres of the pixels
_SLANT = np.float32(1.9 / np.hypot(1.9, 1.08))  # unit normal of the triangle's slanted side: (_SLANT, -_RISE)
_RISE = np.float32(1.08 / np.hypot(1.9, 1.08))


def coverage(shape: int, x: np.ndarray, y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Coverage of each pixel by one shape: clip(.5 - signed distance, 0, 1).

    `x`, `y`, `r` [N] in pixels; float32 [N, 64, 64]. Triangles stand upright, their (x, y) at half height."""
    x, y, r = (np.asarray(v, dtype=np.float32)[:, None, None] for v in (x, y, r))
    dx, dy = _AXIS[None, None, :] - x, _AXIS[None, :, None] - y
    if shape == 0:
        distance = np.sqrt(dx * dx + dy * dy) - r
    elif shape == 1:
        distance = np.maximum(np.abs(dx), np.abs(dy)) - np.float32(0.92) * r
    else:
        apex = dy + np.float32(0.95) * r  # depth below the apex
        distance = np.maximum(_SLANT * np.abs(dx) - _RISE * apex, dy - np.float32(0.95) * r)
    return np.clip(np.float32(0.5) - distance, 0, 1, out=distance)


def render(scenes: Scenes) -> np.ndarray:
    """Pictures of the scenes, float32 [N, 3, 64, 64] in 0..1. About 7,000 a second on one core."""
    out = np.empty((len(scenes), 3, SIZE, SIZE), dtype=np.float32)
    out[:] = GROUND[None, :, None, None]
    for slot in range(MAX_OBJECTS):
        for shape in range(3):
            rows = np.flatnonzero(scenes.shape[:, slot] == shape)
            if not len(rows):
                continue
            alpha = coverage(shape, scenes.x[rows, slot], scenes.y[rows, slot], scenes.r[rows, slot])
            tint = PALETTE[scenes.color[rows, slot]] - GROUND  # objects never overlap, so layers just add
            out[rows] += alpha[:, None] * tint[:, :, None, None]
    return out


def to_uint8(pictures: np.ndarray) -> np.ndarray:
    """float [N, 3, H, W] in 0..1 to uint8 [N, H, W, 3], rounded."""
    return np.clip(np.rint(pictures * 255), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
