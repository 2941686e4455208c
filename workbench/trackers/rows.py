"""A run as the rows that step-wise trackers log: for each step what was measured at it."""

from __future__ import annotations

from storage import Record

Row = tuple[float, dict[str, float]]


def rows(record: Record) -> list[Row]:
    """(step, values by "contender/quantity") in the order of steps. A quantity that was measured twice at a step
    gets a second row, so that nothing is lost."""
    by_step: dict[float, list[dict[str, float]]] = {}
    for info in record.series():
        key = f"{info.series}/{info.name}"
        points = record.points(info.series, info.name)
        for step, value in zip(points.steps.tolist(), points.values.tolist(), strict=True):
            places = by_step.setdefault(step, [{}])
            place = next((one for one in places if key not in one), None)
            if place is None:
                places.append(place := {})
            place[key] = value
    return [(step, values) for step in sorted(by_step) for values in by_step[step]]
