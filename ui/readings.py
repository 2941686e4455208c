"""What figures read from a record: curves by contender, arrays by step. No drawing and no SQL here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage import ArrayInfo, Points, Record, StorageError, decimated
from ui.figures import MAX_FRAMES, MAX_POINTS, Curve, Role, evenly

Floats: TypeAlias = NDArray[np.float64]
Lookup: TypeAlias = Mapping[str, Role]


def contenders(record: Record, *names: str) -> list[str]:
    """Series that recorded any of the scalars `names`, in order of appearance."""
    found = (info.series for info in record.series() if info.name in names)
    return list(dict.fromkeys(found))


def curves(
    record: Record,
    name: str,
    *,
    roles: Lookup | None = None,
    only: Iterable[str] | None = None,
    variant: str = "",
    **options: Any,
) -> list[Curve]:
    """One curve for each contender of the scalar `name` over its own steps."""
    wanted, made = None if only is None else set(only), []
    for series, every in record.points_of(name).items():
        if wanted is not None and series not in wanted:
            continue
        points, role = decimated(every, MAX_POINTS // 2), (roles or {}).get(series)
        made.append(Curve(series, points.steps, points.values, role=role, variant=variant, **options))
    return made


def curves_against(
    record: Record, name: str, across: str, *, roles: Lookup | None = None, variant: str = ""
) -> list[Curve]:
    """The scalar `name` of each contender drawn against another of its scalars, `across`, by common steps; against
    the steps themselves where `across` is empty."""
    if not across:
        return curves(record, name, roles=roles, variant=variant)
    made, measured = [], record.points_of(name)
    for series, cost in record.points_of(across).items():
        if series not in measured:
            continue
        x, y = joined(cost, decimated(measured[series], MAX_POINTS // 2))
        if x.size:
            made.append(Curve(series, x, y, role=(roles or {}).get(series), variant=variant))
    return made


def joined(across: Points, measured: Points) -> tuple[Floats, Floats]:
    """Values of `across` and of `measured` at the steps of the latter that both have. Where `across` holds a step
    twice the later value counts."""
    if not len(across) or not len(measured):
        return np.empty(0), np.empty(0)
    order = np.argsort(across.steps, kind="stable")
    steps, values = across.steps[order], across.values[order]
    place = np.searchsorted(steps, measured.steps, side="right") - 1
    common = (place >= 0) & (steps[place] == measured.steps)
    return values[place[common]], measured.values[common]


def last_value(record: Record, series: str, name: str) -> float | None:
    """The newest value of a scalar, None where there is none."""
    for info in record.series():
        if (info.series, info.name) == (series, name):
            return info.last_value
    return None


def newest(record: Record, name: str) -> tuple[ArrayInfo, NDArray[Any]] | None:
    """The newest array of that name with its numbers. While a run goes on a newer one may take its place between
    listing and reading: then that one is read."""
    while found := record.arrays(name):
        try:
            return found[-1], record.array(found[-1])
        except StorageError:
            if record.arrays(name)[-1:] == found[-1:]:
                raise
    return None


def kept(record: Record, name: str, most: int = MAX_FRAMES) -> list[tuple[ArrayInfo, NDArray[Any]]]:
    """The arrays of that name that stay over the run, evenly thinned to `most`, oldest first."""
    found = [info for info in record.arrays(name) if info.keep]
    return [(info, record.array(info)) for info in evenly(found, most)]


def kept_at(
    record: Record, name: str, steps: Collection[float]
) -> dict[float, tuple[ArrayInfo, NDArray[Any]]]:
    """The kept arrays of that name at these steps."""
    return {
        info.step: (info, record.array(info))
        for info in record.arrays(name)
        if info.keep and info.step in steps
    }


def coordinates(info: ArrayInfo, axis: int) -> list[Any]:
    """The coordinates along an axis, its indices where it has none."""
    ticks = list(info.axes[axis][1]) if axis < len(info.axes) else []
    size = info.shape[axis]
    return ticks if len(ticks) == size else list(range(size))


def axis_name(info: ArrayInfo, axis: int) -> str:
    """The name of an axis, empty where it has none."""
    return info.axes[axis][0] if axis < len(info.axes) else ""


def levelled(found: list[Curve]) -> list[Curve]:
    """Curves of one figure in which a contender with a single point (a method without iterations) is a level line
    over the width of the others."""
    longest = max((float(np.nanmax(np.asarray(curve.x))) for curve in found if np.size(curve.x)), default=0.0)
    made = []
    for curve in found:
        if np.size(curve.x) == 1 and float(np.asarray(curve.x)[0]) < longest:
            start, value = float(np.asarray(curve.x)[0]), float(np.asarray(curve.y)[0])
            curve = replace(curve, x=[start, longest], y=[value, value])
        made.append(curve)
    return made
