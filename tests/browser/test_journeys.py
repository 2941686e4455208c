"""Whole journeys of a reader on an engine's tab, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
ENGINE = "?engine=fixture"


def bench(page: Page) -> Any:
    return page.locator('.wb-bench[data-engine="fixture"]')


def state(page: Page) -> Any:
    return bench(page).locator('[data-part="status"] .wb-state')


def fill(page: Page, **values: str) -> None:
    """Type values into the form's fields by name."""
    for name, value in values.items():
        field = bench(page).locator(f'[name="{name}"]')
        field.fill(value)
        field.blur()


def start(page: Page, **values: str) -> None:
    fill(page, **values)
    bench(page).locator('[data-do="run"]').click()


def test_a_run_from_the_first_click_to_the_claims(visit: Visit) -> None:
    """Home, the paper's card, Run: the page follows to the end and shows claims and pictures."""
    page = visit()
    page.locator('#wb-home a[href*="engine=fixture"]').first.click()
    expect(bench(page)).to_be_visible()
    bench(page).locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    expect(bench(page).locator(".wb-claims")).to_contain_text("holds")
    expect(bench(page).locator('[data-part="pictures"] img').first).to_be_visible()
    expect(bench(page).locator(".wb-frame .js-plotly-plot").first).to_be_visible()
    assert re.search(r"\?run=[0-9a-z]{26}$", page.url)


def test_reload_in_the_middle_and_a_second_browser_see_the_same_run(visit: Visit) -> None:
    """The run goes on without a page; a reload and another browser find it by its address and can end it."""
    page = visit(ENGINE)
    start(page, steps="400", pause_s="0.1")
    expect(state(page)).to_have_attribute("data-state", "running")
    page.wait_for_url(re.compile(r"\?run="))
    address = page.url.rpartition("?")[2]
    page.reload()
    expect(state(page)).to_have_attribute("data-state", "running")
    expect(bench(page).locator('[name="steps"]')).to_have_value("400")
    other = visit(f"?{address}")
    expect(state(other)).to_have_attribute("data-state", "running")
    other.keyboard.press("Escape")
    for seen in (other, page):
        expect(state(seen)).to_have_attribute("data-state", "cancelled")


def test_stop_keeps_what_there_is(visit: Visit) -> None:
    """Ctrl+Enter runs; Stop ends the run and its curves stay on the page."""
    page = visit(ENGINE)
    fill(page, steps="400", pause_s="0.1")
    page.keyboard.press("Control+Enter")
    expect(state(page)).to_have_attribute("data-state", "running")
    expect(bench(page).locator(".wb-frame .js-plotly-plot").first).to_be_visible()
    bench(page).locator('[data-do="stop"]').first.click()
    expect(state(page)).to_have_attribute("data-state", "cancelled")
    expect(bench(page).locator(".wb-frame .js-plotly-plot").first).to_be_visible()


def test_an_invalid_field_is_told_at_the_field_and_nothing_is_recorded(visit: Visit) -> None:
    page = visit(ENGINE)
    start(page, steps="0")
    field = bench(page).locator('[data-field="steps"]')
    expect(field.locator(".wb-error")).to_have_text(re.compile("steps must be a whole number from 1 to"))
    expect(field.locator('[name="steps"]')).to_have_attribute("aria-invalid", "true")
    assert "run=" not in page.url
    start(page, steps="3")
    expect(state(page)).to_have_attribute("data-state", "finished")
    expect(field.locator(".wb-error")).to_be_hidden()


def test_a_failed_run_says_why(visit: Visit) -> None:
    page = visit(ENGINE)
    bench(page).locator('[name="mode"]').select_option("fail")
    bench(page).locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "failed")
    expect(bench(page).locator('[data-part="notice"]')).to_be_visible()


def test_an_unknown_run_has_a_kind_answer(visit: Visit) -> None:
    page = visit("?run=00000000000000000000000000")
    expect(page.locator("#wb-page-notice")).to_be_visible()


def test_a_phone_has_no_sideways_scroll_and_run_within_reach(visit: Visit) -> None:
    for search in ("", ENGINE, "?view=library"):
        page = visit(search, width=390, height=844, scheme="dark")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{search or 'home'} is {wide} px too wide"
    phone = visit(ENGINE, width=390, height=844)
    button = bench(phone).locator('[data-do="run"]')
    expect(button).to_be_in_viewport()
    button.click()
    expect(state(phone)).to_have_attribute("data-state", "finished")
