"""What a server tidies up while it runs: uploads that were never used, and on a demo what guests have left."""

from __future__ import annotations

import logging
import threading

from workbench.access import Access
from workbench.errors import WorkbenchError

EVERY_S = 600.0
log = logging.getLogger("workbench")


class Housekeeping(threading.Thread):
    """A thread of the server's, from `start` to `close`. What goes wrong is logged and tried again at the next turn."""

    def __init__(self, access: Access, every_s: float = EVERY_S) -> None:
        super().__init__(name="housekeeping", daemon=True)
        self._access, self._every_s = access, every_s
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(self._every_s):
            try:
                self._access.tidy()
            except WorkbenchError as error:
                log.warning("Tidying up: %s", error)
            except Exception:
                log.exception("Tidying up failed")

    def close(self) -> None:
        """End, after the turn under way."""
        self._is_over.set()
        if self.is_alive():
            self.join()
