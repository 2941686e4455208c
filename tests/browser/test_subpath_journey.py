"""The page behind a proxy under a path of a site: live updates, artifacts, downloads, uploads and the API work there."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from nginx_front import NGINX
from playwright.sync_api import expect

import workbench

BEHIND_NGINX = True
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here: install Debian's package `nginx-light`")


def test_a_run_is_watched_and_taken_away_under_the_path(
    visit: Callable[..., Any], served: Any, tmp_path: Path
) -> None:
    page = visit("?engine=fixture&preset=smoke")
    bench = page.locator('.wb-bench[data-engine="fixture"]')
    bench.locator('[data-field="steps"] input[type=text]').fill("30")
    bench.locator('[data-field="pause_s"] input[type=text]').fill("0.1")
    page.keyboard.press("Control+Enter")
    expect(bench.locator(".wb-state").first).to_have_text("Running")
    expect(bench.locator(".wb-state").first).to_have_text("Finished")
    assert page.url.startswith(f"{served.url}?run="), "the address keeps the path"
    picture = bench.locator('img[src*="wb/artifact/"]').first
    expect(picture).to_have_js_property("complete", True)
    expect(picture).not_to_have_js_property("naturalWidth", 0)
    with page.expect_download() as download:
        bench.get_by_text("Export", exact=True).first.click()
    target = tmp_path / "run.zip"
    download.value.save_as(target)
    with zipfile.ZipFile(target) as bundle:
        assert "record.json" in bundle.namelist()


def test_programs_reach_it_under_the_path(served: Any) -> None:
    with workbench.connect(served.url) as remote:
        reference = remote.upload(b"x" * (2 << 20), "large.bin")
        run = remote.start("fixture", {"photo": reference}, preset="smoke")
        assert run.follow(timeout_s=60)["status"] == "finished"
        assert len(run.series("Ours", "error")) == 3
    answer = httpx.get(served.url.rstrip("/"), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"].endswith("/papers/")) == (301, True)
