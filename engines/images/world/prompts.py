"""What a user may say: the vocabulary in a sentence, and what is wrong with a prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engines.images.world.captions import COLOR_NAMES, COUNT_WORDS, SHAPES, caption_index

WORDS: tuple[str, ...] = (
    "a",
    "and",
    "of",
    "left",
    "right",
    "above",
    "below",
    *COUNT_WORDS.values(),
    *COLOR_NAMES,
    *SHAPES,
    *(shape + "s" for shape in SHAPES),
)
"""Every word of the embedded model."""

VOCABULARY = (
    "The embedded model knows: a, two, three, four; red, green, blue, yellow, purple; circle, square, triangle "
    "(and their plurals); and, left of, right of, above, below. It draws one object, two objects joined by "
    '"and" or a relation (both coloured, with different colours, or both without a colour and of different '
    'shapes), or two to four of one kind: "a red circle left of a blue square", "three green triangles".'
)


@dataclass(frozen=True)
class Explanation:
    """Whether a prompt can be drawn. `unknown` lists words outside the vocabulary in order of appearance,
    `sentence` says what is wrong and what to do; both empty when `ok`."""

    ok: bool
    unknown: tuple[str, ...] = ()
    sentence: str = ""


def explain_prompt(prompt: str) -> Explanation:
    """What of `prompt` lies outside the embedded world. Case, spacing and a final full stop do not matter; otherwise only
    sentences of `all_captions()` are ok ("an red circle" is none)."""
    words = re.findall(r"[^\W_]+|[^\w\s]", prompt.lower())
    while words and words[-1] == ".":
        words.pop()
    if not words:
        return Explanation(False, (), f"The prompt is empty. {VOCABULARY}")
    unknown = tuple(dict.fromkeys(word for word in words if word not in WORDS))
    if unknown:
        named = ", ".join(f'"{word}"' for word in unknown)
        verb = "is" if len(unknown) == 1 else "are"
        return Explanation(False, unknown, f"{named} {verb} not known. {VOCABULARY}")
    if " ".join(words) in caption_index():
        return Explanation(True)
    return Explanation(False, (), f'"{" ".join(words)}" {_fault(words)} {VOCABULARY}')


def _fault(words: list[str]) -> str:
    """Why a sentence of known words is not one of the world's."""
    text = " ".join(words)
    halves = re.split(r" and | left of | right of | above | below ", text)
    if len(halves) > 2:
        return "joins more than two objects."
    if any(half.split()[0] in COUNT_WORDS.values() for half in halves if half) and len(halves) == 2:
        return "joins a group with something else; a group stands alone."
    if len(halves) == 2:
        colors = [next((w for w in half.split() if w in COLOR_NAMES), "") for half in halves]
        if colors[0] and colors[0] == colors[1]:
            return "gives both objects the same colour, which the embedded world does not draw."
        if bool(colors[0]) != bool(colors[1]):
            return "names only one of the two colours: name both or none."
        if not any(colors) and halves[0].split()[-1] == halves[1].split()[-1]:
            return "names the same shape twice; give the two objects different colours, or count them."
    return "is not a sentence that the embedded model knows."
