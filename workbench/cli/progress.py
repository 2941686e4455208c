"""The progress line on standard error while a run is in the foreground."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from engines.events import Event, Progress
from workbench.cli.text import cut, seconds

REDRAW_S = 0.1
BAR_WIDTH = 24
SMOOTHING = 0.3
RATE_WINDOW_S = 0.5


class ProgressLine:
    """One line that redraws itself, on a terminal only; used as a listener for a run's events."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._is_shown = self._stream.isatty()
        self._encoding_has_blocks = "utf" in (getattr(self._stream, "encoding", "") or "").lower()
        self._started = self._drawn_at = time.monotonic()
        self._left = TimeLeft(self._started)
        self._progress = Progress(0, 0)

    def __call__(self, event: Event) -> None:
        """Take an event; only progress is shown."""
        if not self._is_shown:
            return
        now = time.monotonic()
        if isinstance(event, Progress):
            self._progress = event
            self._left.observe(event.done, now)
        if now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._draw(now)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def say(self, sentence: str) -> None:
        """Print a sentence where the line was."""
        self.clear()
        print(sentence, file=self._stream, flush=True)

    def _draw(self, now: float) -> None:
        done, total, note = self._progress.done, self._progress.total, self._progress.note
        share = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
        parts = [self._label]
        if total > 0:
            parts += [self._bar(share), f"{share:4.0%}"]
        parts.append(seconds(now - self._started))
        left = self._left.seconds(total - done)
        if left is not None and share < 1:
            parts.append(f"{seconds(left)} left")
        if note:
            parts.append(cut(note, 80))
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[K" + "  ".join(parts)[:width])
        self._stream.flush()

    def _bar(self, share: float) -> str:
        if not self._encoding_has_blocks:
            filled = int(share * BAR_WIDTH)
            return "[" + "#" * filled + "." * (BAR_WIDTH - filled) + "]"
        eighths = int(share * BAR_WIDTH * 8)
        full, part = divmod(eighths, 8)
        return ("█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")).ljust(BAR_WIDTH, "·")


class TimeLeft:
    """Estimates the time that is left from a smoothed rate of progress."""

    def __init__(self, now: float) -> None:
        self._done, self._at = 0.0, now
        self._rate: float | None = None

    def observe(self, done: float, now: float) -> None:
        """`done` units were done at `now` (seconds)."""
        if now - self._at < RATE_WINDOW_S or done <= self._done:
            return
        rate = (done - self._done) / (now - self._at)
        self._rate = rate if self._rate is None else SMOOTHING * rate + (1 - SMOOTHING) * self._rate
        self._done, self._at = done, now

    def seconds(self, units: float) -> float | None:
        """Seconds for `units` more; None while there is no rate yet."""
        return units / self._rate if self._rate else None
