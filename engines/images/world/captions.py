"""The 1,002 captions of the world, what each says, which are held out, and their hard negatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

BACKGROUND = (24, 26, 36)
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (225, 60, 60),
    "green": (60, 190, 90),
    "blue": (70, 110, 240),
    "yellow": (240, 205, 60),
    "purple": (175, 80, 215),
}
"""Name to sRGB value, 0..255."""
COLOR_NAMES = tuple(COLORS)
SHAPES = ("circle", "square", "triangle")
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = (1, 0, 3, 2)
"""Index of the opposite of each relation."""
COUNT_WORDS = {2: "two", 3: "three", 4: "four"}
TASKS = ("single", "two", "count", "color", "position", "attr", "full")
"""Names of the seven kinds of caption, as in GenEval; "full" is two coloured objects and a relation."""
ANY = -1
"""Colour of an item whose colour is not named; relation of a caption without one."""

# 9 of the 90 unordered pairs of differently coloured objects: no caption that names one of them is trained on.
_HELD_OUT_PAIRS = (
    (("red", "circle"), ("green", "circle")),
    (("blue", "square"), ("purple", "square")),
    (("yellow", "triangle"), ("red", "triangle")),
    (("green", "circle"), ("yellow", "square")),
    (("purple", "circle"), ("red", "square")),
    (("blue", "circle"), ("green", "triangle")),
    (("yellow", "circle"), ("purple", "triangle")),
    (("green", "square"), ("red", "triangle")),
    (("yellow", "square"), ("blue", "triangle")),
)


@dataclass(frozen=True)
class Item:
    """A described object or group: `count` objects of one shape and, unless `color` is ANY, one colour."""

    shape: int
    color: int = ANY
    count: int = 1

    @property
    def text(self) -> str:
        """ "a red circle", "three squares"."""
        color = "" if self.color == ANY else COLOR_NAMES[self.color] + " "
        if self.count == 1:
            return f"a {color}{SHAPES[self.shape]}"
        return f"{COUNT_WORDS[self.count]} {color}{SHAPES[self.shape]}s"


@dataclass(frozen=True)
class Caption:
    """A sentence of the world in parsed form. `relation` (index into RELATIONS) says where the first item is
    as seen from the second."""

    task: str
    items: tuple[Item, ...]
    relation: int = ANY

    @property
    def text(self) -> str:
        """The sentence itself: "a red circle left of a blue square"."""
        if len(self.items) == 1:
            return self.items[0].text
        joint = "and" if self.relation == ANY else RELATIONS[self.relation]
        return f"{self.items[0].text} {joint} {self.items[1].text}"

    @property
    def objects(self) -> int:
        """How many objects a scene of this caption holds, 1..4."""
        return sum(item.count for item in self.items)


def _pairs() -> tuple[list[tuple[Item, Item]], list[tuple[Item, Item]]]:
    """Ordered pairs of different shapes without colour (6), and of differently coloured objects (180)."""
    plain = [(Item(a), Item(b)) for a in range(3) for b in range(3) if a != b]
    things = [Item(shape, color) for color in range(5) for shape in range(3)]
    colored = [(a, b) for a in things for b in things if a.color != b.color]
    return plain, colored


@lru_cache(maxsize=1)
def all_captions() -> tuple[Caption, ...]:
    """All 1,002 captions in a fixed order: 3 + 6 + 54 + 15 + 24 + 180 + 720 by task."""
    plain, colored = _pairs()
    out = [Caption("single", (Item(shape),)) for shape in range(3)]
    out += [Caption("two", pair) for pair in plain]
    colors = (ANY, *range(5))
    out += [Caption("count", (Item(s, c, n),)) for n in COUNT_WORDS for c in colors for s in range(3)]
    out += [Caption("color", (Item(s, c),)) for c in range(5) for s in range(3)]
    out += [Caption("position", pair, relation) for pair in plain for relation in range(4)]
    out += [Caption("attr", pair) for pair in colored]
    out += [Caption("full", pair, relation) for pair in colored for relation in range(4)]
    return tuple(out)


@lru_cache(maxsize=1)
def caption_index() -> dict[str, int]:
    """Sentence to its place in `all_captions()`."""
    return {caption.text: i for i, caption in enumerate(all_captions())}


def caption_of(text: str) -> Caption:
    """The parsed caption of a sentence (case and spacing do not matter).

    Raises KeyError when the world has no such sentence; `explain_prompt` says why."""
    return all_captions()[caption_index()[" ".join(text.lower().split())]]


@lru_cache(maxsize=1)
def _held_out_pairs() -> frozenset[frozenset[Item]]:
    def item(name: tuple[str, str]) -> Item:
        return Item(SHAPES.index(name[1]), COLOR_NAMES.index(name[0]))

    return frozenset(frozenset((item(a), item(b))) for a, b in _HELD_OUT_PAIRS)


def is_held_out(caption: Caption) -> bool:
    """True for captions that name one of the 9 pairs that no training caption names."""
    return len(caption.items) == 2 and frozenset(caption.items) in _held_out_pairs()


@lru_cache(maxsize=1)
def held_out() -> tuple[int, ...]:
    """Places in `all_captions()` of the 90 captions that are kept out of all training."""
    return tuple(i for i, caption in enumerate(all_captions()) if is_held_out(caption))


@lru_cache(maxsize=1)
def training_captions() -> tuple[int, ...]:
    """Places in `all_captions()` of the 912 captions that training may use."""
    return tuple(i for i, caption in enumerate(all_captions()) if not is_held_out(caption))


def _known(captions: list[Caption], own: Caption) -> tuple[int, ...]:
    index = caption_index()
    places = {index[c.text] for c in captions if c.text in index}
    return tuple(sorted(places - {index[own.text]}))


@lru_cache(maxsize=4096)
def relation_variants(place: int) -> tuple[int, ...]:
    """For a caption with a relation: the other seven sentences made by another relation or by exchanging the
    two objects (one of them says the same thing the other way round). Empty without a relation."""
    own = all_captions()[place]
    if own.relation == ANY:
        return ()
    swapped = (own.items[1], own.items[0])
    return _known([Caption(own.task, pair, r) for pair in (own.items, swapped) for r in range(4)], own)


@lru_cache(maxsize=4096)
def hard_negatives(place: int) -> tuple[int, ...]:
    """Captions that differ from caption number `place` by one step: one colour, shape or number, another
    relation, colours exchanged, shapes exchanged, or the two objects exchanged.

    Some may still be true of a given scene ("a circle and a square" commuted): mask them by `truth_table`."""
    own = all_captions()[place]
    out: list[Caption] = []
    for k, item in enumerate(own.items):
        edits = [replace(item, shape=s) for s in range(3) if s != item.shape]
        if item.color != ANY:
            edits += [replace(item, color=c) for c in range(5) if c != item.color]
        if item.count > 1:
            edits += [replace(item, count=n) for n in COUNT_WORDS if n != item.count]
        for edit in edits:
            items = (*own.items[:k], edit, *own.items[k + 1 :])
            out.append(replace(own, items=items))
    if len(own.items) == 2:
        a, b = own.items
        out.append(replace(own, items=(b, a)))
        out.append(replace(own, items=(replace(a, color=b.color), replace(b, color=a.color))))
        out.append(replace(own, items=(replace(a, shape=b.shape), replace(b, shape=a.shape))))
    if own.relation != ANY:
        out += [replace(own, relation=r) for r in range(4)]
    return _known(out, own)
