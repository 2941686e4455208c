"""A reader watches ReNO climb, drags the cut between before and after, scrubs the film strip, stops another run in the
middle, goes on from its noise, and sends it to TTSnap.

What the reader sees at the start, in the middle and at the end is saved: into the folder that WORKBENCH_SCREENSHOTS names, else
into pytest's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
Seen = Callable[[Page, str], Path]


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """`seen(page, name)` saves the whole page as a picture."""
    folder = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def save(page: Page, name: str) -> Path:
        path = folder / f"reno-{name}.png"
        page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 10_000, "a page that is blank says nothing"
        return path

    return save


def bench(page: Page) -> Any:
    return page.locator('.wb-bench[data-engine="reno"]')


def state(page: Page) -> Any:
    return bench(page).locator('[data-part="status"] .wb-state')


def shots(page: Page, title: str) -> Any:
    return (
        bench(page).locator(".wb-block", has=page.locator("h3", has_text=title)).locator(".wb-shot img").first
    )


def test_a_first_visit_with_the_defaults(visit: Visit, seen: Seen) -> None:
    """Images tab, Run: pictures come first, then curves, and at the end the claims."""
    page = visit()
    page.locator('#wb-home a[href*="engine=reno"]').first.click()
    expect(bench(page).locator('[data-do="run"]')).to_be_visible()
    seen(page, "first-visit-1-start")
    bench(page).locator('[data-do="run"]').click()
    expect(shots(page, "Every iteration")).to_be_visible(
        timeout=120_000
    )  # torch and diffusers are imported first
    cut = bench(page).locator(".wb-cut input").first
    cut.fill("80")
    expect(bench(page).locator(".wb-split").first).to_have_attribute("style", re.compile("--cut: ?80%"))
    expect(bench(page).locator('[data-figure="reward"] .js-plotly-plot')).to_be_visible()
    seen(page, "first-visit-2-middle")
    expect(state(page)).to_have_attribute("data-state", "finished", timeout=240_000)
    expect(bench(page).locator(".wb-claims")).to_contain_text("holds")
    expect(shots(page, "Contenders")).to_be_visible()
    expect(shots(page, "The same noise in a many-step model")).to_be_visible()
    expect(bench(page).locator('[data-figure="histogram"] .js-plotly-plot')).to_be_visible()
    seen(page, "first-visit-3-end")


def test_the_film_strip_is_scrubbed(visit: Visit) -> None:
    """Each place of the slider has a picture of its own; the last one follows the run."""
    page = visit("?engine=reno&preset=smoke")
    bench(page).locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    strip = bench(page).locator(".wb-block", has=page.locator("h3", has_text="Every iteration"))
    slider, picture = strip.locator('input[type="range"]').first, shots(page, "Every iteration")
    expect(slider).to_have_value("2")
    found = []
    for place in ("0", "1", "2"):
        slider.fill(place)
        expect(strip.locator("output").first).to_have_text(place)
        expect(picture).to_have_attribute("alt", re.compile("reward"))
        found.append((picture.get_attribute("src"), picture.get_attribute("alt")))
    assert len(set(found)) == 3, found
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(strip.locator("output").first).to_have_text("1")
    assert picture.get_attribute("src") == found[1][0]


def test_a_short_race_by_passes_has_ticks_that_can_be_read(visit: Visit) -> None:
    """Three iterations have a tick each; the passes that they took are many more."""
    page = visit("?engine=reno&preset=smoke")
    bench(page).locator('[data-do="run"]').click()
    expect(state(page)).to_have_attribute("data-state", "finished")
    race = bench(page).locator('[data-figure="reward"]')
    expect(race.locator(".xtick text")).to_have_text(["0", "1", "2"])
    race.get_by_role("button", name="passes").click()
    expect(race.locator(".xtick text").last).not_to_have_text("2")
    assert race.locator(".xtick text").count() <= 8


def test_stop_keeps_the_best_so_far_and_the_noise_goes_on(visit: Visit, seen: Seen) -> None:
    """The best so far stays on the page, and its noise goes on in ReNO and in TTSnap."""
    page = visit("?engine=reno")
    steps = bench(page).locator('[name="iterations"]')
    steps.fill("500")
    steps.blur()
    bench(page).locator('[data-do="run"]').click()
    files = bench(page).locator('[data-part="files"] a[href*="engine=reno"]')
    expect(files).to_be_visible(timeout=120_000)
    seen(page, "stop-1-middle")
    bench(page).locator('[data-do="stop"]').first.click()
    expect(state(page)).to_have_attribute("data-state", "cancelled")
    expect(shots(page, "Before and after")).to_be_visible()
    seen(page, "stop-2-stopped")
    page.wait_for_url(re.compile(r"\?run="))
    again = visit("?" + page.url.rpartition("?")[2])
    expect(shots(again, "Before and after")).to_be_visible()
    again.locator('[data-part="files"] a[href*="engine=reno"]').click()
    expect(bench(again).locator('[data-field="noise"] [data-file-name]')).to_have_text("noise.safetensors")
    other = visit("?" + page.url.rpartition("?")[2])
    link = other.locator('[data-part="files"] a[href*="engine=ttsnap"]')
    expect(link).to_have_text("Send to TTSnap")
    link.click()
    form = other.locator('.wb-bench[data-engine="ttsnap"]')
    expect(form.locator('[data-field="noise"] [data-file-name]')).to_have_text("noise.safetensors")
    expect(form.locator('[name="prompt"]')).to_have_value("a red circle left of a blue square")


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
