"""Runs execute as tasks of a Ray cluster: the one of RAY_ADDRESS, one that runs on this machine, or a new one here."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from typing import Any

from workbench.errors import UsageError
from workbench.execution import Bench
from workbench.executors.elsewhere import (
    ElsewhereExecutor,
    End,
    execute_alone,
    needs_shared_database,
    needs_shared_files,
)

CLOSE_S = 5.0
PROBE_S = 5.0
_HOST = re.compile(r"(?:ray://)?\[?([^/\]]+?)\]?:(\d+)/?")


class RayExecutor(ElsewhereExecutor):
    """A task a run, never retried by Ray: what a run recorded belongs to one attempt."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, RayTasks(bench))


class RayTasks:
    """Ray as `Jobs`; a job is a reference to a task's result."""

    def __init__(self, bench: Bench) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "The executor ray needs Ray: pip install 'paper-workbench[ray]', here and on every machine."
            ) from error
        self._ray: Any = ray
        self._settings = bench.settings
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            answers(os.environ.get("RAY_ADDRESS", ""))
            try:
                ray.init(logging_level=logging.ERROR, log_to_driver=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                sentence = str(error).strip().partition("\n")[0][:200]
                raise UsageError(f"The Ray cluster cannot be reached: {sentence}") from error
        if len({node["NodeManagerHostname"] for node in self._ray.nodes() if node["Alive"]}) > 1:
            needs_shared_database(bench.settings, "The Ray cluster")
            needs_shared_files(bench.settings, "The Ray cluster")

    def launch(self, run_id: str) -> Any:
        task = self._ray.remote(max_retries=0)(execute_alone)
        return task.options(
            num_cpus=self._settings.run_cpus, num_gpus=self._gpus(), name=f"run {run_id}"
        ).remote(self._settings.to_json(), run_id)

    def ended(self, job: Any) -> End | None:
        errors = self._ray.exceptions
        done, _ = self._ray.wait([job], timeout=0, fetch_local=False)
        if not done:
            return None
        try:
            self._ray.get(job)
        except errors.TaskCancelledError:
            return End("Its task was cancelled.")
        except errors.OutOfMemoryError:
            return End("Ray ended its worker because the memory of the machine was full.")
        except errors.NodeDiedError:
            return End("The machine that ran it left the Ray cluster.")
        except errors.WorkerCrashedError:
            return End("The worker died, or its machine left the Ray cluster.")
        except Exception as error:  # what the task raised comes out under its own class
            cause = getattr(error, "cause", None) or error
            return End(
                f"Its task failed: {(str(cause).strip() or type(cause).__name__).splitlines()[-1][:300]}"
            )
        return End()

    def kill(self, job: Any) -> None:
        self._ray.cancel(job, force=True)

    def close(self, jobs: dict[str, Any]) -> bool:
        for job in jobs.values():
            with contextlib.suppress(self._ray.exceptions.RayError):
                self.kill(job)
        if jobs:
            self._ray.wait(list(jobs.values()), num_returns=len(jobs), timeout=CLOSE_S, fetch_local=False)
        if self._is_ours:
            self._ray.shutdown()
        return True

    def _gpus(self) -> float:
        """GPUs of a task: as asked for, by itself one where the cluster has any and the device may be one."""
        if self._settings.run_gpus >= 0:
            return self._settings.run_gpus
        may_use = self._settings.device == "auto" or self._settings.device.startswith("cuda")
        return 1.0 if may_use and self._ray.cluster_resources().get("GPU", 0) >= 1 else 0.0


def answers(address: str) -> None:
    """See whether anybody listens where `RAY_ADDRESS` points: Ray itself would try for minutes, without a word.

    Raises UsageError."""
    if not (found := _HOST.fullmatch(address.strip())):
        return  # "auto", "local" or none: on this machine
    try:
        socket.create_connection((found[1], int(found[2])), timeout=PROBE_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"The Ray cluster cannot be reached: nobody answers at {address} (RAY_ADDRESS): {error}."
        ) from error
