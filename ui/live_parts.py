"""Tables, texts, alerts, files and claims of a run as HTML. Everything recorded is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from engines.contract import Claim
from storage import AlertRow, ClaimRow, FileInfo, TableData
from ui.live_words import is_number, number, size, title
from workbench.recorder import TRACEBACK

MAX_ALERTS = 40
ALERTS_IN_SIGHT = 3
MAX_ROWS = 200


def tables(
    found: Mapping[str, TableData], order: Sequence[str] = (), compared: Mapping[str, str] | None = None
) -> str:
    """All tables, those of `order` first; `compared` names for some the column of true texts."""
    names = [name for name in order if name in found] + [name for name in found if name not in order]
    return "".join(
        f'<section class="wb-block"><h3>{escape(title(name))}</h3>{table(found[name].columns, found[name].rows, (compared or {}).get(name, ""))}</section>'
        for name in names
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], truth: str = "") -> str:
    """One table; a column of numbers stands right in figures of equal width, the full value on hover. Texts in the
    columns behind `truth` are coloured by the words that they share with it."""
    numeric = [
        any(is_number(row[at]) for row in rows) and all(row[at] is None or is_number(row[at]) for row in rows)
        for at in range(len(columns))
    ]
    marks = ['class="num"' if flag else "" for flag in numeric]
    true_at = list(columns).index(truth) if truth in columns else len(columns)
    head = "".join(
        f"<th {mark} scope='col'>{escape(title(str(name)))}</th>"
        for name, mark in zip(columns, marks, strict=True)
    )
    body = "".join(
        f"<tr{_judged(row)}>{''.join(_cell(value, mark) if at <= true_at else _overlapping(str(value), str(row[true_at])) for at, (value, mark) in enumerate(zip(row, marks, strict=True)))}</tr>"
        for row in rows[:MAX_ROWS]
    )
    more = (
        f'<p class="wb-help">{len(rows) - MAX_ROWS} more rows are in the export.</p>'
        if len(rows) > MAX_ROWS
        else ""
    )
    return (
        f'<div class="wb-scroll" tabindex="0" role="region" aria-label="Table"><table class="wb-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _judged(row: Sequence[Any]) -> str:
    """Rows that say "right" or "wrong" carry it, so that the page can colour what was judged."""
    word = next((value for value in row if value in ("right", "wrong")), "")
    return f' data-judged="{word}"' if word else ""


def _overlapping(text: str, true: str) -> str:
    """A cell whose colour says how many words of the true text it holds, and whose other words are marked."""
    known = {_bare(word) for word in true.split()}
    told = {_bare(word) for word in text.split()}
    share = len(known & told) / len(known) if known else 0.0
    words = [escape(word) if _bare(word) in known else f"<i>{escape(word)}</i>" for word in text.split()]
    shared = f"{len(known & told)} of {len(known)} words of the truth"
    return f'<td class="wb-overlap" data-overlap="{round(4 * share)}" title="{shared}">{" ".join(words)}</td>'


def _bare(word: str) -> str:
    return word.strip(".,;:!?\"'()").lower()


def _cell(value: Any, mark: str) -> str:
    if value is None:
        return f"<td {mark}>–</td>"
    if is_number(value):
        return f'<td {mark} title="{escape(repr(value))}">{number(value)}</td>'
    if value in ("right", "wrong"):
        return f'<td {mark}><span class="wb-verdict" data-holds="{"yes" if value == "right" else "no"}">{"✓" if value == "right" else "✕"} {value}</span></td>'
    return f"<td {mark}>{escape('yes' if value is True else 'no' if value is False else str(value))}</td>"


def texts(found: Mapping[str, str]) -> str:
    """Named texts, one paragraph each; a traceback is folded away, for those who can use it."""
    parts = []
    for name, value in found.items():
        if name == TRACEBACK:
            parts.append(
                f"<details><summary>Show the traceback</summary><pre tabindex='0'>{escape(value)}</pre></details>"
            )
        else:
            parts.append(f"<p><b>{escape(title(name))}.</b> {escape(value)}</p>")
    return "".join(parts)


def alerts(found: Sequence[AlertRow]) -> str:
    """The newest alerts, the older ones folded away; an alert that repeats stands once with its newest step."""
    newest: dict[tuple[str, str], AlertRow] = {}
    for alert in found:
        newest.pop((alert.name, alert.message), None)
        newest[(alert.name, alert.message)] = alert
    shown = list(newest.values())[-MAX_ALERTS:]
    lines = [
        f'<li><span>{escape(alert.message)}</span><span class="wb-mono">step {number(alert.step)}</span></li>'
        for alert in reversed(shown)
    ]
    if not lines:
        return ""
    folded = lines[ALERTS_IN_SIGHT:]
    hidden = len(newest) - len(shown)
    if hidden:
        folded.append(f"<li><span>{hidden} earlier alerts are in the record.</span></li>")
    rest = (
        f'<details class="wb-more-alerts"><summary>{len(newest) - ALERTS_IN_SIGHT} earlier alerts</summary>'
        f'<ul class="wb-alerts">{"".join(folded)}</ul></details>'
        if folded
        else ""
    )
    return f'<ul class="wb-alerts" aria-label="Alerts">{"".join(lines[:ALERTS_IN_SIGHT])}</ul>{rest}'


def files(found: Sequence[FileInfo], uses: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> str:
    """Links to the result files. `uses` says by a file's name which forms can be filled with it: words and address."""
    given = uses or {}
    lines = "".join(
        f'<li><a href="wb/artifact/{escape(file.hash)}?name={quote(file.filename)}" download="{escape(file.filename)}">{escape(file.filename)}</a>'
        f"<span>{escape(', '.join(part for part in (file.caption, size(file.size)) if part))}</span>{_uses(given.get(file.name, ()))}</li>"
        for file in found
    )
    return (
        f'<section class="wb-block"><h3>Files</h3><ul class="wb-files">{lines}</ul></section>'
        if lines
        else ""
    )


