"""A demo in a real browser: the door lets through what the page needs, and a guest's words do nothing to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_words import say_all
from playwright.sync_api import expect

from storage import Status, export_bundle, import_bundle
from workbench import sweeps
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweep_axes import Axis

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


def test_words_of_a_run_do_nothing_in_a_browser(
    visit: Callable[..., Any], served: Any, fixture_catalog: Any, tmp_path: Path
) -> None:
    """Captions, names of pictures and files, details of claims, cells of a sweep: whatever a run recorded is shown, and none
    of it runs or asks for anything (`visit` complains of a request)."""
    evil = "\"><img src=x onerror=window.pwned=1><script>window.pwned=2</script>'`${window.pwned=3}"
    # recorded elsewhere and brought in: a run that is queued beside a server is the server's to execute
    bundle = tmp_path / "evil.zip"
    with Workbench.open(Settings.at(tmp_path / "home", device="cpu"), fixture_catalog) as bench:
        params = bench.validate("fixture", {}).model_dump(mode="json")
        ids = [
            bench.store.create_run(
                engine="fixture", params=params, seed=seed, preset="default", tags=["published"], note=evil
            ).id
            for seed in range(2)
        ]
        plan = sweeps.Plan("fixture", (Axis("label", (evil[:40], "b")),), (0,), "smoke")
        made = sweeps.create(bench, plan, tags=("published", evil.replace(",", "")[:60]), note=evil)
        for run_id in (*ids, *made.run_ids):
            bench.store.claim_run(run_id, "host/1")
            say_all(bench, run_id, evil)
            bench.store.finish_run(run_id, Status.finished)
        export_bundle(bench.store, [*ids, made.run.id, *made.run_ids], bundle)
    with Workbench.open(Settings.at(served.home, device="cpu"), fixture_catalog) as bench:
        import_bundle(bench.store, bundle)
    addresses = {
        f"?run={ids[0]}": '.wb-bench[data-engine="fixture"] figcaption',
        f"?compare={','.join(ids)}": ".wb-library figcaption",
        f"?sweep={made.run.id}": ".wb-sweep-cells",
        "?view=claims": ".wb-why",
        "?view=library": "tr[data-run]",
    }
    for search, place in addresses.items():
        page = visit(search)
        expect(page.locator(place).filter(has_text="onerror=window.pwned").first).to_be_visible()
        if search.startswith("?run="):
            page.locator(".wb-canvas").first.click()
            expect(page.locator("dialog[open]")).to_contain_text("onerror=window.pwned")
        assert page.evaluate("window.pwned") is None, search
