"""A demo in a real browser: the door lets through what the page needs, and a guest's words do nothing to others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

SERVE_OPTIONS = ("--demo",)
EVIL = '"><img src=x onerror=window.pwned=1>'


def test_a_guests_words_do_nothing_to_who_follows_the_link(visit: Callable[..., Any]) -> None:
    """One runs with a script for a label and a note; another opens the link. Every file that the pages ask for is there
    (`visit` complains of a 404), and no script of the guest's runs in either."""
    one = visit("?engine=fixture&preset=smoke")
    one.locator('.wb-bench[data-engine="fixture"] [data-field="label"] input').fill(EVIL)
    one.keyboard.press("Control+Enter")
    expect(one.locator('.wb-bench[data-engine="fixture"] .wb-state').first).to_have_text("Finished")
    address = one.evaluate("location.search")
    assert address.startswith("?run=")
    headers = {"X-Workbench": "1"}
    body = {"ids": [address[5:]], "note": EVIL, "tags": EVIL}
    assert one.request.post(one.url.split("?")[0] + "wb/library/annotate", data=body, headers=headers).ok
    one.goto(one.url.split("?")[0] + "?view=library")
    expect(one.locator("tr[data-run]")).to_have_count(1)
    expect(one.locator("tr[data-run]")).to_contain_text("onerror")
    other = visit(address)
    bench = other.locator('.wb-bench[data-engine="fixture"]')
    expect(bench).to_contain_text("onerror=window.pwned")
    assert [page.evaluate("window.pwned") for page in (one, other)] == [None, None]
    other.goto(other.url.split("?")[0] + "?view=library")
    expect(other.locator(".wb-library")).to_contain_text("No runs yet")
