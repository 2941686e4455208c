"""A reader watches a policy learn, asks for an audit in the middle, stops, and finds all of it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]


def figure(page: Page, key: str) -> Any:
    return page.locator(f'.wb-bench[data-engine="oblr_po"] [data-figure="{key}"]')


def test_run_watch_audit_stop_reopen(visit: Visit) -> None:
    page = visit("?engine=oblr_po")
    bench = page.locator('.wb-bench[data-engine="oblr_po"]')
    state = bench.locator('[data-part="status"] .wb-state')
    bench.locator('[name="steps"]').fill("2000")
    bench.locator('[name="steps"]').blur()
    bench.locator('[data-do="run"]').click()
    expect(figure(page, "snr").locator(".js-plotly-plot")).to_be_visible()
    audits = figure(page, "audit").locator("input[type=range]")
    bench.locator('[data-what="audit"]').click()
    expect(figure(page, "audit").locator(".js-plotly-plot")).to_be_visible()
    expect(
        audits
    ).to_be_visible()  # a second audit beside the planned first one: there is something to slide through
    expect(bench.locator('tr[data-judged="right"], tr[data-judged="wrong"]').first).to_be_visible()
    bench.locator('[data-do="stop"]').first.click()
    expect(state).to_have_attribute("data-state", "cancelled")
    page.wait_for_url(re.compile(r"\?run="))
    again = visit("?" + page.url.rpartition("?")[2])
    expect(
        again.locator('.wb-bench[data-engine="oblr_po"] [data-part="status"] .wb-state')
    ).to_have_attribute("data-state", "cancelled")
    expect(figure(again, "snr").locator(".js-plotly-plot")).to_be_visible()
    expect(figure(again, "audit").locator(".js-plotly-plot")).to_be_visible()
