"""Too much of everything: runs, requests, values, time."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psutil
import pytest

from engines.contract import Params, knob
from storage import RunQuery, Status
from ui import app
from workbench import dispatcher
from workbench.access import CROWD, NOBODY, Demo
from workbench.catalog import Catalog, Origin
from workbench.demo_limits import DemoLimits, check_params
from workbench.errors import BadSetting, InvalidParams, UsageError
from workbench.runs import Workbench

BATCH = 50


def test_ten_thousand_starts_at_once_are_refused_politely(access: Demo) -> None:
    """From 500 guests in 4 threads: exactly as many runs as the queue takes, one sentence for all others."""
    said: Counter[str] = Counter()
    lock = threading.Lock()

    def start(number: int) -> None:
        try:
            access.submit(f"visitor-{number % 500}", "fixture", {})
            words = "started"
        except UsageError as error:
            words = str(error)
        with lock:
            said[words] += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(10_000)))
    assert access.workbench.runs(RunQuery()).total == said["started"] == access.limits.queue
    assert sum(said.values()) == 10_000
    assert all(words == "started" or words.endswith(".") for words in said)


def flooded(url: str, path: str, body: bytes, count: int, connections: int = 16) -> Counter[int]:
    """What so many requests were answered, sent as fast as a program can: fifty at a time on each connection."""
    host, port = url.removeprefix("http://").split(":")
    one = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    def send(batches: int) -> Counter[int]:
        said: Counter[int] = Counter()
        with socket.create_connection((host, int(port)), timeout=120) as wire, wire.makefile("rb") as answers:
            for _ in range(batches):
                wire.sendall(one * BATCH)
                for _ in range(BATCH):
                    said[int(answers.readline().split()[1])] += 1
                    length = 0
                    while (line := answers.readline().strip()) != b"":
                        name, _, value = line.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    answers.read(length)
        return said

    with ThreadPoolExecutor(connections) as pool:
        found = pool.map(send, [count // BATCH // connections] * connections)
    return sum(found, Counter())


@pytest.mark.slow
def test_ten_thousand_requests_over_the_wire_are_refused_politely(
    demo: Any, guest: Callable[..., Any]
) -> None:
    """Starts by a program that never fetches its answers, while the database is held so that none comes through: as many
    wait as may, all others are told, and the page answers somebody else meanwhile."""
    other = guest()
    body = json.dumps({"data": ["fixture", {"steps": 3}, "smoke", 1]}).encode()
    count, connections = 10_400, 16
    with closing(sqlite3.connect(demo.home / "workbench.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        codes = flooded(demo.url, "/gradio_api/call/start_run", body, count, connections)
        assert set(codes) == {200, 503}
        assert sum(codes.values()) == count
        # Besides those that wait eight are at work, and as many as there are connections may find the same last place free.
        assert app.MAX_WAITING <= codes[200] <= app.MAX_WAITING + 8 + connections
        assert "home" in other.page("act", {"do": "home", "id": 1})
        holder.execute("ROLLBACK")
    deadline = time.monotonic() + 60
    while isinstance(answer := other.call("list_runs", "", "", 1), dict):
        assert answer["refused"] == 503, "there is no other reason"
        assert time.monotonic() < deadline, "the queue never emptied"
        time.sleep(0.1)
    # The same by the page's own way, which waits in no queue: each is told that there is no room, or why not.
    asked = {
        "data": [],
        "event_data": {"do": "run", "engine": "fixture", "preset": "smoke", "values": {}, "seed": "1"},
    }
    codes = flooded(demo.url, "/gradio_api/run/act", json.dumps(asked).encode(), 800)
    assert codes == {200: 800}
    with demo.workbench() as bench:
        assert len(bench.store.queued()) <= 6, "no more than the demo's queue"


def test_one_guest_has_few_runs_and_few_an_hour(access: Demo) -> None:
    for _ in range(access.limits.runs):
        access.submit("visitor-a", "fixture", {})
    with pytest.raises(UsageError, match="You have 2 runs under way"):
        access.submit("visitor-a", "fixture", {})
    for round_ in range(access.limits.hourly):
        for row in access.workbench.runs(RunQuery(owner="visitor-a", statuses=(Status.queued,))).rows:
            access.workbench.cancel(row.run.id)
        if round_ < access.limits.hourly - access.limits.runs:
            access.submit("visitor-a", "fixture", {})
    with pytest.raises(UsageError, match="You have started 20 runs in the last hour"):
        access.submit("visitor-a", "fixture", {})


def test_programs_without_a_name_share_their_room(access: Demo) -> None:
    for _ in range(CROWD * access.limits.runs):
        access.submit(NOBODY, "fixture", {})
    with pytest.raises(UsageError, match="without a visitor's cookie"):
        access.submit(NOBODY, "fixture", {})


def test_the_owner_has_no_limit(access: Demo) -> None:
    wanted = access.limits.queue + 2
    for _ in range(wanted):
        access.submit("local", "fixture", {})
    assert (
        access.workbench.runs(RunQuery(owner="local", statuses=(Status.queued,), limit=wanted + 1)).total
        == wanted
    )


class _Params(Params):
    steps: int = knob(5, title="Steps", help="1 to 1000.", ge=1, le=1000, demo_max=50)
    sizes: list[int] = knob([1], title="Sizes", help="1 to 1000.", demo_max=10)
    model: str = knob("embedded", title="Model", help="Which.", own_machine_only=True, demo_allowed=("tiny",))
    words: str = knob("", title="Words", help="Any.")
    many: list[str] = knob([], title="Many", help="Any.")


@pytest.fixture
def limited(access: Demo) -> Any:
    """The fixture engine with parameters that have ceilings, in the catalogue of the demo."""
    import dataclasses

    engine = access.workbench.catalog.engine("fixture")
    presets = {name: dataclasses.replace(preset, values={}) for name, preset in engine.presets.items()}
    presets["paper"] = dataclasses.replace(presets["paper"], values={"steps": 900, "model": "hub/large"})
    return dataclasses.replace(engine, params=_Params, presets=presets)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 51}, "steps must be at most 50 on this demo"),
        ({"sizes": [1, 11]}, "sizes must be at most 10 on this demo"),
        ({"model": "someone/model"}, "model must be one of tiny on this demo"),
        ({"model": "/etc"}, "model must be one of tiny"),
        *(({"words": text}, "words must not be a path") for text in (
            "/etc/passwd", "~/secret", "..", "../x", "./x", "C:\\x", "\\\\host\\share", "file:///x", "s3://bucket/x",
            " /etc", "http://169.254.169.254/", "file:x",
        )),
        ({"many": ["fine", "/etc"]}, "many must not be a path"),
    ],
)  # fmt: skip
def test_values_beyond_a_demo_are_refused(limited: Any, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidParams, match=sentence):
        check_params(limited, _Params(**values), DemoLimits())


def test_a_preset_is_no_way_around_a_ceiling(
    limited: Any, access: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        access.workbench, "catalog", Catalog.of([("fixture", limited, Origin("f", "f", "1"))])
    )
    with pytest.raises(InvalidParams, match="steps must be at most 50"):
        access.submit("visitor-a", "fixture", {}, preset="paper")
    access.submit("local", "fixture", {}, preset="paper")


def test_what_is_allowed_stays_allowed(limited: Any) -> None:
    good = {"steps": 50, "sizes": [10], "model": "tiny", "words": "a cat / a dog, 3:4", "many": ["and/or"]}
    check_params(limited, _Params(**good), DemoLimits())
    allowed = DemoLimits.from_environment({"WORKBENCH_DEMO_ALLOW": "fixture.model=hub/small, other.model=x"})
    check_params(limited, _Params(model="hub/small"), allowed)
    with pytest.raises(InvalidParams):
        check_params(limited, _Params(model="x"), allowed)


@pytest.mark.parametrize(
    "given",
    [{"WORKBENCH_DEMO_RUNS": "many"}, {"WORKBENCH_DEMO_QUEUE": "0"}, {"WORKBENCH_DEMO_ALLOW": "model"}],
)
def test_a_limit_that_cannot_be_understood_stops_the_start(given: dict[str, str]) -> None:
    with pytest.raises(BadSetting, match=next(iter(given))):
        DemoLimits.from_environment(given)


def test_a_run_ends_when_its_time_is_up(make_workbench: Callable[..., Workbench]) -> None:
    workbench = make_workbench(executor="inline", run_limit_s=0.3)
    run = workbench.submit("fixture", {"steps": 1000, "pause_s": 0.02})
    assert (run.status, run.error_kind) == (Status.cancelled, "TimeLimit")
    assert "Stopped after 0.3 s" in run.error
    assert workbench.record(run.id).series(), "what it recorded is kept"


def test_a_run_that_does_not_yield_is_ended_too(make_workbench: Callable[..., Workbench]) -> None:
    """An engine that never comes back from one of its steps: its process ends, and what it recorded stays."""
    workbench = make_workbench(executor="process", run_limit_s=1.0, grace_s=0.5)
    run = workbench.follow(workbench.submit("fixture", {"mode": "stuck"}).id, poll_s=0.05)
    assert (run.status, run.error_kind) == (Status.cancelled, "TimeLimit")
    assert "Stopped after 1 s" in run.error
    assert workbench.record(run.id).series(), "what it recorded is kept"
    again = workbench.follow(workbench.submit("fixture", preset="smoke").id, poll_s=0.05)
    assert again.status is Status.finished, "the next guest has a worker"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no way to freeze a process here")
def test_a_process_that_cannot_even_look_at_the_clock_is_killed(
    make_workbench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code that lets no thread of its process go on: frozen here, it is killed from outside."""
    monkeypatch.setattr(dispatcher, "LOOK_S", 0.1)
    monkeypatch.setattr(dispatcher, "OVERDUE_S", 0.1)
    workbench = make_workbench(executor="process", run_limit_s=1.0, grace_s=0.5)
    run = workbench.submit("fixture", {"steps": 100_000, "pause_s": 0.01})
    deadline = time.monotonic() + 60
    while not workbench.record(run.id).series():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker = int(workbench.run(run.id).worker.rpartition("/")[2])
    os.kill(worker, signal.SIGSTOP)
    ended = workbench.follow(run.id, poll_s=0.05)
    assert (ended.status, ended.error_kind) == (Status.cancelled, "Killed")
    assert not psutil.pid_exists(worker)
    again = workbench.follow(workbench.submit("fixture", preset="smoke").id, poll_s=0.05)
    assert again.status is Status.finished


