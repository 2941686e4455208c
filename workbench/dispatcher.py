"""Hands queued runs to the executor, oldest first, and finds the runs whose workers are gone.

Queued runs are rows, so those of other processes (a command line, a page on another machine) are seen as well,
and a restart of the server loses none. Several servers may share one database: each run is claimed once.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from contextlib import nullcontext

import psutil

from storage import Kind, Notices, RunQuery, Status, StorageError
from storage.flush import STALE
from workbench.execution import Bench, sweep_workspaces, worker_name
from workbench.executors import Executor
from workbench.executors.process import WorkersBroken

POLL_S = 0.5
QUIET_POLL_S = 3.0
"""Between two looks where the database tells of new runs by itself."""
SIGN_OF_LIFE_S = 5.0
LOOK_S = 10.0
OVERDUE_S = 5.0
"""So much longer than a run's time and its grace may take, a worker is trusted to end it by itself."""
SETTLE_S = 3.0
"""A process of this machine that is gone is believed dead only when its last sign of life is this old."""

log = logging.getLogger("workbench")


class Dispatcher(threading.Thread):
    """One thread a workbench that serves; `wake` makes it look at once."""

    def __init__(self, bench: Bench, executor: Executor) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._bench, self._executor = bench, executor
        self.only: frozenset[str] | None = None
        """The runs that are handed over; None: all that are queued."""
        self._wake = threading.Event()
        self._is_over = threading.Event()
        self._known_here: dict[str, bool] = {}
        self._signed_at = self._looked_at = 0.0

    def wake(self) -> None:
        """Something may be different: a new run, an idle worker."""
        self._wake.set()

    def close(self) -> None:
        """Stop handing runs over, and wait for the thread."""
        self._is_over.set()
        self._wake.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Turn until closed. Whatever goes wrong in one turn is logged, and tried again at the next: a server
        whose queue stands still would look healthy to everybody else."""
        news = self._bench.store.news()
        with news.told(self._hear) if news else nullcontext():
            self._turn_until_closed(news)

    def _hear(self, kind: Kind, _run_id: str) -> None:
        if kind != "command":
            self.wake()

    def _turn_until_closed(self, news: Notices | None) -> None:
        while not self._is_over.is_set():
            self._wake.clear()
            try:
                self._turn(time.monotonic())
            except StorageError as error:
                log.warning("The queue cannot be read: %s", error)
            except Exception:
                log.exception("A turn of the queue failed")
            self._wake.wait(QUIET_POLL_S if news and news.is_live else POLL_S)

    def _turn(self, now: float) -> None:
        store = self._bench.store
        active = set(self._executor.active())
        queued = [run_id for run_id in store.queued() if self.only is None or run_id in self.only]
        self._known_here = {run_id: known for run_id, known in self._known_here.items() if run_id in queued}
        waiting = [run_id for run_id in queued if run_id not in active and self._is_known(run_id)]
        try:
            self._executor.prepare(len(waiting))
        except WorkersBroken as error:
            for run_id in waiting:
                if store.claim_run(run_id, worker_name()):
                    store.finish_run(run_id, Status.failed, error.sentence, "WorkersBroken")
            return
        for run_id in waiting[: self._executor.free()]:
            self._executor.submit(run_id)
        if now - self._signed_at >= SIGN_OF_LIFE_S:
            self._signed_at = now
            # A worker deep in compiled code may be unable to sign for itself; its process is known to be alive.
            for run_id in active:
                store.heartbeat(run_id)
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            mark_dead(self._bench)
            self._end_overdue(active)
            sweep_workspaces(self._bench.settings.home, store)

    def _end_overdue(self, active: set[str]) -> None:
        """Kill runs that are over their time and over what they were given to stop by themselves: a worker stops its run
        in time, but not one whose engine lets no other thread of the process speak."""
        settings = self._bench.settings
        if not settings.run_limit_s or not active:
            return
        before = time.time() - settings.run_limit_s - settings.grace_s - OVERDUE_S
        query = RunQuery(ids=tuple(active), statuses=(Status.running,), limit=len(active))
        for row in self._bench.store.runs(query).rows:
            if row.run.started_at is not None and row.run.started_at < before:
                self._executor.stop(row.run.id, 0.0)

    def _is_known(self, run_id: str) -> bool:
        """Whether the run's engine exists here; if not it waits for a server that has it."""
        if run_id not in self._known_here:
            self._known_here[run_id] = self._bench.store.run(run_id).engine in self._bench.catalog.engines
        return self._known_here[run_id]


def mark_dead(bench: Bench) -> list[str]:
    """Mark the running runs whose workers are gone as interrupted; answers their ids.

    Processes of this machine are looked up; of others a missing sign of life tells. Both are taken back
    should the worker speak again after all (a machine that slept)."""
    store = bench.store
    gone: list[str] = []
    for row in store.runs(RunQuery(statuses=(Status.running,), limit=1000)).rows:
        run = row.run
        host, _, pid = run.worker.rpartition("/")
        quiet_s = time.time() - (run.heartbeat_at or 0.0)
        is_here = host == (platform.node() or "localhost") and pid.isdigit()
        if is_here and quiet_s > SETTLE_S and not psutil.pid_exists(int(pid)):
            sentence = f"Its process ({pid}) is gone: it was killed, or the machine went down."
            store.finish_run(run.id, Status.interrupted, sentence, STALE)
            gone.append(run.id)
    return gone + store.mark_interrupted(bench.settings.stale_after_s)
