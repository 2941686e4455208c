"""Where a GPU is lent to requests: runs whose page left do not hold the queue, and a run starts by its page's request alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from storage import Status
from storage.tables import RUN
from ui.page import Page
from workbench.access import Demo
from workbench.demo_limits import DemoLimits
from workbench.runs import Workbench
from workbench.unattended import UNATTENDED_S

TESTS = Path(__file__).parents[1]
ASKED = {"do": "run", "engine": "fixture", "preset": "smoke", "values": {}, "seed": "1"}


@pytest.fixture
def bench(make_workbench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch) -> Workbench:
    lend = SimpleNamespace(GPU=lambda duration: lambda function: function)
    monkeypatch.setitem(sys.modules, "spaces", lend)
    made = make_workbench(executor="zerogpu")
    monkeypatch.setattr("workbench.executors.elsewhere.Catalog.load", lambda: made.catalog)
    return made


def asked_by(page: Page, viewer: str) -> tuple[str, str]:
    """What the page said to Run, and the run."""
    said = page.act(ASKED, viewer).messages
    return said[0]["errors"].get("", ""), next((one["run"] for one in said if one["kind"] == "work"), "")


def aged(bench: Workbench, *run_ids: str) -> None:
    """Make these runs old enough to be given up."""
    older = update(RUN).where(RUN.c.id.in_(run_ids)).values(created_at=time.time() - UNATTENDED_S - 1)
    bench.store.database.write(lambda connection: connection.execute(older))


def test_pages_that_leave_do_not_hold_the_queue(bench: Workbench) -> None:
    access = Demo(bench, DemoLimits(queue=4))
    page = Page(bench, access)
    left = [asked_by(page, f"visitor-{place}")[1] for place in range(4)]
    assert "4 runs are waiting" in asked_by(page, "visitor-late")[0]
    access.awaited = lambda: {left[0]}
    aged(bench, *left[:3])
    said, run_id = asked_by(page, "visitor-late")
    assert said == ""
    assert [bench.run(one).status for one in left] == ["queued", "cancelled", "cancelled", "queued"]
    given_up = bench.run(left[1])
    assert (given_up.error_kind, "Press Run again" in given_up.error) == ("Unattended", True)
    page.work(left[1], "visitor-1")
    assert bench.run(left[1]).status is Status.cancelled, "a request that comes too late starts nothing"
    page.work(run_id, "visitor-late")
    assert bench.run(run_id).status is Status.finished


def test_a_restart_leaves_no_run_that_nobody_starts(bench: Workbench) -> None:
    page = Page(bench, Demo(bench))
    old, fresh = (asked_by(page, f"visitor-{place}")[1] for place in range(2))
    aged(bench, old)
    bench.look_around()
    assert [bench.run(one).status for one in (old, fresh)] == ["cancelled", "queued"]
    # The page that is opened again brings the request that went with the one before; another's page does not.
    asks = [
        [one for one in page.go(f"?run={fresh}", viewer).messages if one["kind"] == "work"]
        for viewer in ("visitor-1", "visitor-0")
    ]
    assert asks == [[{"kind": "work", "run": fresh}], []]


def test_other_executors_keep_what_waits(make_workbench: Callable[..., Workbench]) -> None:
    bench = make_workbench(executor="inline")
    run = bench.create("fixture", preset="smoke")
    aged(bench, run.id)
    bench.look_around()
    assert bench.run(run.id).status is Status.queued


@pytest.fixture(scope="module")
def over_the_wire(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a served page and its pages' requests came to, from a program of its own: zerogpu_program.py."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
    paths = [str(TESTS / "fixture_plugin"), *filter(None, [kept.get("PYTHONPATH")])]
    environment = {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "WORKBENCH_HOME": str(tmp_path_factory.mktemp("zero")),
        "WORKBENCH_DEVICE": "cpu",
    }
    program = Path(__file__).with_name("zerogpu_program.py")
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_pages_request_executes_its_run_and_no_other(over_the_wire: dict[str, Any]) -> None:
    """The private event `work`, over the wire: somebody else's is refused, without a word of where."""
    found = over_the_wire
    assert ("Only who started a run can start it" in found["foreign"], "raceback" in found["foreign"]) == (
        True,
        False,
    )
    assert "There is no run" in found["nonsense"]
    assert (found["before"], found["after"]) == ("queued", "finished")
    assert '"success":true' in found["own"].replace(" ", "")


def test_requests_that_wait_are_known_by_their_runs(over_the_wire: dict[str, Any]) -> None:
    """More than execute at a time: those at work and those that wait are attended, whatever their age, until they are over
    or their page leaves."""
    found = over_the_wire
    assert found["awaited"] == found["asked"]
    assert found["old"] == ["queued"]
    assert found["left"] == ["cancelled"]
    assert found["ended"] == ["finished"]
    assert found["awaited at the end"] == []
