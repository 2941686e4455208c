"""Filling the disk: uploads that nobody uses, runs without end, and what is left of both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from storage import Run, Status
from storage.tables import ARTIFACT, RUN
from workbench.access import DAY_S, OWNER, PUBLISHED, Access, Demo
from workbench.errors import FileTrouble, UsageError
from workbench.housekeeping import Housekeeping
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan, create

Visit = Callable[..., TestClient]


def ended(access: Demo, owner: str, days_ago: float, **options: Any) -> Run:
    """A run that ended so long ago, with the files that it recorded."""
    bench = access.workbench
    made = bench.run_inline(bench.create("fixture", preset="smoke", owner=owner, **options).id)
    older = update(RUN).where(RUN.c.id == made.id).values(finished_at=time.time() - days_ago * DAY_S)
    bench.store.database.write(lambda connection: connection.execute(older))
    return made


def test_guests_runs_go_after_their_days_and_the_owners_stay(access: Demo) -> None:
    days = access.limits.keep_days
    kept = [
        ended(access, OWNER, 10 * days),
        ended(access, OWNER, 10 * days, tags=(PUBLISHED,)),
        ended(access, "visitor-a", days - 1),
    ]
    queued = access.workbench.create("fixture", preset="smoke", owner="visitor-a")
    old = ended(access, "visitor-a", days + 1, seed=7, tags=(PUBLISHED,))  # a guest's own tag keeps nothing
    files = {picture.hash for picture in access.workbench.record(old.id).pictures()}
    shared = {picture.hash for picture in access.workbench.record(kept[0].id).pictures()}
    access.tidy()
    left = {row.run.id for row in access.workbench.runs().rows}
    assert left == {*(run.id for run in kept), queued.id}
    held = access.workbench.store.artifacts.exists
    assert files - shared
    assert not any(map(held, files - shared)), "its files go with it"
    assert all(map(held, shared))


def test_a_guests_sweep_goes_with_its_cells(access: Demo) -> None:
    bench = access.workbench
    made = create(bench, Plan("fixture", (Axis("steps", (2, 3)),), (0,), "smoke"), owner="visitor-a")
    for run_id in made.run_ids:
        bench.run_inline(run_id)
    long_ago = time.time() - (access.limits.keep_days + 1) * DAY_S
    bench.store.database.write(
        lambda connection: connection.execute(update(RUN).values(finished_at=long_ago))
    )
    access.tidy()
    assert bench.runs().rows == []


@pytest.mark.parametrize("is_demo", [True, False])
def test_uploads_that_nobody_used_go_while_the_server_runs(access: Demo, is_demo: bool) -> None:
    """Of an own workbench too; what a run uses stays."""
    bench = access.workbench
    unused, used = (bench.ingest(data, "a.png")[7:71] for data in (b"unused", b"used"))
    bench.create("fixture", {"photo": f"sha256:{used}/a.png"})
    fresh = bench.ingest(b"fresh", "a.png")[7:71]
    over = update(ARTIFACT).where(ARTIFACT.c.hash == unused).values(held_until=time.time() - 1)
    bench.store.database.write(lambda connection: connection.execute(over))
    thread = Housekeeping(access if is_demo else Access(bench), every_s=0.01)
    thread.start()
    deadline = time.monotonic() + 60
    while bench.store.artifacts.exists(unused):
        assert time.monotonic() < deadline, "it is swept while the server runs"
        time.sleep(0.01)
    thread.close()
    assert [bench.store.artifacts.exists(one) for one in (used, fresh)] == [True, True]


def test_housekeeping_goes_on_after_trouble(access: Demo) -> None:
    turns = []

    class Unwilling(Access):
        def tidy(self) -> None:
            turns.append(1)
            raise UsageError("no") if len(turns) == 1 else RuntimeError("worse")

    thread = Housekeeping(Unwilling(access.workbench), every_s=0.01)
    thread.start()
    deadline = time.monotonic() + 60
    while len(turns) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    thread.close()
    assert not thread.is_alive()


def test_a_full_demo_takes_no_more_and_says_so(access: Demo, visit: Visit) -> None:
    bench, client = access.workbench, visit()
    bench.ingest(bytes(2 << 20), "large.bin")
    access.limits = dataclasses.replace(access.limits, disk_mb=1)
    with pytest.raises(UsageError, match="and 1 MB is all that it keeps"):
        access.submit("visitor-a", "fixture", {})
    answer = client.post("/wb/upload?name=a.csv", content=b"a,b\n", headers={"X-Workbench": "1"})
    assert (answer.status_code, "is all that it keeps" in answer.text) == (422, True)
    assert access.submit(OWNER, "fixture", {}).owner == OWNER
    # What goes makes room again, in the database as in the folder.
    access.limits = dataclasses.replace(access.limits, disk_mb=2)
    used = bench.store.size()
    over = update(ARTIFACT).values(held_until=0.0)
    bench.store.database.write(lambda connection: connection.execute(over))
    access.tidy()
    assert bench.store.size() < used - (2 << 20) + 1
    access._size = (float("-inf"), 0)
    assert access.submit("visitor-a", "fixture", {}).status is Status.queued


def test_refused_uploads_count_and_are_not_kept(access: Demo, visit: Visit) -> None:
    """A guest whose files are refused is not let in any more, without their being looked at."""
    for _ in range(access.limits.uploads):
        with pytest.raises(FileTrouble):
            access.upload("visitor-a", b"x", "a.exe")
    with pytest.raises(UsageError, match="3 files in the last hour"):
        access.upload("visitor-a", b"x", "a.exe")
    client = visit()
    for expected in (*["This demo takes"] * access.limits.uploads, "3 files in the last hour"):
        answer = client.post("/wb/upload?name=a.exe", content=b"x", headers={"X-Workbench": "1"})
        assert (answer.status_code, expected in answer.text) == (422, True)
