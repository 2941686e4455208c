"""Runs execute inside the call that submits them: for tests, and for hosts that lend a GPU to one request."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workbench.execution import Bench, execute


class InlineExecutor:
    """`submit` returns when the run is over. Cancelling goes through the store, as everywhere."""

    needs_dispatcher = False

    def __init__(self, bench: Bench) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._bench = bench
        self._lock = threading.Lock()
        self._active: set[str] = set()

    def prepare(self, waiting: int) -> None:
        """There is nothing to get ready."""

    def free(self) -> int:
        """A request brings its own thread, so there is always room."""
        return 1

    def submit(self, run_id: str) -> None:
        """Execute the run to its end."""
        with self._lock:
            self._active.add(run_id)
        try:
            self.execute(run_id)
        finally:
            with self._lock:
                self._active.discard(run_id)

    def execute(self, run_id: str) -> None:
        """Execute the run in this thread."""
        execute(self._bench, run_id)

    def stop(self, run_id: str, grace_s: float) -> None:
        """The recorder finds the command in the store; a thread cannot be killed."""

    def active(self) -> tuple[str, ...]:
        """The runs under way in calls to `submit`."""
        with self._lock:
            return tuple(self._active)

    def shutdown(self) -> None:
        """Calls under way end by themselves."""
