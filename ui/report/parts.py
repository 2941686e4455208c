"""Parts that the report of a run and that of a comparison share: the paper's head, and how to run it again."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from engines.contract import Engine
from ui import home
from ui.live_words import number
from ui.report.prose import prose

FOOT = (
    '<footer class="wb-report-foot">Written by the Paper Workbench from the record of the run. Every number was computed by '
    "the method that is named beside it.</footer>"
)


def head(engine: Engine, what: str, facts: Sequence[tuple[str, str]] = ()) -> str:
    """The paper, what this is a report of, and the few facts that one looks for first."""
    paper = engine.paper
    authors = ", ".join(paper.authors[:3]) + (" and others" if len(paper.authors) > 3 else "")
    year = "" if not paper.year or str(paper.year) in paper.venue else str(paper.year)
    by = ", ".join(part for part in (authors, paper.venue, year) if part)
    links = ""
    if paper.arxiv:
        links += f'<a href="https://arxiv.org/abs/{escape(paper.arxiv)}">arXiv {escape(paper.arxiv)}</a>'
    if paper.code:
        links += f'<a href="{escape(paper.code)}">Official code</a>'
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return (
        f'<header class="wb-report-head"><h1>{escape(paper.short)}: {escape(what)}</h1>'
        f'<p class="wb-by">{escape(paper.title)}.{f" {escape(by)}." if by else ""}{links}</p><p class="wb-idea">{escape(paper.summary)}</p>'
        f'{f"""<dl class="wb-report-facts">{listed}</dl>""" if listed else ""}</header>'
        '<p class="wb-report-notice" role="status" hidden></p>'
    )


def about(engine: Engine) -> str:
    """The engine's own words on its paper."""
    return (
        f'<h2>About this paper</h2><section class="wb-block wb-prose">{prose(home.about(engine))}</section>'
    )


def code(text: str) -> str:
    """Lines to copy."""
    return f'<pre class="wb-code" tabindex="0">{escape(text)}</pre>'


def shown(value: Any) -> str:
    """A recorded value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
