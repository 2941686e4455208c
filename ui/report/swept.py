"""The report of a sweep: its headline over the axes, for every contender that recorded it, and the grid of its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from engines.contract import Engine
from ui.figures import Figure
from ui.library import sweep as pages
from ui.live_words import duration, title
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head, shown
from ui.report.pictures import MOST_BYTES, Read, alone
from workbench import sweep_results, sweeps
from workbench.runs import Workbench
from workbench.sweeps import Sweep

MOST_CONTENDERS = 6
_IMAGE = re.compile(r'<img src="wb/artifact/([0-9a-f]{64})"[^>]*>')


def page(workbench: Workbench, sweep_id: str) -> Page:
    """What the file says of that sweep; nothing of it tells where its cells ran. Raises UnknownRun."""
    found = sweeps.read(workbench, sweep_id)
    engine = workbench.catalog.engine(found.plan.engine)
    drawn = _drawn(workbench, found, engine)
    frames = "".join(f'<div class="wb-frame pf" data-figure="{escape(key)}"></div>' for key in drawn)
    summaries = sweep_results.summarize(found, sweep_results.values_of(workbench, found))
    over = " and ".join(scale.title.lower() for scale in pages.scales(found, engine))
    what = f"sweep over {over}"
    body = [
        head(engine, what, _facts(found)),
        f'<h2>Over the axes</h2><div class="wb-figures">{frames}</div>',
        "<h2>Cells</h2>"
        f'<p class="wb-help">In each cell: the newest picture of its first seed where there is one, the mean of '
        f"{escape(_words(found.run.headline_name, found.run.headline_series))} over the seeds that finished, "
        "and what became of each seed.</p>",
        _grid(pages.grid(found, engine, summaries), workbench.store.artifacts.read),
        _fixed(found.plan.values, engine),
        f'<h2>Run it again</h2><section class="wb-block">{code(sweeps.command_line(workbench.catalog, found.plan))}</section>',
        about(engine),
        FOOT,
    ]
    return Page(f"{engine.paper.short}: {what}", "\n".join(part for part in body if part), drawn)


def _drawn(workbench: Workbench, found: Sweep, engine: Engine) -> dict[str, Figure]:
    """The headline's figures, then those of the other contenders that recorded a curve of its name."""
    headline = (found.run.headline_series, found.run.headline_name)
    rivals = [
        pair
        for pair in sweep_results.quantities(workbench, found)
        if pair[1] == headline[1] and pair != headline
    ]
    drawn: dict[str, Figure] = {}
    for place, pair in enumerate([headline, *rivals][:MOST_CONTENDERS]):
        values = sweep_results.values_of(workbench, found, pair if place else None)
        figures = pages.drawn(found, engine, sweep_results.summarize(found, values), pair)
        drawn |= {f"{key}:{place}": figure for key, figure in figures.items()}
    return drawn


def _facts(found: Sweep) -> list[tuple[str, str]]:
    runs = [cell.row.run for cell in found.cells if cell.row]
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    took = sum(run.duration_s or 0.0 for run in runs)
    made = f"{datetime.fromtimestamp(found.run.created_at, UTC):%Y-%m-%d %H:%M} UTC"
    facts = [("Cells", counts), ("Seeds", str(len(found.plan.seeds))), ("Took together", duration(took))]
    return [*facts, ("Made", made), ("Sweep", found.run.id)]


def _words(name: str, series: str) -> str:
    return f"{name.replace('_', ' ')} of {series}"


def _grid(markup: str, read: Read) -> str:
    """The grid without the page; pictures as long as there is room for them."""
    room, left = MOST_BYTES, 0
    fitting: dict[str, bool] = {}

    def kept(image: re.Match[str]) -> str:
        nonlocal room, left
        content_hash = image[1]
        if content_hash not in fitting:
            size = len(read(content_hash))
            fitting[content_hash] = size <= room
            room -= size if size <= room else 0
        left += not fitting[content_hash]
        return image[0] if fitting[content_hash] else ""

    thinned = _IMAGE.sub(kept, markup)
    more = f'<p class="wb-help">{left} more pictures are in the record.</p>' if left else ""
    return alone(thinned, read) + more


def _fixed(values: Mapping[str, Any], engine: Engine) -> str:
    """What every cell was given over its preset."""
    if not values:
        return ""
    fields = engine.params.model_fields
    rows = "".join(
        f'<tr><th scope="row">{escape((fields[name].title if name in fields else None) or title(name))}</th>'
        f"<td>{escape(shown(value))}</td></tr>"
        for name, value in values.items()
    )
    return (
        '<h2>In every cell</h2><section class="wb-block"><div class="wb-scroll"><table class="wb-table"><tbody>'
        f"{rows}</tbody></table></div></section>"
    )