def _uses(ways: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<a class="wb-quiet" data-wb href="{escape(address)}">{escape(words)}</a>' for words, address in ways
    )


def claims(declared: Sequence[Claim], found: Sequence[ClaimRow], *, is_over: bool) -> str:
    """The claims table: each statement with the paper's figure, what was measured here, and the verdict.

    Before the end of a run, and without one, every declared claim stands there undecided."""
    checked = {row.key: row for row in found}
    rows = "".join(_claim(claim, checked.pop(claim.key, None), is_over) for claim in declared)
    for row in checked.values():
        rows += _claim(Claim(row.key, row.statement, row.paper, unit=row.unit), row, is_over)
    if not rows:
        return ""
    return (
        '<section class="wb-block"><h3>What the paper claims, checked in this run</h3><div class="wb-scroll"><table class="wb-table wb-claims">'
        "<thead><tr><th scope='col'>Claim</th><th scope='col'>Published</th><th class='num' scope='col'>Here</th>"
        f"<th class='num' scope='col'>Baseline</th><th scope='col'>Verdict</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _claim(claim: Claim, row: ClaimRow | None, is_over: bool) -> str:
    unit = row.unit if row is not None else claim.unit
    why = f'<span class="wb-why">{escape(row.detail)}</span>' if row is not None and row.detail else ""
    paper = row.paper if row is not None else claim.paper
    published = escape(paper) if paper else "not published or not confirmed"
    here, baseline = (row.measured, row.baseline) if row is not None else (None, None)
    return (
        f"<tr><td>{escape(row.statement if row is not None else claim.statement)}{why}</td>"
        f'<td class="wb-published" data-label="Published:">{published}</td>'
        f'<td class="num" data-label="Here:">{_amount(here, unit)}</td><td class="num" data-label="Baseline:">{_amount(baseline, unit)}</td>'
        f"<td>{verdict(row, is_over)}</td></tr>"
    )


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{number(value)}{' <i>' + escape(unit) + '</i>' if unit else ''}"


def verdict(row: ClaimRow | None, is_over: bool) -> str:
    """Tick, cross or dash, always with its word."""
    if row is None:
        return f'<span class="wb-verdict" data-holds="open">– {"not checked" if is_over else "at the end"}</span>'
    if row.holds is None:
        return '<span class="wb-verdict" data-holds="open">– not decided</span>'
    if row.holds:
        return '<span class="wb-verdict" data-holds="yes">✓ holds</span>'
    return '<span class="wb-verdict" data-holds="no">✕ does not hold</span>'
