"""Runs as tasks of a Ray cluster: two nodes in this machine, one of which is lost in mid-run."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import Status
from workbench.errors import UsageError
from workbench.executors import on_ray
from workbench.executors.elsewhere import needs_shared_database, needs_shared_files
from workbench.runs import Workbench
from workbench.settings import Settings

if not os.environ.get("CI"):
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
# Ray leaves sockets and child processes to the collector; what it warns of is its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PLUGIN = Path(__file__).parents[1] / "fixture_plugin"
STORE_BYTES = 80 << 20
ENDLESS = {"steps": 100_000, "pause_s": 0.01}
Make = Callable[..., Workbench]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that takes no runs, and a node with two cores and (so it says) two GPUs."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), str(PLUGIN.parents[1])]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES}
        )
        made.node = made.add_node(num_cpus=2, num_gpus=2, object_store_memory=STORE_BYTES)
        ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def bench(cluster: Any, make_workbench: Make) -> Workbench:
    """A workbench whose runs are tasks of the cluster."""
    return make_workbench(executor="ray", slots=0, grace_s=1.0, device="auto")


def is_recording(bench: Workbench, run_id: str) -> bool:
    return bool(bench.record(run_id).series())


def test_a_run_is_a_task_with_a_gpu_and_gives_the_same_numbers(
    bench: Workbench, make_workbench: Make
) -> None:
    import ray

    started = [bench.submit("fixture", ENDLESS, seed=seed) for seed in (1, 2)]
    wait_until(lambda: all(is_recording(bench, run.id) for run in started))
    wait_until(lambda: ray.available_resources().get("GPU", 0) == 0)
    waiting = bench.submit("fixture", preset="smoke", seed=3)
    assert bench.run(waiting.id).status is Status.queued, "both GPUs are taken"
    for run in started:
        bench.cancel(run.id)
    ended = [bench.follow(run.id) for run in (*started, waiting)]
    assert [run.status for run in ended] == [Status.cancelled, Status.cancelled, Status.finished]
    here = make_workbench(executor="inline").submit("fixture", preset="smoke", seed=3)
    points = [bench.record(run).points("Ours", "error").values.tolist() for run in (waiting.id, here.id)]
    assert points[0] == points[1]


def test_a_task_that_waits_is_cancelled_and_one_that_is_stuck_is_killed(bench: Workbench) -> None:
    stuck = [bench.submit("fixture", {"mode": "stuck"}, seed=seed) for seed in (1, 2)]
    wait_until(lambda: all(bench.run(run.id).status is Status.running for run in stuck))
    time.sleep(1.0)  # they have nothing to record: from their start to their endless sleep
    waiting = bench.submit("fixture", preset="smoke")
    for run in (waiting, *stuck):
        bench.cancel(run.id)
    ended = [bench.follow(run.id) for run in (waiting, *stuck)]
    assert [run.status for run in ended] == [Status.cancelled] * 3
    assert ended[0].started_at is None
    assert all("did not stop by itself within 1 s" in run.error for run in ended[1:])


def test_a_worker_that_dies_and_a_task_that_cannot_begin_are_told(bench: Workbench) -> None:
    killed = bench.follow(bench.submit("fixture", {"mode": "kill"}).id)
    assert (killed.status, killed.error_kind) == (Status.interrupted, "WorkerDied")
    assert "worker died" in killed.error


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Where the records are: in the home, and as several machines have them, in PostgreSQL with a shared folder."""
    if request.param == "sqlite":
        return {}
    folder = tmp_path / "shared"
    folder.mkdir()
    return {
        "database_url": request.getfixturevalue("postgres_schema"),
        "artifacts_url": f"file://{folder.as_posix()}",
    }


def test_a_node_that_is_lost_interrupts_its_run_which_can_be_submitted_again(
    cluster: Any, records: dict[str, str], make_workbench: Make
) -> None:
    bench = make_workbench(executor="ray", slots=0, grace_s=1.0, device="auto", **records)
    run = bench.submit("fixture", ENDLESS)
    wait_until(lambda: is_recording(bench, run.id))
    cluster.remove_node(cluster.node, allow_graceful=False)
    ended = bench.follow(run.id)
    assert ended.status is Status.interrupted
    assert ended.error
    assert bench.record(run.id).points("Ours", "error").values.size, (
        "every event up to the last batch is kept"
    )
    again = bench.fork(run.id, {"steps": 3, "pause_s": 0.0})
    bench.start(again.id)
    assert bench.run(again.id).status is Status.queued, "it waits for a machine"
    cluster.node = cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=STORE_BYTES)
    assert bench.follow(again.id).status is Status.finished
    pictures = bench.record(again.id).pictures()
    assert pictures
    assert all(bench.store.artifacts.read(picture.hash) for picture in pictures)


def test_closing_ends_the_tasks(cluster: Any, bench: Workbench, make_workbench: Make) -> None:
    run = bench.submit("fixture", ENDLESS)
    wait_until(lambda: is_recording(bench, run.id))
    bench.close()
    after = make_workbench(executor="inline").run(run.id)
    assert (after.status, after.error_kind) == (Status.interrupted, "WorkbenchClosed")


def test_an_address_at_which_nobody_answers_is_told_at_once() -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://localhost:{port}"):
            with pytest.raises(UsageError, match=r"nobody answers at .*RAY_ADDRESS"):
                on_ray.answers(address)
        taken.listen()
        on_ray.answers(f"127.0.0.1:{port}")
    for address in ("", "auto", "local"):
        on_ray.answers(address)


def test_several_machines_need_a_database_and_files_that_all_reach(home: Path, tmp_path: Path) -> None:
    own = Settings.at(home)
    with pytest.raises(UsageError, match="WORKBENCH_DATABASE_URL"):
        needs_shared_database(own, "It")
    shared = replace(own, database_url="postgresql+psycopg://somewhere/records")
    needs_shared_database(shared, "It")
    for address in (own.artifacts_url, str(home / "artifacts"), f"file://{home}/deep/er"):
        with pytest.raises(UsageError, match="WORKBENCH_ARTIFACTS_URL"):
            needs_shared_files(replace(shared, artifacts_url=address), "It")
    for address in (f"file://{tmp_path}/mnt", "s3://bucket/prefix", str(tmp_path / "other")):
        needs_shared_files(replace(shared, artifacts_url=address), "It")
