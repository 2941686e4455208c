"""The page of a sweep: where it stands, a quantity over its axes, and the labelled grid of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from engines.contract import Engine
from ui.figures import Axis, Figure
from ui.figures.sweep import Scale, Spread, figures
from ui.live_words import number
from workbench import sweep_access, sweep_results, sweeps
from workbench.access import Access
from workbench.runs import Workbench
from workbench.sweep_results import Summary
from workbench.sweeps import Cell, Sweep

MARKS = {
    "finished": ("✓", "finished"),
    "running": ("…", "running"),
    "queued": ("·", "queued"),
    "failed": ("✕", "failed"),
    "cancelled": ("–", "cancelled"),
    "interrupted": ("!", "interrupted"),
    "missing": ("○", "deleted"),
}
"""A sign and a word for each status of a cell; colour only underlines them."""
_WITHOUT_RESULT = ("failed", "cancelled", "interrupted", "missing")


def answer(workbench: Workbench, sweep_id: str, quantity: str, access: Access, viewer: str) -> dict[str, Any]:
    """The page's parts as they are now. Raises UnknownRun where there is no such sweep."""
    found = sweeps.read(workbench, sweep_id)
    known = sweep_results.quantities(workbench, found)
    chosen = next((pair for pair in known if "/".join(pair) == quantity), None)
    headline = (found.run.headline_series, found.run.headline_name)
    values = sweep_results.values_of(workbench, found, chosen)
    summaries = sweep_results.summarize(found, values)
    engine = workbench.catalog.engines.get(found.plan.engine)
    may_change = access.may_change(viewer, found.run)
    return {
        "head": head(workbench, found, engine, known, chosen or headline, may_change=may_change),
        "figures": drawn(found, engine, summaries, chosen or headline),
        "grid": grid(found, engine, summaries),
        "running": not found.is_over,
    }


def stop(workbench: Workbench, asked: Mapping[str, Any], access: Access, viewer: str) -> dict[str, Any]:
    """Stop the cells that wait or run."""
    sweep_access.cancel(access, viewer, _id(asked))
    return {"id": _id(asked)}


def repeat(workbench: Workbench, asked: Mapping[str, Any], access: Access, viewer: str) -> dict[str, Any]:
    """Run the cells without a result again."""
    return {"id": _id(asked), "started": sweep_access.repeat(access, viewer, _id(asked))}


def scales(found: Sweep, engine: Engine | None) -> list[Scale]:
    """The axes with the titles and units of the engine's parameters."""
    made = []
    for axis in found.plan.axes:
        info = engine.params.model_fields.get(axis.name) if engine else None
        extra: Any = info.json_schema_extra if info is not None else None
        unit = str(extra.get("unit") or "") if isinstance(extra, dict) else ""
        made.append(Scale((info.title if info is not None else None) or axis.name, axis.values, unit))
    return made


def drawn(
    found: Sweep, engine: Engine | None, summaries: Sequence[Summary], quantity: tuple[str, str]
) -> dict[str, Figure]:
    """The figures of one quantity."""
    shape = [len(axis.values) for axis in found.plan.axes]

    def field(name: str) -> Any:
        values = [getattr(one, name) for one in summaries]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64).reshape(
            shape
        )

    spread = Spread(field("mean"), field("low"), field("high"))
    words = f"{quantity[1].replace('_', ' ')} of {quantity[0]}"
    finite = spread.mean[np.isfinite(spread.mean)]
    log = bool(finite.size and finite.min() > 0 and finite.max() / finite.min() > 100)
    return figures(scales(found, engine), spread, Axis(words, log=log), len(found.plan.seeds))


