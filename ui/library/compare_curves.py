"""The curves of several runs in one figure a name: runs that differ only in their seed become a mean with its band."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.contract import Engine
from storage import Record
from ui.figures import BASELINES, Axis, Curve, Figure, Head, Style, lines
from ui.figures.template import BOTTOM, LEGEND_ROW, legend_rows, words
from ui.live_words import number, title
from ui.readings import contenders

BUCKETS = 400
MOST_IN_LEGEND = 6
"""Lines that a legend names one by one; of more it explains colours and dashes."""
COLOURS = ("accent", *BASELINES)
DASHES = (
    "dash",
    "dot",
    "dashdot",
    "longdash",
    "longdashdot",
    "2px,6px",
    "12px,3px,2px,3px,2px,3px",
    "16px,4px",
)


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed."""

    label: str
    records: tuple[Record, ...]


def group(records: Sequence[Record]) -> list[Group]:
    """Runs with equal settings belong together; the label names what sets a group apart from the others."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(json.dumps(record.run.params, sort_keys=True, default=str), []).append(record)
    differing = differences(records)
    groups = []
    for members in found.values():
        params = members[0].run.params
        words = ", ".join(f"{name} {shown(params.get(name))}" for name in differing[:3])
        seeds = f"{len(members)} seeds" if len(members) > 1 else f"seed {members[0].run.seed}"
        groups.append(Group(f"{words}; {seeds}" if words else seeds, tuple(members)))
    return groups


def differences(records: Sequence[Record]) -> list[str]:
    """Names of the parameters that are not the same in all runs."""
    names = dict.fromkeys(name for record in records for name in record.run.params)
    return [name for name in names if len({repr(record.run.params.get(name)) for record in records}) > 1]


def curves(engine: Engine, groups: Sequence[Group]) -> dict[str, Figure]:
    """A figure for each scalar that moves, with every group's contenders: the mean over seeds in its band."""
    infos = [info for one in groups for record in one.records for info in record.series()]
    names = dict.fromkeys(info.name for info in infos if info.count > 1)
    order = sorted(
        names, key=lambda name: (name != engine.headline[1], name.startswith(("time/", "seconds")))
    )
    method = engine.headline[0]
    rivals = [series for series in dict.fromkeys(info.series for info in infos) if series != method]
    # A contender has the same dash in every figure.
    dashes = {method: "solid"} | {series: DASHES[place % len(DASHES)] for place, series in enumerate(rivals)}
    return {name: _figure(engine, groups, name, dashes) for name in order}


def _figure(engine: Engine, groups: Sequence[Group], name: str, dashes: Mapping[str, str]) -> Figure:
    method = engine.headline[0]
    drawn = {
        (index, series): curve
        for index, one in enumerate(groups)
        for series, curve in _group_curves(
            one, name, index if len(groups) > 1 else None, method, dashes
        ).items()
    }
    there = [series for series in dashes if any(series == place[1] for place in drawn)]
    is_keyed = len(groups) > 1 and len(there) > 1 and len(drawn) > MOST_IN_LEGEND
    singles = all(len(one.records) == 1 for one in groups)
    said = "One line a run and contender." if singles else "Line: mean over seeds; band: lowest to highest."
    head = Head(
        title(name.replace("_", " ")),
        f"{said} Colour: settings; dashes: contender." if is_keyed else said,
        key=f"compare:{name}",
    )
    axis = Axis(name, log=_is_wide(drawn.values()))
    figure = lines(head, list(drawn.values()), Axis("step"), axis, method=method)
    if is_keyed:
        whose = {curve.name: groups[index].label for (index, _), curve in drawn.items()}
        _explain(figure, whose, groups, {series: dashes[series] for series in there})
    return figure


def _is_wide(drawn: Iterable[Curve]) -> bool:
    values = np.concatenate([np.empty(0), *(np.asarray(curve.y, dtype=np.float64) for curve in drawn)])
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() / values.min() > 100)


def _explain(
    figure: Figure, whose: Mapping[str, str], groups: Sequence[Group], dashes: Mapping[str, str]
) -> None:
    """A legend of colours and dashes where one of all lines would be longer than the figure. Pressing a colour hides
    its lines."""
    layout = figure["layout"]
    for trace in figure["data"]:
        trace.update(showlegend=False, legendgroup=words(whose[trace["meta"]["contender"]]))
    keys = [
        (one.label, {"color": f"@{COLOURS[index % len(COLOURS)]}", "width": 2.5}, words(one.label))
        for index, one in enumerate(groups)
    ]
    keys += [(series, {"color": "@ink", "width": 1.5, "dash": dash}, "") for series, dash in dashes.items()]
    figure["data"] += [
        {
            "type": "scatter",
            "uid": f"key/{place}",
            "name": words(label),
            "x": [None],
            "y": [None],
            "mode": "lines",
            "line": line,
            "showlegend": True,
            "hoverinfo": "skip",
            **({"legendgroup": group} if group else {}),
        }
        for place, (label, line, group) in enumerate(keys)
    ]
    room = LEGEND_ROW * legend_rows([label for label, _, _ in keys])
    layout["height"] = layout["meta"]["pw"]["height"] + room
    layout["margin"]["b"] = BOTTOM + room
    layout["showlegend"] = True
    layout["meta"]["pw"]["explained"] = True


def _group_curves(
    one: Group, name: str, index: int | None, method: str, dashes: Mapping[str, str]
) -> dict[str, Curve]:
    """One curve a contender. With several groups the colour says which group, the dash which contender."""
    made = {}
    for series in contenders(one.records[0], name):
        points = [record.decimated(series, name, BUCKETS) for record in one.records]
        points = [item for item in points if len(item)]
        if not points:
            continue
        steps, middle, low, high = _spread(points)
        label = series if index is None else f"{series} ({one.label})"
        style = None if index is None else _style(index, dashes[series], series == method)
        band = (low, high) if len(points) > 1 else (None, None)
        made[series] = Curve(label, steps, middle, low=band[0], high=band[1], style=style, label=label)
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


def _style(index: int, dash: str, is_method: bool) -> Style:
    colour = COLOURS[index % len(COLOURS)]
    return Style(
        f"@{colour}",
        f"@{colour}-text",
        2.5 if is_method else 1.5,
        dash,
        "method" if is_method else "baseline",
    )


def shown(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)
