"""Workers that are killed, hang, or leave children behind: the run says so, and the next run works."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from storage import Run, Status
from workbench.runs import Workbench

Make = Callable[..., Workbench]

pytestmark = [pytest.mark.fault, pytest.mark.skipif(os.name != "posix", reason="kills processes")]


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def follow(workbench: Workbench, run: Run) -> Run:
    return workbench.follow(run.id, poll_s=0.02)


def pid_of(run: Run) -> int:
    return int(run.worker.rpartition("/")[2])


def test_kill_9_in_mid_run(make_workbench: Make, home: Path) -> None:
    workbench = make_workbench()
    run = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    wait_until(lambda: workbench.record(run.id).points("Ours", "error").values.size > 3)
    before = workbench.record(run.id).points("Ours", "error").values
    os.kill(pid_of(workbench.run(run.id)), signal.SIGKILL)
    ended = follow(workbench, run)
    assert ended.status is Status.interrupted
    assert ended.error.startswith("The worker was killed by signal 9 (SIGKILL)")
    after = workbench.record(run.id).points("Ours", "error").values
    assert after[: before.size].tolist() == before.tolist(), "what was durable stays"
    wait_until(lambda: not any(path.is_dir() for path in (home / "scratch").iterdir()))
    again = follow(workbench, workbench.submit("fixture"))
    assert again.status is Status.finished
    assert again.worker != ended.worker
    executor: Any = workbench._executor
    assert executor._attempts == {}, "a server that outlives many workers remembers none of their runs"


def test_a_crash_of_the_engine_itself(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = follow(workbench, workbench.submit("fixture", {"mode": "kill"}))
    assert run.status is Status.interrupted
    assert "signal 9" in run.error
    assert follow(workbench, workbench.submit("fixture")).status is Status.finished


def test_a_child_that_holds_the_pipes_hides_no_death(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = follow(workbench, workbench.submit("fixture", {"mode": "forked"}))
    assert run.status is Status.interrupted
    group = pid_of(run)
    wait_until(lambda: not [process for process in psutil.process_iter() if _group(process) == group])


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def test_a_stuck_engine_is_killed_after_the_grace_period(make_workbench: Make) -> None:
    workbench = make_workbench(grace_s=0.5)
    run = workbench.submit("fixture", {"mode": "stuck"})
    wait_until(lambda: workbench.record(run.id).points("Ours", "error").values.size == 4)
    workbench.cancel(run.id)
    ended = follow(workbench, run)
    assert ended.status is Status.cancelled
    assert "did not stop by itself within 0.5 s" in ended.error
    assert workbench.record(run.id).points("Ours", "error").values.size == 4
    assert follow(workbench, workbench.submit("fixture")).status is Status.finished


def test_a_worker_that_is_stopped_altogether_is_killed_by_its_parent(make_workbench: Make) -> None:
    workbench = make_workbench(grace_s=0.3)
    run = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    wait_until(lambda: workbench.record(run.id).series())
    os.kill(pid_of(workbench.run(run.id)), signal.SIGSTOP)
    workbench.cancel(run.id)
    ended = follow(workbench, run)
    assert (ended.status, ended.error_kind) == (Status.cancelled, "Killed")


def test_an_idle_worker_that_dies_is_replaced(make_workbench: Make) -> None:
    workbench = make_workbench()
    first = follow(workbench, workbench.submit("fixture"))
    os.kill(pid_of(first), signal.SIGKILL)
    second = follow(workbench, workbench.submit("fixture"))
    assert second.status is Status.finished
    assert second.worker != first.worker


def test_a_run_whose_process_is_gone_is_found_by_others(
    make_workbench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench import dispatcher

    monkeypatch.setattr(dispatcher, "SETTLE_S", 0.0)
    workbench = make_workbench(executor="inline")
    run = workbench.create("fixture")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    host = dispatcher.worker_name().rpartition("/")[0]
    assert workbench.store.claim_run(run.id, f"{host}/{child}")
    time.sleep(0.01)
    assert workbench.mark_dead() == [run.id]
    ended = workbench.run(run.id)
    assert ended.status is Status.interrupted
    assert ended.error == f"Its process ({child}) is gone: it was killed, or the machine went down."
