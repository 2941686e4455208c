"""Drawing TTSnap: each function makes one figure from a record. The events are listed in the engine's experiment.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from storage import Record
from ui.figures import Axis, Bars, Curve, Figure, Head, Role, Threshold, bars, empty, history, lines, scatter
from ui.readings import coordinates, curves, kept, newest

METHOD = "TTSnap"
STEP, CALLS = Axis("denoising step", integer=True), Axis("budget", "calls")
ROLES: dict[str, Role] = {
    "TTSnap, adaptive": "ablation", "Noise-aware": "method", "Plain": "baseline", "Oracle pruning": "reference",
}  # fmt: skip
_FATES = ((2.0, "stays", "method"), (1.0, "cut here", "baseline"), (0.0, "not in the race", "reference"))


def budget(record: Record, head: Head, *, y: Axis) -> Figure:
    """Mean final reward of every contender at each budget, with the spread over draws."""
    drawn = []
    for curve in curves(record, "final reward over budgets", roles=ROLES):
        points = record.points(curve.name, "spread over budgets")
        mean, spread = np.asarray(curve.y, dtype=float), np.asarray(points.values, dtype=float)
        band = (
            {"low": mean - spread, "high": mean + spread}
            if len(spread) == len(mean) and curve.name in _BANDS
            else {}
        )
        drawn.append(Curve(curve.name, curve.x, mean, role=ROLES.get(curve.name), **band))  # type: ignore[arg-type]
    return lines(head, drawn, CALLS, y, method=METHOD, legend=True)


_BANDS = ("TTSnap", "Plain pruning", "Best of N")


def by_step(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """An alignment of both scorers by denoising step; dotted where the search cuts."""
    cuts = sorted({info.step for info in record.arrays("board") if info.keep})[:-1]
    marks = tuple(Threshold(step, "cut" if place == 0 else "") for place, step in enumerate(cuts))
    return lines(head, curves(record, name, roles=ROLES), STEP, y, method="Noise-aware", thresholds=marks)


def scalar(record: Record, head: Head, *, name: str, x: Axis, y: Axis, method: str = METHOD) -> Figure:
    """A scalar of all contenders."""
    return lines(head, curves(record, name, roles=ROLES), x, y, method=method)


def predicted(record: Record, head: Head) -> Figure:
    """Predictions against final rewards, a dot a seed, a slider over steps; survivors of the cut in blue."""
    frames = []
    x, y = Axis("prediction at this step"), Axis("final reward")
    for info, values in kept(record, "predicted and final"):
        clouds = []
        for fate, name, role in _FATES:
            some = values[values[:, 3] == fate]
            if len(some):
                clouds.append(Curve(name, some[:, 0], some[:, 2], mode="markers", role=role))  # type: ignore[arg-type]
        frames.append((info.step, scatter(head, clouds, x, y, method="stays", diagonal=True)))
    return history(frames) if frames else empty(head, "", x, y)


def funnel(record: Record, head: Head) -> Figure:
    """Calls of each stage for the seeds in the race, beside all seeds drawn to the end."""
    y = Axis("calls")
    found = newest(record, "compute")
    if found is None:
        return empty(head, "", Axis(), y)
    info, values = found
    names, stages = [str(n) for n in coordinates(info, 0)], [str(n) for n in coordinates(info, 1)]
    roles: dict[str, Role] = {
        "seeds in the race": "method",
        "all seeds to the end": "baseline",
        "verification": "ablation",
    }
    groups = [Bars(name, row, role=roles.get(name)) for name, row in zip(names, values, strict=True)]
    return bars(head, stages, groups, Axis(), y, method="seeds in the race")


def learning(record: Record, head: Head, *, y: Axis) -> Figure:
    """Alignment of plain and noise-aware by step, a frame for each level that was learnt."""
    frames: list[tuple[float, Figure]] = []
    for info, values in kept(record, "alignment while learning"):
        steps = np.asarray(coordinates(info, 1), dtype=float)
        names = [str(n) for n in coordinates(info, 0)]
        drawn = [
            Curve(name, steps, row, role=ROLES.get(name)) for name, row in zip(names, values, strict=True)
        ]
        frames.append((info.step + 1, lines(head, drawn, STEP, y, method="Noise-aware")))
    return history(frames, "levels learnt") if frames else empty(head, "", STEP, y)


def levels(record: Record, head: Head, *, y: Axis) -> Figure:
    """Loss that each level reached."""
    drawn = []
    for curve in curves(record, "loss of a level"):
        order = np.argsort(np.asarray(curve.x), kind="stable")
        drawn.append(
            Curve(
                curve.name, np.asarray(curve.x)[order], np.asarray(curve.y)[order], mode="both", role="method"
            )
        )
    return lines(head, drawn, STEP, y, method="Noise-aware")


def tried(record: Record, head: Head) -> Figure:
    """Schedules by the seeds that they buy and the reward that they reach."""
    x, y = Axis("seeds that the budget buys", integer=True), Axis("reward on the choosing half")
    found = newest(record, "schedules")
    if found is None:
        return empty(head, "", x, y)
    values: Any = found[1]
    clouds = [
        Curve("tried", values[1:, 0], values[1:, 1], mode="markers", role="baseline"),
        Curve("chosen", values[:1, 0], values[:1, 1], mode="markers", symbol="star", role="method"),
    ]
    return scatter(head, clouds, x, y, method="chosen")
