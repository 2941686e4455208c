"""What a page asks once a second: answered once for many readers, never with what is another's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from storage import Status
from ui import follow
from ui.page import Page
from ui.visitors import COOKIE, House
from workbench.runs import Workbench


@pytest.fixture
def running(workbench: Workbench) -> str:
    """A run under way with a few points."""
    run = workbench.create("fixture", {}, owner="visitor-a")
    workbench.store.claim_run(run.id, "elsewhere/1")
    with workbench.store.writer(run.id) as writer:
        for step in range(5):
            writer.scalar("Ours", "error", step=step, value=1.0 / (step + 1), time_s=0.1 * step)
    return run.id


def client(workbench: Workbench, house: House) -> TestClient:
    return TestClient(Starlette(routes=follow.routes(Page(workbench, house.access), house)))


def test_it_says_what_the_page_says(workbench: Workbench, running: str) -> None:
    house = House.own(workbench)
    asked = {"engine": "fixture", "run": running, "since": 0}
    with client(workbench, house) as http:
        reply = http.post("/wb/follow", json=[asked])
        said = reply.json()
        expected = json.loads(json.dumps(Page(workbench).tick([asked]).messages))
        for one in (*said["live"], *expected):
            one.pop("status")  # holds how long the run has taken
        assert said == {"live": expected, "active": True}
        assert reply.headers["cache-control"] == "no-store"
        version = expected[0]["version"]
        later = http.post("/wb/follow", json=[{**asked, "since": version}]).json()["live"][0]
        assert "figures" not in later
        assert http.post("/wb/follow", json=[]).json() == {"live": [], "active": False}


def test_many_readers_cost_one_reading(
    workbench: Workbench, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, page = House.own(workbench), Page(workbench)
    follower = follow.Follower(page)
    made: list[Any] = []
    tick = page.tick
    monkeypatch.setattr(page, "tick", lambda asked, viewer: made.append(asked) or tick(asked, viewer))
    asked = {"engine": "fixture", "run": running, "since": 0}
    key = follower.key(asked, "local")
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: follower.made(key, asked, "local"), range(40)))
    assert (len(made), len(answers)) == (1, 1)
    monkeypatch.setattr(follow, "FRESH_S", 0.0)
    follower.made(key, asked, "local")
    assert len(made) == 2, "an answer is good for a moment only"
    assert house


def test_nothing_is_kept_of_what_was_answered(
    workbench: Workbench, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the lock of a reader who came late or was answered with an error, nor an answer too old to be sent again."""
    page = Page(workbench)
    follower = follow.Follower(page)
    asked = [{"engine": "fixture", "run": running, "since": since} for since in range(30)]
    keys = [follower.key(one, "local") for one in asked]
    for key, one in zip(keys, asked, strict=True):
        follower.made(key, one, "local")
        follower.made(key, one, "local")  # late: it is made already
    assert follower._making == {}
    monkeypatch.setattr(follow, "FRESH_S", 0.0)
    follower.made(keys[0], asked[0], "local")
    assert len(follower._made) <= 1

    def broken(asked: Any, viewer: str) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(page, "tick", broken)
    with pytest.raises(OSError, match="gone"):
        follower.made(keys[0], asked[0], "local")
    assert follower._making == {}


def test_what_is_a_readers_own_is_not_passed_on(workbench: Workbench, running: str) -> None:
    """How a run ended names what else its reader has, and the owner alone is shown a traceback."""
    house = House.for_guests(workbench)
    mine = workbench.create("fixture", {}, preset="smoke", owner="visitor-b")
    workbench.run_inline(mine.id)
    with workbench.store.writer(running) as writer:
        writer.text("traceback", "Traceback: inside")
    asked = {"engine": "fixture", "run": running, "since": 0}
    follower = follow.Follower(Page(workbench, house.access))
    answers = {who: follower.made(follower.key(asked, who), asked, who)[0] for who in ("local", "visitor-a")}
    assert b"inside" in answers["local"]
    assert b"inside" not in answers["visitor-a"]
    workbench.store.finish_run(running, Status.finished)
    ended = {who: follower.made((*follower.key(asked, who)[:1], 1, "fixture", "guest"), asked, who)[0] for who in ("visitor-b", "visitor-c")}  # fmt: skip
    assert mine.id.encode() in ended["visitor-b"]
    assert mine.id.encode() not in ended["visitor-c"]


def test_a_run_that_is_gone_is_told_and_not_asked_again(workbench: Workbench) -> None:
    with client(workbench, House.for_guests(workbench)) as http:
        http.cookies.set(COOKIE, "0" * 32)
        reply = http.post("/wb/follow", json=[{"engine": "fixture", "run": "0" * 26, "since": 3}]).json()
    assert [one["kind"] for one in reply["live"]] == ["detach", "notice"]
    assert not reply["active"]
