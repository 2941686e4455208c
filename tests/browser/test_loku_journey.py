"""A reader makes a model forget, sees one answer change, asks the models a question, and has their weights deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

WAIT_MS = 240_000
"""Loading torch, transformers and peft into a fresh worker takes a while on a busy machine."""
Visit = Callable[..., Page]


def part(page: Page, name: str) -> Any:
    return page.locator(f'.wb-bench[data-engine="loku"] [data-part="{name}"]')


@pytest.mark.timeout(600)
def test_forget_watch_a_probe_ask_and_delete(visit: Visit) -> None:
    page = visit("?engine=loku&preset=smoke")
    bench = page.locator('.wb-bench[data-engine="loku"]')
    bench.locator('[data-do="run"]').click()
    state = part(page, "status").locator(".wb-state")
    expect(state).to_have_attribute("data-state", "finished", timeout=WAIT_MS)
    probes = part(page, "lead").locator("section", has_text="Probes").first
    expect(probes.locator("th", has_text="IHL + FILA")).to_be_visible()
    cells = probes.locator("tbody tr").first.locator("td")
    question, before = cells.nth(1).inner_text(), cells.nth(3)
    expect(before).to_have_attribute("data-overlap", "4")
    expect(bench.locator('[data-figure="path"] .js-plotly-plot')).to_be_visible()

    asked = part(page, "inquiry").locator("form")
    asked.locator("input").fill(question)
    asked.locator("input").press("Enter")
    told = part(page, "inquiry").locator(".wb-told")
    expect(told.locator("tbody tr").first).to_contain_text(before.inner_text(), timeout=WAIT_MS)
    expect(told.locator("tbody tr")).to_have_count(5)  # before, IHL + FILA, IHL, GA, GradDiff

    page.wait_for_url(re.compile(r"\?run="))
    again = visit("?" + page.url.rpartition("?")[2])
    forget = part(again, "inquiry").locator('[data-do="forget_kept"]')
    forget.click()
    forget.click()
    expect(part(again, "inquiry")).to_be_hidden()
    expect(part(again, "status").locator(".wb-state")).to_have_attribute("data-state", "finished")