def _endless(size: int) -> Iterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(size // 1024):
        yield b"x" * 1024


def test_a_body_too_large_is_not_read(guest: Callable[..., Any]) -> None:
    one = guest()
    huge = b'{"data": ["' + b"x" * (1 << 20) + b'"]}'
    assert one.http.post("/gradio_api/call/show_run", content=huge).status_code == 413
    assert (
        one.http.post("/wb/library/delete", content=huge * 2, headers={"X-Workbench": "1"}).status_code == 413
    )
    for path in ("inquiry", "follow", "login"):
        for body in (huge, _endless(len(huge))):
            answer = one.http.post(f"/wb/{path}", content=body, headers={"X-Workbench": "1"})
            assert answer.status_code in (400, 413), (path, answer.text)
        foreign = one.http.post(f"/wb/{path}", content=b"x" * 5000)
        assert foreign.status_code == (400 if path == "follow" else 403)
    deep = b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert one.http.post("/gradio_api/call/show_run", content=deep).status_code in (400, 422)
    assert one.http.post("/wb/library/delete", content=deep, headers={"X-Workbench": "1"}).status_code == 400


def test_a_guest_exports_few_runs_at_once(guest: Callable[..., Any]) -> None:
    ids = ",".join(f"{number:026d}" for number in range(13))
    answer = guest().http.get(f"/wb/export/{ids}.zip")
    assert (answer.status_code, "at most 12" in answer.text) == (422, True)
