"""The table of runs: what is asked for, and its rows as HTML. Every word of a user's is escaped here."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any, get_args

from storage import RunQuery, RunRow, Status
from storage.values import Order
from ui.live_words import duration, number
from workbench.access import OWNER, Access
from workbench.catalog import Catalog
from workbench.errors import storage_seam
from workbench.runs import Workbench
from workbench.sweep_standing import Standing, standings
from workbench.sweeps import SWEEP

PAGE = 25
COLUMNS: tuple[tuple[str, str], ...] = (
    ("engine", "Run"),
    ("", "Preset"),
    ("seed", "Seed"),
    ("status", "Status"),
    ("headline", "Headline"),
    ("", "Claims"),
    ("duration", "Duration"),
    ("", "Tags and note"),
    ("created_at", "When"),
)
"""Order key (empty: not sortable) and heading of each column."""


def query_of(asked: Mapping[str, str]) -> RunQuery:
    """The query of a request's parameters; what is not understood counts as not asked."""
    order: Any = asked.get("order", "")
    page = asked.get("page", "0")
    status = asked.get("status", "")
    return RunQuery(
        engines=(asked["engine"],) if asked.get("engine") else (),
        statuses=(Status(status),) if status in set(Status) else (),
        tags=(asked["tag"],) if asked.get("tag") else (),
        text=asked.get("text", "")[:200],
        order=order if order in get_args(Order) else "created_at",
        descending=asked.get("descending", "1") != "0",
        offset=PAGE * (int(page) if page.isdecimal() and len(page) < 7 else 0),
        limit=PAGE,
    )


def answer(
    workbench: Workbench, asked: Mapping[str, str], access: Access | None = None, viewer: str = OWNER
) -> dict[str, Any]:
    """One page of the list: its HTML, how many runs there are, and what the filters can offer."""
    access = access or Access(workbench)
    query = access.listed(viewer, query_of(asked))
    page = workbench.runs(query)
    found = standings(workbench, (row.run for row in page.rows))
    with storage_seam():
        # A guest is offered the tags of the rows at hand: those of others are others' words.
        shown = sorted({tag for row in page.rows for tag in row.run.tags})
        tags = shown if access.is_guest(viewer) else workbench.store.tags()
    return {
        "html": table(page.rows, page.total, query, workbench.catalog, found),
        "total": page.total,
        "running": any(not _stands(row, found).is_over for row in page.rows),
        "tags": tags,
        "engines": [[key, engine.paper.short] for key, engine in workbench.catalog.engines.items()],
        "statuses": list(Status),
    }


def _stands(row: RunRow, found: Mapping[str, Standing]) -> Status:
    """The status of a run; of a sweep that of its cells."""
    standing = found.get(row.run.id)
    return standing.status if standing else row.run.status


def table(
    rows: list[RunRow],
    total: int,
    query: RunQuery,
    catalog: Catalog,
    found: Mapping[str, Standing],
) -> str:
    """Rows with a heading that sorts, and the line that turns pages; or what to do where there are none."""
    if not rows:
        return _nothing(query, total)
    head = "".join(_heading(order, words, query) for order, words in COLUMNS)
    body = "".join(_row(row, catalog, _stands(row, found)) for row in rows)
    return (
        '<div class="wb-scroll"><table class="wb-table wb-lib-table"><thead><tr><th><span class="wb-off">Select</span></th>'
        f'{head}<th><span class="wb-off">Actions</span></th></tr></thead><tbody>{body}</tbody></table></div>{_pages(total, query)}'
    )


def _nothing(query: RunQuery, total: int) -> str:
    if query.text or query.engines or query.statuses or query.tags:
        return '<div class="wb-empty">No run fits. <button type="button" class="wb-link" data-lib-do="reset">Clear search and filters</button></div>'
    if total:
        return '<div class="wb-empty">This page of the list is empty. <button type="button" class="wb-link" data-lib-do="reset">To the first page</button></div>'
    return (
        '<div class="wb-empty">No runs yet. Open a paper and press Run: the defaults take less than a minute here. '
        "A bundle of another workbench can be dropped on this page.</div>"
    )


def _heading(order: str, words: str, query: RunQuery) -> str:
    numeric = ' class="num"' if order in ("seed", "headline", "duration") else ""
    if not order:
        return f"<th{numeric}>{words}</th>"
    sort = ("descending" if query.descending else "ascending") if query.order == order else "none"
    return f'<th{numeric} aria-sort="{sort}"><button type="button" class="wb-sort" data-order="{order}">{words}</button></th>'


