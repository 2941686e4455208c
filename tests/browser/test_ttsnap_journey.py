"""A reader watches seeds race, sees who was cut, stops another run in the middle, and finds both again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
BENCH = '.wb-bench[data-engine="ttsnap"]'


def figure(page: Page, key: str) -> Any:
    return page.locator(f'{BENCH} [data-figure="{key}"]')


def state(page: Page) -> Any:
    return page.locator(f'{BENCH} [data-part="status"] .wb-state')


def test_race_board_comparison_reopen(visit: Visit) -> None:
    page = visit("?engine=ttsnap&preset=smoke")
    page.locator(f'{BENCH} [data-do="run"]').click()
    expect(figure(page, "board").locator(".js-plotly-plot image").first).to_be_visible()
    expect(state(page)).to_have_attribute("data-state", "finished")
    expect(page.locator(f'{BENCH} [data-part="pictures"] img').first).to_be_visible()
    for key in ("budget", "alignment", "predicted", "funnel"):
        expect(figure(page, key).locator(".js-plotly-plot")).to_be_visible()
    page.wait_for_url(re.compile(r"\?run="))
    again = visit("?" + page.url.rpartition("?")[2])
    expect(state(again)).to_have_attribute("data-state", "finished")
    expect(figure(again, "board").locator(".js-plotly-plot image").first).to_be_visible()


def test_stop_keeps_the_race_so_far(visit: Visit) -> None:
    page = visit("?engine=ttsnap")
    bench = page.locator(BENCH)
    bench.locator('[name="bench_prompts"]').fill("48")
    bench.locator('[name="bench_prompts"]').blur()
    bench.locator('[data-do="run"]').click()
    expect(figure(page, "board").locator(".js-plotly-plot image").first).to_be_visible()
    bench.locator('[data-do="stop"]').first.click()
    expect(state(page)).to_have_attribute("data-state", "cancelled")
    expect(figure(page, "board").locator(".js-plotly-plot image").first).to_be_visible()


def test_a_prompt_that_the_model_does_not_know_is_told_at_its_field(visit: Visit) -> None:
    page = visit("?engine=ttsnap")
    bench = page.locator(BENCH)
    bench.locator('[name="prompt"]').fill("an astronaut")
    bench.locator('[name="prompt"]').blur()
    bench.locator('[data-do="run"]').click()
    expect(bench.get_by_text("astronaut").first).to_be_visible()
    expect(bench.get_by_text(re.compile("are not known")).first).to_be_visible()
