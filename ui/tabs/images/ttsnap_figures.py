"""Drawing TTSnap: each function makes one figure from a record. The events are listed in the engine's experiment.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from storage import Record
from ui.figures import (
    Axis,
    Bars,
    Curve,
    Figure,
    Head,
    Role,
    Threshold,
    Variant,
    bars,
    empty,
    history,
    lines,
    number,
    scatter,
)
from ui.figures.template import note
from ui.readings import coordinates, curves, curves_against, kept, newest

METHOD = "TTSnap"
STEP, CALLS = Axis("denoising step", integer=True), Axis("budget", "calls")
ROLES: dict[str, Role] = {
    "TTSnap, fixed cuts": "ablation", "Noise-aware": "method", "Plain": "baseline", "Oracle pruning": "reference",
}  # fmt: skip
_FATES = ((2.0, "stays", "method"), (1.0, "cut here", "baseline"), (0.0, "not in the race", "reference"))


def budget(record: Record, head: Head, *, y: Axis) -> Figure:
    """Mean final reward of every contender at each budget, with the spread over draws; budgets in calls, in operations or in
    measured seconds, where those are known."""
    found = curves(record, "final reward over budgets", roles=ROLES)
    seconds = {
        c.name: c.x for c in curves_against(record, "final reward over budgets", "seconds of the budget")
    }
    cost = record.points("A call", "TFLOPs").values
    unit, scale = ("GFLOPs", 1e3) if len(cost) and cost[-1] < 0.01 else ("TFLOPs", 1.0)
    variants = [Variant("calls", "calls", CALLS)]
    if len(cost):
        variants.append(Variant("work", unit, Axis("budget", unit)))
    if seconds:
        variants.append(
            Variant("seconds", "seconds", Axis("measured time of its calls and verifications", "s"))
        )
    drawn = []
    for curve in found:
        mean = np.asarray(curve.y, dtype=float)
        spread = np.asarray(record.points(curve.name, "spread over budgets").values, dtype=float)
        band = {"low": mean - spread, "high": mean + spread} if len(spread) == len(mean) else {}
        across = {
            "calls": np.asarray(curve.x, dtype=float),
            "seconds": np.asarray(seconds.get(curve.name, ())),
        }
        if len(cost):
            across["work"] = across["calls"] * float(cost[-1]) * scale
        for key, x in across.items():
            if len(x) == len(mean):
                shown = key if len(variants) > 1 else ""
                drawn.append(Curve(curve.name, x, mean, role=ROLES.get(curve.name), variant=shown, **band))  # type: ignore[arg-type]
    options = tuple(variants) if len(variants) > 1 else ()
    return lines(head, drawn, CALLS, y, method=METHOD, legend=True, variants=options)


def race(record: Record, head: Head) -> Figure:
    """Calls that the race has spent by denoising step, beside those of all its seeds drawn as far."""
    y = Axis("calls", low=0)
    for curve in curves(record, "calls spent"):
        seeds = np.asarray(record.points(curve.name, "seeds in the race").values, dtype=float)
        x, spent = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
        if len(seeds) != len(x):
            continue
        whole = Curve("all seeds", x, seeds[0] * (x + 1), role="baseline", label=f"all {int(seeds[0])} seeds")
        own = Curve(curve.name, x, spent, mode="both", role="method")
        told = ", ".join(f"{int(n)} seeds to step {at:g}" for at, n in zip(x, seeds, strict=True))
        said = replace(head, alt=f"{head.title}. {curve.name}: {told}; {number(spent[-1])} calls.")
        figure = lines(said, [own, whole], STEP, y, method=curve.name)
        figure["layout"]["annotations"] += [
            _seeds_at(place, len(x), float(at), float(calls), int(n))
            for place, (at, calls, n) in enumerate(zip(x, spent, seeds, strict=True))
        ]
        return figure
    return empty(head, "", STEP, y)


def _seeds_at(place: int, stages: int, at: float, calls: float, seeds: int) -> dict[str, Any]:
    """How many seeds raced to a cut, beside its point and clear of the lines that rise there."""
    side: dict[str, Any] = {"xanchor": "center", "yanchor": "top", "yshift": -8}
    if not place:
        side = {"xanchor": "left", "xshift": 8, "yanchor": "top", "yshift": 6}
    elif place == stages - 1:
        side["xanchor"] = "right"
    elif place % 2 == 0:
        side = {"xanchor": "center", "yanchor": "bottom", "yshift": 8}
    words = f"{seeds} seed{'s' if seeds != 1 else ''}"
    return note(words, at, calls, xref="x", yref="y", font={"size": 11, "color": "@ink"}, **side)


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
