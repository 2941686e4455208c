"""The claims board as HTML: words for every verdict, links to the runs, and nothing of a user's as markup."""

from __future__ import annotations

from dataclasses import replace

from ui.address import parse
from ui.library import board as page
from workbench.claims import reproduce
from workbench.claims_board import Standing, board
from workbench.runs import Workbench


def test_an_empty_board_says_what_to_do(workbench: Workbench) -> None:
    html = page.answer(workbench)["html"]
    assert "workbench reproduce fixture" in html
    assert "– not run" in html
    assert "– 2 not run yet" in html


def test_verdicts_have_words_and_seeds_are_links(workbench: Workbench) -> None:
    runs = reproduce(workbench, ["fixture"], 2).runs
    html = page.answer(workbench)["html"]
    for run in runs:
        assert f'href="?run={run.id}"' in html
    assert f'href="?compare={runs[0].id},{runs[1].id}"' in html
    assert "✓ holds" in html
    assert "– not decided" in html
    assert "Too few steps to tell." in html
    assert " ± " in html
    assert "not published or not confirmed" in html or "half" in html


def test_guests_are_not_told_the_machine(workbench: Workbench) -> None:
    reproduce(workbench, ["fixture"], 1)
    [standing] = board(workbench)
    place = standing.machines[0]
    assert place in page.answer(workbench)["html"]
    assert place not in page.answer(workbench, is_guest=True)["html"]
    assert page.document(workbench, is_guest=True)["papers"][0]["machines"] == []


def test_what_engines_and_records_say_is_escaped(workbench: Workbench) -> None:
    reproduce(workbench, ["fixture"], 1)
    [standing] = board(workbench)
    nasty = "<img src=x onerror=alert(1)>"
    claims = tuple(
        replace(
            one,
            details=(nasty,),
            claim=replace(one.claim, statement=nasty, paper=nasty, unit=nasty, source=nasty),
        )
        for one in standing.claims
    )
    paper = replace(standing.engine.paper, title=nasty, short=nasty)
    standing.runs[0].environment["cpu"] = nasty
    hostile = Standing(replace(standing.engine, paper=paper), "default", standing.runs, claims)
    html = page.markup([hostile])
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 8


def test_in_some_runs_is_a_cross(workbench: Workbench) -> None:
    reproduce(workbench, ["fixture"], 2)
    [standing] = board(workbench)
    split = replace(standing.claims[0], held=1)
    html = page.markup([replace(standing, claims=(split,))])
    assert "✕ holds in 1 of 2" in html
    assert "✕ 1 does not hold, or not in every run" in html


def test_the_address_leads_to_the_library() -> None:
    assert parse("?view=claims").kind == "library"