def _row(row: RunRow, catalog: Catalog, status: Status) -> str:
    run = row.run
    engine = catalog.engines.get(run.engine)
    name = engine.paper.short if engine else run.engine
    kind = "run" if engine else "compare"
    if run.engine == SWEEP:
        of = catalog.engines.get(str(run.params.get("engine")))
        name, kind = f"Sweep of {of.paper.short if of else run.params.get('engine')}", "sweep"
    picture = (
        f'<img src="wb/artifact/{row.thumbnail}" alt="" width="36" height="36" loading="lazy">'
        if row.thumbnail
        else '<span class="wb-lib-none" aria-hidden="true"></span>'
    )
    when = run.created_at
    took = run.duration_s
    cells = (
        (
            "Run",
            "",
            f'<a class="wb-lib-run" data-wb href="?{kind}={run.id}">{picture}<span>{escape(name)}</span></a>',
        ),
        ("Preset", "", escape(run.preset)),
        ("Seed", "num", str(run.seed)),
        ("Status", "", _status(row, status)),
        ("Headline", "num", _headline(row, engine.headline_label if engine else "")),
        ("Claims", "", _claims(row)),
        ("Duration", "num", "" if took is None else escape(duration(took))),
        ("Tags and note", "", _words(row)),
        ("When", "", f'<time title="{escape(_exact(when))}">{escape(ago(time.time() - when))}</time>'),
    )
    body = "".join(f'<td data-label="{label}" class="{kind}">{html}</td>' for label, kind, html in cells)
    about = escape(f"{name}, seed {run.seed}")
    return (
        f'<tr data-run="{run.id}" data-engine="{escape(run.engine)}" data-status="{run.status.value}">'
        f'<td class="wb-lib-pick"><input type="checkbox" aria-label="Select {about}"></td>{body}'
        f'<td class="wb-lib-actions">{_actions(row, about, status)}</td></tr>'
    )


def _status(row: RunRow, status: Status) -> str:
    why = f' title="{escape(row.run.error)}"' if row.run.error else ""
    return f'<span class="wb-state" data-state="{status.value}"{why}>{status.value.capitalize()}</span>'


def _headline(row: RunRow, label: str) -> str:
    if row.headline is None:
        return ""
    words = label or row.run.headline_name
    return (
        f'<span title="{escape(f"{row.run.headline_series}: {words}")}">{escape(number(row.headline))}</span>'
    )


def _claims(row: RunRow) -> str:
    parts = [("yes", "✓", row.claims_held, "hold"), ("no", "✕", row.claims_failed, "do not hold"), ("open", "–", row.claims_open, "not decided")]  # fmt: skip
    return " ".join(
        f'<span class="wb-verdict" data-holds="{kind}" title="{count} {words}">{mark} {count}</span>'
        for kind, mark, count, words in parts
        if count
    )


def _words(row: RunRow) -> str:
    tags = "".join(f'<span class="wb-chip">{escape(tag)}</span>' for tag in row.run.tags)
    note = (
        f'<span class="wb-lib-note" title="{escape(row.run.note)}">{escape(row.run.note)}</span>'
        if row.run.note
        else ""
    )
    return tags + note


def _actions(row: RunRow, about: str, status: Status) -> str:
    run = row.run
    fork = ""
    if run.engine != SWEEP:
        fork = f'<a class="wb-quiet" data-wb href="?engine={escape(run.engine)}&amp;from={run.id}" title="Same settings, to change one">Fork</a>'
    rest = f'<button type="button" class="wb-quiet" data-lib-do="edit" aria-label="Tags and note of {about}">Tag, note</button>'
    opened = f'<a class="wb-quiet" data-wb href="?run={run.id}">Open</a>'
    delete = f'<button type="button" class="wb-quiet" data-lib-do="delete" aria-label="Delete {about}">Delete</button>'
    if not status.is_over:  # a sweep whose cells all wait can be deleted with them
        return f"{opened}{rest}{delete if run.status.is_over and status is Status.queued else ''}"
    return (
        f"{opened}{fork}{rest}"
        f'<a class="wb-quiet" href="wb/export/{run.id}.zip" download>Export</a>'
        f'<a class="wb-quiet" href="wb/export/{run.id}.html" download>Report</a>'
        f"{delete}"
    )


def _pages(total: int, query: RunQuery) -> str:
    pages = max(1, math.ceil(total / PAGE))
    page = query.offset // PAGE
    first, last = query.offset + 1, min(total, query.offset + PAGE)
    words = (
        f"{first} to {last} of {total} runs" if total > PAGE else f"{total} run{'s' if total != 1 else ''}"
    )
    turn = ""
    if pages > 1:
        turn = "".join(
            f'<button type="button" class="wb-secondary" data-page="{to}"{"" if 0 <= to < pages else " disabled"}>{label}</button>'
            for to, label in ((page - 1, "Newer" if query.order == "created_at" else "Back"), (page + 1, "Older" if query.order == "created_at" else "On"))
        )  # fmt: skip
    return f'<div class="wb-lib-pages"><span class="wb-muted">{words}</span>{turn}</div>'


def _exact(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def ago(seconds: float) -> str:
    """How long ago, in words that fit a column."""
    for size, word in ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count != 1 else ''} ago"
    return "just now"
