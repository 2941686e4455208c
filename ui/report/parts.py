"""Parts that the reports of a run, of a comparison and of a sweep share: the paper's head, the settings, the machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from engines.contract import Engine
from ui import home
from ui.live_words import number, size, title
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


def settings(
    engine: Engine,
    params: Mapping[str, Any],
    changed: Collection[str],
    preset: str,
    heading: str = "Settings",
) -> str:
    """Parameters with their titles and units; in bold those that `changed` names."""
    rows = []
    for name, value in params.items():
        info = engine.params.model_fields.get(name)
        extra = info.json_schema_extra if info is not None else None
        unit = str(extra.get("unit") or "") if isinstance(extra, dict) else ""
        words = shown(value)
        mark = ' class="wb-changed"' if name in changed else ""
        rows.append(
            f'<tr><th scope="row">{escape((info.title if info is not None else None) or title(name))}</th>'
            f'<td class="wb-mono wb-muted">{escape(name)}</td><td{mark}>{escape(f"{words} {unit}".strip() if words else "")}</td></tr>'
        )
    if not rows:
        return ""
    note = (
        f'<p class="wb-help">In bold: what differs from the preset {escape(preset)}.</p>' if changed else ""
    )
    return (
        f'<h2>{escape(heading)}</h2><section class="wb-block">{note}<div class="wb-scroll"><table class="wb-table"><tbody>'
        f"{''.join(rows)}</tbody></table></div></section>"
    )


def machines(columns: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Where it ran: a row a fact, a column for each (heading, environment); a single one needs no heading."""
    flat = [dict(_facts(environment)) for _, environment in columns]
    names = dict.fromkeys(name for facts in flat for name in facts)
    if not names:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(facts.get(name, chr(0x2013)))}</td>" for facts in flat)}</tr>'
        for name in names
    )
    heads = "".join(f'<th scope="col">{escape(heading)}</th>' for heading, _ in columns)
    top = f"<thead><tr><td></td>{heads}</tr></thead>" if len(columns) > 1 else ""
    return (
        f'<h2>Where it ran</h2><section class="wb-block"><div class="wb-scroll"><table class="wb-table">{top}<tbody>'
        f"{rows}</tbody></table></div></section>"
    )


def _facts(found: Mapping[str, Any], lead: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines, in words."""
    lines: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            lines += _facts(value, f"{lead}{name}: ")
        elif name.endswith("_bytes") and isinstance(value, int):
            lines.append((title(f"{lead}{name.removesuffix('_bytes')}".replace("_", " ")), size(value)))
        elif value not in (None, "", []):
            lines.append((title(f"{lead}{name}".replace("_", " ")), shown(value)))
    return lines


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
