"""The claims board: every paper's claims beside what the recorded runs say, in the Library at ?view=claims."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Any

from engines.contract import FAMILIES
from ui.live_words import number
from workbench.access import PUBLISHED
from workbench.claims import ClaimSummary
from workbench.claims_board import Standing, board, board_document, tally
from workbench.documents import Document
from workbench.errors import storage_seam
from workbench.runs import Workbench


def answer(workbench: Workbench, is_guest: bool = False) -> dict[str, Any]:
    """The board as HTML. A guest of a demo sees what the published runs say, and not on which machine they ran."""
    return {"html": markup(_standings(workbench, is_guest), is_guest=is_guest)}


def document(workbench: Workbench, is_guest: bool = False) -> Document:
    """The board as JSON."""
    return board_document(_standings(workbench, is_guest), for_strangers=is_guest)


def _standings(workbench: Workbench, is_guest: bool) -> list[Standing]:
    with storage_seam():
        return board(workbench, only_tag=PUBLISHED if is_guest else "")


def markup(standings: list[Standing], *, is_guest: bool = False) -> str:
    """Head with the tally, then a section a paper, families together."""
    parts, family = [_head(standings, is_guest)], ""
    for standing in standings:
        if standing.engine.paper.family != family:
            family = standing.engine.paper.family
            parts.append(f'<h2 class="wb-board-family">{escape(FAMILIES.get(family, family))}</h2>')
        parts.append(_paper(standing, is_guest))
    return "".join(parts)


def _head(standings: list[Standing], is_guest: bool) -> str:
    which = "published runs" if is_guest else "runs"
    holds, fails, open_, never = tally(standings)
    marks = (
        ("yes", "✓", holds, "hold" if holds != 1 else "holds"),
        ("no", "✕", fails, "do not hold, or not in every run" if fails != 1 else "does not hold, or not in every run"),
        ("open", "–", open_, "not decided"),
        ("open", "–", never, "not run yet"),
    )  # fmt: skip
    counts = "".join(
        f'<span class="wb-verdict" data-holds="{kind}">{mark} {count} {words}</span>'
        for kind, mark, count, words in marks
        if count
    )
    return (
        '<div class="wb-lib-head"><a class="wb-quiet" data-wb href="?view=library">Back to all runs</a>'
        '<a class="wb-quiet" href="wb/library/claims.json" download>JSON</a><h1>Claims board</h1></div>'
        '<p class="wb-board-words">What each paper claims, the figure that it published, and what was measured here: mean and '
        "standard deviation over seeds. A claim holds where it held in every run that could decide. "
        f"The board reads the {which} of <code>workbench reproduce</code>.</p><p class='wb-board-tally'>{counts}</p>"
    )


def _paper(standing: Standing, is_guest: bool) -> str:
    paper = standing.engine.paper
    rows = "".join(_row(summary) for summary in standing.claims)
    table = (
        '<div class="wb-scroll"><table class="wb-table wb-claims"><thead><tr><th scope="col">Claim</th><th scope="col">Published</th>'
        '<th class="num" scope="col">Here</th><th class="num" scope="col">Baseline</th><th scope="col">Verdict</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        if rows
        else '<p class="wb-muted">This paper declares no claims that could be checked.</p>'
    )
    if rows and not standing.runs:
        count = len(standing.claims)
        table = (
            f"<details><summary>{count} claim{'s' if count != 1 else ''} to check</summary>{table}</details>"
        )
    return (
        f'<section class="wb-block wb-board-paper" data-paper="{escape(paper.key)}"><div class="wb-block-head">'
        f'<h3><a data-wb href="?engine={escape(paper.key)}">{escape(paper.short)}</a></h3>'
        f'<span class="wb-muted">{escape(paper.title)}, {paper.year}</span></div>{_facts(standing, is_guest)}{table}</section>'
    )


def _facts(standing: Standing, is_guest: bool) -> str:
    """When, where, with which seeds; each seed is a link to its run."""
    if not standing.runs:
        return f'<p class="wb-board-facts">Not run yet. In a terminal: <code>workbench reproduce {escape(standing.engine.key)}</code></p>'
    links = " ".join(
        f'<a data-wb href="?run={run.id}" aria-label="Run of {escape(standing.engine.paper.short)}, seed {run.seed}">{run.seed}</a>'
        for run in standing.runs
    )
    several = len(standing.runs) > 1
    facts = [f"<span>{'Seeds' if several else 'Seed'} {links}</span>"]
    if several:
        ids = ",".join(run.id for run in standing.runs[:12])
        facts.append(f'<span><a data-wb href="?compare={ids}">Compare</a></span>')
    facts.append(f"<span>{_day(standing.when)}</span>")
    if not is_guest:
        facts.append(f"<span>{escape('; '.join(standing.machines))}</span>")
    version = standing.runs[0].engine_version
    facts += [f"<span>version {escape(version)}</span>"] if version else []
    note = (
        ""
        if standing.source == "reproduce"
        else f"<p class='wb-board-facts'>Ordinary runs of the default preset: <code>workbench reproduce {escape(standing.engine.key)}</code> "
        "makes those that count.</p>"
    )
    return f'<div class="wb-facts wb-board-facts">{"".join(facts)}</div>{note}'


def _row(summary: ClaimSummary) -> str:
    claim = summary.claim
    why = "".join(f'<span class="wb-why">{escape(detail)}</span>' for detail in summary.details)
    source = f'<span class="wb-why">{escape(claim.source)}</span>' if claim.source else ""
    published = escape(claim.paper) if claim.paper else "not published or not confirmed"
    return (
        f"<tr><td>{escape(claim.statement)}{source}{why}</td>"
        f'<td class="wb-published" data-label="Published:">{published}</td>'
        f'<td class="num" data-label="Here:">{_amount(summary.mean, summary.spread, claim.unit)}</td>'
        f'<td class="num" data-label="Baseline:">{_amount(summary.baseline, None, claim.unit)}</td><td>{_verdict(summary)}</td></tr>'
    )


def _amount(value: float | None, spread: float | None, unit: str) -> str:
    if value is None:
        return "–"
    around = f" ± {number(spread)}" if spread is not None else ""
    return f"{number(value)}{around}{' <i>' + escape(unit) + '</i>' if unit else ''}"


def _verdict(summary: ClaimSummary) -> str:
    """Tick, cross or dash with its words; "in 2 of 3" is a cross, since the claim is about every run."""
    if summary.decided == 0:
        return f'<span class="wb-verdict" data-holds="open">– {summary.verdict}</span>'
    if summary.held == summary.decided:
        few = f" in {summary.held} of {summary.runs}" if summary.decided < summary.runs else ""
        return f'<span class="wb-verdict" data-holds="yes">✓ {summary.verdict}{few}</span>'
    return f'<span class="wb-verdict" data-holds="no">✕ {summary.verdict}</span>'


def _day(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
