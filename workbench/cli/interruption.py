"""Ctrl+C and termination while a run is in the foreground: first politely, then at once."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from storage import Status
from workbench.recorder import Stop

STOPPED = Stop(Status.cancelled, "Stopped from the keyboard.", "Interrupted")


class Interruption:
    """While entered, the first signal is a wish to stop at the next step; a second one interrupts at once."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.is_wished = False
        self._on_first = on_first
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python allows signal handlers in the main thread only; elsewhere the wish stays with the caller.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wish(self) -> Stop | None:
        """What the recorder asks before each step."""
        return STOPPED if self.is_wished else None

    def insist(self, stop: Stop) -> None:
        """The engine does not come back: interrupt it in mid-step."""
        _thread.interrupt_main()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.is_wished:
            raise KeyboardInterrupt
        self.is_wished = True
        self._on_first()
