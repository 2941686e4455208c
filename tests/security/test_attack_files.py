"""Reaching for files of the server: through every address, by every spelling, and through what is answered."""

from __future__ import annotations

import asyncio
import dataclasses
import platform
import re
from collections.abc import Callable
from typing import Any

import pytest

from ui import app
from workbench.access import NOBODY, Demo

CLIMBS = (
    "../workbench.sqlite", "..%2fworkbench.sqlite", "..%252fworkbench.sqlite", "%2e%2e/workbench.sqlite",
    "..\\workbench.sqlite", "....//workbench.sqlite", "/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd",
    "..%c0%afworkbench.sqlite", "\u2025/workbench.sqlite", "C:%5cwindows%5cwin.ini", "%00workbench.sqlite",
)  # fmt: skip
BASES = (
    "/wb/artifact/", "/wb/export/", "/wb/run/", "/wb/sweep/", "/wb/library/", "/wb/fonts/", "/wb/", "/", "/static/", "/assets/", "/svelte/",
    "/gradio_api/file=", "/gradio_api/file/", "/file=", "/gradio_api/proxy=", "/gradio_api/stream/",
    "/gradio_api/custom_component/x/client/component/", "/gradio_api/deep_link?session_hash=", "/gradio_api/vibe-code/",
    "/monitoring/", "/gradio_api/run-history/", "/gradio_api/upload_progress?upload_id=",
)  # fmt: skip
LOOT = (b"SQLite format 3", b"root:", b"[fonts]", b"import ")


def test_no_address_leads_to_a_file_of_the_server(demo: Any, guest: Callable[..., Any]) -> None:
    """The database, the system's files and the working folder, by every climb at every base."""
    one = guest()
    paths = [
        str(demo.home / "workbench.sqlite"),
        str(demo.home),
        "workbench/settings.py",
        "pyproject.toml",
        *CLIMBS,
    ]
    for base in BASES:
        for climb in paths:
            answer = one.http.get(base + climb)
            seen = f"{base}{climb} gave {answer.status_code}"
            assert not any(loot in answer.content for loot in LOOT) or base == "/", seen
            # A page may answer with itself (Gradio's root takes any query), never with what was asked for.
            assert (
                answer.status_code in (400, 403, 404, 405, 422)
                or b"<!doctype html>" in answer.content.lower()
            ), seen
            assert str(demo.home).encode() not in answer.content, seen


@pytest.mark.parametrize(
    "path",
    ["upload", "file=x", "proxy=http://x", "component_server", "process_recording", "stream/x", "vibe-edit"],
)
def test_addresses_of_gradio_that_the_page_does_not_use_are_not_there(
    path: str, guest: Callable[..., Any]
) -> None:
    one = guest()
    files = {"files": ("evil.html", b"<script>alert(1)</script>", "text/html")}
    assert one.http.post(f"/gradio_api/{path}", files=files).status_code == 404
    assert one.http.get(f"/gradio_api/{path}").status_code == 404


