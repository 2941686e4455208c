"""A report opens from a folder, without a network, draws its figures, and prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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
    opened(chromium, path)


@pytest.mark.parametrize("kind", ["comparison", "sweep"])
def test_a_comparison_and_a_sweep_open_offline_too(
    served: Any, chromium: Any, tmp_path: Path, kind: str
) -> None:
    if kind == "sweep":
        words = ("--preset", "smoke", "--over", "steps=2,4", "--over", "mode=plain,nan", "--seeds", "2")
        ids = [served.command("sweep", "fixture", *words)["sweep"]["id"]]
    else:
        ids = [
            served.run("--preset", "smoke", "--seed", str(seed), "--set", f"steps={steps}")["id"]
            for seed, steps in ((1, 3), (1, 5), (2, 5))
        ]
    path = tmp_path / f"{kind}.html"
    served.command("export", *ids, "--to", str(path))
    opened(chromium, path)


def opened(chromium: Any, path: Path) -> None:
    """The file opens without a network, draws its figures, prints, and whatever can be pressed in it answers."""
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
        assert deaf(context, alone) == []
        assert alone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert len(alone.pdf(format="A4")) > 20_000
        assert not faults
    finally:
        context.close()


def deaf(context: Any, page: Page) -> list[str]:
    """Buttons and inputs that nothing listens to. Only the developer's console of a browser can tell."""
    listening = """
        [...document.querySelectorAll("button, input, select")]
            .filter((node) => !Object.keys(getEventListeners(node)).length)
            .map((node) => node.outerHTML)
    """
    asked = {"expression": listening, "includeCommandLineAPI": True, "returnByValue": True}
    return list(context.new_cdp_session(page).send("Runtime.evaluate", asked)["result"]["value"])
