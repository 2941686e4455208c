"""A page that is served where the GPU is lent to requests, and what pages ask of it; prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx

LET, AT_WORK = threading.Event(), []


def lend(duration: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Stands for the host: executes what comes, once it is let."""

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(settings: str, run_id: str) -> None:
            AT_WORK.append(run_id)
            assert LET.wait(60)
            function(settings, run_id)

        return run

    return wrapped


sys.modules["spaces"] = SimpleNamespace(GPU=lend, gradio_auto_wrap=lambda function: function)  # type: ignore[assignment]

from fixture_engine import ENGINE  # noqa: E402
from sqlalchemy import update  # noqa: E402

from storage.tables import RUN  # noqa: E402
from ui import app  # noqa: E402
from ui.page import Page  # noqa: E402
from ui.visitors import COOKIE, House, guest  # noqa: E402
from workbench.access import Demo  # noqa: E402
from workbench.catalog import Catalog, Origin  # noqa: E402
from workbench.demo_limits import DemoLimits  # noqa: E402
from workbench.executors import elsewhere  # noqa: E402
from workbench.runs import Workbench  # noqa: E402
from workbench.settings import Settings  # noqa: E402
from workbench.unattended import UNATTENDED_S  # noqa: E402

CATALOG = Catalog.of([(ENGINE.key, ENGINE, Origin("fixture_engine", "fixture-engine", "1.0"))])
elsewhere.Catalog = SimpleNamespace(load=lambda: CATALOG)  # type: ignore[misc, assignment]


class Browser:
    """A page's session with Gradio, as its script has it: a cookie, events that are joined, a line for their answers."""

    def __init__(self, url: str, name: str) -> None:
        self.http, self.session = httpx.Client(base_url=url, timeout=60), name
        self.http.get("/")
        self.viewer = guest(SimpleNamespace(cookies={COOKIE: self.http.cookies[COOKIE]}))
        config = self.http.get("/config").json()
        [self.work_index] = [one["id"] for one in config["dependencies"] if one["api_name"] == "work"]

    def run(self, page: Page) -> str:
        """Press Run: the run that waits for its request."""
        asked = {"do": "run", "engine": "fixture", "preset": "smoke", "values": {}, "seed": "1"}
        return next(one["run"] for one in page.act(asked, self.viewer).messages if one["kind"] == "work")

    def work(self, run_id: str) -> None:
        """Ask for the request in which a run is executed."""
        asked = {
            "data": [],
            "event_data": {"run": run_id},
            "fn_index": self.work_index,
            "session_hash": self.session,
        }
        self.http.post("/gradio_api/queue/join", json=asked).raise_for_status()

    def heard(self) -> str:
        """All that comes on the line until the last event is over."""
        return self.http.get(f"/gradio_api/queue/data?session_hash={self.session}").text

    def listens_and_leaves(self) -> None:
        """Open the line, and close the page."""
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={self.session}"):
            pass


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def one_run(bench: Workbench, access: Demo, url: str) -> dict[str, Any]:
    LET.set()
    one, other = Browser(url, "one"), Browser(url, "other")
    run_id = one.run(Page(bench, access))
    other.work(run_id)
    found: dict[str, Any] = {"foreign": other.heard()}
    other.work("nonsense")
    found["nonsense"] = other.heard()
    found["before"] = bench.run(run_id).status
    one.work(run_id)
    return {**found, "own": one.heard(), "after": bench.run(run_id).status}


def many_runs(bench: Workbench, access: Demo, url: str) -> dict[str, Any]:
    page, browsers = Page(bench, access), [Browser(url, f"session-{place}") for place in range(7)]
    runs = [one.run(page) for one in browsers]
    LET.clear()
    AT_WORK.clear()
    for one, run_id in zip(browsers, runs, strict=True):
        one.work(run_id)
    until(lambda: len(AT_WORK) == 4, "four are executed at a time")
    found: dict[str, Any] = {"asked": sorted(runs), "awaited": sorted(access.awaited())}
    older = update(RUN).where(RUN.c.id.in_(runs)).values(created_at=time.time() - UNATTENDED_S - 1)
    bench.store.database.write(lambda connection: connection.execute(older))
    access.require_room("visitor-late", 1)
    found["old"] = sorted({bench.run(run_id).status for run_id in runs})
    leaver, left = browsers.pop(), runs.pop()
    assert left not in AT_WORK
    leaver.listens_and_leaves()
    until(lambda: left not in access.awaited(), "a request of a page that left is dropped")
    access.require_room("visitor-late", 1)
    found["left"] = [bench.run(left).status]
    LET.set()
    with ThreadPoolExecutor(len(browsers)) as pool:
        list(pool.map(Browser.heard, browsers))
    ended = sorted({bench.run(run_id).status for run_id in runs})
    return {**found, "ended": ended, "awaited at the end": sorted(access.awaited())}


with Workbench.open(Settings.from_environment(), CATALOG) as opened:
    bench = Workbench(
        Settings.at(opened.settings.home, executor="zerogpu", device="cpu"), CATALOG, opened.store
    )
    access = Demo(bench, DemoLimits(queue=20))
    house = House(access)
    blocks = app.build(bench, house)
    _, url, _ = app.launch(blocks, bench, house=house)
    print(json.dumps({**one_run(bench, access, url), **many_runs(bench, access, url)}))
    blocks.close(verbose=False)
