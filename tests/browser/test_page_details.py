"""What a reader takes for granted: keys, the address, figures that keep what one chose, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]


def bench(page: Page) -> Any:
    return page.locator('.wb-bench[data-engine="fixture"]')


def state(page: Page) -> Any:
    return bench(page).locator('[data-part="status"] .wb-state')


def test_a_figure_keeps_its_element_while_the_run_goes_on(visit: Visit) -> None:
    page = visit("?engine=fixture")
    bench(page).locator('[name="steps"]').fill("200")
    bench(page).locator('[name="pause_s"]').fill("0.1")
    page.keyboard.press("Control+Enter")
    plot = bench(page).locator(".js-plotly-plot").first
    expect(plot).to_be_visible()
    plot.evaluate("node => { node.dataset.mine = 'kept'; }")
    before = plot.evaluate("node => node._fullData[0].x.length")
    page.wait_for_function(
        "before => document.querySelector('.js-plotly-plot')._fullData[0].x.length > before + 5", arg=before
    )
    expect(plot).to_have_attribute("data-mine", "kept")
    page.keyboard.press("Escape")
    expect(state(page)).to_have_attribute("data-state", "cancelled")


def test_the_form_by_keyboard_and_by_address(visit: Visit) -> None:
    """An address fills the form; the arrow keys step a number; a preset takes edits back."""
    page = visit("?engine=fixture&preset=smoke")
    steps = bench(page).locator('[name="steps"]')
    expect(steps).to_have_value("3")
    steps.focus()
    page.keyboard.press("ArrowUp")
    expect(steps).to_have_value("4")
    reset = bench(page).locator('[data-do="reset"]')
    expect(reset).to_be_visible()
    reset.click()
    expect(steps).to_have_value("3")
    bench(page).locator('[data-do="command"]').click()
    expect(bench(page).locator("[data-command]")).to_contain_text("workbench run fixture --preset smoke")
    steps.fill("5")
    steps.blur()
    expect(bench(page).locator("[data-command]")).to_contain_text("--set steps=5")


def test_a_finished_run_is_forked_and_its_pictures_enlarged(visit: Visit) -> None:
    page = visit("?engine=fixture&preset=smoke")
    bench(page).locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    parent = page.url.rpartition("=")[2]
    bench(page).locator('[data-do="fork"]').click()
    expect(bench(page).locator('[data-part="notice"]')).to_contain_text("as its parent")
    bench(page).locator('[name="rate"]').fill("0.25")
    bench(page).locator('[data-do="run"]').click()
    page.wait_for_url(lambda address: "run=" in address and parent not in address)
    expect(state(page)).to_have_attribute("data-state", "finished")
    slider = bench(page).locator('.wb-strip-control input[type="range"]').first
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(bench(page).locator(".wb-strip-control output").first).to_have_text("1")
    bench(page).locator(".wb-canvas").first.click()
    box = page.locator("dialog.wb-lightbox")
    expect(box).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(state(page)).to_have_attribute("data-state", "finished")


def test_back_and_forward_lead_through_what_was_seen(visit: Visit) -> None:
    page = visit()
    page.locator('#wb-home a[href*="engine=fixture"]').first.click()
    expect(bench(page)).to_be_visible()
    page.wait_for_url(re.compile("engine=fixture"))
    page.locator('[data-tab-id="library"]').click()
    page.wait_for_url(re.compile("view=library"))
    page.go_back()
    expect(bench(page)).to_be_visible()
    page.go_back()
    expect(page.locator("#wb-home h1")).to_be_visible()
    page.go_forward()
    expect(bench(page)).to_be_visible()


def test_the_chosen_scheme_is_kept(visit: Visit) -> None:
    page = visit()
    page.locator("#wb-scheme button").click()
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    page.reload()
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
