"""The claims board in the browser: reached from Home and from the Library, and its seeds lead to their runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]


def test_the_board_is_read_and_leads_to_runs(visit: Visit, served: Any) -> None:
    page = visit("")
    page.get_by_role("link", name="claims board").click()
    paper = page.locator('[data-paper="fixture"]')
    expect(paper).to_contain_text("workbench reproduce fixture")
    first = served.command("reproduce", "fixture", "--seeds", "2")["runs"][0]["id"]
    page.reload()
    expect(paper.locator(".wb-verdict").first).to_have_text("✓ holds")
    expect(paper).to_contain_text("±")
    paper.get_by_role("link", name="seed 0").click()
    page.wait_for_url(f"**?run={first}")
    page.go_back()
    expect(paper).to_be_visible()
    page.get_by_role("link", name="Back to all runs").first.click()
    expect(page.locator("tr[data-run]").first).to_be_visible()
    expect(paper).to_be_hidden()
    page.get_by_role("link", name="Claims board").click()
    expect(paper).to_be_visible()
    with page.expect_download() as taken:
        page.get_by_role("link", name="JSON").click()
    assert json.loads(taken.value.path().read_text())["papers"]
