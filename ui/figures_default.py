"""The default view: figures made from whatever a record holds, for engines that bring no view of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import ArrayInfo, Record
from ui.figures import Axis, Bars, Curve, Figure, Head, bars, empty, heatmap, history, lines
from ui.readings import axis_name, coordinates, curves, kept, newest
from ui.views import FigureSpec

_LOG_DECADES = 2.0


def figures_of(record: Record, method: str, lower_is_better: bool = True) -> tuple[FigureSpec, ...]:
    """A figure for each scalar name (timings last) and each array that the record holds, in order of appearance."""
    names = list(dict.fromkeys(info.name for info in record.series()))
    headline = record.run.headline_name
    names.sort(key=lambda name: (name != headline, name.startswith(("time/", "seconds"))))
    arrays = list(dict.fromkeys(info.name for info in record.arrays()))
    specs = [_scalar_spec(name, method, headline, lower_is_better) for name in names]
    return tuple(specs + [_array_spec(name, method) for name in arrays])


def _sentence(name: str) -> str:
    """A recorded name as a title: "time/step" is "Time: step"."""
    words = name.replace("_", " ").replace("/", ": ").strip()
    return words[:1].upper() + words[1:]


def _scalar_spec(name: str, method: str, headline: str, lower_is_better: bool) -> FigureSpec:
    subtitle = ("Lower is better." if lower_is_better else "Higher is better.") if name == headline else ""
    seconds = name.startswith(("time/", "seconds"))
    y = Axis(name.split("/", 1)[-1].replace("_", " "), "s" if seconds and "second" not in name else "")
    return FigureSpec(
        f"scalar:{name}",
        _sentence(name),
        subtitle,
        partial(_draw_scalar, name=name, method=method, y=y),
        (f"series:{_literal(name)}",),
    )


def _draw_scalar(record: Record, head: Head, *, name: str, method: str, y: Axis) -> Figure:
    found = curves(record, name)
    x, y = Axis("step"), Axis(y.title, y.unit, log=_wants_log(found))
    if (
        found
        and all(len(np.asarray(curve.x)) == 1 for curve in found)
        and len({float(np.asarray(c.x)[0]) for c in found}) == 1
    ):
        # One number a contender is a comparison, not a curve.
        groups = [Bars("value", [float(np.asarray(curve.y)[0]) for curve in found], role="method")]
        return bars(head, [curve.name for curve in found], groups, Axis(), Axis(y.title, y.unit))
    return lines(head, found, x, y, method=method)


def _wants_log(found: list[Curve]) -> bool:
    """Logarithmic where all values are positive and run over more than two decades."""
    values = (
        np.concatenate([np.asarray(curve.y, dtype=np.float64) for curve in found]) if found else np.empty(0)
    )
    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0:
        return False
    # the difference of logarithms: the ratio of far-off values overflows
    return bool(np.log10(values.max()) - np.log10(values.min()) > _LOG_DECADES)


def _array_spec(name: str, method: str) -> FigureSpec:
    return FigureSpec(
        f"array:{name}",
        _sentence(name),
        "",
        partial(_draw_array, name=name, method=method),
        (f"array:{_literal(name)}",),
    )


def _draw_array(record: Record, head: Head, *, name: str, method: str) -> Figure:
    over_time = kept(record, name)
    if len(over_time) > 1:
        return history([(info.step, _one_array(head, info, values, method)) for info, values in over_time])
    latest = newest(record, name)
    return _one_array(head, *latest, method) if latest else empty(head, "")


def _one_array(head: Head, info: ArrayInfo, values: NDArray[Any], method: str) -> Figure:
    """One dimension: a line over numbers, bars over words. Two: a heat map. More: the first slice of the rest."""
    if values.dtype.kind == "c":
        values = np.abs(values)
    while values.ndim > 2:
        values = values[0]
    offset = len(info.shape) - values.ndim
    if values.ndim == 2:
        y, x = Axis(axis_name(info, offset)), Axis(axis_name(info, offset + 1))
        places = {"x_values": coordinates(info, offset + 1), "y_values": coordinates(info, offset)}
        values = values.astype(np.float64)
        signed = bool((values < 0).any() and (values > 0).any())
        return heatmap(
            head, values, x, y, value=Axis("value"), colours="diverging" if signed else "amount", **places
        )
    values = np.atleast_1d(values.astype(np.float64))
    places = coordinates(info, offset) if info.shape else [0]
    x = Axis(axis_name(info, offset) if info.shape else "")
    if any(isinstance(place, str) for place in places):
        return bars(
            head, [str(place) for place in places], [Bars(info.name, values, role="method")], x, Axis("value")
        )
    return lines(head, [Curve(info.name, places, values, role="method")], x, Axis("value"), method=method)


def _literal(name: str) -> str:
    """A name as a pattern that fits only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
