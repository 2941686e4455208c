"""News from the database instead of asking again and again: PostgreSQL's LISTEN and NOTIFY.

Whoever changes something says so inside the same transaction, so a word never comes before what it tells of. Nobody
depends on it: SQLite has no such thing, connections break, and every reader goes on asking by itself, only rarely
while news arrive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from sqlalchemy import Connection

if TYPE_CHECKING:
    from storage.database import Database

CHANNEL = "workbench"
WAIT_S = 0.5
"""How long the listening thread waits for a word before it looks whether it should end."""
RECONNECT_S = 2.0

Kind = Literal["queued", "command", "over", "lost"]
"""A run was queued; a command was left for one; one is over; news may have been lost, so look for yourself."""
Listener = Callable[[Kind, str], None]

log = logging.getLogger("workbench")


def tell(connection: Connection, kind: Kind, run_id: str) -> None:
    """Tell all who listen, once this transaction is committed. Nothing on SQLite."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, f"{kind} {run_id}"))


class Notices(threading.Thread):
    """One connection that listens for a whole process. Callbacks come from its thread and must be short."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="notices", daemon=True)
        self._database = database
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._is_live = threading.Event()

    @property
    def is_live(self) -> bool:
        """Whether news arrive right now."""
        return self._is_live.is_set()

    def wait_until_live(self, timeout_s: float) -> bool:
        """Wait for the connection; answers whether it is there."""
        return self._is_live.wait(timeout_s)

    @contextmanager
    def told(self, listener: Listener) -> Iterator[None]:
        """Inside it, `listener(kind, run id)` is called for all news."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def close(self) -> None:
        """End the thread and its connection."""
        self._is_over.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Listen until closed; a lost connection is made again, and everybody told to look for themselves."""
        while not self._is_over.is_set():
            try:
                self._listen()
            except Exception as error:  # whatever a driver raises: readers go on asking meanwhile
                log.warning("News from the database stopped: %s", str(error).partition("\n")[0])
            self._is_live.clear()
            self._publish("lost", "")
            self._is_over.wait(RECONNECT_S)

    def _listen(self) -> None:
        connection: Any = self._database.connect_driver()
        try:
            connection.execute(f"LISTEN {CHANNEL}")
            self._is_live.set()
            self._publish("lost", "")  # whatever happened before the first word
            while not self._is_over.is_set():
                for notice in connection.notifies(timeout=WAIT_S, stop_after=1):
                    kind, _, run_id = notice.payload.partition(" ")
                    self._publish(cast(Kind, kind), run_id)
        finally:
            connection.close()

    def _publish(self, kind: Kind, run_id: str) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(kind, run_id)
