"""The report of one run: claims, figures, pictures, tables, settings, how to repeat it, where it ran, the paper in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from engines.contract import Engine
from storage import Record, Run
from ui import live_parts, live_stage, live_status
from ui.live_words import duration, number, title
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head, shown
from ui.report.pictures import alone, pictures
from ui.views import default_view, view_for
from workbench.outside import stand_in
from workbench.recipes import Recipe
from workbench.recorder import TRACEBACK
from workbench.runs import Workbench


def page(workbench: Workbench, run_id: str, *, for_strangers: bool) -> Page:
    """What the file says of that run. Raises UnknownRun."""
    record = workbench.record(run_id)
    run = record.run
    known = workbench.catalog.engines.get(run.engine)
    engine = known or stand_in(run.engine, (run.headline_series, run.headline_name))
    view = view_for(run.engine, workbench.catalog) if known else default_view(engine)
    read = workbench.store.artifacts.read
    specs = view.specs(run.params, record)
    drawn = {spec.key: figure for spec in specs if (figure := spec.build(record))["data"]}
    frames = "".join(live_stage.frame(spec) for spec in specs if spec.key in drawn)
    found, texts = record.tables(), record.texts()
    if for_strangers:
        texts.pop(TRACEBACK, None)
    what = f"{run.preset or 'run'}, seed {run.seed}"
    films = pictures(record.pictures(), view.pictures, read)
    figures = f'<h2>Figures</h2><div class="wb-figures">{frames}</div>' if frames else ""
    body = [
        head(engine, what, _facts(record)),
        _ending(run),
        live_parts.alerts(record.alerts()),
        f'<p class="wb-report-note">{escape(run.note)}</p>' if run.note and not for_strangers else "",
        live_parts.claims(engine.claims, record.claims(), is_over=run.status.is_over),
        f'<div class="wb-texts">{live_parts.texts(texts)}</div>' if texts else "",
        *((films, figures) if view.pictures.first else (figures, films)),
        live_parts.tables(found, view.table_names(found)),
        alone(live_parts.files(record.files()), read),
        _settings(workbench, run, engine),
        _again(Recipe.of_run(workbench.catalog, run)) if known else "",
        "" if for_strangers else _machine(run),
        about(engine) if known else "",
        FOOT,
    ]
    return Page(f"{engine.paper.short}: {what}", "\n".join(part for part in body if part), drawn)


def _facts(record: Record) -> list[tuple[str, str]]:
    run = record.run
    facts = [("Status", run.status.value)]
    if run.duration_s is not None:
        facts.append(("Took", duration(run.duration_s)))
    facts.append(("Made", f"{datetime.fromtimestamp(run.created_at, UTC):%Y-%m-%d %H:%M} UTC"))
    for info in record.series():
        if (info.series, info.name) == (run.headline_series, run.headline_name):
            facts.append((title(info.name.replace("_", " ")), number(info.last_value)))
    return [*facts, ("Run", run.id)]


def _ending(run: Run) -> str:
    html, tone = live_status.ending(run)
    return f'<div class="wb-notice" data-tone="{escape(tone)}">{html}</div>' if html else ""


def _settings(workbench: Workbench, run: Run, engine: Engine) -> str:
    changed = Recipe.of_run(workbench.catalog, run).changes
    rows = []
    for name, value in run.params.items():
        info = engine.params.model_fields.get(name)
        extra = (
            info.json_schema_extra if info is not None and isinstance(info.json_schema_extra, dict) else {}
        )
        words = shown(value)
        unit = f" {extra.get('unit', '')}".rstrip() if words else ""
        mark = ' class="wb-changed"' if name in changed else ""
        rows.append(
            f'<tr><th scope="row">{escape(str(info.title) if info is not None else name)}</th>'
            f'<td class="wb-mono wb-muted">{escape(name)}</td><td{mark}>{escape(words + unit)}</td></tr>'
        )
    rows.append(
        f'<tr><th scope="row">Seed</th><td class="wb-mono wb-muted">seed</td><td>{run.seed}</td></tr>'
    )
    note = (
        f'<p class="wb-help">In bold: what differs from the preset {escape(run.preset)!s}.</p>'
        if changed
        else ""
    )
    return (
        f'<h2>Settings</h2><section class="wb-block">{note}<div class="wb-scroll"><table class="wb-table"><tbody>'
        f"{''.join(rows)}</tbody></table></div></section>"
    )


def _again(recipe: Recipe) -> str:
    return (
        f'<h2>Run it again</h2><section class="wb-block"><p class="wb-help">On the command line:</p>{code(recipe.command_line())}'
        f'<p class="wb-help">In Python:</p>{code(recipe.python_code())}</section>'
    )


def _machine(run: Run) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in _flat(run.environment)
    )
    if not rows:
        return ""
    return (
        '<h2>Where it ran</h2><section class="wb-block"><div class="wb-scroll"><table class="wb-table"><tbody>'
        f"{rows}</tbody></table></div></section>"
    )


def _flat(found: Mapping[str, Any], lead: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines, in words."""
    lines: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{lead}{name}: ")
        elif value not in (None, "", []):
            lines.append((title(f"{lead}{name}".replace("_", " ")), shown(value)))
    return lines
