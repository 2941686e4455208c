"""The exact checker: reads a picture without any learnt part and says what it shows and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engines.images.world.captions import ANY, COLOR_NAMES, RELATIONS, SHAPES, Caption, Item, caption_of
from engines.images.world.render import GROUND, PALETTE, coverage
from engines.images.world.scenes import MAX_OBJECTS, SIZE, Scenes, relation_holds
from engines.images.world.truth import RELATION_DISTANCE, RELATION_SLACK

MIN_PIXELS = 30  # smaller components are specks that nobody counts
MIN_AREA = 80.0
MIN_IOU = 0.80
MAX_COLOR_DISTANCE = 0.25
MIN_MAJORITY = 0.75
_MIN_ALPHA = 0.08
_AREA = (np.pi, 3.3856, 2.052)  # area of each shape in units of r^2
_CENTROID = (0.0, 0.0, -0.3167)  # a triangle's centre lies .3167r above its centroid
_COLORS = np.concatenate([GROUND[None], PALETTE])  # [6, 3]
_REACH = np.ones((5, 5), dtype=bool)  # soft edges belong to a component up to 2 px away


@dataclass(frozen=True)
class Found:
    """A component of the picture. `ok` says whether it is a clean object of one shape and one colour."""

    shape: int
    color: int
    x: float
    y: float
    r: float
    iou: float
    ok: bool

    @property
    def text(self) -> str:
        """ "red circle", or "unclear red object"."""
        name = COLOR_NAMES[self.color]
        return f"{name} {SHAPES[self.shape]}" if self.ok else f"unclear {name} object"


@dataclass(frozen=True)
class Part:
    """One demand of the caption: its name, its score in 0..1, whether it is met."""

    name: str
    score: float
    ok: bool


@dataclass(frozen=True)
class Verdict:
    """What the checker says: `strict` all demands met, `soft` the mean of the parts."""

    strict: bool
    soft: float
    parts: tuple[Part, ...]
    found: tuple[Found, ...]


def look(picture: np.ndarray) -> tuple[Found, ...]:
    """The components of at least 30 px of a picture [3, 64, 64] with values in 0..1."""
    pixels = np.ascontiguousarray(np.moveaxis(np.asarray(picture, dtype=np.float32), 0, -1))
    apart = [(pixels[:, :, c, None] - _COLORS[:, c]) ** 2 for c in range(3)]
    distance = apart[0] + apart[1] + apart[2]  # [64, 64, 6]
    nearest = distance.argmin(-1)
    labels, number = ndimage.label(nearest > 0)  # 4-connected
    if not number:
        return ()
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    return tuple(
        _measure(pixels, nearest, distance, labels, label)
        for label in range(1, number + 1)
        if sizes[label] >= MIN_PIXELS
    )


def _measure(
    pixels: np.ndarray, nearest: np.ndarray, distance: np.ndarray, labels: np.ndarray, label: int
) -> Found:
    """Colour, place, shape and quality of one component."""
    own = labels == label
    votes = np.bincount(nearest[own], minlength=6)
    color = int(votes[1:].argmax())
    majority = votes[color + 1] / votes.sum()
    off = float(np.median(np.sqrt(distance[own][:, color + 1])))
    tint = PALETTE[color] - GROUND
    alpha = np.clip(((pixels - GROUND) @ tint) / (tint @ tint), 0, 1)
    near = ndimage.binary_dilation(own, structure=_REACH)
    alpha[(alpha < _MIN_ALPHA) | ~near | ((labels > 0) & ~own)] = 0
    area = float(alpha.sum())
    if area < 1.0:
        return Found(0, color, 0.0, 0.0, 0.0, 0.0, False)
    axis = np.arange(SIZE) + 0.5
    x, y = float(alpha.sum(0) @ axis) / area, float(alpha.sum(1) @ axis) / area
    best = (-1.0, 0, 0.0, 0.0)
    for shape in range(3):
        r = float(np.sqrt(area / _AREA[shape]))
        centre = y + _CENTROID[shape] * r
        ideal = coverage(shape, np.array([x]), np.array([centre]), np.array([r]))[0]
        iou = float(np.minimum(ideal, alpha).sum() / np.maximum(ideal, alpha).sum())
        best = max(best, (iou, shape, centre, r))
    iou, shape, centre, r = best
    ok = iou >= MIN_IOU and off < MAX_COLOR_DISTANCE and area >= MIN_AREA and majority > MIN_MAJORITY
    return Found(shape, color, x, centre, r, iou, bool(ok))


def _matches(item: Item, found: Found) -> bool:
    return found.ok and found.shape == item.shape and item.color in (ANY, found.color)


def _relation(caption: Caption, found: tuple[Found, ...]) -> Part:
    """The relation between the first match of each item; not met when one of them is missing."""
    first = next((f for f in found if _matches(caption.items[0], f)), None)
    second = next((f for f in found if _matches(caption.items[1], f) and f is not first), None)
    name = RELATIONS[caption.relation]
    if first is None or second is None:
        return Part(name, 0.0, False)
    dx, dy = np.array(second.x - first.x), np.array(second.y - first.y)
    holds = bool(relation_holds(dx, dy, RELATION_DISTANCE, RELATION_SLACK)[caption.relation])
    return Part(name, float(holds), holds)


def judge(found: tuple[Found, ...], caption: Caption) -> Verdict:
    """The verdict on what `look` found. Strict: the exact number of every described object, no other component,
    the relation true. Soft: the mean of the parts, where a wrong number earns min/max and each surplus component
    costs."""
    parts = []
    matched = 0
    for item in caption.items:
        number = sum(_matches(item, f) for f in found)
        score = min(number, item.count) / max(number, item.count)
        parts.append(Part(item.text, score, number == item.count))
        matched += number
    surplus = len(found) - matched
    parts.append(Part("nothing else", 1 / (1 + surplus), surplus == 0))
    if caption.relation != ANY:
        parts.append(_relation(caption, found))
    soft = float(np.mean([part.score for part in parts]))
    return Verdict(all(part.ok for part in parts), soft, tuple(parts), found)


def check(picture: np.ndarray, caption: Caption | str) -> Verdict:
    """Whether a picture [3, 64, 64] (values in 0..1) shows what the caption says (see `judge`).

    Raises KeyError for a sentence that the world does not have. About 1,000 a second on one core."""
    caption = caption_of(caption) if isinstance(caption, str) else caption
    return judge(look(picture), caption)


def as_scene(found: tuple[Found, ...]) -> Scenes | None:
    """What was found as a scene of one row, or None when something is unclear or there are over 4 objects:
    then no caption is strictly true. With it `truth_table` labels any picture for all captions at once."""
    n = len(found)
    if n > MAX_OBJECTS or not all(f.ok for f in found):
        return None
    shape, color = np.full((1, MAX_OBJECTS), -1), np.full((1, MAX_OBJECTS), -1)
    place = np.zeros((3, 1, MAX_OBJECTS))
    for k, f in enumerate(found):
        shape[0, k], color[0, k] = f.shape, f.color
        place[:, 0, k] = f.x, f.y, f.r
    return Scenes(np.array([n]), shape, color, place[0], place[1], place[2])


def check_many(
    pictures: np.ndarray, captions: list[Caption] | tuple[Caption, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Strict (bool [N]) and soft (float [N]) of pictures [N, 3, 64, 64] with one caption each."""
    verdicts = [check(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]
    return np.array([v.strict for v in verdicts], dtype=bool), np.array([v.soft for v in verdicts])
