"""Two or more runs of one engine side by side: settings that differ, claims, curves, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from engines.contract import Engine
from storage import Record
from ui.figures import Figure
from ui.library.compare_curves import curves, differences, group, shown
from ui.live_parts import verdict
from ui.live_words import duration, number, title
from workbench.errors import UsageError
from workbench.outside import stand_in
from workbench.runs import Workbench

MOST = 12


def answer(workbench: Workbench, ids: Sequence[str]) -> dict[str, Any]:
    """The comparison's HTML and its figures. Raises UsageError where these runs cannot be compared."""
    engine, records = compared(workbench, ids)
    figures = curves(engine, group(records))
    return {"html": markup(engine, records, figures), "figures": figures}


def compared(workbench: Workbench, ids: Sequence[str]) -> tuple[Engine, list[Record]]:
    """The runs of a comparison and their engine. Raises UsageError where these runs cannot be compared."""
    wanted = list(dict.fromkeys(ids))
    if not 1 <= len(wanted) <= MOST:
        raise UsageError(f"A comparison takes 2 to {MOST} runs; got {len(wanted)}.")
    records = [workbench.record(run_id) for run_id in wanted]
    keys = {record.run.engine for record in records}
    if len(keys) > 1:
        raise UsageError(f"Only runs of one engine can be compared; these are of {', '.join(sorted(keys))}.")
    run = records[0].run
    known = workbench.catalog.engines.get(run.engine)
    return known or stand_in(run.engine, (run.headline_series, run.headline_name)), records


def markup(engine: Engine, records: Sequence[Record], figures: Sequence[str], *, alone: bool = False) -> str:
    """Everything but the curves themselves, for which frames are left. `alone` is for a file without the page and its
    script: no head, nothing to press, and every setting in sight."""
    if alone:
        return (
            f"<h2>Settings</h2>{_settings(records, alone=True)}{_claims(engine, records)}"
            f"{'<h2>Figures</h2>' if figures else ''}{_frames(figures, 'data-figure')}{_pictures(records, alone=True)}"
        )
    more = (
        '<p class="wb-notice">One run is chosen. Select another run of this paper in the Library to see both here.</p>'
        if len(records) == 1
        else ""
    )
    return (
        '<div class="wb-lib-head"><a class="wb-quiet" data-wb href="?view=library">Back to all runs</a>'
        f"<h1>{escape(engine.paper.short)}: {len(records)} run{'s' if len(records) != 1 else ''} compared</h1>"
        f'<a class="wb-quiet" href="wb/export/{",".join(record.run.id for record in records)}.html" download>Report</a></div>{more}'
        f"{_settings(records)}{_claims(engine, records)}"
        f"{_frames(figures, 'data-compare-figure')}{_pictures(records)}"
    )


def _frames(figures: Mapping[str, Figure], attribute: str) -> str:
    frames = "".join(
        f'<div class="wb-frame pf" {attribute}="{escape(name)}"'
        f"{' data-explained' if figure['layout']['meta']['pw'].get('explained') else ''}></div>"
        for name, figure in figures.items()
    )
    return f'<div class="wb-figures">{frames}</div>'


def names(records: Sequence[Record]) -> list[str]:
    """A name for each run, short and its own: preset and seed, and what differs where that does not tell them apart."""
    short = [f"{record.run.preset or 'run'}, seed {record.run.seed}" for record in records]
    if len(set(short)) == len(short):
        return short
    differing = differences(records)[:2]
    return [
        ", ".join(
            [
                *(f"{name} {shown(record.run.params.get(name))}" for name in differing),
                f"seed {record.run.seed}",
            ]
        )
        for record in records
    ]


def _heads(records: Sequence[Record]) -> str:
    return "".join(
        f'<th scope="col"><a data-wb href="?run={record.run.id}">{escape(words)}</a></th>'
        for record, words in zip(records, names(records), strict=True)
    )


