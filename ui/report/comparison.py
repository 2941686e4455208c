"""The report of several runs of one engine: settings, claims, curves with bands, pictures, tables and texts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from storage import Record
from ui import live_parts
from ui.library import compare
from ui.library.compare_curves import curves, group
from ui.live_words import title
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head, machines
from ui.report.pictures import alone
from workbench.recipes import Recipe
from workbench.recorder import TRACEBACK
from workbench.runs import Workbench


def page(workbench: Workbench, ids: Sequence[str], *, for_strangers: bool) -> Page:
    """What the file says of these runs. Raises UnknownRun, and UsageError where they cannot be compared."""
    engine, records = compare.compared(workbench, ids)
    drawn = curves(engine, group(records))
    names = compare.names(records)
    known = engine.key in workbench.catalog.engines
    commands = "\n".join(Recipe.of_run(workbench.catalog, record.run).command_line() for record in records)
    environments = [(name, record.run.environment) for name, record in zip(names, records, strict=True)]
    what = f"{len(records)} runs compared"
    parts = [
        head(engine, what),
        "" if for_strangers else _notes(records, names),
        alone(compare.markup(engine, records, drawn, alone=True), workbench.store.artifacts.read),
        _tables(records, names),
        _texts(records, names, for_strangers=for_strangers),
        f'<h2>Run them again</h2><section class="wb-block">{code(commands)}</section>' if known else "",
        "" if for_strangers else machines(environments),
        about(engine) if known else "",
        FOOT,
    ]
    return Page(f"{engine.paper.short}: {what}", "\n".join(part for part in parts if part), drawn)


def _notes(records: Sequence[Record], names: Sequence[str]) -> str:
    return "".join(
        f'<p class="wb-report-note"><b>{escape(name)}:</b> {escape(record.run.note)}</p>'
        for name, record in zip(names, records, strict=True)
        if record.run.note
    )


def _tables(records: Sequence[Record], names: Sequence[str]) -> str:
    """The runs' tables of one name as one, with a column that says whose a row is; those with other columns apart."""
    found = [record.tables() for record in records]
    most = live_parts.MAX_ROWS // len(records)
    blocks = []
    for name in dict.fromkeys(name for tables in found for name in tables):
        merged: dict[tuple[str, ...], list[list[Any]]] = {}
        left = 0
        for run, tables in zip(names, found, strict=True):
            if name in tables:
                rows = merged.setdefault(tuple(tables[name].columns), [])
                rows += [[run, *row] for row in tables[name].rows[:most]]
                left += max(0, len(tables[name].rows) - most)
        inner = "".join(live_parts.table(["run", *columns], rows) for columns, rows in merged.items())
        more = f'<p class="wb-help">{left} more rows are in the export.</p>' if left else ""
        blocks.append(f'<section class="wb-block"><h3>{escape(title(name))}</h3>{inner}{more}</section>')
    return f"<h2>Tables</h2>{''.join(blocks)}" if blocks else ""


def _texts(records: Sequence[Record], names: Sequence[str], *, for_strangers: bool) -> str:
    """The runs' texts of one name together; what all say alike stands once."""
    found = [record.texts() for record in records]
    blocks = []
    for name in dict.fromkeys(name for texts in found for name in texts):
        if for_strangers and name == TRACEBACK:
            continue
        said = [(run, texts[name]) for run, texts in zip(names, found, strict=True) if name in texts]
        if len(said) == len(records) and len({text for _, text in said}) == 1:
            said = [("All runs", said[0][1])]
        lines = "".join(
            f"<p>{escape(run)}</p>{code(text)}"
            if name == TRACEBACK
            else f'<p class="wb-report-note"><b>{escape(run)}:</b> {escape(text)}</p>'
            for run, text in said
        )
        blocks.append(f'<section class="wb-block"><h3>{escape(title(name))}</h3>{lines}</section>')
    return f"<h2>Texts</h2>{''.join(blocks)}" if blocks else ""
