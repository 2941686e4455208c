"""Learning the ids of runs that one was not given, and getting into what others have made."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from storage import Status
from ui.page import Page
from ui.visitors import COOKIE, guest
from workbench import sweep_access, sweeps
from workbench.access import NOBODY, OWNER, PUBLISHED, Demo
from workbench.errors import UsageError
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan, Sweep

Visit = Callable[..., TestClient]
PLAN = Plan("fixture", (Axis("steps", (2, 3)),), (0,), "smoke")


def name_of(client: TestClient) -> str:
    """The name under which this guest's runs are recorded."""
    cookie = f"{COOKIE}={client.cookies[COOKIE]}".encode()
    return guest(Request({"type": "http", "headers": [(b"cookie", cookie)]}))


def executed(access: Demo, *run_ids: str) -> None:
    for run_id in run_ids:
        assert access.workbench.run_inline(run_id).status is Status.finished


def test_the_claims_board_names_published_runs_only(access: Demo, visit: Visit) -> None:
    """Runs of the owner that were never published stand on no guest's board, by whichever way it is asked for."""
    bench = access.workbench
    private = bench.create("fixture", note="not for you")
    executed(access, private.id)
    addresses = ("/wb/library/claims", "/wb/library/claims.json")
    one = visit()
    assert not [address for address in addresses if private.id in one.get(address).text]
    shown = bench.create("fixture", seed=1, tags=(PUBLISHED,))
    executed(access, shown.id)
    for address in addresses:
        text = one.get(address).text
        assert (shown.id in text, private.id in text) == (True, False)


@pytest.fixture
def fork(access: Demo) -> tuple[str, str]:
    """A published run of the owner's, and the private one that it was forked from."""
    private = access.workbench.create("fixture", preset="smoke")
    shown = access.workbench.fork(private.id, {"label": "better"}, tags=(PUBLISHED,))
    executed(access, private.id, shown.id)
    return shown.id, private.id


def _answers(access: Demo, client: TestClient, run_id: str) -> dict[str, str]:
    """All that a guest is told of a run, by where it was asked."""
    viewer, page = name_of(client), Page(access.workbench, access)
    with zipfile.ZipFile(io.BytesIO(client.get(f"/wb/export/{run_id}.zip").content)) as bundle:
        record = bundle.read("record.json").decode()
    return {
        "list": client.get("/wb/runs.json").text,
        "twin": client.get(f"/wb/run/{run_id}.json").text,
        "export": client.get(f"/wb/export/{run_id}.json").text,
        "report": client.get(f"/wb/export/{run_id}.html").text,
        "bundle": record,
        "library": client.get("/wb/library/runs").text,
        "page": str(page.go(f"?run={run_id}", viewer).messages),
        "reopened": str(page.act({"do": "reopen", "run": run_id}, viewer).messages),
    }


def test_a_published_fork_does_not_name_its_private_parent(
    access: Demo, visit: Visit, fork: tuple[str, str]
) -> None:
    shown, private = fork
    for client in (visit(), visit(None)):
        found = (
            _answers(access, client, shown)
            if COOKIE in client.cookies
            else {"list": client.get("/wb/runs.json").text, "twin": client.get(f"/wb/run/{shown}.json").text}
        )
        assert all(shown in text for place, text in found.items() if place != "reopened")
        assert [place for place, text in found.items() if private in text] == []
    told = access.shown(OWNER, {"id": shown, "parent_id": private})
    assert told["parent_id"] == private, "the owner is told"


