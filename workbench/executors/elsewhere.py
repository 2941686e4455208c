"""What executors on other machines share: a table of the jobs that were handed over, a thread that looks after
them, and the ends of runs whose job died. Placing, waiting and resources are the other system's part.

A job gets the settings and a run id, opens the store itself, and claims the run; so a job that comes too late, or
twice, finds nothing to do and ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from storage import RunNotFound, Status, Store
from workbench.catalog import Catalog
from workbench.errors import UsageError
from workbench.execution import Bench, execute
from workbench.executors.ends import Ends
from workbench.recorder import Stop
from workbench.settings import Settings

LOOK_S = 0.25
KILL_MARGIN_S = 1.0
"""A job ends itself after the grace period; this much later it is ended from here."""
MOST_AT_ONCE = 1000
ATTEMPTS = 2
"""So often is a run handed over whose job died before it claimed it."""

log = logging.getLogger("workbench")


def execute_alone(settings_json: str, run_id: str, address: str = "") -> None:
    """One run in a process that knows nothing but the settings; the process ends where the engine does not stop. The
    settings may leave the database's address to a file, `address`."""
    settings = Settings.from_json(settings_json)
    if address:
        settings = replace(settings, database_url=Path(address).read_text())
    settings.home.mkdir(parents=True, exist_ok=True)
    with Store.open(settings.database_url, settings.artifacts_url, wal=settings.wal) as store:

        def end_process(stop: Stop) -> None:
            reason = stop.reason or f"It did not stop by itself within {settings.grace_s:g} s and was killed."
            try:
                store.finish_run(run_id, stop.status, reason, stop.kind or "Killed")
            finally:
                os._exit(1)

        execute(Bench(settings, store, Catalog.load()), run_id, on_stuck=end_process)


@dataclass(frozen=True)
class End:
    """How a job ended: `trouble` is empty where it returned by itself, else a sentence for the reader."""

    trouble: str = ""


class Jobs(Protocol):
    """The other system, as far as it concerns us. `job` is whatever it knows a job by."""

    def launch(self, run_id: str) -> Any:
        """Hand a run over."""

    def ended(self, job: Any) -> End | None:
        """How the job ended; None while it waits or runs."""

    def kill(self, job: Any) -> None:
        """End the job at once, waiting or running."""

    def close(self, jobs: dict[str, Any]) -> bool:
        """The workbench is being closed; answers whether its jobs (by run id) end with it."""


