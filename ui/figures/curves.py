"""Curves: the figure that most of the workbench is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ui.figures.labels import EndLabel, end_labels
from ui.figures.palette import Style, styles_of
from ui.figures.points import Curve, Drawn, drawn
from ui.figures.template import (
    Axis,
    Figure,
    Head,
    Variant,
    axis_layout,
    empty,
    frame,
    note,
    number,
    span,
    words,
)
from ui.figures.traces import traces_of

DIRECT_LABELS = 5


@dataclass(frozen=True)
class Threshold:
    """A dotted line across the plot that carries its own label: `at` in data units of `axis`."""

    at: float
    label: str
    axis: Literal["x", "y"] = "x"
    below: bool = False
    """For a level line: the label stands at its right end, under it."""


def lines(
    head: Head,
    curves: Sequence[Curve],
    x: Axis,
    y: Axis,
    *,
    method: str = "",
    thresholds: Sequence[Threshold] = (),
    variants: Sequence[Variant] = (),
    awaits: str = "Appears with the first numbers.",
    legend: bool | None = None,
) -> Figure:
    """A figure of curves. Up to five contenders are named at their line ends, more in a legend below; with
    `variants` the reader chooses the x axis in place. Without a single point: the empty frame."""
    items = [item for item in map(drawn, curves) if item.x.size]
    axes = {variant.key: variant.axis for variant in variants} or {"": x}
    first = next((key for key in axes if any(item.curve.variant in ("", key) for item in items)), "")
    if not items:
        return empty(head, awaits, next(iter(axes.values())), y)
    styles = _styles(items, method)
    names = list(dict.fromkeys(item.curve.contender for item in items if item.curve.labelled))
    in_legend = legend if legend is not None else len(names) > DIRECT_LABELS
    y_shown = span([part for item in items for part in item.parts], y)
    x_shown = {key: _x_span(items, axis, key) for key, axis in axes.items()}
    figure = frame(
        head,
        axes[first],
        y,
        x_shown=x_shown[first],
        y_shown=y_shown,
        furniture=not in_legend,
        legend=names if in_legend else (),
    )
    layout = figure["layout"]
    # In order of appearance; what lies on top is told by `zorder`, so that legend and hover keep their order.
    for item in items:
        figure["data"].extend(traces_of(item, styles[item.curve.contender], y_shown, y, first))
    _mark_not_finite(figure, items)
    for threshold in thresholds:
        draw_threshold(figure, threshold)
    if not in_legend:
        plot_px = layout["height"] - layout["margin"]["t"] - layout["margin"]["b"]
        layout["annotations"] += end_labels(_ends(items, styles, first), y_shown, y.log, plot_px)
    if variants:
        layout["meta"]["pw"]["variants"] = _choices(variants, x_shown, first)
    layout["meta"]["pw"]["alt"] = head.alt or _alt(head, items)
    return figure


def _styles(drawn: Sequence[Drawn], method: str) -> dict[str, Style]:
    roles = {item.curve.contender: item.curve.role for item in drawn if item.curve.role}
    styles = styles_of(dict.fromkeys(item.curve.contender for item in drawn), method, roles)
    for item in drawn:
        if item.curve.style:
            styles[item.curve.contender] = item.curve.style
    return styles


def _x_span(drawn: Sequence[Drawn], axis: Axis, key: str) -> tuple[float, float]:
    parts = [item.x for item in drawn if item.curve.variant in ("", key)]
    dots = any(item.curve.mode != "lines" for item in drawn)
    return span(parts, axis, pad=0.04 if dots else 0.0 if not axis.log else 0.02)


def _choices(
    variants: Sequence[Variant], shown: Mapping[str, tuple[float, float]], first: str
) -> dict[str, Any]:
    """What the toggle needs: each choice with its label and the x axis it brings."""
    options = []
    for variant in variants:
        layout = axis_layout(variant.axis, shown[variant.key], value=False)
        layout["title"] = {
            "text": words(variant.axis.heading),
            "font": {"size": 12, "color": "@muted"},
            "standoff": 6,
        }
        options.append({"key": variant.key, "label": variant.label, "xaxis": layout})
    return {"label": "Horizontal axis", "options": options, "chosen": first}


def _mark_not_finite(figure: Figure, drawn: Sequence[Drawn]) -> None:
    """Say in words which lines hold values that are not finite."""
    seen: dict[str, int] = {}
    for item in drawn:
        count = int((~np.isfinite(item.y)).sum())
        if count and item.curve.variant in ("", drawn[0].curve.variant):
            seen[item.curve.contender] = seen.get(item.curve.contender, 0) + count
    if seen:
        told = [f"{words(name)}: {count} not finite" for name, count in list(seen.items())[:2]]
        text = "; ".join([*told, *([f"{len(seen) - 2} more"] if len(seen) > 2 else [])])
        figure["layout"]["annotations"].append(
            note(
                f"× {text}",
                1,
                1,
                name="not-finite",
                xanchor="right",
                yshift=9,
                font={"size": 11, "color": "@vermilion-text"},
            )
        )


def draw_threshold(figure: Figure, threshold: Threshold) -> None:
    """Add an ink dotted line with its label on it; nothing where it has no place on the axis."""
    vertical = threshold.axis == "x"
    axis = figure["layout"]["xaxis" if vertical else "yaxis"]
    log = axis.get("type") == "log"
    if not math.isfinite(threshold.at) or (log and threshold.at <= 0):
        return
    place: dict[str, Any] = {
        "x0": threshold.at,
        "x1": threshold.at,
        "y0": 0,
        "y1": 1,
        "xref": "x",
        "yref": "paper",
    }
    if not vertical:
        place = {"y0": threshold.at, "y1": threshold.at, "x0": 0, "x1": 1, "xref": "paper", "yref": "y"}
    line = {"color": "@ink", "width": 1.25, "dash": "dot"}
    figure["layout"]["shapes"].append({"type": "line", "line": line, "layer": "above", **place})
    at = math.log10(threshold.at) if log else threshold.at
    text = words(threshold.label)
    if vertical:
        low, high = axis.get("range", [at - 1, at + 1])
        right = at > low + 0.72 * (high - low)
        side: dict[str, Any] = (
            {"xanchor": "right", "xshift": -4} if right else {"xanchor": "left", "xshift": 4}
        )
        label = note(text, at, 0.985, xref="x", yanchor="top", **side)
    else:
        label = note(text, 0.01, at, yref="y", yshift=1)
        if threshold.below:
            label.update(x=0.99, xanchor="right", yanchor="top", yshift=-1)
    label.update(name="threshold", font={"size": 11, "color": "@ink"}, bgcolor="@paper/0.75")
    figure["layout"]["annotations"].append(label)


def _ends(drawn: Sequence[Drawn], styles: dict[str, Style], first: str) -> list[EndLabel]:
    """One label a contender, at the last finite value of its first curve."""
    labels: dict[str, EndLabel] = {}
    for item in drawn:
        name = item.curve.contender
        finite = item.y[np.isfinite(item.y)]
        if (
            name in labels
            or not item.curve.labelled
            or item.curve.variant not in ("", first)
            or not finite.size
        ):
            continue
        style = styles[name]
        labels[name] = EndLabel(
            item.curve.label or name, float(finite[-1]), style.text, style.role == "method"
        )
    return list(labels.values())


def _alt(head: Head, drawn: Sequence[Drawn]) -> str:
    """What a screen reader hears: the title and where each line stands."""
    last: dict[str, str] = {}
    for item in drawn:
        finite = item.y[np.isfinite(item.y)]
        last.setdefault(item.curve.contender, number(float(finite[-1])) if finite.size else "not finite")
    return f"{head.title}. Last values: " + ", ".join(f"{name} {value}" for name, value in last.items()) + "."
