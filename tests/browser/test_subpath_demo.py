"""A demo behind a proxy under a path of a site: guests are kept apart there as well, and the door is as narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from nginx_front import NGINX
from playwright.sync_api import expect

BEHIND_NGINX = True
SERVE_OPTIONS = ("--demo",)
PASSWORD = "correct horse battery"
VARIABLES = {"WORKBENCH_OWNER_PASSWORD": PASSWORD}
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here: install Debian's package `nginx-light`")
CLIMBS = (
    "../workbench.sqlite",
    "..%2fworkbench.sqlite",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc/passwd",
    "//etc/passwd",
)
LOOT = (b"SQLite format 3", b"root:")


def test_guests_are_kept_apart_behind_the_proxy(visit: Callable[..., Any], served: Any) -> None:
    one = visit("?engine=fixture&preset=smoke")
    one.keyboard.press("Control+Enter")
    expect(one.locator('.wb-bench[data-engine="fixture"] .wb-state').first).to_have_text("Finished")
    assert one.url.startswith(f"{served.url}?run=")
    cookies = {cookie["name"]: cookie for cookie in one.context.cookies()}
    assert cookies["wb-visitor"]["path"] == "/papers/"
    one.goto(f"{served.url}?view=library")
    expect(one.locator("tr[data-run]")).to_have_count(1)
    other = visit("?view=library")
    expect(other.locator(".wb-library")).to_contain_text("No runs yet")


def test_the_owner_logs_in_behind_the_proxy(visit: Callable[..., Any], served: Any) -> None:
    run = served.run("--preset", "smoke")
    owner = visit("?view=library")
    expect(owner.locator(f'tr[data-run="{run["id"]}"]')).to_have_count(0)
    owner.goto(f"{served.url}wb/login")
    owner.get_by_label("Password of the owner").fill(PASSWORD)
    owner.get_by_role("button", name="Log in").click()
    owner.wait_for_url(served.url)
    owner.goto(f"{served.url}?view=library")
    expect(owner.locator(f'tr[data-run="{run["id"]}"]')).to_have_count(1)


def test_a_demo_behind_the_proxy_holds(served: Any) -> None:
    with httpx.Client(base_url=served.url, timeout=60) as http:
        https = http.get("", headers={"X-Forwarded-Proto": "https"})
        assert "Path=/papers/; " in https.headers["set-cookie"]
        assert https.headers["set-cookie"].endswith("SameSite=None; Secure; Partitioned")
        for climb in CLIMBS:
            for base in ("", "wb/artifact/", "wb/export/", "gradio_api/file=", "static/"):
                answer = http.get(base + climb)
                assert not [loot for loot in LOOT if loot in answer.content], base + climb
        evil = http.get("wb/runs.json", headers={"Origin": "https://evil.example"})
        assert (evil.status_code, "access-control-allow-origin" in evil.headers) == (403, False)
        parts = urlsplit(served.url)
        own = {"Origin": f"{parts.scheme}://{parts.netloc}"}
        assert http.get("wb/runs.json", headers=own).status_code == 200
        outer = {"Origin": "https://papers.example.org", "X-Forwarded-Host": "papers.example.org"}
        assert http.get("wb/runs.json", headers=outer).status_code == 200, "a proxy before this one"
        large = http.post("wb/inquiry", content=bytes(1 << 20), headers={"X-Workbench": "1"})
        assert large.status_code == 413
        assert http.post("gradio_api/upload", files={"files": ("a.csv", b"a")}).status_code == 404
