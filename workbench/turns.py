"""How often somebody did something in the last hour, and how much of it is under way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import UsageError

HOUR_S = 3600.0
MAX_REMEMBERED = 10_000
"""Guests whose doings of the last hour are remembered; a crowd beyond it is limited by the totals alone."""


class Hourly:
    """Doings of the last hour, by who did them. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}

    def count(self, who: str) -> int:
        """How often in the last hour."""
        with self._lock:
            times, now = self._times.get(who, deque()), time.monotonic()
            while times and now - times[0] > HOUR_S:
                times.popleft()
            return len(times)

    def note(self, who: str) -> None:
        """Once more, now."""
        with self._lock:
            if who not in self._times and len(self._times) >= MAX_REMEMBERED:
                self._times.pop(next(iter(self._times)))
            self._times.setdefault(who, deque()).append(time.monotonic())


class TooEarly(UsageError):
    """Somebody else's turn; a moment later it may be this one's."""


class Turns:
    """Work that a server does for few at a time: one thing for each, and so many together. Whoever comes too early is
    refused at once, since to wait would hold one of the few threads that answer everybody.

    Args:
        together: how many go on at a time.
        mine: what somebody is told whose own is under way.
        all: what somebody is told when as many as there may be are under way."""

    def __init__(self, together: int, mine: str, all: str) -> None:
        self._together, self._mine, self._all = together, mine, all
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Inside it, it is this one's turn. Raises TooEarly where it is not."""
        with self._lock:
            if who in self._busy:
                raise TooEarly(self._mine)
            if len(self._busy) >= self._together:
                raise TooEarly(self._all)
            self._busy.add(who)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(who)