def head(
    workbench: Workbench,
    found: Sweep,
    engine: Engine | None,
    known: Sequence[tuple[str, str]],
    chosen: tuple[str, str],
    *,
    may_change: bool,
) -> str:
    """Title, where the sweep stands, what can be done with it, and which quantity is shown."""
    counts, total = found.counts, len(found.cells)
    ended = sum(count for status, count in counts.items() if status not in ("queued", "running"))
    facts = ", ".join(f"{counts[status]} {word}" for status, (_, word) in MARKS.items() if status in counts)
    over = " and ".join(scale.title.lower() for scale in scales(found, engine))
    name = engine.paper.short if engine else found.plan.engine
    lost = sum(counts.get(status, 0) for status in _WITHOUT_RESULT)
    buttons = []
    if may_change and not found.is_over:
        buttons.append('<button type="button" class="wb-secondary" data-sweep-do="sweep-stop">Stop</button>')
    if may_change and lost and found.is_over:
        words = f"Run the {lost} missing cell{'s' if lost != 1 else ''}"
        buttons.append(
            f'<button type="button" class="wb-secondary" data-sweep-do="sweep-repeat">{words}</button>'
        )
    if found.is_over:
        buttons.append(
            f'<a class="wb-quiet" href="wb/export/{found.run.id}.zip" download>Export as one bundle</a>'
            f'<a class="wb-quiet" href="wb/export/{found.run.id}.html" download>Report</a>'
        )
    choices = "".join(
        f'<option value="{escape("/".join(pair))}"{" selected" if pair == chosen else ""}>{escape(pair[1])}: {escape(pair[0])}</option>'
        for pair in known
    )
    select = (
        f'<label class="wb-sweep-quantity">Quantity <select class="wb-input" data-sweep="quantity">{choices}</select></label>'
        if choices
        else ""
    )
    command = escape(sweeps.command_line(workbench.catalog, found.plan))
    return (
        '<div class="wb-lib-head"><a class="wb-quiet" data-wb href="?view=library">Back to all runs</a>'
        f"<h1>{escape(name)}: sweep over {escape(over)}</h1></div>"
        f'<div class="wb-sweep-state"><progress max="{total}" value="{ended}" aria-label="Cells that ended"></progress>'
        f'<span role="status">{ended} of {total} cells: {facts}</span>{"".join(buttons)}{select}</div>'
        f'<details class="wb-sweep-command"><summary>The command</summary><pre tabindex="0"><code>{command}</code></pre></details>'
    )


def grid(found: Sweep, engine: Engine | None, summaries: Sequence[Summary], heading: str = "Cells") -> str:
    """The cells as a table: the last axis across, the one before it down, a table for each value of the first of
    three, which is its heading. With one axis its values stand across."""
    axes = scales(found, engine)
    seeds = len(found.plan.seeds)
    cells = [found.cells[place * seeds : (place + 1) * seeds] for place in range(len(summaries))]
    made = [_cell(group, summary) for group, summary in zip(cells, summaries, strict=True)]
    across = axes[-1]
    width = len(across.values)
    rows = [made[place : place + width] for place in range(0, len(made), width)]
    if len(axes) == 1:
        return _table(heading, None, across, [("", rows[0])])
    down = axes[-2]
    if len(axes) == 2:
        return _table(heading, down, across, list(zip(down.words, rows, strict=True)))
    height = len(down.values)
    return "".join(
        _table(
            f"{axes[0].title} {words}",
            down,
            across,
            list(zip(down.words, rows[place * height : (place + 1) * height], strict=True)),
        )
        for place, words in enumerate(axes[0].words)
    )


def _table(heading: str, down: Scale | None, across: Scale, rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    columns = "".join(f'<th scope="col">{escape(word)}</th>' for word in across.words)
    corner = f"{escape(_named(down))} ↓, {escape(_named(across))} →" if down else escape(_named(across))
    body = "".join(
        f'<tr><th scope="row">{escape(word)}</th>{"".join(f"<td>{cell}</td>" for cell in row)}</tr>'
        for word, row in rows
    )
    return (
        f'<section class="wb-block">{f"<h3>{escape(heading)}</h3>" if heading else ""}'
        f'<div class="wb-scroll" tabindex="0" role="region" aria-label="{escape(heading or "Cells")}">'
        f'<table class="wb-table wb-sweep-cells"><thead><tr><td class="wb-muted">{corner}</td>{columns}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _named(scale: Scale) -> str:
    return f"{scale.title} ({scale.unit})" if scale.unit else scale.title


def _cell(group: Sequence[Cell], summary: Summary) -> str:
    """Picture, mean and a mark a seed; each mark leads to its run."""
    pictured = next((cell for cell in group if cell.row and cell.row.thumbnail), None)
    picture = ""
    if pictured and pictured.row:
        words = escape(f"Newest picture of {pictured.label}")
        picture = f'<a data-wb href="?run={pictured.row.run.id}"><img src="wb/artifact/{pictured.row.thumbnail}" alt="{words}" loading="lazy"></a>'
    mean = f'<span class="wb-mono">{escape(number(summary.mean))}</span>' if summary.mean is not None else ""
    return f'{picture}{mean}<span class="wb-sweep-marks">{"".join(map(_mark, group))}</span>'


def _mark(cell: Cell) -> str:
    sign, word = MARKS[cell.status]
    error = f". {cell.row.run.error}" if cell.row and cell.row.run.error else ""
    words = escape(f"{cell.label}: {word}{error}")
    shown = f'{sign}<span class="wb-off">{words}</span>'
    if cell.status in _WITHOUT_RESULT:
        shown += f" {word}"
    if cell.row is None:
        return f'<span data-state="{cell.status}" title="{words}">{shown}</span>'
    return f'<a data-wb data-state="{cell.status}" href="?run={cell.row.run.id}" title="{words}">{shown}</a>'


def _id(asked: Mapping[str, Any]) -> str:
    found = asked.get("ids")
    return str(found[0]) if isinstance(found, list) and found else ""
