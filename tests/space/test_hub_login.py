"""The owner's view of a Space by a name of the Hub: Gradio's own login, against a stand-in for the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from space_process import called, running

from workbench import space
from workbench.runs import Workbench

if not os.environ.get("CI"):
    pytest.importorskip("authlib", reason="Gradio's login needs authlib")

HOST = "someone-papers.hf.space"


@pytest.fixture
def hub() -> Iterator[Any]:
    from stand_in_hub import Hub

    made = Hub()
    yield made
    made.close()


@pytest.fixture
def folder(workbench: Workbench, tmp_path: Path) -> Path:
    """A Space that shows one run."""
    workbench.submit("fixture", preset="smoke", tags=("published",))
    space.build(workbench, tmp_path / "space", oauth=True)
    return tmp_path / "space"


def session_of(answer: httpx.Response) -> str:
    """The session cookie. It is for https alone, which a test has not: it is sent by hand."""
    [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("session=")]
    assert {"httponly", "samesite=none", "secure", "partitioned"} <= set(cookie.lower().split("; "))
    return cookie.partition(";")[0]


def browser(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=60, headers={"Host": HOST, "X-Forwarded-Proto": "https"})


def login(one: httpx.Client, hub: Any, name: str) -> None:
    """The whole way of somebody with that name."""
    hub.name = name
    assert 'href="../login/huggingface?_target_url=/"' in one.get("/wb/login").text
    to_the_hub = one.get("/login/huggingface?_target_url=/")
    asked = urlsplit(to_the_hub.headers["location"])
    assert (to_the_hub.status_code, f"{asked.scheme}://{asked.netloc}{asked.path}") == (
        302,
        f"{hub.url}/authorize",
    )
    assert parse_qs(asked.query)["redirect_uri"] == [f"https://{HOST}/login/callback?_target_url=%2F"]
    back = urlsplit(httpx.get(to_the_hub.headers["location"]).headers["location"])
    assert back.netloc == HOST
    one.headers["cookie"] = session_of(to_the_hub)
    arrived = one.get(f"{back.path}?{back.query}")
    assert (arrived.status_code, arrived.headers["location"]) == (307, "/")
    one.headers["cookie"] = session_of(arrived)


def test_a_listed_name_is_the_owner_and_no_other(folder: Path, hub: Any, workbench: Workbench) -> None:
    with (
        running(folder, **hub.variables, WORKBENCH_OWNERS="alice, bob") as address,
        browser(address) as alice,
        browser(address) as mallory,
        browser(address) as guest,
    ):
        login(alice, hub, "alice")
        login(mallory, hub, "mallory")
        mine = called(alice, "start_run", "fixture", {"steps": 2}, "smoke", 1)
        assert mine["owner"] == "local"
        for one, sees in ((alice, True), (mallory, False), (guest, False)):
            listed = {row["id"]: row for row in called(one, "list_runs", "", "", 100)}
            assert (mine["id"] in listed, len(listed)) == (sees, 2 if sees else 1)
            assert ("environment" in next(iter(listed.values()))) is sees
            assert (mine["id"] in one.get("/wb/runs.json").text) is sees
        # A session that is not signed, or of somebody else's hand, is none.
        signed = alice.headers["cookie"]
        for forged in (signed[:-4], signed + "x", "session=e30=.aaaa.bbbb"):
            guest.headers["cookie"] = forged
            assert mine["id"] not in guest.get("/wb/runs.json").text
        # Who leaves is a guest again.
        left = alice.get("/logout")
        assert left.status_code == 307
        alice.headers["cookie"] = session_of(left) if "set-cookie" in left.headers else ""
        assert mine["id"] not in alice.get("/wb/runs.json").text


def test_a_space_without_oauth_serves_its_guests(folder: Path) -> None:
    """WORKBENCH_OWNERS alone opens nothing, and keeps nothing from starting."""
    with running(folder, WORKBENCH_OWNERS="alice") as address, httpx.Client(base_url=address) as guest:
        assert guest.get("/").status_code == 200
        assert guest.get("/login/huggingface").status_code == 404
        assert guest.get("/wb/login").status_code == 404
