"""The parent's side of one worker process: start it, talk to it, notice its death."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from workbench.settings import Settings

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from workbench.executors.worker import main; main()"
)
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
LAST_WORDS_S = 2.0


class WorkerHandle:
    """One worker. `on_message(handle, message)` and `on_death(handle)` are called from threads of its own."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        on_message: Callable[[WorkerHandle, dict[str, Any]], None],
        on_death: Callable[[WorkerHandle], None],
    ) -> None:
        self.is_ready = False
        self.is_gone = False
        self.run_id = ""
        self.stop_asked = False
        self._on_message, self._on_death = on_message, on_death
        # The same import path as here, and not the current folder, whatever lies in it (-P).
        command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path)]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            text=True,
            encoding="utf-8",
            process_group=0 if os.name == "posix" else None,
        )
        self.send_text(settings.to_json())
        self._listener = threading.Thread(target=self._listen, name=f"worker-{self.pid}", daemon=True)
        self._listener.start()
        self._waiter = threading.Thread(target=self._wait, name=f"worker-{self.pid}-end", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """Whether it can take a run."""
        return self.is_ready and not self.is_gone and not self.run_id

    @property
    def end(self) -> str:
        """How the process ended, in words that follow "the worker": "was killed by signal 11 (SIGSEGV)"."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        hint = ", often a sign that the memory was full" if -code == 9 else ""
        return f"was killed by signal {-code}{name}{hint}"

    def send(self, run_id: str) -> bool:
        """Hand a run over; False where the worker is gone."""
        return self.send_text(json.dumps({"run": run_id}))

    def send_text(self, line: str) -> bool:
        """Write one line to the worker; False where it is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def kill(self) -> None:
        """End the process, and those that it started, at once."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def dismiss(self) -> None:
        """Close the worker's input: it closes its run as interrupted and leaves."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def join(self, timeout_s: float) -> bool:
        """Wait until the worker is gone and its death was told; False where it is still there."""
        self._waiter.join(timeout_s)
        return not self._waiter.is_alive()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._on_message(self, json.loads(line))

    def _wait(self) -> None:
        self._process.wait()
        self.is_gone = True
        # A child of the worker may hold the pipe open, so its end is no sign of anything; its last words count.
        self.kill()
        self._listener.join(LAST_WORDS_S)
        self.dismiss()
        if not self._listener.is_alive():
            assert self._process.stdout is not None
            self._process.stdout.close()
        self._on_death(self)


def worker_environment(given: Mapping[str, str], threads: int, gpu: int | None) -> dict[str, str]:
    """The environment variables of a worker with `threads` threads and one GPU. What the user set stays."""
    environment = dict(given)
    for name in _THREAD_VARIABLES:
        environment.setdefault(name, given.get("OMP_NUM_THREADS") or str(threads))
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if gpu is not None:
        visible = given.get("CUDA_VISIBLE_DEVICES", "")
        devices = [item.strip() for item in visible.split(",") if item.strip()]
        environment["CUDA_VISIBLE_DEVICES"] = devices[gpu] if gpu < len(devices) else str(gpu)
    return environment
