"""A demo served as strangers meet it, and an own one beside it in process."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ui.app import routes
from ui.visitors import COOKIE, House
from workbench.access import Demo
from workbench.catalog import Catalog, Origin
from workbench.demo_limits import DemoLimits
from workbench.runs import Workbench
from workbench.settings import Settings

PLUGIN = Path(__file__).parents[1] / "fixture_plugin"
COMMAND = (sys.executable, "-c", "import sys; from workbench.cli import main; sys.exit(main())")
PASSWORD = "correct horse battery"
SECRET = "s3cret-of-the-environment"


class ServedDemo:
    """`workbench serve --demo` in a process of its own, on a home with one published and one private run."""

    def __init__(self, home: Path) -> None:
        self.home, self.url = home, ""
        self.process: subprocess.Popen[str] | None = None
        self.output = home.parent / "server.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
        path = os.pathsep.join(part for part in (str(PLUGIN), kept.get("PYTHONPATH", "")) if part)
        self.environment = {
            **kept,
            "PYTHONPATH": path,
            "WORKBENCH_HOME": str(home),
            "WORKBENCH_DEVICE": "cpu",
            "WORKBENCH_SLOTS": "1",
            "WORKBENCH_DEMO_QUEUE": "6",
            "WORKBENCH_OWNER_PASSWORD": PASSWORD,
            "A_TOKEN_OF_THE_OWNER": SECRET,
        }

    def start(self, *, as_demo: bool = True, mcp: bool = False) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with self.workbench() as bench:
            self.published = bench.submit("fixture", preset="smoke", tags=("published",)).id
            self.private = bench.submit("fixture", preset="smoke", note="not for you").id
        options = [*(["--demo"] if as_demo else []), *(["--mcp"] if mcp else [])]
        with self.output.open("w") as noise:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", *options, "--port", str(port)],
                env=self.environment, stdout=subprocess.PIPE, stderr=noise, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"Paper Workbench: (https?://\S+)", line):
                self.url = found[1].rstrip("/")
                return
        raise AssertionError(f"the server ended: {self.output.read_text()[-2000:]}")

    def workbench(self) -> Workbench:
        """The owner's hand on the demo's own home."""
        from fixture_engine import ENGINE

        catalog = Catalog.of([(ENGINE.key, ENGINE, Origin("fixture_engine", "fixture-engine", "1.0"))])
        return Workbench.open(Settings.at(self.home, executor="inline", device="cpu"), catalog)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Guest:
    """A browser's worth of a guest: a cookie, and what the page's script can send."""

    def __init__(self, url: str, *, with_cookie: bool = True) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        if with_cookie:
            self.http.get("/")

    def call(self, name: str, *data: Any) -> Any:
        """A public or private endpoint by its name, through the queue; its data, or the error's text."""
        begun = self.http.post(f"/gradio_api/call/{name}", json={"data": list(data)})
        if begun.status_code != 200:
            return {"refused": begun.status_code, "text": begun.text}
        answer = self.http.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}").text
        event, _, rest = answer.strip().rpartition("event: ")[2].partition("\ndata: ")
        found = json.loads(rest.partition("\n")[0]) if rest else None
        return found[0] if event == "complete" and found else {"error": found, "text": answer}

    def page(self, name: str, event: Any) -> Any:
        """What the page's script asks by the private endpoint `act` or `go`; the answer's messages as text."""
        body = {"data": [], "event_data": event}
        answer = self.http.post(f"/gradio_api/run/{name}", json=body)
        return answer.text

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        return self.http.post(path, content=content, headers={"X-Workbench": "1"}, **options)

    def ended(self, run_id: str) -> dict[str, Any]:
        import time

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.call("run_status", run_id)
            if status["status"] not in ("queued", "running"):
                return dict(status)
            time.sleep(0.1)
        raise AssertionError(f"the run did not end: {status}")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDemo]:
    """One demo for all attacks."""
    sys.path.insert(0, str(PLUGIN))
    server = ServedDemo(tmp_path_factory.mktemp("demo") / "home-of-the-owner")
    server.start()
    yield server
    server.stop()
    sys.path.remove(str(PLUGIN))


@pytest.fixture
def guest(demo: ServedDemo) -> Iterator[Callable[..., Guest]]:
    """`guest()` is somebody new."""
    opened: list[Guest] = []

    def arrive(**options: Any) -> Guest:
        opened.append(Guest(demo.url, **options))
        return opened[-1]

    yield arrive
    for one in opened:
        one.http.close()


@pytest.fixture
def access(make_workbench: Callable[..., Workbench]) -> Demo:
    """A demo in this process that executes nothing: what is queued stays so."""
    bench = make_workbench(executor="inline")
    bench.start = lambda run_id: None  # type: ignore[method-assign]
    return Demo(bench, DemoLimits(runs=2, queue=10, hourly=20, uploads=3))


@pytest.fixture
def visit(access: Demo) -> Iterator[Callable[..., TestClient]]:
    """`visit()` is a new guest at our own addresses of the demo in this process, `visit(None)` a program without a cookie."""
    app = Starlette(routes=routes(access.workbench, House(access)))
    opened: list[TestClient] = []

    def arrive(cookie: str | None = "") -> TestClient:
        opened.append(TestClient(app))
        if cookie is not None:
            opened[-1].cookies.set(COOKIE, cookie or secrets.token_hex(16))
        return opened[-1]

    yield arrive
    for one in opened:
        one.close()
