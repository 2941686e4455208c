"""The server is killed in mid-run: its worker notices, and after a restart no run is "running"."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from storage import Status
from workbench.runs import Workbench

Make = Callable[..., Workbench]

pytestmark = [pytest.mark.fault, pytest.mark.skipif(os.name != "posix", reason="kills processes")]

SERVER = """
import sys, time
from workbench import Settings, Workbench
workbench = Workbench.open(Settings.from_environment())
workbench.look_around()
print(workbench.submit("fixture", {"steps": int(sys.argv[1]), "pause_s": 0.01, "mode": sys.argv[2]}).id, flush=True)
print(workbench.submit("fixture", {"steps": 2}, seed=1).id, flush=True)
time.sleep(600)
"""


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def start_server(mode: str, steps: int) -> tuple["subprocess.Popen[str]", str, str]:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(steps), mode], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, server.stdout.readline().strip(), server.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["plain", "stuck"])
def test_kill_9_of_the_server(
    home: Path, plugin: Path, make_workbench: Make, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("WORKBENCH_GRACE_S", "1")
    monkeypatch.setenv("WORKBENCH_SLOTS", "1")
    server, running, queued = start_server(mode, 6 if mode == "stuck" else 100_000)
    with server:
        watcher = make_workbench(executor="inline")
        # A stuck engine says four points, then sleeps; the worker must end itself to get away.
        wait_until(lambda: watcher.record(running).points("Ours", "error").values.size >= 4)
        worker = int(watcher.run(running).worker.rpartition("/")[2])
        server.send_signal(signal.SIGKILL)
    wait_until(lambda: watcher.run(running).status.is_over)
    ended = watcher.run(running)
    assert (ended.status, ended.error) == (Status.interrupted, "The workbench that ran it was closed.")
    wait_until(lambda: not psutil.pid_exists(worker))
    assert watcher.run(queued).status is Status.queued
    restarted = make_workbench()
    restarted.look_around()
    assert restarted.follow(queued, poll_s=0.02).status is Status.finished
    assert restarted.run(running).status is Status.interrupted


def test_kill_9_of_the_server_and_its_worker(
    home: Path, plugin: Path, make_workbench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench import dispatcher

    monkeypatch.setenv("WORKBENCH_SLOTS", "1")
    server, running, queued = start_server("plain", 100_000)
    with server:
        watcher = make_workbench(executor="inline")
        wait_until(lambda: watcher.record(running).series())
        worker = int(watcher.run(running).worker.rpartition("/")[2])
        os.kill(worker, signal.SIGSTOP)  # so that it cannot notice
        server.send_signal(signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(worker))
    monkeypatch.setattr(dispatcher, "SETTLE_S", 0.0)
    restarted = make_workbench()
    restarted.look_around()
    ended = restarted.run(running)
    assert ended.status is Status.interrupted
    assert f"Its process ({worker}) is gone" in ended.error
    assert restarted.follow(queued, poll_s=0.02).status is Status.finished
    # The dispatcher removes what the killed worker left behind.
    wait_until(lambda: not [path for path in (home / "scratch").iterdir() if path.name.startswith(running)])
