"""Run ids: ULIDs in lower case. They sort by time of creation and need no coordination between machines."""

from __future__ import annotations

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_BITS, _RANDOM_BITS, _LENGTH = 48, 80, 26
_PATTERN = re.compile(r"[0-9a-z]{26}")


def new_id(now_s: float | None = None) -> str:
    """A fresh id: 48 bits of Unix milliseconds, then 80 random bits, as 26 characters."""
    milliseconds = round((time.time() if now_s is None else now_s) * 1000) & ((1 << _TIME_BITS) - 1)
    number = (milliseconds << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))


def is_id(text: str) -> bool:
    """Whether `text` has the form of a run id."""
    return _PATTERN.fullmatch(text) is not None
