"""A reader watches ReNO climb, drags the cut between before and after, stops another run in the middle, and goes on
from its noise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]


def bench(page: Page) -> Any:
    return page.locator('.wb-bench[data-engine="reno"]')


def state(page: Page) -> Any:
    return bench(page).locator('[data-part="status"] .wb-state')


def shots(page: Page, title: str) -> Any:
    return (
        bench(page).locator(".wb-block", has=page.locator("h3", has_text=title)).locator(".wb-shot img").first
    )


def test_a_first_visit_with_the_defaults(visit: Visit) -> None:
    """Images tab, Run: pictures come first, then curves, and at the end the claims."""
    page = visit()
    page.locator('#wb-home a[href*="engine=reno"]').first.click()
    bench(page).locator('[data-do="run"]').click()
    expect(shots(page, "Every iteration")).to_be_visible(
        timeout=120_000
    )  # torch and diffusers are imported first
    cut = bench(page).locator(".wb-cut input").first
    cut.fill("80")
    expect(bench(page).locator(".wb-split").first).to_have_attribute("style", re.compile("--cut: ?80%"))
    expect(bench(page).locator('[data-figure="reward"] .js-plotly-plot')).to_be_visible()
    expect(state(page)).to_have_attribute("data-state", "finished", timeout=240_000)
    expect(bench(page).locator(".wb-claims")).to_contain_text("holds")
    expect(shots(page, "Contenders")).to_be_visible()
    expect(shots(page, "The same noise in a many-step model")).to_be_visible()
    expect(bench(page).locator('[data-figure="histogram"] .js-plotly-plot')).to_be_visible()


def test_stop_keeps_the_best_so_far_and_the_noise_goes_on(visit: Visit) -> None:
    page = visit("?engine=reno")
    steps = bench(page).locator('[name="iterations"]')
    steps.fill("500")
    steps.blur()
    bench(page).locator('[data-do="run"]').click()
    files = bench(page).locator('[data-part="files"] a[href*="engine=reno"]')
    expect(files).to_be_visible(timeout=120_000)
    bench(page).locator('[data-do="stop"]').first.click()
    expect(state(page)).to_have_attribute("data-state", "cancelled")
    expect(shots(page, "Before and after")).to_be_visible()
    page.wait_for_url(re.compile(r"\?run="))
    again = visit("?" + page.url.rpartition("?")[2])
    expect(shots(again, "Before and after")).to_be_visible()
    again.locator('[data-part="files"] a[href*="engine=reno"]').click()
    expect(bench(again).locator('[data-field="noise"] [data-file-name]')).to_have_text("noise.safetensors")


def test_unknown_words_are_answered_at_the_prompt(visit: Visit) -> None:
    page = visit("?engine=reno")
    prompt = bench(page).locator('[name="prompt"]')
    prompt.fill("an astronaut")
    prompt.blur()
    error = bench(page).locator('[data-field="prompt"] .wb-error')
    expect(error).to_contain_text("circle, square, triangle")
    expect(error).to_contain_text("set model to sd-turbo")


def test_a_prompt_is_built_from_lists(visit: Visit) -> None:
    page = visit("?engine=reno")
    field = bench(page).locator('[data-field="prompt"]')
    field.locator("summary").click()
    expect(field.get_by_label("relation")).to_have_value("left of")  # the prompt in the box is read first
    field.get_by_label("colour", exact=True).select_option("blue")
    # blue was taken for the second object, whose colour must differ
    expect(field.locator('[name="prompt"]')).to_have_value("a blue circle left of a red square")
    field.locator("[data-template]").select_option("{number} {colour} {shapes}")
    field.get_by_label("number").select_option("three")
    expect(field.locator('[name="prompt"]')).to_have_value("three red circles")
    expect(field.locator(".wb-error")).to_be_hidden()
