"""Runs execute in warm worker processes: a crash or a kill never takes the page down, and the second run of an
engine finds its imports made."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from engines.devices import cpu_count
from storage import Status, StorageError
from workbench import environment
from workbench.errors import WorkbenchError
from workbench.execution import Bench, remove_folder
from workbench.executors.ends import Ends
from workbench.executors.handle import WorkerHandle, worker_environment

FAILED_STARTS = 3
MAX_CPU_SLOTS = 4
KILL_MARGIN_S = 1.0
"""A worker ends itself after the grace period; this much later its parent does it."""
SHUTDOWN_S = 5.0


class WorkersBroken(WorkbenchError):
    """Worker processes die before they are ready."""


class ProcessExecutor:
    """A worker process a slot, started when first needed (one of them ahead of need) and kept warm."""

    needs_dispatcher = True

    def __init__(self, bench: Bench) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._bench = bench
        self._gpus = environment.gpu_count() if bench.settings.device in ("auto", "cuda") else 0
        self.slots = bench.settings.slots or self._gpus or _slots_without_gpus(bench.settings.device)
        self._lock = threading.RLock()
        self._workers: dict[int, WorkerHandle] = {}
        self._failed_starts = 0
        self._attempts: dict[str, int] = {}
        self._ends = Ends(bench.store)
        self._is_closing = False

    def prepare(self, waiting: int) -> None:
        """Start workers for `waiting` further runs, at least one, as far as there are slots.

        Raises WorkersBroken, and then starts afresh, where runs wait and workers die at their start."""
        self._ends.write()
        with self._lock:
            if self._is_closing:
                return
            if self._failed_starts >= FAILED_STARTS:
                if not waiting:
                    return
                self._failed_starts = 0
                raise WorkersBroken("The worker process cannot start; the server's standard error says why.")
            busy = sum(bool(worker.run_id) for worker in self._workers.values())
            wanted = min(self.slots, max(1, busy + waiting))
            for slot in range(self.slots):
                if len(self._workers) < wanted and slot not in self._workers:
                    self._workers[slot] = self._start(slot)

    def free(self) -> int:
        """Number of workers that are ready and idle."""
        with self._lock:
            return sum(worker.is_idle for worker in self._workers.values())

    def submit(self, run_id: str) -> None:
        """Hand the run to an idle worker. Where there is none, or it has just died, the run stays queued."""
        with self._lock:
            for worker in self._workers.values():
                if worker.is_idle:
                    worker.run_id = run_id
                    worker.stop_asked = False
                    if worker.send(run_id):
                        return
                    worker.run_id = ""
                    worker.is_gone = True  # its own thread is about to tell of its death

    def stop(self, run_id: str, grace_s: float) -> None:
        """Kill the run's worker if the run is still with it after the grace period."""
        with self._lock:
            worker = next((worker for worker in self._workers.values() if worker.run_id == run_id), None)
            if worker is None or worker.stop_asked:
                return
            worker.stop_asked = True

        def kill() -> None:
            with self._lock:
                if worker.run_id == run_id:
                    worker.kill()

        timer = threading.Timer(grace_s + KILL_MARGIN_S, kill)
        timer.daemon = True
        timer.start()

    def active(self) -> tuple[str, ...]:
        """The runs that are with a worker."""
        with self._lock:
            return tuple(worker.run_id for worker in self._workers.values() if worker.run_id)

    def shutdown(self) -> None:
        """Let all workers close their runs as interrupted and leave; kill those that do not."""
        with self._lock:
            self._is_closing = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            if not worker.join(min(SHUTDOWN_S, self._bench.settings.grace_s)):
                worker.kill()
                worker.join(SHUTDOWN_S)
        self._ends.write()

    def _start(self, slot: int) -> WorkerHandle:
        threads = max(1, cpu_count() // self.slots)
        gpu = slot % self._gpus if self._gpus else None
        variables = worker_environment(os.environ, threads, gpu)
        return WorkerHandle(self._bench.settings, variables, self._heard, self._died)

    def _heard(self, worker: WorkerHandle, message: dict[str, Any]) -> None:
        with self._lock:
            if "ready" in message:
                worker.is_ready = True
                self._failed_starts = 0
            if "trouble" in message:
                self._ends.add(worker.run_id, Status.failed, message["error"], message["kind"])
            if "over" in message or "trouble" in message:
                self._attempts.pop(worker.run_id, None)
                worker.run_id = ""
        self.on_change()

    def _died(self, worker: WorkerHandle) -> None:
        with self._lock:
            for slot, other in list(self._workers.items()):
                if other is worker:
                    del self._workers[slot]
            if not worker.is_ready and not self._is_closing:
                self._failed_starts += 1
            run_id = worker.run_id
        if run_id:
            self._bury(run_id, worker)
        self.on_change()

    def _bury(self, run_id: str, worker: WorkerHandle) -> None:
        """Write down how a run ended whose worker died. One that was not yet claimed stays in the queue, once."""
        attempts = self._attempts[run_id] = self._attempts.get(run_id, 0) + 1
        if worker.stop_asked:
            seconds = self._bench.settings.grace_s
            end = (
                Status.cancelled,
                f"It did not stop by itself within {seconds:g} s and was killed.",
                "Killed",
            )
        else:
            end = Status.interrupted, f"The worker {worker.end}.", "WorkerDied"
        if attempts < 2 and not worker.stop_asked and self._is_queued(run_id):
            return
        self._attempts.pop(run_id, None)
        self._ends.add(run_id, *end)
        self._ends.write()
        for folder in (self._bench.settings.home / "scratch").glob(f"{run_id}-*"):
            remove_folder(folder)

    def _is_queued(self, run_id: str) -> bool:
        try:
            return self._bench.store.run(run_id).status is Status.queued
        except StorageError:
            return False  # then its end is kept, and written once the store answers again


def _slots_without_gpus(device: str) -> int:
    """Runs at a time where GPUs cannot be counted: one on a named accelerator, else a share of the cores."""
    if device not in ("auto", "cpu") or (device == "auto" and environment.may_have_accelerator()):
        return 1
    return min(MAX_CPU_SLOTS, max(1, cpu_count() // 4))
