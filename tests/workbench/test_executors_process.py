"""Worker processes that behave: warmth, slots, cancelling, shutting down."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Run, Status, StorageError
from workbench.executors.handle import worker_environment
from workbench.runs import Workbench

Make = Callable[..., Workbench]


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something that is certain to come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def follow(workbench: Workbench, run: Run) -> Run:
    return workbench.follow(run.id, poll_s=0.02)


def test_the_second_run_finds_the_same_warm_worker(make_workbench: Make, home: Path) -> None:
    workbench = make_workbench()
    runs = [follow(workbench, workbench.submit("fixture", {"mode": "print"}, seed=seed)) for seed in (1, 2)]
    assert [run.status for run in runs] == [Status.finished] * 2
    assert runs[0].worker == runs[1].worker
    assert runs[0].environment["device"] == "cpu"
    assert [path for path in (home / "scratch").iterdir() if path.is_dir()] == []


def test_a_worker_gives_the_same_numbers_as_this_process(make_workbench: Make) -> None:
    workbench = make_workbench()
    outside = follow(workbench, workbench.submit("fixture", seed=3))
    inside = workbench.run_inline(make_workbench(executor="inline").create("fixture", seed=3).id)
    values = [workbench.record(run.id).points("Ours", "error").values.tolist() for run in (outside, inside)]
    assert values[0] == values[1]


def test_runs_wait_for_their_slot_oldest_first(make_workbench: Make) -> None:
    workbench = make_workbench(slots=1)
    runs = [workbench.submit("fixture", {"steps": 2, "pause_s": 0.05}, seed=seed) for seed in range(3)]
    ended = [follow(workbench, run) for run in runs]
    for before, after in itertools.pairwise(ended):
        assert before.finished_at is not None
        assert after.started_at is not None
        assert before.finished_at <= after.started_at


def test_two_slots_run_two_at_a_time(make_workbench: Make) -> None:
    workbench = make_workbench(slots=2)
    runs = [workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01}, seed=seed) for seed in range(2)]
    wait_until(lambda: all(workbench.run(run.id).status is Status.running for run in runs))
    for run in runs:
        workbench.cancel(run.id)
    ended = [follow(workbench, run) for run in runs]
    assert [run.status for run in ended] == [Status.cancelled] * 2
    assert ended[0].worker != ended[1].worker


def test_cancel_keeps_the_worker(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    wait_until(lambda: bool(workbench.record(run.id).series()))
    workbench.cancel(run.id)
    cancelled = follow(workbench, run)
    assert (cancelled.status, cancelled.error) == (Status.cancelled, "")
    assert follow(workbench, workbench.submit("fixture")).worker == cancelled.worker


def test_cancelling_a_run_that_is_handed_over_but_not_started(make_workbench: Make) -> None:
    workbench = make_workbench(slots=1)
    first = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    second = workbench.submit("fixture")
    workbench.cancel(second.id)
    assert workbench.run(second.id).status is Status.cancelled
    workbench.cancel(first.id)
    assert follow(workbench, first).status is Status.cancelled
    assert workbench.run(second.id).started_at is None


def test_closing_marks_the_run_interrupted(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    wait_until(lambda: bool(workbench.record(run.id).series()))
    workbench.close()
    ended = make_workbench().run(run.id)
    assert (ended.status, ended.error) == (Status.interrupted, "The workbench that ran it was closed.")


def test_queued_runs_of_others_and_of_before_a_restart_are_picked_up(make_workbench: Make) -> None:
    run = make_workbench(executor="inline").create("fixture")
    workbench = make_workbench()
    workbench.look_around()
    assert follow(workbench, run).status is Status.finished
    later = make_workbench(executor="inline").create("fixture")
    assert follow(workbench, later).status is Status.finished


def test_runs_of_unknown_engines_wait_and_hold_nobody_up(make_workbench: Make) -> None:
    workbench = make_workbench()
    stranger = workbench.store.create_run(engine="elsewhere", params={}, seed=0)
    assert follow(workbench, workbench.submit("fixture")).status is Status.finished
    assert workbench.run(stranger.id).status is Status.queued


def test_two_servers_start_each_run_once(make_workbench: Make) -> None:
    servers = [make_workbench(), make_workbench()]
    for server in servers:
        server.look_around()
    runs = [servers[0].create("fixture", {"steps": 2}, seed=seed) for seed in range(6)]
    ended = [follow(servers[0], run) for run in runs]
    assert [run.status for run in ended] == [Status.finished] * 6
    for run in ended:
        assert servers[0].record(run.id).series()[0].count == 2


def test_workers_that_cannot_start_fail_the_run(
    make_workbench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.executors import handle

    monkeypatch.setattr(handle, "_BOOT", "import sys; sys.exit(7)")
    workbench = make_workbench()
    run = follow(workbench, workbench.submit("fixture"))
    assert run.status is Status.failed
    assert run.error.startswith("The worker process cannot start")
    monkeypatch.undo()


def test_threads_and_gpus_of_a_worker() -> None:
    assert worker_environment({}, 3, None)["NUMBA_NUM_THREADS"] == "3"
    assert worker_environment({"OMP_NUM_THREADS": "1"}, 3, None)["MKL_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment({}, 3, None)
    assert worker_environment({}, 1, 1)["CUDA_VISIBLE_DEVICES"] == "1"
    assert worker_environment({"CUDA_VISIBLE_DEVICES": "4, 6"}, 1, 1)["CUDA_VISIBLE_DEVICES"] == "6"


@pytest.mark.parametrize(
    ("device", "gpus", "cores", "accelerator", "slots"),
    [
        ("cpu", 0, 2, False, 1),
        ("auto", 0, 16, False, 4),
        ("auto", 3, 16, True, 3),
        ("auto", 0, 8, True, 1),
        ("cuda:1", 4, 16, True, 1),
        ("mps", 0, 8, True, 1),
    ],
)
def test_default_slots(
    make_workbench: Make,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    gpus: int,
    cores: int,
    accelerator: bool,
    slots: int,
) -> None:
    from workbench import environment
    from workbench.executors import process

    monkeypatch.setattr(environment, "gpu_count", lambda: gpus)
    monkeypatch.setattr(environment, "may_have_accelerator", lambda: accelerator)
    monkeypatch.setattr(process, "cpu_count", lambda: cores)
    bench = make_workbench(device=device, slots=0)._bench
    assert process.ProcessExecutor(bench).slots == slots


def test_a_turn_that_fails_does_not_end_the_queue(
    make_workbench: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from workbench import dispatcher

    faults = [RuntimeError("odd"), StorageError("The database is away.")]
    turn = dispatcher.Dispatcher._turn

    def faulty(self: dispatcher.Dispatcher, now: float) -> None:
        if faults:
            raise faults.pop()
        turn(self, now)

    monkeypatch.setattr(dispatcher.Dispatcher, "_turn", faulty)
    workbench = make_workbench()
    assert follow(workbench, workbench.submit("fixture")).status is Status.finished
    assert "The queue cannot be read: The database is away." in caplog.text
    assert "A turn of the queue failed" in caplog.text
