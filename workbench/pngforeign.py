"""What another program wrote of a picture, and the cleaning of values out of a stranger's record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_PROMPT = 10_000
_SIZE = re.compile(r"\(?\s*'?(\d{1,5})'?\s*[,x×*]\s*'?(\d{1,5})'?\s*\)?")


@dataclass(frozen=True)
class Foreign:
    """What a program wrote of a picture. None and "" where it did not say."""

    tool: str
    prompt: str = ""
    negative: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str = ""
    model: str = ""
    remarks: tuple[str, ...] = ()
    """What was seen and not understood, in words."""


def text_of(value: Any) -> str:
    """A text of at most MAX_PROMPT characters; "" for anything else."""
    return value.replace("\0", "")[:MAX_PROMPT].strip() if isinstance(value, str) else ""


def whole_of(value: Any) -> int | None:
    """A whole number, also written as text; bool, infinities and numbers of more than 20 digits are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = str(value) if not isinstance(value, int) or abs(value) < 10**20 else ""
    return int(text) if re.fullmatch(r"\s*-?[0-9]{1,20}\s*", text) else None


def number_of(value: Any) -> float | None:
    """A number below a milliard, also written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value if not isinstance(value, str) else value.strip()[:40])
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e9 else None


def size_of(value: Any) -> tuple[int | None, int | None]:
    """Width and height out of "512x768" or "(1152, 896)"."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found else (None, None)
