"""How runs ended whose process cannot say it any more: kept until the store has written it down."""

from __future__ import annotations

import threading

from storage import RunNotFound, Status, StorageError, Store


class Ends:
    """Ends that are still to be written. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Status, str, str]] = {}

    def add(self, run_id: str, status: Status, error: str, kind: str) -> None:
        """Remember an end; `write` writes it."""
        with self._lock:
            self._waiting[run_id] = (status, error, kind)

    def write(self) -> None:
        """Write down what waits. What the store does not take yet waits on: it may be locked, or away for a moment."""
        with self._lock:
            waiting = dict(self._waiting)
        for run_id, end in waiting.items():
            if self._is_settled(run_id, end):
                with self._lock:
                    self._waiting.pop(run_id, None)

    def _is_settled(self, run_id: str, end: tuple[Status, str, str]) -> bool:
        """Whether nothing is left to write. A run that was deleted meanwhile has no end."""
        try:
            self._store.finish_run(run_id, *end)
        except RunNotFound:
            return True
        except StorageError:
            return False
        return True
