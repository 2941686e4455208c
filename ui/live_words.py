"""Numbers and times as the page writes them."""

from __future__ import annotations

import math
from typing import Any


def number(value: float | int | None) -> str:
    """Three to four significant digits: 0.01234, 12.3, 1.20e-7; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if float(value).is_integer() and size < 1e6:
        return f"{int(value):,}".replace(",", " ") if size >= 10_000 else str(int(value))
    if size >= 1e5 or size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """A span of time in the two units that matter: 0.8 s, 23 s, 3 min 12 s, 2 h 5 min."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: int) -> str:
    """Bytes in the unit that fits: 812 B, 3.4 kB, 1.2 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def title(name: str) -> str:
    """A recorded name as a heading: its first letter large, the rest as the engine wrote it."""
    return name[:1].upper() + name[1:]


def is_number(value: Any) -> bool:
    """Whether a cell holds a number (and not yes or no)."""
    return isinstance(value, int | float) and not isinstance(value, bool)
