"""A reader watches seeds race, sees who was cut, replays what was drawn, stops another run in the middle, and finds all again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
BENCH = '.wb-bench[data-engine="ttsnap"]'


def figure(page: Page, key: str) -> Any:
    return page.locator(f'{BENCH} [data-figure="{key}"]')


def state(page: Page) -> Any:
    return page.locator(f'{BENCH} [data-part="status"] .wb-state')


def shown(page: Page) -> Any:
    """The pictures of the board."""
    return figure(page, "board").locator(".js-plotly-plot image").first


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_first_visit_with_the_defaults(visit: Visit, tmp_path: Path) -> None:
    """Images tab, Run: the first cut comes soon, then the board fills, the winner is framed, the claims are decided."""
    folder = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keep(moment: str) -> None:
        page.screenshot(path=folder / f"ttsnap-{moment}.png", full_page=True)

    page = visit()
    page.locator('#wb-home a[href*="engine=ttsnap"]').first.click()
    bench = page.locator(BENCH)
    bench.locator('[data-do="run"]').click()
    expect(bench.locator('[data-part="pictures"] img').first).to_be_visible(timeout=240_000)
    expect(shown(page)).to_be_visible()
    keep("start")
    expect(
        bench.locator(".wb-block", has=page.locator("h3", has_text="Winners")).locator("img").first
    ).to_be_visible(timeout=240_000)
    keep("middle")
    expect(state(page)).to_have_attribute("data-state", "finished", timeout=300_000)
    expect(figure(page, "board").locator(".ytick text", has_text="finished")).to_be_visible()
    expect(figure(page, "board").locator(".shapelayer path").first).to_be_visible()  # the winner's frame
    for key in ("budget", "alignment", "predicted", "race", "funnel"):
        expect(figure(page, key).locator(".js-plotly-plot")).to_be_visible()
    expect(bench.locator(".wb-claims")).to_contain_text("holds")
    expect(
        bench.locator(".wb-claims tbody tr", has_text="higher final reward than best-of-N")
    ).to_contain_text(re.compile("holds|does not hold|not decided"))
    keep("end")
    assert {file.name for file in folder.glob("ttsnap-*.png")} >= {
        f"ttsnap-{m}.png" for m in ("start", "middle", "end")
    }


def test_the_slider_shows_the_seeds_at_every_second_step(visit: Visit) -> None:
    page = visit("?engine=ttsnap&preset=smoke")
    page.locator(f'{BENCH} [data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    board = figure(page, "board")
    label, first = board.locator(".ytick text").first, board.locator(".js-plotly-plot image").last
    expect(label).to_have_text("step 19")
    last = first.get_attribute("xlink:href") or first.get_attribute("href")
    slider = board.get_by_role("slider")
    slider.fill("0")
    expect(label).to_have_text("step 0")
    assert (first.get_attribute("xlink:href") or first.get_attribute("href")) != last
    slider.fill("1")
    expect(label).to_have_text("step 2")
    expect(board.locator(".textpoint").first).to_be_visible()


def test_what_a_search_drew_is_replayed(visit: Visit) -> None:
    page = visit("?engine=ttsnap&preset=smoke")
    bench = page.locator(BENCH)
    bench.locator('[name="bench_prompts"]').fill("2")
    bench.locator('[name="bench_prompts"]').blur()
    bench.locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    bench.locator('[data-part="files"]').get_by_text("Replay it").click()
    expect(bench.locator('[data-field="table"] [data-file-name]')).to_have_text("rewards.npz")
    expect(bench.locator('[name="experiment"]')).to_have_value("replay")
    bench.locator('[data-do="run"]').click()
    expect(figure(page, "tried").locator(".js-plotly-plot")).to_be_visible()
    expect(state(page)).to_have_attribute("data-state", "finished")
    expect(bench.locator('[data-part="texts"]')).to_contain_text("2 prompts x 5 seeds")


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
