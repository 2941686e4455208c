"""Runs as jobs of submitit, with its stand-in for Slurm on this machine."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import Status
from workbench import sweeps
from workbench.errors import BadSetting, UsageError
from workbench.executors.on_slurm import SlurmJobs, options_of
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan

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


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        (" slurm_partition=gpu, timeout_min=60,mem_gb=1.5 ", {"slurm_partition": "gpu", "timeout_min": 60, "mem_gb": 1.5}),
        ("slurm_exclude=n1,n2,timeout_min=60,", {"slurm_exclude": "n1,n2", "timeout_min": 60}),
        ('slurm_setup=["module load a", "b, c"], mem_gb=4', {"slurm_setup": ["module load a", "b, c"], "mem_gb": 4}),
        ('slurm_additional_parameters={"qos": "high", "nice": 3}', {"slurm_additional_parameters": {"qos": "high", "nice": 3}}),
        ('{"slurm_setup": ["export A=1,B=2"], "timeout_min": 5}', {"slurm_setup": ["export A=1,B=2"], "timeout_min": 5}),
    ],
)  # fmt: skip
def test_what_its_jobs_ask_for(text: str, options: dict[str, Any]) -> None:
    assert options_of(text) == options


@pytest.mark.parametrize("text", ["gpu", "n1,n2", "mem_gb=", '{"mem_gb": 4'])
def test_what_its_jobs_cannot_ask_for(text: str) -> None:
    with pytest.raises(BadSetting, match="WORKBENCH_SLURM"):
        options_of(text)


def test_a_part_of_a_gpu_is_refused(home: Path) -> None:
    with pytest.raises(BadSetting, match="whole number for Slurm"):
        SlurmJobs(Settings.at(home, slurm="cluster=local", run_gpus=0.5))


def test_a_submission_holds_no_address_and_goes_when_its_job_is_over(
    workbench: Workbench, home: Path
) -> None:
    folder = home / "slurm"
    folder.mkdir(mode=0o755)
    settings = replace(workbench.settings, slurm="cluster=local")
    jobs = SlurmJobs(settings)
    ends = []
    for values in ({}, {"mode": "kill"}):
        run = workbench.create("fixture", values, preset="smoke")
        job = jobs.launch(run.id)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "database").stat().st_mode) == 0o600
        submission = job.paths.submitted_pickle.read_bytes()
        assert run.id.encode() in submission
        assert settings.database_url.encode() not in submission
        wait_until(job.done)
        ends.append(jobs.ended(job))
        kept = {file.name.rpartition("_")[2] for file in folder.iterdir()} - {"database"}
        assert kept == ({"log.err", "log.out"} if values else set()), "only the logs of one that failed"
    assert ends[0] is not None
    assert not ends[0].trouble
    assert ends[1] is not None
    assert ends[1].trouble


def test_slurm_needs_records_that_its_machines_reach(make_workbench: Make) -> None:
    bench = make_workbench(executor="submitit")
    with pytest.raises(UsageError, match="WORKBENCH_DATABASE_URL"):
        bench.submit("fixture", preset="smoke")
    assert bench.runs().total == 0, "nothing waits for a server that nobody asked for"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "fixture", "--preset", "smoke"),
        ("sweep", "fixture", "--preset", "smoke", "--over", "steps=2,3"),
        ("run", "--from", "last"),
        ("sweep", "--resume"),
    ],
)
def test_a_command_whose_executor_refuses_leaves_nothing_behind(
    run_cli: Any, workbench: Workbench, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    if words[-1] == "last":
        workbench.cancel(workbench.create("fixture", preset="smoke").id)
    if words[-1] == "--resume":
        made = sweeps.create(workbench, Plan("fixture", (Axis("steps", (2,)),), (0,), "smoke"))
        sweeps.cancel(workbench, made.run.id)
        words = (*words, made.run.id)
    before = workbench.runs().total
    monkeypatch.setenv("WORKBENCH_EXECUTOR", "submitit")
    code, _, err = run_cli(*words)
    assert code == 2
    assert "WORKBENCH_DATABASE_URL" in err
    assert workbench.runs().total == before
    if words[1] == "fixture":
        assert run_cli(*words, "--detach")[0] == 0, "only queued, it needs no executor"


def test_an_option_that_submitit_does_not_know_is_told(make_workbench: Make) -> None:
    bench = make_workbench(**{**LOCAL, "slurm": "cluster=local,nonsense=3"})
    with pytest.raises(UsageError, match="nonsense"):
        bench.submit("fixture", preset="smoke")
