"""A quantity over the axes of a sweep: lines with bands, bars, heat maps. Pure functions of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ui.figures.curves import lines
from ui.figures.fields import Bars, bars, heatmap
from ui.figures.palette import BASELINES, Style
from ui.figures.points import Curve
from ui.figures.template import Axis, Figure, Head, empty, number

MOST_LINES = 6
"""More values than this on the first axis make lines that nobody can tell apart; the heat map stays."""
MOST_MAPS = 12
WIDE_RANGE = 30.0
"""An axis whose positive values reach over this factor is logarithmic."""
AWAITS = "Appears with the first cell that finishes."


@dataclass(frozen=True)
class Scale:
    """One axis of a sweep: its title with unit, and its values in order."""

    title: str
    values: tuple[Any, ...]
    unit: str = ""

    @property
    def is_numeric(self) -> bool:
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def axis(self) -> Axis:
        """The figure's axis; logarithmic where the values reach far."""
        if not self.is_numeric:
            return Axis(self.title, self.unit)
        low, high = min(self.values), max(self.values)
        whole = all(isinstance(value, int) for value in self.values)
        return Axis(self.title, self.unit, log=low > 0 and high / low >= WIDE_RANGE, integer=whole)

    @property
    def words(self) -> list[str]:
        """The values in words."""
        return [in_words(value) for value in self.values]

    def order(self) -> list[int]:
        """Places of the values from the smallest on; as they are where they are no numbers."""
        places = range(len(self.values))
        return sorted(places, key=lambda place: self.values[place]) if self.is_numeric else list(places)


@dataclass(frozen=True)
class Spread:
    """Mean, lowest and highest over seeds: float64 arrays with one axis a scale, NaN where no cell finished."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def in_words(value: Any) -> str:
    """A value of an axis in words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return number(float(value))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def figures(scales: Sequence[Scale], spread: Spread, quantity: Axis, seeds: int) -> dict[str, Figure]:
    """The figures of a sweep by key, for one to three scales. Without a single finished cell: an empty frame."""
    title = quantity.heading[:1].upper() + quantity.heading[1:]
    many = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    if len(scales) == 1:
        said = _band(seeds) if scales[0].is_numeric else _bars(seeds)
        return {"line": _line(Head(title, said, key="sweep:line"), scales[0], spread, quantity)}
    if len(scales) == 2:
        first, second = scales
        head = Head(title, f"Each cell: {many}. Grey: no result.", key="sweep:map")
        made = {"map": _map(head, first, second, spread.mean, quantity)}
        if len(first.values) <= MOST_LINES and second.is_numeric:
            head = Head(f"{title}, a line for each {first.title.lower()}", _band(seeds), key="sweep:lines")
            made["lines"] = _lines(head, first, second, spread, quantity)
        return made
    shared = _shared(quantity, spread.mean)
    left = len(scales[0].values) - MOST_MAPS
    more = f" {left} more values have no map here; the table below has them." if left > 0 else ""
    return {
        f"map:{place}": _map(
            Head(
                f"{scales[0].title} {words}",
                f"{title}; each cell: {many}. Grey: no result.{more if place == MOST_MAPS - 1 else ''}",
                key=f"sweep:map:{place}",
            ),
            scales[1],
            scales[2],
            spread.mean[place],
            shared,
        )
        for place, words in list(enumerate(scales[0].words))[:MOST_MAPS]
    }


def _band(seeds: int) -> str:
    return f"Line: mean over {seeds} seeds; band: lowest to highest." if seeds > 1 else "One seed a cell."


def _bars(seeds: int) -> str:
    return f"Bar: mean over {seeds} seeds; whisker: lowest to highest." if seeds > 1 else "One seed a bar."


def _shared(quantity: Axis, values: NDArray[np.float64]) -> Axis:
    """The same colours in all maps."""
    finite = values[np.isfinite(values)]
    return replace(quantity, low=float(finite.min()), high=float(finite.max())) if finite.size else quantity


def _decades(quantity: Axis) -> Axis:
    """The same quantity as exponents of ten; what it is stands in the figure's head, above a bar is little room."""
    ends = [None if end is None else float(np.log10(end)) for end in (quantity.low, quantity.high)]
    return replace(quantity, title="log10", log=False, low=ends[0], high=ends[1])


def _line(head: Head, scale: Scale, spread: Spread, quantity: Axis) -> Figure:
    seen = ~np.isnan(spread.mean)
    if not seen.any():
        return empty(head, AWAITS, scale.axis, quantity)
    if not scale.is_numeric:
        has_whiskers = bool((spread.high > spread.low).any())
        low, high = (spread.low, spread.high) if has_whiskers else (None, None)
        drawn = Bars(quantity.title, spread.mean, "method", low=low, high=high)
        return bars(head, scale.words, [drawn], scale.axis, quantity)
    order = [place for place in scale.order() if seen[place]]
    curve = _curve(
        quantity.title, scale, order, spread, Style("@accent", "@accent-text", 2.5, "solid", "method")
    )
    return lines(head, [replace(curve, labelled=False)], scale.axis, quantity)


def _lines(head: Head, first: Scale, second: Scale, spread: Spread, quantity: Axis) -> Figure:
    colours = ("accent", *BASELINES)
    drawn = []
    for place, words in enumerate(first.words):
        row = Spread(spread.mean[place], spread.low[place], spread.high[place])
        order = [at for at in second.order() if not np.isnan(row.mean[at])]
        colour = colours[place % len(colours)]
        style = Style(f"@{colour}", f"@{colour}-text", 2.0, "solid", "baseline")
        if order:
            drawn.append(_curve(f"{first.title} {words}", second, order, row, style))
    return lines(head, drawn, second.axis, quantity, awaits=AWAITS)


def _curve(name: str, scale: Scale, order: Sequence[int], spread: Spread, style: Style) -> Curve:
    low, high = spread.low[order], spread.high[order]
    has_band = bool((high > low).any())
    return Curve(
        name,
        np.asarray([scale.values[place] for place in order], dtype=np.float64),
        spread.mean[order],
        low=low if has_band else None,
        high=high if has_band else None,
        mode="both",
        style=style,
    )


def _map(head: Head, rows: Scale, columns: Scale, values: NDArray[np.float64], quantity: Axis) -> Figure:
    """Cells of equal size, whatever the distances of the values: each is one experiment."""
    if np.isnan(values).all():
        return empty(head, AWAITS, columns.axis, rows.axis)
    ordered = values[np.ix_(rows.order(), columns.order())]
    if quantity.log:  # colours are linear, so a range of many decades is shown by its exponents
        ordered, quantity = np.log10(ordered), _decades(quantity)
    return heatmap(
        head,
        ordered,
        Axis(columns.title, columns.unit),
        Axis(rows.title, rows.unit),
        x_values=[columns.words[place] for place in columns.order()],
        y_values=[rows.words[place] for place in rows.order()],
        value=quantity,
    )
