"""Runs as jobs of submitit, with its stand-in for Slurm on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import Status
from workbench.errors import BadSetting, UsageError
from workbench.executors.on_slurm import SlurmJobs, options_of
from workbench.runs import Workbench
from workbench.settings import Settings

if not os.environ.get("CI"):
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
Make = Callable[..., Workbench]
LOCAL = {"executor": "submitit", "slurm": "cluster=local", "slots": 0, "grace_s": 1.0}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture
def open_bench(make_workbench: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Workbenches on the stand-in; at the end their jobs, which are children of this process, are waited for."""
    launched: list[Any] = []
    launch = SlurmJobs.launch

    def noted(jobs: SlurmJobs, run_id: str) -> Any:
        launched.append(launch(jobs, run_id))
        return launched[-1]

    monkeypatch.setattr(SlurmJobs, "launch", noted)
    yield lambda: make_workbench(**LOCAL)
    for job in launched:
        wait_until(job.done)


def test_a_run_is_a_job_and_gives_the_same_numbers(
    open_bench: Make, make_workbench: Make, home: Path
) -> None:
    bench = open_bench()
    jobs = [bench.submit("fixture", preset="smoke", seed=seed) for seed in (3, 4)]
    ended = [bench.follow(run.id) for run in jobs]
    assert [(run.status, run.error) for run in ended] == [(Status.finished, "")] * 2
    assert ended[0].worker != ended[1].worker
    here = make_workbench(executor="inline").submit("fixture", preset="smoke", seed=3)
    points = [bench.record(run).points("Ours", "error").values.tolist() for run in (jobs[0].id, here.id)]
    assert points[0] == points[1]
    wait_until(lambda: not list((home / "slurm").glob("*.job")))


def test_cancelling_goes_through_the_store_and_then_through_the_job(open_bench: Make) -> None:
    bench = open_bench()
    polite = bench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    stuck = bench.submit("fixture", {"mode": "stuck"})
    wait_until(lambda: all(bench.run(run.id).status is Status.running for run in (polite, stuck)))
    wait_until(lambda: bool(bench.record(polite.id).series()))
    time.sleep(1.0)  # the other has nothing to record: from its start to its endless sleep
    for run in (polite, stuck):
        bench.cancel(run.id)
    ended = [bench.follow(run.id) for run in (polite, stuck)]
    assert [run.status for run in ended] == [Status.cancelled] * 2
    assert bench.record(polite.id).series(), "what it recorded is kept"
    assert "did not stop by itself within 1 s" in ended[1].error


def test_a_job_that_is_killed_leaves_an_interrupted_run(open_bench: Make, home: Path) -> None:
    bench = open_bench()
    run = bench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    wait_until(lambda: bool(bench.record(run.id).series()))
    controller, task = (
        (home / "slurm" / f"{run.id}.job").read_text(),
        bench.run(run.id).worker.rpartition("/")[2],
    )
    for pid in (controller, task):
        os.kill(int(pid), signal.SIGKILL)
    ended = bench.follow(run.id)
    assert ended.status is Status.interrupted
    assert ended.error
    assert bench.record(run.id).series()


def test_jobs_outlive_the_workbench(open_bench: Make, home: Path) -> None:
    bench = open_bench()
    run = bench.submit("fixture", {"steps": 60, "pause_s": 0.02})
    wait_until(lambda: bench.run(run.id).status is Status.running)
    bench.close()
    again = open_bench()
    again.look_around()
    assert again.follow(run.id).status is Status.finished


def test_jobs_of_slurm_are_found_again_by_their_notes(home: Path) -> None:
    """No Slurm is here to look at; that they are looked up by the right number is what can be shown."""
    jobs = SlurmJobs(Settings.at(home, slurm="cluster=local"))
    jobs._cluster = "slurm"
    (home / "slurm" / f"{'0' * 26}.job").write_text("4711\n")
    assert [(run_id, job.job_id) for run_id, job in jobs.known().items()] == [("0" * 26, "4711")]


def test_what_its_jobs_ask_for() -> None:
    assert options_of(" slurm_partition=gpu, timeout_min=60,mem_gb=1.5 ") == {
        "slurm_partition": "gpu", "timeout_min": 60, "mem_gb": 1.5,
    }  # fmt: skip
    assert options_of("") == {}
    with pytest.raises(BadSetting, match="name=value"):
        options_of("gpu")


def test_slurm_needs_records_that_its_machines_reach(make_workbench: Make) -> None:
    bench = make_workbench(executor="submitit")
    with pytest.raises(UsageError, match="WORKBENCH_DATABASE_URL"):
        bench.submit("fixture", preset="smoke")


def test_an_option_that_submitit_does_not_know_is_told(make_workbench: Make) -> None:
    bench = make_workbench(**{**LOCAL, "slurm": "cluster=local,nonsense=3"})
    with pytest.raises(UsageError, match="nonsense"):
        bench.submit("fixture", preset="smoke")
