"""What commands print: one JSON document, or text for people."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from storage import Record
from workbench.catalog import Catalog
from workbench.cli.text import number, seconds, table, when
from workbench.documents import to_text
from workbench.recipes import Recipe
from workbench.recorder import TRACEBACK


def print_json(document: Any) -> None:
    """Print the one document of this command."""
    print(to_text(document))


@contextlib.contextmanager
def engines_print_to_stderr() -> Iterator[None]:
    """Inside it, whatever an engine or a library prints goes to standard error, from compiled code as well."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def describe_end(record: Record) -> str:
    """The end of a run in a few lines: how it ended, its headline number, its claims."""
    run = record.run
    lines = [f"{run.engine} {run.status} after {seconds(run.duration_s)}   run {run.id}"]
    for info in record.series():
        if (info.series, info.name) == (run.headline_series, run.headline_name):
            lines.append(f"{info.name} of {info.series}: {number(info.last_value)}")
    return "\n".join([*lines, *_claims(record)])


def describe_run(record: Record, catalog: Catalog) -> str:
    """A run for people: what was asked, how it ended, its curves, tables, claims and files."""
    run = record.run
    facts = [
        ("run", run.id),
        ("engine", f"{run.engine} {run.engine_version}".strip()),
        ("status", f"{run.status}{': ' + run.error if run.error else ''}"),
        ("preset", run.preset or "–"),
        ("seed", str(run.seed)),
        ("created", when(run.created_at)),
        ("duration", seconds(run.duration_s)),
        ("device", str(run.environment.get("device", "–"))),
        ("tags", ", ".join(run.tags) or "–"),
        ("note", run.note or "–"),
        ("parent", run.parent_id or "–"),
        ("repeat", Recipe.of_run(catalog, run).command_line()),
    ]
    lines = [f"{name:<9} {value}" for name, value in facts]
    lines += _curves(record)
    for name, data in record.tables().items():
        rows = [[number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in data.rows]
        lines += ["", name, table(data.columns, rows)]
    lines += _claims(record)
    alerts = [[alert.name, number(alert.step), alert.message] for alert in record.alerts()]
    if alerts:
        lines += ["", table(["alert", "step", "message"], alerts)]
    files = [[file.name, file.filename, f"{file.size:,} bytes"] for file in record.files()]
    if files:
        lines += ["", table(["file", "name", "size"], files, right=(2,))]
    if trace := record.texts().get(TRACEBACK):
        lines += ["", trace.rstrip()]
    return "\n".join(lines)


def _curves(record: Record) -> list[str]:
    rows = [
        [info.series, info.name, str(info.count), *map(number, (info.last_value, info.min, info.max))]
        for info in record.series()
    ]
    header = ["series", "name", "points", "last", "min", "max"]
    return ["", table(header, rows, right=(2, 3, 4, 5), flexible=1)] if rows else []


def _claims(record: Record) -> list[str]:
    words = {True: "holds", False: "fails", None: "open"}
    rows = [
        [
            words[claim.holds],
            number(claim.measured),
            number(claim.baseline),
            claim.paper or "–",
            claim.statement,
        ]
        for claim in record.claims()
    ]
    header = ["claim", "measured", "baseline", "paper", "statement"]
    return ["", table(header, rows, right=(1, 2))] if rows else []
