"""Journeys through the Library: find, annotate, compare, export, delete, import."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]


def row(page: Page, run_id: str) -> Any:
    return page.locator(f'tr[data-run="{run_id}"]')


def test_export_delete_import_gives_the_same_record(visit: Visit, served: Any, tmp_path: Path) -> None:
    made = served.run("--seed", "11")
    page = visit("?view=library")
    with page.expect_download() as first:
        row(page, made["id"]).get_by_text("Export").click()
    before = tmp_path / "before.zip"
    first.value.save_as(before)
    row(page, made["id"]).get_by_role("button", name="Delete").click()
    page.locator("dialog button[value=yes]").click()
    expect(row(page, made["id"])).to_have_count(0)
    page.locator('[data-lib="file"]').set_input_files(before)
    expect(row(page, made["id"])).to_be_visible()
    with page.expect_download() as second:
        row(page, made["id"]).get_by_text("Export").click()
    after = tmp_path / "after.zip"
    second.value.save_as(after)
    assert _members(before) == _members(after)


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def test_a_damaged_bundle_is_refused_with_a_sentence(visit: Visit, tmp_path: Path) -> None:
    page = visit("?view=library")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 this is no bundle")
    page.on("response", lambda _: None)
    with page.expect_response(lambda reply: "library/import" in reply.url) as answer:
        page.locator('[data-lib="file"]').set_input_files(broken)
    assert answer.value.status == 422
    expect(page.locator(".wb-lib-notice")).to_be_visible()


def test_tags_and_notes_are_shown_as_text_never_as_html(visit: Visit, served: Any) -> None:
    made = served.run("--seed", "12")
    page = visit("?view=library")
    row(page, made["id"]).get_by_role("button", name="Tags and note").click()
    nasty = "<img src=x onerror=window.hacked=1>"
    page.locator("dialog input").fill(nasty)
    page.locator("dialog textarea").fill(nasty)
    page.locator("dialog button[value=yes]").click()
    expect(row(page, made["id"]).locator(".wb-chip")).to_have_text(nasty)
    expect(row(page, made["id"]).locator(".wb-lib-note")).to_have_text(nasty)
    assert page.evaluate("window.hacked") is None
    page.locator('[data-lib="text"]').fill("onerror")
    expect(page.locator("tr[data-run]")).to_have_count(1)
    page.locator('[data-lib="text"]').fill("no such run at all")
    expect(page.locator(".wb-lib-rows .wb-empty")).to_be_visible()


def test_compare_shows_what_differs_and_overlays_the_curves(visit: Visit, served: Any) -> None:
    ids = [served.run("--seed", seed, "--set", f"rate={rate}")["id"] for seed, rate in (("1", "0.5"), ("2", "0.5"), ("1", "0.25"))]  # fmt: skip
    page = visit("?view=library")
    for run_id in ids:
        row(page, run_id).locator("input[type=checkbox]").check()
    page.locator('[data-lib-do="compare"]').click()
    differs = page.locator(".wb-lib-diff").first
    expect(differs).to_contain_text("rate")
    expect(differs.locator("tr.wb-same").first).to_be_hidden()
    page.locator('[data-lib-do="same"]').click()
    expect(differs.locator("tr.wb-same").first).to_be_visible()
    expect(page.locator("[data-compare-figure] .js-plotly-plot").first).to_be_visible()
    expect(page.locator(".wb-lib-cut").first).to_be_visible()
    assert all(run_id in page.url for run_id in ids)


def test_a_picture_dropped_on_the_library_rebuilds_the_form(
    visit: Visit, served: Any, tmp_path: Path
) -> None:
    made = served.run("--seed", "13", "--set", "steps=7")
    page = visit(f"?run={made['id']}")
    source = page.locator('[data-part="pictures"] img').first.get_attribute("src")
    assert source is not None
    picture = tmp_path / "picture.png"
    picture.write_bytes(page.request.get(f"{served.url}{source}").body())
    page.goto(f"{served.url}?view=library")
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    page.locator('[data-lib="file"]').set_input_files(picture)
    form = page.locator('.wb-bench[data-engine="fixture"]')
    expect(form.locator('[name="steps"]')).to_have_value("7")
    expect(form.locator('[name="seed"]')).to_have_value("13")


def test_sorting_and_filters_ask_the_server(visit: Visit, served: Any) -> None:
    served.run("--seed", "901")
    page = visit("?view=library")
    page.locator('[data-order="seed"]').click()
    expect(page.locator("tr[data-run]").first.locator('[data-label="Seed"]')).to_have_text("901")
    page.locator('[data-lib="status"]').select_option("failed")
    expect(page.locator(".wb-lib-rows .wb-empty")).to_be_visible()


def test_a_picture_of_another_program_fills_a_form(visit: Visit, tmp_path: Path) -> None:
    """A1111's record: prompt and seed into the image engine that takes most, what was left is said."""
    a1111(tmp_path / "a1111.png")
    page = visit("?view=library")
    page.locator('[data-lib="file"]').set_input_files(tmp_path / "a1111.png")
    notice = page.locator("#wb-page-notice")
    expect(notice).to_contain_text("Read from A1111's record")
    expect(notice).to_contain_text("Not taken: the negative prompt")
    assert notice.locator("img").count() == 0
    expect(page.locator('[data-field="prompt"] :is(input, textarea):visible').first).to_have_value(
        "two green triangles"
    )


def a1111(path: Path) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(
        "parameters", "two green triangles\nNegative prompt: <img src=x>\nSteps: 20, Seed: 77, CFG scale: 3"
    )
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)


DROP = """
([selector, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.querySelector(selector).dispatchEvent(
      new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
}
"""


def test_a_picture_dropped_on_an_open_tab_fills_its_form(visit: Visit, tmp_path: Path) -> None:
    a1111(tmp_path / "a1111.png")
    page = visit("?engine=reno")
    place = '.wb-bench[data-engine="reno"]'
    data = base64.b64encode((tmp_path / "a1111.png").read_bytes()).decode()
    page.evaluate(DROP, [f"{place} .wb-stage", "a1111.png", "image/png", data])
    notice = page.locator("#wb-page-notice")
    expect(notice).to_contain_text("Read from A1111's record into ReNO")
    bench = page.locator(place)
    expect(bench.locator('[name="seed"]')).to_have_value("77")
    page.evaluate(DROP, [f"{place} .wb-stage", "loss.csv", "text/csv", data])
    expect(notice).to_contain_text("loss.csv is no PNG")
