"""Two or more runs of one engine side by side: settings that differ, claims, curves, pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from engines.contract import Engine
from storage import Record
from ui.figures import BASELINES, Axis, Curve, Figure, Head, Style, lines
from ui.live_parts import verdict
from ui.live_words import duration, number, title
from ui.readings import contenders
from workbench.errors import UsageError
from workbench.outside import stand_in
from workbench.runs import Workbench

MOST = 12
BUCKETS = 400


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed."""

    label: str
    records: tuple[Record, ...]


def answer(workbench: Workbench, ids: Sequence[str]) -> dict[str, Any]:
    """The comparison's HTML and its figures. Raises UsageError where these runs cannot be compared."""
    wanted = list(dict.fromkeys(ids))
    if not 1 <= len(wanted) <= MOST:
        raise UsageError(f"A comparison takes 2 to {MOST} runs; got {len(wanted)}.")
    records = [workbench.record(run_id) for run_id in wanted]
    keys = {record.run.engine for record in records}
    if len(keys) > 1:
        raise UsageError(f"Only runs of one engine can be compared; these are of {', '.join(sorted(keys))}.")
    run = records[0].run
    engine = workbench.catalog.engines.get(run.engine) or stand_in(
        run.engine, (run.headline_series, run.headline_name)
    )
    groups = group(records)
    figures = curves(engine, groups)
    return {"html": markup(engine, records, list(figures)), "figures": figures}


def group(records: Sequence[Record]) -> list[Group]:
    """Runs with equal settings belong together; the label names what sets a group apart from the others."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(json.dumps(record.run.params, sort_keys=True, default=str), []).append(record)
    differing = differences(records)
    groups = []
    for members in found.values():
        params = members[0].run.params
        words = ", ".join(f"{name} {_shown(params.get(name))}" for name in differing[:3])
        seeds = f"{len(members)} seeds" if len(members) > 1 else f"seed {members[0].run.seed}"
        groups.append(Group(f"{words}; {seeds}" if words else seeds, tuple(members)))
    return groups


def differences(records: Sequence[Record]) -> list[str]:
    """Names of the parameters that are not the same in all runs."""
    names = dict.fromkeys(name for record in records for name in record.run.params)
    return [name for name in names if len({repr(record.run.params.get(name)) for record in records}) > 1]


def curves(engine: Engine, groups: Sequence[Group]) -> dict[str, Figure]:
    """A figure for each scalar that moves, with every group's contenders: the mean over seeds in its band."""
    records = [record for one in groups for record in one.records]
    names = dict.fromkeys(info.name for record in records for info in record.series() if info.count > 1)
    order = sorted(
        names, key=lambda name: (name != engine.headline[1], name.startswith(("time/", "seconds")))
    )
    figures = {}
    for name in order:
        drawn = [
            curve
            for index, one in enumerate(groups)
            for curve in _group_curves(one, name, index if len(groups) > 1 else None, engine.headline[0])
        ]
        values = (
            np.concatenate([np.asarray(curve.y, dtype=np.float64) for curve in drawn])
            if drawn
            else np.empty(0)
        )
        values = values[np.isfinite(values)]
        log = bool(values.size and values.min() > 0 and values.max() / values.min() > 100)
        head = Head(
            title(name.replace("_", " ")),
            "Line: mean over seeds; band: lowest to highest.",
            key=f"compare:{name}",
        )
        if all(len(one.records) == 1 for one in groups):
            head = Head(head.title, "One line a run and contender.", key=head.key)
        figures[name] = lines(head, drawn, Axis("step"), Axis(name, log=log), method=engine.headline[0])
    return figures


def _group_curves(one: Group, name: str, index: int | None, method: str) -> list[Curve]:
    """One curve a contender. With several groups the colour says which group, the dash which contender."""
    made = []
    for place, series in enumerate(contenders(one.records[0], name)):
        points = [record.decimated(series, name, BUCKETS) for record in one.records]
        points = [item for item in points if len(item)]
        if not points:
            continue
        steps, middle, low, high = _spread(points)
        label = series if index is None else f"{series} ({one.label})"
        style = None if index is None else _style(index, place, series == method)
        band = (low, high) if len(points) > 1 else (None, None)
        made.append(Curve(label, steps, middle, low=band[0], high=band[1], style=style, label=label))
    return made


