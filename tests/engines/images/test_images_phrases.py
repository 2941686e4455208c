"""What the form's lists can build is what the embedded world knows: no sentence more, none less."""

from __future__ import annotations

import re
from itertools import product

from engines.images.choices import PROMPT_PHRASES, SUGGESTED_PROMPTS, check_prompt
from engines.images.world import all_captions


def sentences() -> list[str]:
    """Slow and obvious: all words in all slots, without those where an "other" word is the first again."""
    found = []
    for template in PROMPT_PHRASES.templates:
        slots = re.findall(r"{(.+?)}", template)
        for words in product(*(PROMPT_PHRASES.words[slot.removeprefix("other ")] for slot in slots)):
            first = {
                slot: word
                for slot, word in zip(slots, words, strict=True)
                if slot in slots[: slots.index(slot) + 1]
            }
            if any(
                s.startswith("other ") and first[s.removeprefix("other ")] == w
                for s, w in zip(slots, words, strict=True)
            ):
                continue
            found.append(re.sub(r"{.+?}", "%s", template) % words)
    return found


def test_the_lists_build_every_caption_once() -> None:
    built = sentences()
    assert len(built) == len(set(built))
    assert set(built) == {caption.text for caption in all_captions()}


def test_suggestions_are_among_them() -> None:
    assert set(SUGGESTED_PROMPTS) <= set(sentences())
    for prompt in SUGGESTED_PROMPTS:
        check_prompt(prompt, "embedded-g", "prompt")
