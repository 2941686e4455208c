"""The report of several runs of one engine: what differs, claims side by side, curves with bands, pictures."""

from __future__ import annotations

from collections.abc import Sequence

from ui.library import compare
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head
from ui.report.pictures import alone
from workbench.outside import stand_in
from workbench.recipes import Recipe
from workbench.runs import Workbench


def page(workbench: Workbench, ids: Sequence[str], *, for_strangers: bool) -> Page:
    """What the file says of these runs; nothing of it tells where they ran. Raises UnknownRun, and UsageError where they
    cannot be compared."""
    answer = compare.answer(workbench, ids)
    records = [workbench.record(run_id) for run_id in ids]
    run = records[0].run
    known = workbench.catalog.engines.get(run.engine)
    engine = known or stand_in(run.engine, (run.headline_series, run.headline_name))
    body = alone(answer["html"].partition("</div>")[2], workbench.store.artifacts.read)
    commands = "\n".join(Recipe.of_run(workbench.catalog, record.run).command_line() for record in records)
    what = f"{len(records)} runs compared"
    parts = [
        head(engine, what),
        body.replace("data-compare-figure=", "data-figure="),
        f'<h2>Run them again</h2><section class="wb-block">{code(commands)}</section>' if known else "",
        about(engine) if known else "",
        FOOT,
    ]
    return Page(f"{engine.paper.short}: {what}", "\n".join(parts), answer["figures"])
