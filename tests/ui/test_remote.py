"""`workbench.connect`, the twins of a run's address, the MCP server and the public surface, on a served workbench."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import workbench as package
from storage import Status, Store
from ui import app
from workbench import remote
from workbench.errors import Refused, RunFailed, Unreachable
from workbench.execution import worker_name
from workbench.runs import Workbench
from workbench.settings import Settings

SERVE = (
    "import sys; from workbench.cli import main; sys.exit(main(['serve', '--mcp', '--port', sys.argv[1]]))"
)
SURFACE = Path(__file__).with_name("public_surface.json")


def apart(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` answers, run in a thread: Playwright keeps an event loop going in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


@contextmanager
def serving(home: Path, port: int) -> Iterator[str]:
    """A workbench with MCP on this home; its address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
    plugin = str(Path(__file__).parents[1] / "fixture_plugin")
    path = os.pathsep.join(part for part in (plugin, kept.get("PYTHONPATH", "")) if part)
    environment = {**kept, "PYTHONPATH": path, "WORKBENCH_HOME": str(home), "WORKBENCH_DEVICE": "cpu"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        found = next(
            (found[0] for line in server.stdout if (found := re.search(r"https?://[\w.:]+", line))), ""
        )
        assert found, "the server ended before it said its address"
        yield found
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A workbench with MCP, and its home."""
    home = tmp_path_factory.mktemp("remote") / "home"
    with serving(home, free_port()) as found:
        yield found, home


@pytest.fixture
def far(address: tuple[str, Path]) -> Iterator[remote.Remote]:
    with package.connect(address[0]) as opened:
        yield opened


def test_start_follow_and_fetch(far: remote.Remote, address: tuple[str, Path], tmp_path: Path) -> None:
    """Everything that a program needs, and the numbers are the recorded ones bit for bit."""
    assert "fixture" in {engine["key"] for engine in far.engines()}
    reference = far.upload(b"a,b\n1,2\n", "table.csv")
    run = far.start("fixture", {"steps": 40, "pause_s": 0.01, "photo": reference}, preset="smoke", seed=5)
    seen: list[int] = []
    end = run.follow(lambda status: seen.append(status["version"]), timeout_s=60)
    assert end["status"] == "finished"
    assert seen == sorted(set(seen))
    assert len(seen) > 1
    points = run.series("Ours", "error")
    settings = Settings.at(address[1])
    with Store.open(settings.database_url, settings.artifacts_url) as store:
        kept = store.record(run.id).points("Ours", "error")
    for ours, theirs in (
        (points.steps, kept.steps),
        (points.times, kept.times),
        (points.values, kept.values),
    ):
        assert ours.dtype == np.float64
        assert ours.tobytes() == theirs.tobytes()
    document = run.document()
    assert document["run"]["params"]["steps"] == 40
    [picture] = [one for one in document["artifacts"] if one["name"] == "newest"]
    assert run.artifact(picture["hash"]).startswith(b"\x89PNG")
    for format in ("zip", "json", "csv", "parquet", "html"):
        assert run.download(tmp_path / f"run.{format}", format).stat().st_size > 100
    assert far.run(run.id).id == run.id
    assert run.id in {row["id"] for row in far.runs("fixture", "finished")}


def test_refusals_come_in_the_workbenchs_own_words(far: remote.Remote) -> None:
    with pytest.raises(Refused, match="steps must be a whole number"):
        far.start("fixture", {"steps": 0})
    with pytest.raises(Refused, match="There is no run"):
        far.run("0" * 26)
    run = far.start("fixture", {"mode": "fail"}, preset="smoke")
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        run.follow(timeout_s=60)
    assert run.follow(check=False)["status"] == "failed"
    with pytest.raises(Refused, match="has no curve 'Ours / nothing'"):
        run.series("Ours", "nothing")
    long = far.start("fixture", {"steps": 1000, "pause_s": 0.05})
    with pytest.raises(TimeoutError):
        long.follow(timeout_s=0.1)
    long.cancel()
    assert long.follow()["status"] == "cancelled"
    with (
        package.connect("http://127.0.0.1:9", timeout_s=2) as nobody,
        pytest.raises(Unreachable, match="does not answer"),
    ):
        nobody.engines()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("list_runs", ["", "", "abc"], 'limit must be a whole number from 1 to 500; got "abc".'),
        ("list_runs", ["", "", 0], "limit must be a whole number from 1 to 500; got 0."),
        ("list_runs", ["", "lost"], "status must be one of queued, running, finished, failed, cancelled, interrupted, or empty; got \"lost\"."),
        ("start_run", ["fixture", [1, 2]], "values must be an object with a value for each name"),
        ("start_run", [], "engine must be a text; got nothing."),
        ("start_run", ["fixture", {}, "smoke", "three"], "seed must be a whole number from 0 to 4294967295; got \"three\"."),
        ("start_run", ["fixture", {}, "smoke", 1, 2], "start_run takes engine, values, preset, seed; got 5 arguments."),
        ("run_status", [17], "run_id must be a text; got 17."),
        ("export_run", ["x", "exe"], "format must be one of zip, json, csv, parquet, html; got \"exe\"."),
        ("start_sweep", ["fixture", {"steps": 3}], "over.steps must be a list of values, or a text such as 5:50:5; got 3."),
        ("start_sweep", ["fixture", {}], "one to three axes; got 0"),
        ("start_sweep", ["fixture", {"steps": [1]}, {}, "smoke", 0], "seeds must be a whole number from 1 to 100; got 0."),
        ("start_sweep", ["fixture", {"photo": "@/etc/passwd"}], "takes no @files"),
        ("no_such", [], "There is no endpoint 'no_such'. Endpoints: start_run, "),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_with_its_rule_and_value(
    far: remote.Remote, name: str, data: list[Any], sentence: str
) -> None:
    with pytest.raises(Refused) as caught:
        far.call(name, *data)
    assert sentence in str(caught.value)


def test_raw_calls_that_are_none_are_told_so(address: tuple[str, Path]) -> None:
    with httpx.Client(base_url=address[0]) as http:
        for body in (b"no json", b"[1]", b'{"data": 3}'):
            reply = http.post("/gradio_api/call/run_status", content=body)
            assert reply.status_code == 422
            assert reply.json()["error"].startswith("run_status takes run_id")
        for path in ("call/no_such", "call/v2/no_such", "call/act"):
            assert http.post(f"/gradio_api/{path}", json={"data": []}).status_code == 404


def test_an_unknown_curve_is_refused_by_the_endpoint_too(far: remote.Remote) -> None:
    run = far.start("fixture", preset="smoke")
    run.follow(timeout_s=60)
    assert far.call("series", run.id, "Ours", "error")["steps"] == [0, 1, 2]
    with pytest.raises(Refused, match="has no curve 'Ours / nothing'"):
        far.call("series", run.id, "Ours", "nothing", 10)


def test_a_sweep_is_started_followed_and_stopped(far: remote.Remote, tmp_path: Path) -> None:
    seen: list[dict[str, int]] = []
    sweep = far.start_sweep("fixture", {"steps": "2:4:2", "mode": ["plain", "fail"]}, preset="smoke", seeds=2)
    end = sweep.follow(lambda document: seen.append(document["sweep"]["counts"]), timeout_s=120)
    assert end["sweep"]["counts"] == {"finished": 4, "failed": 4} == seen[-1]
    assert [cell["point"] for cell in end["cells"][::2]] == [
        {"steps": steps, "mode": mode} for steps in (2, 4) for mode in ("plain", "fail")
    ]
    finished = next(cell for cell in end["cells"] if cell["status"] == "finished")
    assert far.run(finished["run"]).document()["run"]["parent_id"] == sweep.id
    assert sweep.download(tmp_path / "sweep.html", "html").read_text("utf-8").startswith("<!doctype html>")
    long = far.start_sweep("fixture", {"steps": [1000, 1001]}, {"pause_s": 0.05})
    assert far.run(long.id).status()["status"] in ("queued", "running")
    [row] = [row for row in far.runs("sweep") if row["id"] == long.id]
    assert row["status"] in ("queued", "running")
    far.sweep(long.id).cancel()
    assert set(long.follow(timeout_s=60)["sweep"]["counts"]) == {"cancelled"}
    with pytest.raises(Refused, match="no sweep"):
        far.sweep(finished["run"])


def test_a_run_is_followed_over_a_restart_of_the_server(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    settings = Settings.at(home)
    home.mkdir()
    with (
        Store.open(settings.database_url, settings.artifacts_url) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        # A run that this process works at, so that it goes on while there is no server.
        run_id = store.create_run(engine="fixture", params={}, seed=0).id
        store.claim_run(run_id, worker_name())
        seen = threading.Event()
        with serving(home, port) as url:
            far = package.connect(url, timeout_s=20)
            following = pool.submit(far.run(run_id).follow, lambda status: seen.set(), timeout_s=300)
            assert seen.wait(120)
        with pytest.raises(Unreachable):  # starting is asked for once
            far.start("fixture")
        assert not following.done()
        with serving(home, port):
            store.finish_run(run_id, Status.finished)
            assert following.result(timeout=120)["status"] == "finished"
            far.close()


def test_each_run_has_twins_for_programs(far: remote.Remote, address: tuple[str, Path]) -> None:
    run = far.start("fixture", preset="smoke", seed=9)
    run.follow(timeout_s=60)
    with httpx.Client(base_url=address[0]) as http:
        first = http.get(f"/wb/run/{run.id}.json")
        assert first.json()["run"]["id"] == run.id
        again = http.get(f"/wb/run/{run.id}.json", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        table = http.get(f"/wb/run/{run.id}.csv")
        assert table.headers["content-type"].startswith("text/csv")
        assert table.text.splitlines()[0] == "run,engine,seed,series,name,step,time_s,value"
        assert {line.split(",")[3] for line in table.text.splitlines()[1:]} == {"Ours", "Base"}
        assert [row["id"] for row in http.get("/wb/runs.json?engine=fixture&limit=1").json()] == [run.id]
        assert "fixture" in {engine["key"] for engine in http.get("/wb/engines.json").json()}
        for bad in ("run/x.json", f"run/{run.id}.xml", f"run/{'0' * 26}.json"):
            assert http.get(f"/wb/{bad}").status_code == 404
        for bad in ("limit=0", "limit=501", "limit=x", "status=lost"):
            assert http.get(f"/wb/runs.json?{bad}").status_code == 422


def test_agents_find_the_same_functions_as_tools(address: tuple[str, Path]) -> None:
    """An MCP client lists the public endpoints and drives a run with them."""
    pytest.importorskip("mcp", reason="the extra mcp is not installed")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk() -> tuple[set[str], Any, Any]:
        async with (
            streamable_http_client(f"{address[0]}/gradio_api/mcp/") as (reading, writing, *_),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("start_run"))
            assert "Record a run and start it" in (tools[name].description or "")
            asked = {"engine": "fixture", "values": {"steps": 3}, "preset": "smoke", "seed": 1}
            started = await session.call_tool(name, asked)
            refused = await session.call_tool(name, {**asked, "values": {"steps": 0}})
            return set(tools), started, refused

    tools, started, refused = apart(talk)
    public = {name.strip("/") for name in json.loads(SURFACE.read_text("utf-8"))["endpoints"]}
    assert {next(end for end in public if tool.endswith(end)) for tool in tools} == public
    assert not started.isError
    assert (
        '"engine": "fixture"' in started.content[0].text or "'engine': 'fixture'" in started.content[0].text
    )
    assert refused.isError
    assert "steps must be" in refused.content[0].text


def surface(workbench: Workbench) -> dict[str, Any]:
    """All that others may build on: endpoints with their parameters, addresses, names for Python."""

    async def make() -> Any:
        return app.build(workbench)

    endpoints = apart(make).get_api_info()["named_endpoints"]
    # wb/library and wb/login are asked by the page's own script, fonts and scripts belong to it: none is promised.
    promised = re.compile(r"/wb/(run|runs|sweep|engines|export|artifact|upload)\b")
    routes = {route.path for route in app.routes(workbench) if promised.match(route.path)}
    return {
        "endpoints": {
            name: [[one["parameter_name"], one["python_type"]["type"]] for one in info["parameters"]]
            for name, info in sorted(endpoints.items())
        },
        "addresses": sorted(routes),
        "python": {
            "workbench": sorted(package.__all__),
            **{
                f"workbench.remote.{kind.__name__}": {
                    name: str(inspect.signature(member))
                    for name, member in sorted(vars(kind).items())
                    if not name.startswith("_") and inspect.isfunction(member)
                }
                for kind in (remote.Remote, remote.RemoteRun, remote.RemoteSweep)
            },
            "workbench.record": str(inspect.signature(package.record)),
            "workbench.connect": str(inspect.signature(package.connect)),
        },
    }


def test_the_public_surface_changes_only_on_purpose(workbench: Workbench) -> None:
    """What is public is written down; who changes it changes this file too, and docs/api.md:

    python -m pytest tests/ui/test_remote.py -k surface   (with UPDATE_SURFACE=1 it is written anew)"""
    found = json.loads(json.dumps(surface(workbench)))
    if os.environ.get("UPDATE_SURFACE"):
        SURFACE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert found == json.loads(SURFACE.read_text("utf-8"))
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    for name in (
        *found["endpoints"],
        *(path for path in found["addresses"] if "run" in path or "export" in path),
    ):
        assert name.split("{")[0].strip("/") in text, f"docs/api.md does not know {name}"


def test_what_code_outside_records_is_a_run_like_any_other(
    home: Path, fixture_catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.outside.Catalog.load", lambda: fixture_catalog)
    with package.record("my engine", {"rate": 0.1}, seed=4, tags=["mine"]) as run:
        for step in range(5):
            run.scalar("loss", 1.0 / (step + 1))
        run.scalars({"accuracy": 0.5}, step=10, series="test")
        run.picture("sample", np.zeros((4, 6, 3), np.uint8))
        run.array("spectrum", np.eye(3))
        run.table("result", ["who", "loss"], [["me", 0.2]])
        run.text("summary", "fine")
        run.alert("end", "That was all.")
        run.progress(5, 5)
        assert not run.stop_requested
    with Workbench.open(Settings.from_environment(), fixture_catalog) as bench:
        record = bench.record(run.id)
        assert (record.run.status, record.run.engine, record.run.seed) == (Status.finished, "my engine", 4)
        assert record.points("run", "loss").values.tolist() == [1.0 / (step + 1) for step in range(5)]
        assert record.points("run", "loss").steps.tolist() == [0, 1, 2, 3, 4]
        assert {one.name for one in record.pictures()} == {"sample"}
        _the_page_shows_it(bench, run.id)
        exported = home / "out.zip"
        from storage import export_bundle

        export_bundle(bench.store, [run.id], exported)


def _the_page_shows_it(bench: Workbench, run_id: str) -> None:
    from ui.library import compare, listing
    from ui.page import Page

    answer = Page(bench).go(f"?run={run_id}", "local")
    assert (answer.place.kind, answer.messages[0]["search"]) == ("library", f"?compare={run_id}")  # type: ignore[union-attr]
    found = compare.answer(bench, [run_id])
    assert "loss" in found["figures"]
    assert "my engine" in found["html"]
    assert f"?compare={run_id}" in listing.answer(bench, {})["html"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295; got -1."),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"tags": ["a,b"]}, "A tag must have 1 to 64 characters and no comma; got 'a,b'."),
        ({"params": {"rate": 1, "data": Path("x")}}, r"params\['data'\] must be made of .* got a PosixPath"),
        ({"params": {"deep": {"er": [np.zeros(3)]}}}, r"params\['deep'\] .* got a ndarray"),
        ({"params": {3: 1}}, "name of a parameter must be a text; got 3"),
    ],
)
def test_what_outside_code_cannot_say_is_named(
    home: Path, fixture_catalog: Any, monkeypatch: pytest.MonkeyPatch, options: Any, sentence: str
) -> None:
    monkeypatch.setattr("workbench.outside.Catalog.load", lambda: fixture_catalog)
    with pytest.raises(package_errors(), match=sentence), package.record("mine", **options):
        pass
    with Workbench.open(Settings.from_environment(), fixture_catalog) as bench:
        assert bench.runs().total == 0


def test_one_tag_no_seed_and_nothing_after_the_end(
    home: Path, fixture_catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.outside.Catalog.load", lambda: fixture_catalog)
    with package.record(
        "mine", {"rate": np.float32(0.5), "size": np.int64(3)}, seed=None, tags="single"
    ) as run:
        run.scalar("loss", 1.0)
    for late in (lambda: run.scalar("loss", 0.5), lambda: run.text("a", "b"), lambda: run.progress(1, 2)):
        with pytest.raises(package_errors(), match="is over; record inside the with block"):
            late()
    with Workbench.open(Settings.from_environment(), fixture_catalog) as bench:
        kept = bench.run(run.id)
        assert (kept.seed, kept.tags, kept.params) == (0, ("single",), {"rate": 0.5, "size": 3})


def test_how_outside_code_ends_is_recorded(
    home: Path, fixture_catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.outside.Catalog.load", lambda: fixture_catalog)
    ids = []

    def code(error: BaseException) -> None:
        with package.record("mine") as run:
            ids.append(run.id)
            run.scalar("loss", float("nan"))
            raise error

    with pytest.raises(ZeroDivisionError):
        code(ZeroDivisionError(f"in {home}"))
    with pytest.raises(KeyboardInterrupt):
        code(KeyboardInterrupt())
    with Workbench.open(Settings.from_environment(), fixture_catalog) as bench:
        failed, stopped = (bench.record(one) for one in ids)
        assert (failed.run.status, failed.run.error_kind) == (Status.failed, "ZeroDivisionError")
        assert str(home) not in failed.run.error
        assert "Traceback" in failed.texts()["traceback"]
        assert len(failed.alerts()) == 1, "a NaN is told"
        assert stopped.run.status is Status.cancelled
        with package.record("mine") as run:
            bench.cancel(run.id)
            while not run.stop_requested:
                pass
        assert bench.run(run.id).status is Status.cancelled
    for name in ("fixture", "", "a/b", "x" * 81):
        with pytest.raises(package_errors()), package.record(name):
            pass


def package_errors() -> type[Exception]:
    from workbench.errors import UsageError

    return UsageError
