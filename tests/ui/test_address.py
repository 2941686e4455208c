"""Addresses: what a query leads to, and that nobody's text breaks the page."""

from __future__ import annotations

import pytest

from ui.address import Target, pack, parse, query

RUN = "01m86862rhz2rtqkk3xb383xfb"


@pytest.mark.parametrize(
    ("search", "target"),
    [
        ("", Target("home")),
        ("?", Target("home")),
        ("?view=library", Target("library")),
        (f"?run={RUN.upper()}", Target("run", run=RUN)),
        ("?engine=sven&preset=paper", Target("engine", engine="sven", preset="paper")),
        (f"?engine=sven&from={RUN}", Target("engine", engine="sven", source=RUN)),
        (f"?compare={RUN},nonsense", Target("library", compared=(RUN,))),
        ("?__theme=dark", Target("home")),
    ],
)
def test_where_a_query_leads(search: str, target: Target) -> None:
    assert parse(search) == target


def test_settings_survive_the_address() -> None:
    filled = {"params": {"rank": 3, "name": "näme/+&?"}, "seed": 7, "preset": "smoke"}
    assert parse(query(engine="sven", values=pack(filled))).filled == filled


@pytest.mark.parametrize("text", ["", "!!!", "bm90IGpzb24", "W10"])
def test_damaged_settings_open_the_page_all_the_same(text: str) -> None:
    assert parse(f"?engine=sven&values={text}").filled == {}


def test_a_query_holds_only_what_is_given() -> None:
    assert query(run="", engine="sven", preset="") == "?engine=sven"
    assert query() == ""
