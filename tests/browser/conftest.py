"""A served workbench of its own for each test module and a real Chromium that looks at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_front import Front

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
PLUGIN = Path(__file__).parents[1] / "fixture_plugin"
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
WAIT_MS = 120_000
COMMAND = (sys.executable, "-c", "import sys; from workbench.cli import main; sys.exit(main())")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser; without one it is skipped, in CI it fails."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            if CHROMIUM is None and not os.environ.get("CI"):
                item.add_marker(
                    pytest.mark.skip(reason="no Chromium here: install Debian's package `chromium`")
                )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for the tests of a module; each test has contexts of its own. Playwright keeps an event loop running in
    this thread: longer than its module it would be in the way of tests that run one of their own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    assert CHROMIUM is not None, "CI needs Chromium: .ci/run installs it"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Served:
    """`workbench serve` in a process of its own, on a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.variables: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
        path = os.pathsep.join(part for part in (str(PLUGIN), kept.get("PYTHONPATH", "")) if part)
        return {
            **kept,
            "WORKBENCH_HOME": str(self.home),
            "WORKBENCH_DEVICE": "cpu",
            "PYTHONPATH": path,
            **self.variables,
        }

    def start(self, *options: str) -> None:
        """Start the server on a free port and wait for the line that says its address."""
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(_free_port()), *options],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"https?://\S+", line):
                self.url = found.group()
                return
        raise AssertionError(f"the server ended with code {self.process.wait()} before it said its address")

    def run(self, *options: str) -> dict[str, Any]:
        """A run of the fixture engine, made by the command line on the server's own home."""
        return dict(self.command("run", "fixture", *options)["run"])

    def command(self, *words: str) -> Any:
        """What a command of the command line answers with --json, on the server's own home."""
        command = [*COMMAND, *words, "--json"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            assert self.process.stdout is not None
            self.process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server for the tests of one module, started with the module's SERVE_OPTIONS and VARIABLES, and with
    BEHIND_NGINX behind a proxy under a path."""
    server = Served(tmp_path_factory.mktemp("served") / "home")
    server.variables.update(getattr(request.module, "VARIABLES", {}))
    behind = getattr(request.module, "BEHIND_NGINX", False)
    if behind:
        server.variables["GRADIO_ROOT_PATH"] = "/papers"
    server.start(*getattr(request.module, "SERVE_OPTIONS", ()))
    front = Front(tmp_path_factory.mktemp("front"), _free_port(), server.url) if behind else None
    if front is not None:
        server.url = front.url
    yield server
    if front is not None:
        front.stop()
    server.stop()


@pytest.fixture
def visit(chromium: Any, served: Served) -> Iterator[Callable[..., Any]]:
    """`visit(query)` opens a page in a context of its own and waits until it is ready. What the console reports
    as an error, and every request that leaves this machine, fails the test at its end."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(search: str = "", *, width: int = 1440, height: int = 900, scheme: str = "light") -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on(
            "console",
            lambda said: complaints.append(f"{said.text} {said.location}") if _is_fault(said) else None,
        )
        page.on(
            "response",
            lambda got: (
                complaints.append(f"{got.status} {got.url}")
                if got.status >= 400 and got.status != 422
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: _stays(asked.url, served.url, complaints))
        page.goto(served.url + search)
        ready(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, complaints


def ready(page: Any) -> None:
    """Wait until the page has read its address and may be clicked."""
    page.wait_for_function("document.documentElement.dataset.ready === '1'", timeout=WAIT_MS)


def _is_fault(said: Any) -> bool:
    """An error in the console; a refusal that the page tells in words (status 422) is none."""
    return said.type == "error" and "status of 422" not in said.text


def _stays(url: str, home: str, complaints: list[str]) -> None:
    if not url.startswith((home, "data:", "blob:", home.replace("http", "ws", 1))):
        complaints.append(f"a request left this machine: {url}")