def _spread(points: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Mean, lowest and highest over seeds, on the longest run's steps within what all runs reached."""
    longest = max(points, key=len)
    if len(points) == 1:
        return longest.steps, longest.values, longest.values, longest.values
    end = min(float(item.steps.max()) for item in points)
    steps = longest.steps[longest.steps <= end]
    stack = np.stack([np.interp(steps, item.steps, item.values) for item in points])
    return steps, stack.mean(axis=0), stack.min(axis=0), stack.max(axis=0)


def _style(index: int, place: int, is_method: bool) -> Style:
    colours = ("accent", *BASELINES)
    colour = colours[index % len(colours)]
    dash = "solid" if is_method else ("dash", "dot", "dashdot", "longdash")[place % 4]
    return Style(
        f"@{colour}",
        f"@{colour}-text",
        2.5 if is_method else 1.5,
        dash,
        "method" if is_method else "baseline",
    )


def markup(engine: Engine, records: Sequence[Record], figures: Sequence[str]) -> str:
    """Everything but the curves themselves, for which frames are left."""
    frames = "".join(
        f'<div class="wb-frame pf" data-compare-figure="{escape(name)}"></div>' for name in figures
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
        f'<div class="wb-figures">{frames}</div>{_pictures(records)}'
    )


def _heads(records: Sequence[Record]) -> str:
    return "".join(
        f'<th scope="col"><a data-wb href="?run={record.run.id}">{escape(record.run.preset or "run")}, seed {record.run.seed}</a></th>'
        for record in records
    )


def _line(name: str, cells: Sequence[str], same: bool = False) -> str:
    mark = ' class="wb-same" hidden' if same else ""
    return (
        f'<tr{mark}><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    )


def _settings(records: Sequence[Record]) -> str:
    differing = set(differences(records))
    names = dict.fromkeys(name for record in records for name in record.run.params)
    facts = [
        _line("Status", [f'<span class="wb-state" data-state="{r.run.status.value}">{r.run.status.value}</span>' for r in records]),
        _line("Headline", [escape(_headline(record)) for record in records]),
        _line("Duration", [escape(duration(r.run.duration_s)) if r.run.duration_s is not None else "" for r in records]),
    ]  # fmt: skip
    facts += [
        _line(
            name, [escape(_shown(record.run.params.get(name))) for record in records], name not in differing
        )
        for name in names
    ]
    hidden = len(names) - len(differing)
    toggle = (
        f'<button type="button" class="wb-link" data-lib-do="same">Show the {hidden} settings that agree</button>'
        if hidden
        else ""
    )
    none = (
        ""
        if differing
        else '<p class="wb-help">All settings agree; the runs differ in their seed or machine.</p>'
    )
    return (
        '<section class="wb-block"><h3>What differs</h3><div class="wb-scroll"><table class="wb-table wb-lib-diff"><thead><tr><td></td>'
        f"{_heads(records)}</tr></thead><tbody>{''.join(facts)}</tbody></table></div>{none}{toggle}</section>"
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


def _pictures(records: Sequence[Record]) -> str:
    """Pictures of one name side by side; the first two also under a cut that the reader drags."""
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
        if (first.width, first.height) == (second.width, second.height):
            cut = (
                f'<figure class="wb-lib-cut"><div class="wb-split"><img src="wb/artifact/{first.hash}" alt=""><img src="wb/artifact/{second.hash}" alt=""></div>'
                f'<input type="range" min="0" max="100" value="50" aria-label="Cut between the first and the second run, {escape(name)}">'
                "<figcaption>Drag: left the first run, right the second.</figcaption></figure>"
            )
        blocks.append(f'<h4>{escape(title(name))}</h4><div class="wb-lib-pictures">{cut}{figures}</div>')
    return f'<section class="wb-block"><h3>Pictures</h3>{"".join(blocks)}</section>' if blocks else ""


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)