def test_a_parent_that_the_guest_may_list_is_named(access: Demo, visit: Visit, fork: tuple[str, str]) -> None:
    shown, private = fork
    client = visit()
    viewer = name_of(client)
    mine = access.workbench.create("fixture", {"steps": 2}, preset="smoke", owner=viewer, parent_id=shown)
    child = access.workbench.create("fixture", {"steps": 2}, preset="smoke", owner=viewer, parent_id=mine.id)
    executed(access, mine.id, child.id)
    for run_id, parent in ((mine.id, shown), (child.id, mine.id)):
        assert client.get(f"/wb/run/{run_id}.json").json()["run"]["parent_id"] == parent
        found = _answers(access, client, run_id)
        assert [place for place, text in found.items() if private in text] == []
        assert {"export", "bundle"} <= {place for place, text in found.items() if parent in text}
    # Somebody else who was given the link to the child learns of no other run of that guest.
    other = visit().get(f"/wb/run/{child.id}.json").json()["run"]
    assert other["parent_id"] is None


def _published_sweep(access: Demo) -> Sweep:
    made = sweeps.create(access.workbench, PLAN, tags=(PUBLISHED,))
    executed(access, *made.run_ids)
    return sweeps.read(access.workbench, made.run.id)


def test_nobody_else_makes_a_cell_of_a_sweep(access: Demo, visit: Visit) -> None:
    """A run with a cell's own parameters that names the sweep as its parent changes nothing of what anybody is shown."""
    made, client = _published_sweep(access), visit()
    viewer, page = name_of(client), Page(access.workbench, access)
    before = client.get(f"/wb/library/sweep?id={made.run.id}").json()
    asked = {"do": "run", "engine": "fixture", "preset": "smoke", "seed": "0", "parent": made.run.id}
    for who in (viewer, NOBODY):
        [message] = page.act({**asked, "values": {"steps": "2"}}, who).messages
        assert "is a sweep" in message["errors"][""]
        with pytest.raises(UsageError, match="is a sweep"):
            access.submit(who, "fixture", {"steps": 2}, preset="smoke", parent_id=made.run.id)
    # Even a row that is there all the same (made before this was refused) is no cell, and nothing of it is shown.
    intruder = access.workbench.create(
        "fixture", {"steps": 2}, preset="smoke", owner=viewer, parent_id=made.run.id
    )
    executed(access, intruder.id)
    assert client.get(f"/wb/library/sweep?id={made.run.id}").json() == before
    assert sweeps.read(access.workbench, made.run.id).run_ids == made.run_ids
    values = access.workbench.store.last_values(made.run.id)
    assert {run_id for run_id, *_ in values} == set(made.run_ids)
    with zipfile.ZipFile(io.BytesIO(client.get(f"/wb/export/{made.run.id}.zip").content)) as bundle:
        runs = json.loads(bundle.read("record.json"))["runs"]
    assert {run["id"] for run in runs} == {made.run.id, *made.run_ids}
    assert {run["parent_id"] for run in runs} == {None, made.run.id}, "a sweep keeps its cells"


def test_a_guest_who_opens_a_cell_makes_a_run_of_its_own(access: Demo, visit: Visit) -> None:
    made, viewer = _published_sweep(access), name_of(visit())
    page = Page(access.workbench, access)
    form: dict[str, Any] = page.go(f"?run={made.run_ids[0]}", viewer).messages[0]
    assert (form["kind"], form["parent"]) == ("form", None)
    [_, message] = page.act({"do": "run", **form, "values": {"steps": "2"}}, viewer).messages
    assert message["kind"] == "live"
    assert page.go(f"?run={made.run_ids[0]}", OWNER).messages[0]["parent"] == made.run.id


def test_a_guests_own_sweep_goes_on(access: Demo) -> None:
    made = sweep_access.create(access, "visitor-a", PLAN)
    for run_id in made.run_ids[:1]:
        access.workbench.cancel(run_id)
    executed(access, made.run_ids[1])
    assert sweep_access.repeat(access, "visitor-a", made.run.id) == 1
    again = sweeps.read(access.workbench, made.run.id)
    assert again.counts == {"queued": 1, "finished": 1}
    assert {access.workbench.run(run_id).owner for run_id in again.run_ids} == {"visitor-a"}
