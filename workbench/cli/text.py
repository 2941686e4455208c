"""Plain aligned text for people: tables, numbers, durations and dates."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Sequence

NARROWEST = 12
GAP = "  "


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), flexible: int = -1
) -> str:
    """Aligned columns under a header. Columns in `right` are aligned to the right; on a terminal the column
    `flexible` is cut so that a line fits."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    chosen = range(len(header))[flexible]
    if sys.stdout.isatty():
        room = (
            shutil.get_terminal_size().columns - sum(widths) + widths[chosen] - len(GAP) * (len(header) - 1)
        )
        widths[chosen] = min(widths[chosen], max(NARROWEST, room))
    lines = []
    for row in cells:
        parts = [
            cut(text, width).rjust(width) if column in right else cut(text, width).ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(GAP.join(parts).rstrip())
    return "\n".join(lines)


def cut(text: str, width: int) -> str:
    """`text` on one line, with an ellipsis where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def number(value: float | None) -> str:
    """A number with four digits; a dash for none."""
    return "–" if value is None else f"{value:.4g}"


def seconds(value: float | None) -> str:
    """A duration: "0.42 s", "12 s", "3 min 20 s", "2 h 5 min"; a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 10:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def when(moment: float | None) -> str:
    """A local date and time to the minute; a dash for none."""
    return "–" if moment is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
