"""A sweep from the form: its section, its page while cells stream in, a failed cell, the bundle."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect


def test_a_sweep_from_the_form_to_the_bundle(visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit("?engine=fixture&preset=smoke")
    bench = page.locator('.wb-bench[data-engine="fixture"]')
    bench.locator(".wb-sweep summary").click()
    names, values = bench.locator('[data-sweep="name"]'), bench.locator('[data-sweep="values"]')
    names.nth(0).select_option("mode")
    values.nth(0).fill("plain, fail")
    names.nth(1).select_option("steps")
    values.nth(1).fill("0, 4")
    bench.locator('[data-sweep="start"]').click()
    expect(bench.locator('[data-sweep="error"]')).to_contain_text("steps must be")
    values.nth(1).fill("2, 4")
    bench.locator('[data-sweep="start"]').click()
    page.wait_for_url("**/?sweep=*")
    sweep = page.locator(".wb-lib-sweep")
    expect(sweep.locator("h1")).to_have_text("Fixture: sweep over mode and steps")
    expect(sweep.locator(".wb-sweep-cells tbody tr")).to_have_count(2)
    expect(sweep.locator('[data-state="finished"]')).to_have_count(2)
    expect(sweep.locator('[data-state="failed"]')).to_have_count(2)
    expect(sweep.get_by_role("status").first).to_contain_text("4 of 4 cells: 2 finished, 2 failed")
    expect(sweep.locator(".wb-figures .js-plotly-plot, .wb-figures.js-plotly-plot").first).to_be_visible()
    expect(sweep.get_by_role("button", name="Run the 2 missing cells")).to_be_visible()
    with page.expect_download() as taken:
        sweep.get_by_text("Export as one bundle").click()
    taken.value.save_as(tmp_path / "sweep.zip")
    with zipfile.ZipFile(tmp_path / "sweep.zip") as bundle:
        assert "record.json" in bundle.namelist()
    # A mark leads to its run, and the way back to the sweep.
    sweep.locator('a[data-state="finished"]').first.click()
    page.wait_for_url("**/?run=*")
    page.go_back()
    expect(sweep.locator("h1")).to_be_visible()
    page.goto(page.url)  # the address alone is enough
    expect(page.locator(".wb-lib-sweep h1")).to_have_text("Fixture: sweep over mode and steps")
