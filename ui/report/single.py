"""The report of one run: claims, figures, pictures, tables, settings, how to repeat it, where it ran, the paper in words."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from storage import Record, Run
from ui import live_parts, live_stage, live_status
from ui.live_words import duration, number, title
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head, machines, settings
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
    recipe = Recipe.of_run(workbench.catalog, run)
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
        settings(engine, run.params, recipe.changes if known else (), run.preset),
        _again(recipe) if known else "",
        "" if for_strangers else machines([("", run.environment)]),
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
    return [*facts, ("Seed", str(run.seed)), ("Run", run.id)]


def _ending(run: Run) -> str:
    html, tone = live_status.ending(run)
    return f'<div class="wb-notice" data-tone="{escape(tone)}">{html}</div>' if html else ""


def _again(recipe: Recipe) -> str:
    return (
        f'<h2>Run it again</h2><section class="wb-block"><p class="wb-help">On the command line:</p>{code(recipe.command_line())}'
        f'<p class="wb-help">In Python:</p>{code(recipe.python_code())}</section>'
    )
