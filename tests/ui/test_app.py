"""The page as a whole: what is public, what is private, what leaves the server and what does not."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from storage import RunQuery
from ui import app, engine_tab, theme
from ui.visitors import House
from workbench import sweeps
from workbench.event_files import EventWriter
from workbench.runs import Workbench
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan

PUBLIC = {
    "/start_run",
    "/start_sweep",
    "/run_status",
    "/series",
    "/cancel_run",
    "/list_runs",
    "/show_run",
    "/export_run",
    "/engines",
}


@pytest.fixture
def client(workbench: Workbench) -> Iterator[TestClient]:
    """The addresses under wb/."""
    with TestClient(Starlette(routes=app.routes(workbench))) as opened:
        yield opened


@pytest.fixture
def blocks(workbench: Workbench) -> Any:
    """The page, made inside an event loop: without one Gradio opens loops of its own and leaves them open."""

    async def make() -> Any:
        return app.build(workbench)

    return asyncio.run(make())


def test_exactly_the_deliberate_endpoints_are_public(blocks: Any) -> None:
    assert set(blocks.get_api_info()["named_endpoints"]) == PUBLIC
    assert blocks.get_api_info()["unnamed_endpoints"] == {}
    for name, info in blocks.get_api_info()["named_endpoints"].items():
        assert info["description"], f"{name} has no docstring"


def test_a_picture_of_another_program_fills_an_image_engines_form(workbench: Workbench) -> None:
    import io
    from dataclasses import replace

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from ui.address import parse
    from workbench.catalog import Catalog, Origin

    toy = workbench.catalog.engine("fixture")
    prompted = type("Prompted", (toy.params,), {"__annotations__": {"prompt": str}, "prompt": "a"})
    image = replace(toy, paper=replace(toy.paper, key="toy_images", family="images"), params=prompted)
    info = PngInfo()
    info.add_text(
        "parameters", "<b>a cat</b>\nSteps: 5, Sampler: Euler, CFG scale: 7, Seed: 9, Model: <i>x</i>"
    )
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=info)

    def answer() -> Any:
        with TestClient(Starlette(routes=app.routes(workbench))) as opened:
            return opened.post("/wb/library/import", content=buffer.getvalue(), headers={"x-workbench": "1"})

    refused = answer()
    assert refused.status_code == 422
    assert "no engine here makes pictures from prompts" in refused.json()["error"]
    workbench.catalog = Catalog.of([(image.key, image, Origin("a", "b", "1"))])
    said = answer().json()
    target = parse(said["go"])
    assert (target.kind, target.engine) == ("engine", "toy_images")
    assert target.filled == {"params": {"prompt": "<b>a cat</b>", "steps": 5}, "seed": 9, "preset": "default"}
    assert "&lt;b&gt;a cat&lt;/b&gt;" in said["note"]
    assert "<b>" not in said["note"]
    assert "<i>" not in said["note"]


def test_curves_of_elsewhere_come_in_through_the_library(
    workbench: Workbench, client: TestClient, tmp_path: Path
) -> None:
    """A CSV or an event file, told by its name, which is also what the run is called."""
    events = tmp_path / "events.out.tfevents.1"
    with EventWriter(events, 50.0) as writer:
        writer.scalar("loss", 1, 0.5, 51.0)

    def bring(data: bytes, name: str) -> Any:
        return client.post(
            "/wb/library/import", content=data, headers={"x-workbench": "1", "x-name": quote(name)}
        )

    for data, name, called in (
        (b"step,loss\n0,1\n1,0.5\n", "../\u00fcber/my curves.csv", "my curves"),
        (events.read_bytes(), events.name, "events"),
    ):
        [run_id] = bring(data, name).json()["ids"]
        record = workbench.record(run_id)
        assert record.run.params["name"] == called
        [info] = record.series()
        assert (info.name, info.last_value) == ("loss", 0.5)
    before = workbench.runs(RunQuery()).total
    for data, name in ((b"a,b\nx,y\n", "words.csv"), (b"nonsense", "a.tfevents.2"), (b"step,loss", "x.bin")):
        refused = bring(data, name)
        assert refused.status_code == 422
        assert str(tmp_path) not in refused.text
        assert "/tmp" not in refused.text
    assert workbench.runs(RunQuery()).total == before


def test_the_library_deletes_a_sweep_with_its_cells(workbench: Workbench, client: TestClient) -> None:
    made = sweeps.create(workbench, Plan("fixture", (Axis("steps", (2, 3)),), (0,), "smoke"))
    workbench.run_inline(made.run_ids[0])
    other = "z" * 26
    asked = {"ids": [made.run.id, made.run_ids[0], other]}
    answer = client.post("/wb/library/delete", json=asked, headers={"x-workbench": "1"}).json()
    assert set(answer["deleted"]) == {made.run.id, *made.run_ids}
    [refused] = answer["refused"]
    assert other in refused
    assert workbench.runs().total == 0


def test_a_run_that_is_deleted_while_it_is_exported_comes_whole(
    workbench: Workbench, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = importlib.import_module("ui.library.routes")
    run = workbench.create("fixture", preset="smoke", seed=1)
    workbench.run_inline(run.id)
    write = routes._written

    def write_and_lose(*arguments: Any) -> None:
        write(*arguments)
        workbench.delete(run.id)

    monkeypatch.setattr(routes, "_written", write_and_lose)
    reply = client.get(f"/wb/export/{run.id}.csv")
    assert (reply.status_code, reply.text[:3]) == (200, "run")
    assert f"fixture-{run.id}.csv" in reply.headers["content-disposition"]
    assert client.get(f"/wb/export/{run.id}.csv").status_code == 404


def test_the_page_has_no_timer_of_gradios(blocks: Any) -> None:
    """What goes on is asked for by the page's own script, and only while there is something to ask."""
    assert not [part for part in blocks.get_config_file()["components"] if part["type"] == "timer"]