class ElsewhereExecutor:
    """An executor whose runs are jobs of another system."""

    needs_dispatcher = True

    def __init__(self, bench: Bench, jobs: Jobs, known: dict[str, Any] | None = None) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._bench, self._system = bench, jobs
        self._lock = threading.RLock()
        self._jobs: dict[str, Any] = dict(known or {})
        self._attempts: dict[str, int] = {}
        self._stops: dict[str, float] = {}
        self._ends = Ends(bench.store)
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="jobs", daemon=True)
        self._watcher.start()

    def prepare(self, waiting: int) -> None:
        """The other system keeps its machines ready."""

    def free(self) -> int:
        """How many runs may be handed over now: all of them, unless `slots` says how many there may be at a time."""
        with self._lock:
            return max(0, (self._bench.settings.slots or MOST_AT_ONCE) - len(self._jobs))

    def submit(self, run_id: str) -> None:
        """Hand a run over. Where the other system does not take it, the run fails with the reason."""
        with self._lock:
            if run_id in self._jobs:
                return
            try:
                self._jobs[run_id] = self._system.launch(run_id)
            except Exception as error:
                log.exception("Run %s could not be handed over", run_id)
                self._end(
                    run_id, Status.failed, f"It could not be handed over: {_first_line(error)}", "NotTaken"
                )

    def stop(self, run_id: str, grace_s: float) -> None:
        """The recorder of the run finds the wish in the store; after the grace period its job is killed."""
        with self._lock:
            if run_id in self._jobs:
                self._stops.setdefault(run_id, time.monotonic() + grace_s + KILL_MARGIN_S)

    def active(self) -> tuple[str, ...]:
        """The runs whose jobs wait or run."""
        with self._lock:
            return tuple(self._jobs)

    def shutdown(self) -> None:
        """Let go of the jobs; those that end with us become interrupted."""
        self._is_over.set()
        self._watcher.join()
        with self._lock:
            jobs = dict(self._jobs)
            self._jobs.clear()
        if self._system.close(jobs):
            for run_id in jobs:
                if self._status(run_id) is Status.running:
                    self._end(
                        run_id, Status.interrupted, "The workbench that ran it was closed.", "WorkbenchClosed"
                    )
        self._ends.write()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_S):
            try:
                self._look()
            except Exception:
                log.exception("The jobs could not be looked after")

    def _look(self) -> None:
        self._ends.write()
        with self._lock:
            jobs = dict(self._jobs)
        for run_id, job in jobs.items():
            end = self._system.ended(job)
            if end is not None:
                self._ended(run_id, end)
            elif run_id in self._stops and self._is_due(run_id):
                self._system.kill(job)

    def _is_due(self, run_id: str) -> bool:
        """Whether a job that was asked to stop should be killed: its time is up, or it has not begun with the run."""
        return time.monotonic() > self._stops[run_id] or self._status(run_id) is Status.cancelled

    def _ended(self, run_id: str, end: End) -> None:
        status = self._status(run_id)
        with self._lock:
            self._jobs.pop(run_id, None)
            was_asked = self._stops.pop(run_id, None) is not None
            attempts = self._attempts[run_id] = self._attempts.get(run_id, 0) + 1
            if status is not Status.queued or attempts >= ATTEMPTS:  # or else it is tried again
                self._attempts.pop(run_id, None)
                if status in (Status.queued, Status.running):
                    self._end(run_id, *self._verdict(status, was_asked, end.trouble))
        self.on_change()

    def _verdict(self, status: Status, was_asked: bool, trouble: str) -> tuple[Status, str, str]:
        """How a run ends whose job ended before it: status, sentence, kind."""
        if was_asked:
            seconds = self._bench.settings.grace_s
            return (
                Status.cancelled,
                f"It did not stop by itself within {seconds:g} s and was killed.",
                "Killed",
            )
        if status is Status.queued:
            return Status.failed, f"It could not begin. {trouble or 'Its job ended.'}", "NotTaken"
        return Status.interrupted, trouble or "Its job ended without a word about the run.", "WorkerDied"

    def _status(self, run_id: str) -> Status | None:
        """None where the run was deleted. A store that cannot be asked now is asked at the next look."""
        try:
            return self._bench.store.run(run_id).status
        except RunNotFound:
            return None

    def _end(self, run_id: str, status: Status, error: str, kind: str) -> None:
        self._ends.add(run_id, status, error, kind)
        self._ends.write()


def needs_shared_database(settings: Settings, where: str) -> None:
    """Refuse a database that other machines cannot reach.

    Raises UsageError."""
    if settings.database_url.startswith("sqlite"):
        raise UsageError(
            f"{where} has several machines, which cannot share a SQLite file: set WORKBENCH_DATABASE_URL to a "
            "PostgreSQL database, and WORKBENCH_ARTIFACTS_URL to a place that all of them reach. See docs/scaling.md."
        )


def needs_shared_files(settings: Settings, where: str) -> None:
    """Refuse a folder for artifacts that lies in this machine's home: what a run keeps elsewhere would stay there.

    Raises UsageError."""
    scheme, _, rest = settings.artifacts_url.rpartition("://")
    if scheme in ("", "file", "local") and Path(rest).absolute().is_relative_to(settings.home.absolute()):
        raise UsageError(
            f"{where} has several machines, and WORKBENCH_ARTIFACTS_URL is a folder in the home of this one: set it to "
            "a folder or bucket that all of them reach. See docs/scaling.md."
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:300]
