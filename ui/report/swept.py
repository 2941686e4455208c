"""The report of a sweep: its headline over the axes, for every contender that recorded it, and the grid of its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from engines.contract import Engine
from storage import ClaimRow
from ui.figures import Figure
from ui.library import sweep as pages
from ui.live_words import duration, number
from ui.report.file import Page
from ui.report.parts import FOOT, about, code, head, machines, settings
from ui.report.pictures import alone
from workbench import sweep_results, sweeps
from workbench.outside import stand_in
from workbench.runs import Workbench
from workbench.sweeps import Sweep

MOST_CONTENDERS = 6
MOST_MACHINES = 6
GRID_SIDES = (256, 128)
"""Pixels a side of a picture in the grid, where it is drawn 112 wide: sharp on a fine screen, then for room's sake."""


def page(workbench: Workbench, sweep_id: str, *, for_strangers: bool) -> Page:
    """What the file says of that sweep. Raises UnknownRun."""
    found = sweeps.read(workbench, sweep_id)
    engine = _engine(workbench, found)
    known = engine.key in workbench.catalog.engines
    drawn = figures_of(workbench, found)
    frames = "".join(f'<div class="wb-frame pf" data-figure="{escape(key)}"></div>' for key in drawn)
    summaries = sweep_results.summarize(found, sweep_results.values_of(workbench, found))
    over = " and ".join(scale.title.lower() for scale in pages.scales(found, engine))
    what = f"sweep over {over}"
    grid = alone(pages.grid(found, engine, summaries, heading=""), workbench.store.artifacts.read, GRID_SIDES)
    command = code(sweeps.command_line(workbench.catalog, found.plan))
    body = [
        head(engine, what, _facts(found)),
        f'<p class="wb-report-note">{escape(found.run.note)}</p>'
        if found.run.note and not for_strangers
        else "",
        f'<h2>Over the axes</h2><div class="wb-figures">{frames}</div>',
        "<h2>Cells</h2>"
        f'<p class="wb-help">In each cell: the newest picture of its first seed where there is one, the mean of '
        f"{escape(_words(found.run.headline_name, found.run.headline_series))} over the seeds that finished, "
        "and what became of each seed.</p>",
        grid,
        _claims(workbench, found, engine),
        settings(engine, _fixed(found), found.plan.values, found.plan.preset, "In every cell"),
        f'<h2>Run it again</h2><section class="wb-block">{command}</section>' if known else "",
        "" if for_strangers else machines(_environments(found)),
        about(engine) if known else "",
        FOOT,
    ]
    return Page(f"{engine.paper.short}: {what}", "\n".join(part for part in body if part), drawn)


def _engine(workbench: Workbench, found: Sweep) -> Engine:
    """The engine that was swept, or what stands for one that is not installed here."""
    known = workbench.catalog.engines.get(found.plan.engine)
    return known or stand_in(found.plan.engine, (found.run.headline_series, found.run.headline_name))


def figures_of(workbench: Workbench, found: Sweep) -> dict[str, Figure]:
    """The headline's figures, then those of the other contenders that recorded a curve of its name."""
    engine = _engine(workbench, found)
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


def _fixed(found: Sweep) -> dict[str, Any]:
    """The parameters that every cell has, as they were recorded; of a sweep without cells what its plan says."""
    axes = {axis.name for axis in found.plan.axes}
    cells = [cell.row.run.params for cell in found.cells if cell.row]
    if not cells:
        return dict(found.plan.values)
    return {
        name: value
        for name, value in cells[0].items()
        if name not in axes and all(params.get(name) == value for params in cells)
    }


def _claims(workbench: Workbench, found: Sweep, engine: Engine) -> str:
    """What became of each claim over all cells that finished."""
    rows: dict[str, list[ClaimRow]] = {}
    finished = [cell.row.run.id for cell in found.cells if cell.row and cell.status == "finished"]
    for run_id in finished:
        for claim in workbench.record(run_id).claims():
            rows.setdefault(claim.key, []).append(claim)
    lines = "".join(
        f"<tr><td>{escape(checked[0].statement)}</td>"
        f"<td>{escape(checked[0].paper or 'not published or not confirmed')}</td>"
        f'<td class="num">{_range(checked)}</td>{_tally(checked, len(finished))}</tr>'
        for key in dict.fromkeys([*(claim.key for claim in engine.claims), *rows])
        if (checked := rows.get(key))
    )
    if not lines:
        return ""
    return (
        f'<h2>What the paper claims</h2><section class="wb-block"><p class="wb-help">Each claim was checked in every cell that finished ({len(finished)}).</p>'
        '<div class="wb-scroll"><table class="wb-table wb-claims"><thead><tr><th scope="col">Claim</th><th scope="col">Published</th>'
        '<th class="num" scope="col">Here, lowest to highest</th><th scope="col">Verdicts</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def _range(checked: Sequence[ClaimRow]) -> str:
    values = [row.measured for row in checked if row.measured is not None]
    if not values:
        return "–"
    unit = f" <i>{escape(checked[0].unit)}</i>" if checked[0].unit else ""
    low, high = number(min(values)), number(max(values))
    return (low if low == high else f"{low} to {high}") + unit


def _tally(checked: Sequence[ClaimRow], finished: int) -> str:
    kinds = (
        ("yes", "✓ holds in", True),
        ("no", "✕ does not hold in", False),
        ("open", "– not decided in", None),
    )
    counts = [(kind, words, sum(row.holds is holds for row in checked)) for kind, words, holds in kinds]
    counts.append(("open", "– not checked in", finished - len(checked)))
    said = "<br>".join(
        f'<span class="wb-verdict" data-holds="{kind}">{words} {count}</span>'
        for kind, words, count in counts
        if count
    )
    return f"<td>{said}</td>"


def _environments(found: Sweep) -> list[tuple[str, Mapping[str, Any]]]:
    """The machines that the cells ran on, each with how many it had, the busiest first."""
    ran: dict[str, tuple[Mapping[str, Any], int]] = {}
    for cell in found.cells:
        if cell.row and (environment := cell.row.run.environment):
            known = json.dumps(environment, sort_keys=True, default=str)
            ran[known] = (environment, ran.get(known, (environment, 0))[1] + 1)
    busiest = sorted(ran.values(), key=lambda one: -one[1])[:MOST_MACHINES]
    return [(f"{count} cell{'s' if count != 1 else ''}", environment) for environment, count in busiest]