def test_the_page_names_no_path_and_no_other_host(workbench: Workbench, blocks: Any) -> None:
    text = str(blocks.get_config_file()["components"])
    assert str(workbench.settings.home) not in text
    addresses = set(re.findall(r"(?:src|href)=\\?['\"](https?://[^/'\"]+)", text))
    assert addresses <= {"https://arxiv.org", "https://github.com"}
    assert "http" not in re.sub(r"https?://www\.w3\.org", "", theme.styles())


def test_an_artifact_is_served_by_its_hash_and_shown_only_as_a_picture(
    workbench: Workbench, client: TestClient
) -> None:
    png = workbench.store.artifacts.put(b"\x89PNG not really", "image/png", "a.png")
    page = workbench.store.artifacts.put(b"<script>alert(1)</script>", "text/html", "evil.html")
    shown = client.get(f"/wb/artifact/{png}")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in shown.headers
    taken = client.get(f"/wb/artifact/{page}?name=../../ü%0d%0ax.html")
    assert taken.headers["content-type"] == "application/octet-stream"
    assert taken.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert "/" not in taken.headers["content-disposition"].split("''")[1]
    assert "\n" not in taken.headers["content-disposition"]


@pytest.mark.parametrize("asked", ["0" * 64, "..%2f..%2fetc%2fpasswd", "A" * 64, "0" * 63, "%00"])
def test_what_is_no_artifact_is_not_found(client: TestClient, asked: str) -> None:
    answer = client.get(f"/wb/artifact/{asked}")
    assert answer.status_code == 404


def test_an_upload_is_stored_by_content(workbench: Workbench, client: TestClient) -> None:
    asked = {"X-Workbench": "1"}
    answer = client.post("/wb/upload?name=..%2fpic%20one.png", content=b"bytes", headers=asked)
    reference = answer.json()["ref"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}/[^/\\]+", reference)
    assert workbench.store.artifacts.read(reference[7:71]) == b"bytes"
    assert client.post("/wb/upload?name=a.png", content=b"bytes").status_code == 403
    assert client.post("/wb/upload", content=b"bytes", headers=asked).status_code == 403


def test_an_upload_has_a_limit(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House.own(workbench)
    monkeypatch.setattr(house.access, "max_upload_bytes", 4)
    with TestClient(Starlette(routes=app.routes(workbench, house))) as small:
        answer = small.post("/wb/upload?name=a", content=b"12345", headers={"X-Workbench": "1"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "name", ["page.js", "plotly.min.js", "icon.svg", "fonts/source-sans-3-latin-wght-normal.woff2"]
)
def test_our_files_are_served_to_be_kept(client: TestClient, name: str) -> None:
    answer = client.get(f"/wb/{name}")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]


def test_no_other_file_is_served(client: TestClient) -> None:
    for name in ("theme.py", "fonts/../../app.py", "css/base.css", ""):
        assert client.get(f"/wb/{name}").status_code == 404


def test_html_passes_through_gradios_template_engines_as_it_is() -> None:
    made = engine_tab.template("<p>\\ `x` ${1} {{y}}</p>")
    assert not set("\\`${}") & set(made)


def test_every_variable_of_the_theme_is_ours() -> None:
    """No colour of Gradio's own is left: each is a --wb-* variable or one of our plain ones."""
    text = theme.theme()._get_theme_css().split(theme.variables())[0]
    ours = re.compile(r"--wb-|transparent|none|^#")
    for name, value in re.findall(r"--([a-z-]*(?:color|fill)[a-z-]*): ([^;]+);", text):
        if name.startswith(("primary-", "secondary-", "neutral-")):
            continue
        assert ours.search(value) or value.startswith("var(--"), f"{name}: {value}"
