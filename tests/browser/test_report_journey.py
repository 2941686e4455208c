"""A report opens from a folder, without a network, draws its figures, and prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

Visit = Callable[..., Page]


def test_a_report_is_taken_from_a_run_and_opens_offline(
    visit: Visit, served: Any, chromium: Any, tmp_path: Path
) -> None:
    made = served.run("--seed", "5")
    page = visit(f"?run={made['id']}")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Report").first.click()
    path = tmp_path / "run.html"
    taken.value.save_as(path)
    context = chromium.new_context(offline=True)
    try:
        alone = context.new_page()
        faults: list[str] = []
        alone.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        alone.on("pageerror", lambda error: faults.append(str(error)))
        alone.goto(path.as_uri())
        alone.wait_for_selector("html[data-ready='1']")
        frames = alone.locator("[data-figure]")
        assert frames.count() > 0
        assert alone.locator("[data-figure] svg.main-svg").count() >= frames.count()
        assert len(alone.pdf(format="A4")) > 20_000
        assert not faults
    finally:
        context.close()
