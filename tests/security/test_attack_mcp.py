"""A demo that is asked by agents (MCP): the same limits, the same blinkers, and nobody is anybody else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from workbench.access import CROWD, NOBODY

if not os.environ.get("CI"):
    pytest.importorskip("mcp", reason="the extra mcp is not installed")

RUNS = 2
"""What a demo lets one guest have under way."""


@pytest.fixture(scope="module")
def agents(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A demo with MCP."""
    served = type(demo)(tmp_path_factory.mktemp("agents") / "home-of-the-owner")
    served.environment["WORKBENCH_DEMO_QUEUE"] = "20"
    served.start(mcp=True)
    yield served
    served.stop()


class Agent:
    """A client in a thread of its own: Playwright keeps an event loop going in this one."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url, self.headers = f"{url}/gradio_api/mcp/", headers

    def _run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        async def talk() -> Any:
            async with (
                httpx.AsyncClient(headers=self.headers, timeout=60) as http,
                streamable_http_client(self.url, http_client=http) as (reading, writing, *_),
                ClientSession(reading, writing) as session,
            ):
                await session.initialize()
                return await work(session)

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(talk())).result()

    def tools(self) -> list[str]:
        async def listed(session: Any) -> list[str]:
            return [tool.name for tool in (await session.list_tools()).tools]

        return list(self._run(listed))

    def call(self, ending: str, **arguments: Any) -> str:
        """What a tool says, as text."""

        async def called(session: Any) -> str:
            name = next(
                tool.name for tool in (await session.list_tools()).tools if tool.name.endswith(ending)
            )
            return "".join(part.text for part in (await session.call_tool(name, arguments)).content)

        return str(self._run(called))


def test_agents_are_nobody_in_particular(agents: Any) -> None:
    """They share no visitor's name, though all of them are handed on by one program of the server's: none sees, changes or
    is limited as another."""
    one, other = Agent(agents.url), Agent(agents.url)
    started = one.call("start_run", engine="fixture", values={"label": "an agent's"}, preset="smoke", seed=1)
    with agents.workbench() as bench:
        [run] = [row.run for row in bench.runs().rows if row.run.params.get("label") == "an agent's"]
    assert run.owner == NOBODY
    assert run.id in started
    for agent in (one, other):
        listed = agent.call("list_runs", engine="", status="", limit=500)
        assert (agents.published in listed, agents.private in listed, run.id in listed) == (
            True,
            False,
            False,
        )
        told = agent.call("show_run", run_id=agents.published)
        assert agents.published in told
        assert "environment" not in told
        assert str(agents.home) not in told
        assert "Only who started" in agent.call("cancel_run", run_id=agents.private)
    assert "There is no run" in other.call("show_run", run_id="../../etc/passwd")
    assert "raceback" not in other.call("series", run_id=run.id, series="x", name="y", buckets=-1)


def test_agents_have_the_limits_of_a_demo(agents: Any) -> None:
    agent = Agent(agents.url)
    refused = agent.call(
        "start_run", engine="fixture", values={"label": "/etc/passwd"}, preset="smoke", seed=1
    )
    assert "must not be a path" in refused
    slow = {"steps": 1000, "pause_s": 0.1}
    said = [
        agent.call("start_run", engine="fixture", values=slow, preset="smoke", seed=seed)
        for seed in range(CROWD * RUNS + 1)
    ]
    assert "as many as this demo takes" in said[-1]
    with agents.workbench() as bench:
        mine = [
            row.run.id for row in bench.runs().rows if row.run.owner == NOBODY and not row.run.status.is_over
        ]
    assert len(mine) == CROWD * RUNS
    for run_id in mine:
        agent.call("cancel_run", run_id=run_id)


def test_an_agent_finds_the_public_tools_and_no_others(agents: Any) -> None:
    tools = Agent(agents.url).tools()
    ends = (
        "start_run",
        "start_sweep",
        "run_status",
        "series",
        "cancel_run",
        "list_runs",
        "show_run",
        "export_run",
        "engines",
    )
    assert len(tools) == len(ends)
    assert all(sum(tool.endswith(end) for tool in tools) == 1 for end in ends)


def test_the_owners_agent_is_the_owner_and_no_page_is(agents: Any) -> None:
    """A session's cookie counts here too; a page of another site is refused, whatever it carries."""
    with httpx.Client(base_url=agents.url) as http:
        body = json.dumps({"password": agents.environment["WORKBENCH_OWNER_PASSWORD"]})
        assert http.post("/wb/login", content=body, headers={"X-Workbench": "1"}).status_code == 200
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        accepted = {"Accept": "application/json, text/event-stream", "Origin": "https://evil.example"}
        assert http.post("/gradio_api/mcp/", json=hello, headers=accepted).status_code == 403
    owner = Agent(agents.url, cookie=cookie)
    assert agents.private in owner.call("list_runs", engine="", status="", limit=500)
    # Whoever asks next through the same server is nobody again.
    assert agents.private not in Agent(agents.url).call("list_runs", engine="", status="", limit=500)
