"""Labels at the ends of lines, placed so that none covers another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ui.figures.template import words

LINE_PX = 16.0
_CHARACTERS = 18


@dataclass(frozen=True)
class EndLabel:
    """A label that wants to stand at height `value` (data units) in the colour `token`."""

    text: str
    value: float
    token: str
    bold: bool = False


def wrap(text: str, width: int = _CHARACTERS) -> list[str]:
    """`text` in lines of at most `width` characters, broken between words (not at a no-break space); a
    longer word is shortened."""
    lines: list[str] = []
    for word in text.split(" "):
        word = word if len(word) <= width else word[: width - 1] + "…"
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines or [""]


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Centres (px) for boxes of the given heights as close as can be to the wanted centres, in their order,
    none over another, all within [low, high] where they fit.

    With the heights of all boxes above taken off, "none over another" says that the tops rise: an isotonic
    regression (pool adjacent violators), whose bounded solution is the unbounded one, clipped."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    above, offsets = 0.0, []
    pools: list[tuple[float, int]] = []  # (mean of the reduced tops, how many boxes)
    for index in order:
        offsets.append(above)
        mean, count = wanted[index] - heights[index] / 2 - above, 1
        while pools and pools[-1][0] > mean:
            other, members = pools.pop()
            mean, count = (mean * count + other * members) / (count + members), count + members
        pools.append((mean, count))
        above += heights[index]
    tops = [min(max(mean, low), max(high - above, low)) for mean, count in pools for _ in range(count)]
    places = [0.0] * len(wanted)
    for index, top, offset in zip(order, tops, offsets, strict=True):
        places[index] = top + offset + heights[index] / 2
    return places


def end_labels(
    labels: Sequence[EndLabel], shown: tuple[float, float], log: bool, plot_px: float
) -> list[dict[str, Any]]:
    """Annotations in the right margin at the height of each line's end; `shown` is the range of the value axis
    and `plot_px` the height of the plot."""
    if not labels:
        return []

    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-300)) if log else value

    low, high = scaled(shown[0]), scaled(shown[1])
    lines = [wrap(label.text) for label in labels]
    ends = [min(max(scaled(label.value), low), high) for label in labels]
    wanted = [(high - end) / (high - low) * plot_px for end in ends]
    places = spread(wanted, [LINE_PX * len(rows) for rows in lines], -6.0, plot_px + 6.0)
    made = []
    for label, rows, end, want, place in zip(labels, lines, ends, wanted, places, strict=True):
        text = "<br>".join(words(row) for row in rows)
        made.append(
            {
                "name": "end-label",
                "text": f"<b>{text}</b>" if label.bold else text,
                "x": 1,
                "xref": "paper",
                "xanchor": "left",
                "xshift": 6,
                "y": end,
                "yref": "y",
                "yanchor": "middle",
                "yshift": round(want - place, 1),
                "align": "left",
                "showarrow": False,
                "font": {"size": 12, "color": label.token},
            }
        )
    return made
