"""One guest against another, and guests against the owner."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from storage import RunQuery
from storage.ids import new_id
from ui.hub_login import VARIABLES, hub_name
from ui.owner_login import MAX_FAILURES, OwnerLogin, TooMany, address_of
from workbench.access import NOBODY, Demo
from workbench.errors import UsageError

PASSWORD = "correct horse battery"


def test_a_guest_sees_own_and_published_runs_and_no_others(demo: Any, guest: Callable[..., Any]) -> None:
    one, other, nobody = guest(), guest(), guest(with_cookie=False)
    mine = one.call("start_run", "fixture", {"label": "mine alone"}, "smoke", 2)["id"]
    one.ended(mine)
    assert {row["id"] for row in one.call("list_runs", "", "", 500)} >= {mine, demo.published}
    for stranger in (other, nobody):
        listed = {row["id"] for row in stranger.call("list_runs", "", "", 500)}
        assert demo.published in listed
        assert {row["id"] for row in stranger.http.get("/wb/runs.json?limit=500").json()} == listed
        assert not listed & {mine, demo.private}
        library = stranger.http.get("/wb/library/runs?text=mine").text
        assert mine not in library
        assert "not for you" not in stranger.http.get("/wb/library/runs").text
        assert mine not in str(stranger.page("act", {"do": "home"}))
        # The link is the way to another's run, and it leads to that run alone.
        followed = str(stranger.page("go", {"search": f"?run={demo.private}", "id": 1}))
        assert demo.private in followed
        assert demo.published not in followed


def test_a_guest_changes_nothing_of_others(demo: Any, guest: Callable[..., Any]) -> None:
    one, other = guest(), guest()
    mine = one.call("start_run", "fixture", {"pause_s": 0.2, "steps": 100}, "default", 3)["id"]
    for run in (mine, demo.published, demo.private):
        assert "Only who started" in str(other.page("act", {"do": "stop", "run": run}))
        assert "Only who started" in str(other.page("act", {"do": "ask", "run": run, "what": "x"}))
        assert "Only who started" in other.call("cancel_run", run)["text"]
        deleted = other.post("/wb/library/delete", {"ids": [run]}).json()
        assert deleted["deleted"] == []
        assert other.post("/wb/library/annotate", {"ids": [run], "note": "I was here"}).status_code == 422
    assert one.call("run_status", mine)["status"] in ("queued", "running")
    one.call("cancel_run", mine)
    assert one.ended(mine)["status"] == "cancelled"
    assert (
        one.post("/wb/library/annotate", {"ids": [mine], "tags": "published", "note": "see"}).status_code
        == 200
    )
    assert mine not in {row["id"] for row in other.call("list_runs", "", "", 500)}, "a guest cannot publish"
    assert one.post("/wb/library/delete", {"ids": [mine]}).json()["deleted"] == [mine]


def test_nobody_without_a_name_deletes(access: Demo) -> None:
    """Programs without a cookie share a name, so it may not delete or annotate."""
    run = access.submit(NOBODY, "fixture", {})
    for verb in ("delete", "annotate"):
        with pytest.raises(UsageError):
            access.require_change(NOBODY, run, verb)
    access.require_change(NOBODY, run, "stop")
    assert access.workbench.runs(access.listed(NOBODY, RunQuery())).rows == []


def test_run_ids_cannot_be_guessed() -> None:
    """80 random bits each: ids of one millisecond share their time and nothing else."""
    ids = [new_id(1.0) for _ in range(2000)]
    assert len({run[10:] for run in ids}) == 2000
    columns = [{run[place] for run in ids} for place in range(10, 26)]
    assert all(len(column) == 32 for column in columns)
    steps = {int(b, 36) - int(a, 36) for a, b in itertools.pairwise(ids)}
    assert len(steps) == 1999, "the next id is not the last one plus something"


@pytest.mark.parametrize("name", ["", "x", "..", "0" * 26, "' OR 1=1 --", "%", "last"])
def test_an_id_that_is_none_gets_one_sentence(name: str, guest: Callable[..., Any]) -> None:
    assert "There is no run" in guest(with_cookie=False).call("show_run", name)["text"]


def test_private_endpoints_called_by_name_give_no_more_than_the_page(
    demo: Any, guest: Callable[..., Any]
) -> None:
    """act, go, arrive and wb/follow are for the page's script; a program that calls them is a guest like any other."""
    one = guest()
    info = one.http.get("/gradio_api/info").json()
    assert not {"/act", "/go", "/arrive", "/work"} & set(info["named_endpoints"])
    for do in ("delete", "annotate", "__init__", "acts", "", None, ["run"]):
        assert json.loads(one.page("act", {"do": do, "run": demo.private}))["data"][0]["do"] == []
    assert one.call("act", {"do": "stop", "run": demo.private})["refused"] == 404
    many = [{"run": demo.private, "since": 0, "engine": "fixture"}] * 5000
    assert one.http.post("/wb/follow", json=many).status_code == 413, "larger than any page's question"
    few = one.http.post("/wb/follow", json=many[:20])
    assert len(few.json()["live"]) == 4
    assert "raceback" not in few.text
    for body in (b"", b"{}", b"[" * 3000, b'["x", null, {"run": {}, "since": "x"}, {"since": 1e999}]'):
        assert one.http.post("/wb/follow", content=body).status_code in (200, 400)
    assert one.page("act", {"do": "run", "engine": "fixture", "values": {}, "owner": "local"})
    with demo.workbench() as bench:
        assert {row.run.id for row in bench.runs(RunQuery(owner="local")).rows} == {
            demo.published,
            demo.private,
        }