def test_no_answer_names_a_path_a_traceback_or_the_environment(demo: Any, guest: Callable[..., Any]) -> None:
    """A run that fails over a path of the server, asked for in every way there is."""
    one = guest()
    run = one.call("start_run", "fixture", {"mode": "fail"}, "smoke", 1)
    assert one.ended(run["id"])["status"] == "failed"
    answers = [str(one.call(name, run["id"])) for name in ("run_status", "show_run", "cancel_run")]
    answers += [
        one.http.get(f"/wb/export/{run['id']}.json").text,
        one.http.get(f"/wb/export/{run['id']}.csv").text,
    ]
    answers += [
        str(one.call("list_runs", "", "", 50)),
        str(one.call("show_run", "../../x")),
        str(one.call("engines")),
    ]
    answers += [
        str(one.call("show_run", demo.published)),
        one.http.get(f"/wb/library/compare?ids={run['id']}").text,
    ]
    answers += [one.http.get(path).text for path in ("/", "/config", "/gradio_api/info", "/wb/library/runs")]
    answers += [one.http.get(f"/wb/run/{run}.json").text for run in (run["id"], demo.published)]
    answers += [one.http.get(path).text for path in ("/wb/runs.json", "/wb/engines.json")]
    answers += [one.http.get(f"/wb/library/{name}").text for name in ("claims", "claims.json")]
    answers += [one.http.get(f"/wb/library/sweep?id={found}").text for found in (run["id"], "../../x", "")]
    answers += [
        one.http.get(f"/wb/sweep/{found}").text for found in (f"{run['id']}.json", "../../x", "x.json")
    ]
    answers.append(one.http.post("/wb/inquiry", json={"run": run["id"], "question": "../../x"}).text)
    bundle = one.http.get(f"/wb/export/{run['id']}.zip").content
    answers += _members(bundle)
    for search in (f"?run={run['id']}", f"?run={demo.published}"):
        answers.append(str(one.page("go", {"search": search, "id": 1})))
    answers.append(str(one.page("act", {"do": "follow", "run": run["id"], "since": 0})))
    assert any("ZeroDivisionError" in answer for answer in answers), "the failure itself is told"
    for answer in answers:
        assert str(demo.home) not in answer
        assert demo.home.name not in answer
        assert "Traceback" not in answer
        assert "A_TOKEN_OF_THE_OWNER" not in answer
        assert demo.environment["A_TOKEN_OF_THE_OWNER"] not in answer
        assert not re.search(rf"\b{re.escape(platform.node())}\b", answer), "the name of the machine"
        assert not re.search(r'"(environment|owner)": [^{n]|"environment": \{"', answer)


def test_guests_are_not_told_what_is_broken_here(access: Demo) -> None:
    """An engine that cannot be loaded is its owner's to know, on Home and on the page as it is served."""
    from types import MappingProxyType

    from ui.page import Page
    from ui.visitors import House
    from workbench.access import OWNER

    words = "loku from engines.language.loku cannot be used: importing it failed."
    catalog = dataclasses.replace(access.workbench.catalog, broken=MappingProxyType({"loku": words}))
    access.workbench.catalog = catalog
    page = Page(access.workbench, access)
    told = [
        words in str(page.act({"do": "home"}, viewer).messages) for viewer in (OWNER, "visitor-a", NOBODY)
    ]
    assert told == [True, False, False]

    async def built(house: House | None) -> str:
        return str(app.build(access.workbench, house).config)

    # Inside an event loop: without one Gradio opens loops of its own and leaves them open.
    assert [words in asyncio.run(built(house)) for house in (None, House(access))] == [True, False]


def _members(bundle: bytes) -> list[str]:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return [
            archive.read(name).decode("utf-8", "replace")
            for name in archive.namelist()
            if name.endswith(".json")
        ]


def test_a_faulty_request_is_told_without_its_inside(guest: Callable[..., Any]) -> None:
    """Bodies that no handler expects: the answer is an error, and nothing of where it happened."""
    one = guest()
    for name in ("start_run", "series", "list_runs", "act", "go", "export_run"):
        for data in ([], [None] * 4, [{"a": [1] * 50}], [["x"]], [1e308, -1, "\x00", {}], "nonsense"):
            answer = one.http.post(f"/gradio_api/call/{name}", json={"data": data})
            if answer.status_code == 200:
                answer = one.http.get(f"/gradio_api/call/{name}/{answer.json()['event_id']}")
            assert not re.search(r"Traceback|\.py\b|/site-packages|File \"", answer.text), (
                name,
                data,
                answer.text,
            )


def test_every_route_of_ours_is_known_to_these_tests(access: Demo) -> None:
    """A new address must be attacked before it is served: whoever adds one adds it here."""
    from ui.visitors import House

    house = House(access)
    found = {re.sub(r"fonts/.*", "fonts/", route.path) for route in app.routes(access.workbench, house)}
    assert found == {
        "/wb/plotly.min.js", "/wb/icon.svg", "/wb/fonts/", "/wb/page.js", "/wb/artifact/{hash}", "/wb/upload",
        "/wb/follow", "/wb/run/{name}", "/wb/runs.json", "/wb/engines.json", "/wb/library/runs", "/wb/library/compare", "/wb/library/import", "/wb/library/claims", "/wb/library/claims.json",
            "/wb/library/sweep",
        "/wb/sweep/{name}", "/wb/inquiry", "/wb/library/{what}", "/wb/export/{name}",
    }  # fmt: skip
