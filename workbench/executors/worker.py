"""The program of a worker process: takes run ids on its standard input, executes them one after the other.

Each line in is `{"run": id}`; each line out says what became of it: `{"ready": pid}` once at the start, then
`{"over": id}`, or `{"trouble": id, "error": sentence, "kind": name}` where the end could not be written to the
store. The end of the input means that the parent is gone, and ends the worker too. Whatever engines print goes to
standard error.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from storage import Status, StorageError, Store
from workbench.catalog import Catalog
from workbench.execution import Bench, execute
from workbench.failures import explain
from workbench.recorder import Stop
from workbench.settings import Settings

ORPHAN = Stop(Status.interrupted, "The workbench that ran it was closed.", "WorkbenchClosed")
LAST_GRACE_S = 5.0
"""How much longer than the grace period an orphan may live, in seconds, whatever hinders it."""


class Worker:
    """Executes the runs that arrive, until the input ends."""

    def __init__(self, bench: Bench, control: IO[str], report: IO[str]) -> None:
        self._bench = bench
        self._control, self._report = control, report
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._orphaned = threading.Event()
        self._run_id = ""

    def serve(self) -> None:
        """Say that this worker is ready, then work until the parent closes the input or dies."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        self._say({"ready": os.getpid()})
        while (run_id := self._waiting.get()) is not None and not self._orphaned.is_set():
            self._run_id = run_id
            self._say(self._execute(run_id))
            _tidy_up()

    def _execute(self, run_id: str) -> dict[str, Any]:
        try:
            execute(self._bench, run_id, stop=self._wish, on_stuck=self._end_process)
        except StorageError as error:
            # The parent keeps trying to write this end down: the disk may have room again soon.
            failure = explain(error)
            return {"trouble": run_id, "error": failure.sentence, "kind": failure.kind}
        return {"over": run_id}

    def _wish(self) -> Stop | None:
        return ORPHAN if self._orphaned.is_set() else None

    def _listen(self) -> None:
        for line in self._control:
            self._waiting.put(str(json.loads(line)["run"]))
        self._orphaned.set()
        self._waiting.put(None)
        # The main thread ends the process before this; otherwise nothing that hangs may outlive the parent.
        threading.Event().wait(self._bench.settings.grace_s + LAST_GRACE_S)
        os._exit(1)

    def _end_process(self, stop: Stop) -> None:
        """The engine does not come back: write the end of its run down and leave."""
        seconds = self._bench.settings.grace_s
        reason = stop.reason or f"It did not stop by itself within {seconds:g} s, so its process was ended."
        try:
            self._bench.store.finish_run(self._run_id, stop.status, reason, stop.kind or "Killed")
        finally:
            os._exit(1)

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._report.write(json.dumps(message) + "\n")
            self._report.flush()
        except OSError:
            self._orphaned.set()  # nobody listens any more


def main() -> None:
    """Entry point of the process; the first line of its input are the settings."""
    control, report = _private_pipes()
    # Ctrl+C in the terminal reaches every process of it; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    line = control.readline()
    if not line:
        return  # the parent went away at once
    settings = Settings.from_json(line)
    with Store.open(settings.database_url, settings.artifacts_url, wal=settings.wal) as store:
        Worker(Bench(settings, store, Catalog.load()), control, report).serve()
    # Threads that libraries left behind must not keep a finished worker alive.
    sys.stderr.flush()
    os._exit(0)


def _private_pipes() -> tuple[IO[str], IO[str]]:
    """The pipes to the parent under descriptors of their own, so that no print of a library gets in between."""
    control = os.fdopen(os.dup(0), "r", encoding="utf-8")
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return control, report


def _tidy_up() -> None:
    """Give memory back between runs; torch is only asked where an engine brought it in."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