def _line(name: str, cells: Sequence[str], mark: str = "") -> str:
    return (
        f'<tr{mark}><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    )


def _settings(records: Sequence[Record], *, alone: bool = False) -> str:
    differing = set(differences(records))
    names = dict.fromkeys(name for record in records for name in record.run.params)
    facts = [
        _line("Status", [f'<span class="wb-state" data-state="{r.run.status.value}">{r.run.status.value}</span>' for r in records]),
        _line("Headline", [escape(_headline(record)) for record in records]),
        _line("Duration", [escape(duration(r.run.duration_s)) if r.run.duration_s is not None else "" for r in records]),
    ]  # fmt: skip
    if alone:
        facts.append(_line("Run", [f'<span class="wb-mono">{r.run.id}</span>' for r in records]))
        facts.append(_line("seed", [str(record.run.seed) for record in records]))
    same, other = ("", ' class="wb-changed"') if alone else (' class="wb-same" hidden', "")
    facts += [
        _line(
            name,
            [escape(shown(record.run.params.get(name))) for record in records],
            other if name in differing else same,
        )
        for name in names
    ]
    hidden = len(names) - len(differing)
    toggle = (
        f'<button type="button" class="wb-link" data-lib-do="same">Show the {hidden} settings that agree</button>'
        if hidden and not alone
        else ""
    )
    words = "" if differing else "All settings agree; the runs differ in their seed or machine."
    if alone and differing:
        words = "In bold: what differs."
    help_ = f'<p class="wb-help">{words}</p>' if words else ""
    heading = "" if alone else "<h3>What differs</h3>"
    return (
        f'<section class="wb-block">{heading}{help_ if alone else ""}<div class="wb-scroll"><table class="wb-table wb-lib-diff"><thead><tr><td></td>'
        f"{_heads(records)}</tr></thead><tbody>{''.join(facts)}</tbody></table></div>{'' if alone else help_}{toggle}</section>"
    )


def _headline(record: Record) -> str:
    run = record.run
    for info in record.series():
        if (info.series, info.name) == (run.headline_series, run.headline_name):
            return f"{number(info.last_value)} ({run.headline_name})"
    return ""


def _claims(engine: Engine, records: Sequence[Record]) -> str:
    found = [{row.key: row for row in record.claims()} for record in records]
    lines_ = [
        f'<tr><th scope="row">{escape(claim.statement)}</th>'
        + "".join(f"<td>{_claim_cell(rows.get(claim.key), claim.unit)}</td>" for rows in found)
        + "</tr>"
        for claim in engine.claims
        if any(claim.key in rows for rows in found)
    ]
    if not lines_:
        return ""
    return (
        '<section class="wb-block"><h3>What the paper claims</h3><div class="wb-scroll"><table class="wb-table wb-lib-diff">'
        f"<thead><tr><td></td>{_heads(records)}</tr></thead><tbody>{''.join(lines_)}</tbody></table></div></section>"
    )


def _claim_cell(row: Any, unit: str) -> str:
    if row is None:
        return verdict(None, True)
    amount = (
        ""
        if row.measured is None
        else f'<span class="wb-mono">{escape(number(row.measured))} {escape(unit)}</span> '
    )
    return amount + verdict(row, True)


def _pictures(records: Sequence[Record], *, alone: bool = False) -> str:
    """Pictures of one name side by side; on the page the first two also under a cut that the reader drags."""
    newest = [{info.name: info for info in record.pictures()} for record in records]
    names = [name for name in newest[0] if sum(name in found for found in newest) > 1]
    blocks = []
    for name in names:
        shown = [
            (record, found[name]) for record, found in zip(records, newest, strict=True) if name in found
        ]
        figures = "".join(
            f'<figure><img src="wb/artifact/{info.hash}" alt="{escape(f"{name}, seed {record.run.seed}")}" loading="lazy">'
            f"<figcaption>{escape(record.run.preset)}, seed {record.run.seed}. {escape(info.caption)}</figcaption></figure>"
            for record, info in shown
        )
        first, second = shown[0][1], shown[1][1]
        cut = ""
        if not alone and (first.width, first.height) == (second.width, second.height):
            cut = (
                f'<figure class="wb-lib-cut"><div class="wb-split"><img src="wb/artifact/{first.hash}" alt=""><img src="wb/artifact/{second.hash}" alt=""></div>'
                f'<input type="range" min="0" max="100" value="50" aria-label="Cut between the first and the second run, {escape(name)}">'
                "<figcaption>Drag: left the first run, right the second.</figcaption></figure>"
            )
        blocks.append(f'<h4>{escape(title(name))}</h4><div class="wb-lib-pictures">{cut}{figures}</div>')
    if not blocks:
        return ""
    heading = "" if alone else "<h3>Pictures</h3>"
    section = f'<section class="wb-block">{heading}{"".join(blocks)}</section>'
    return f"<h2>Pictures</h2>{section}" if alone else section