def test_a_sweep_over_the_api_has_the_limits_of_the_page(demo: Any, guest: Callable[..., Any]) -> None:
    one = guest()
    wide = one.call("start_sweep", "fixture", {"steps": "1:90"}, {}, "smoke", 1, 0)
    assert "is more than this demo runs for you at a time" in wide["text"]
    path = one.call("start_sweep", "fixture", {"label": ["/etc/passwd"]}, {}, "smoke", 1, 0)
    assert "must not be a path" in path["text"]
    made = one.call("start_sweep", "fixture", {"steps": [2]}, {}, "smoke", 1, 0)
    assert "owner" not in made["sweep"]
    other = guest()
    assert "Only who started" in other.call("cancel_run", made["sweep"]["id"])["text"]
    told = other.http.get(f"/wb/sweep/{made['sweep']['id']}.json")  # the id is the key, as on the page
    assert "visitor-" not in told.text
    one.ended(made["cells"][0]["run"])
    assert one.http.get(f"/wb/sweep/{made['cells'][0]['run']}.json").status_code == 404


def test_changes_are_asked_by_the_page_itself(demo: Any, guest: Callable[..., Any]) -> None:
    """Without the header that a foreign page cannot send, nothing changes."""
    one = guest()
    for path in ("delete", "annotate", "import"):
        assert one.http.post(f"/wb/library/{path}", content=b"{}").status_code == 403
    assert one.http.post("/wb/upload?name=a.png", content=b"x").status_code == 403
    assert one.http.post("/wb/login", content=b"{}").status_code == 403


def test_the_owner_logs_in_and_sees_all(demo: Any, guest: Callable[..., Any]) -> None:
    owner = guest()
    wrong = owner.post("/wb/login", {"password": "wrong horse battery"})
    assert wrong.status_code == 401
    right = owner.post("/wb/login", {"password": "correct horse battery"})
    assert right.status_code == 200
    assert "HttpOnly" in right.headers["set-cookie"]
    listed = {row["id"] for row in owner.call("list_runs", "", "", 500)}
    assert {demo.published, demo.private} <= listed
    assert owner.call("show_run", demo.private)["run"]["owner"] == "local"
    assert owner.post("/wb/logout").status_code == 200
    assert demo.private not in {row["id"] for row in owner.call("list_runs", "", "", 500)}


def test_passwords_cannot_be_tried_out() -> None:
    login = OwnerLogin(PASSWORD)
    tries = []
    for number in range(50):
        try:
            tries.append(login.enter(f"guess {number}", "203.0.113.7"))
        except TooMany:
            tries.append("too many")
    assert (tries.count(None), tries.count("too many")) == (MAX_FAILURES, 50 - MAX_FAILURES)
    with pytest.raises(TooMany):
        login.enter(PASSWORD, "203.0.113.7")
    assert OwnerLogin(names=frozenset({"alice"})).enter("") is None


def test_who_guesses_locks_nobody_else_out(demo: Any, guest: Callable[..., Any]) -> None:
    """Guesses from one address, by whichever names it gives itself, and the owner at another."""
    login = OwnerLogin(PASSWORD)
    for number in range(MAX_FAILURES):
        assert login.enter(f"guess {number}", "203.0.113.7") is None
    assert login.enter(PASSWORD, "203.0.113.8")
    guesser, owner = guest(), guest()
    for number in range(MAX_FAILURES + 3):
        # The proxy adds the address that it saw; what stood there before is the sender's own word.
        headers = {"X-Workbench": "1", "X-Forwarded-For": f"1.1.1.{number}, 8.8.8.8"}
        body = json.dumps({"password": f"guess {number}"})
        answer = guesser.http.post("/wb/login", content=body, headers=headers)
        assert answer.status_code == (401 if number < MAX_FAILURES else 429)
    headers["X-Forwarded-For"] = "8.8.8.9"
    answer = owner.http.post("/wb/login", content=json.dumps({"password": PASSWORD}), headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        (
            "8.8.8.8",
            "1.1.1.1",
            "8.8.8.8",
        ),  # no proxy of ours is at a public address: the word is the sender's
        ("127.0.0.1", "1.1.1.1, 8.8.8.8", "8.8.8.8"),
        ("10.0.0.3", "1.1.1.1, 8.8.8.8, 10.0.0.2, 127.0.0.1", "8.8.8.8"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("::1", "2600:1:2:3:4:5:6:7", "2600:1:2:3::/64"),
        ("127.0.0.1", "8.8.8.8, <script>", "<script>"),
    ],
)
def test_an_address_is_what_the_nearest_proxy_says(peer: str, told: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", told.encode())] if told else []
    assert address_of(HTTPConnection({"type": "http", "client": (peer, 1), "headers": headers})) == expected


def test_a_name_counts_only_where_the_hub_vouches_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio plays at logging in outside a Space: that must not open the owner's view."""
    from types import SimpleNamespace

    info = {"userinfo": {"preferred_username": "alice"}, "expires_at": 9e12}
    request = SimpleNamespace(scope={"session": {"oauth_info": info}}, cookies={})
    login = OwnerLogin(names=frozenset({"alice"}))
    for name in ("SYSTEM", "SPACE_ID", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "SYSTEM": "spaces",
        "SPACE_ID": "alice/papers",
        **dict.fromkeys(VARIABLES, "told"),
    }.items():
        assert hub_name(request) == ""
        assert not login.is_owner(request)
        monkeypatch.setenv(name, value)
    assert login.is_owner(request)
    assert not OwnerLogin(names=frozenset({"bob"})).is_owner(request)
    info["expires_at"] = 1.0
    assert not login.is_owner(request)
