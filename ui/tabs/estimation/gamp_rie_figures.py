"""Drawing GAMP-RIE: each function makes one figure from a record.

The events that they read are listed in engines/estimation/gamp_rie/experiment.py.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from storage import ArrayInfo, Record
from ui.figures import (
    Axis,
    Bars,
    Curve,
    Figure,
    Head,
    Role,
    Style,
    Threshold,
    Variant,
    bars,
    empty,
    heatmap,
    history,
    lines,
    scatter,
)
from ui.readings import coordinates, curves, kept, kept_at, newest

METHOD = "GAMP-RIE"
ROLES: dict[str, Role] = {
    "Twice theory": "reference",
    "Linear theory": "reference",
    "GAMP-RIE, own estimate": "ablation",
    "GAMP-RIE, held-out": "ablation",
    "GAMP-RIE on GD's data": "ablation",
}
ALPHA = Axis("samples α = n / d²")
MSE = Axis("MSE, κ‖Ŝ − S*‖² / d")
LINES = ("Theory", "Twice theory", "Linear theory", "Trivial")
SYMBOLS = {
    METHOD: "circle",
    "GAMP-RIE, own estimate": "circle-open",
    "GAMP-RIE, held-out": "diamond-open",
    "GAMP-RIE on GD's data": "square-open",
    "GD": "cross-thin-open",
    "AGD": "x-thin-open",
    "AGD, extrapolated": "star-triangle-up-open",
    "Linear estimator": "triangle-up-open",
}
_DASHES = {"Theory": "dash", "Twice theory": "dot", "Linear theory": "longdashdot"}
_BINS = 48
_RECOVERY = Style("#d00000", "#d00000", 2.5, "solid", "reference")


def recovery_threshold(record: Record) -> float | None:
    """alpha_PR of the run's kappa, read off the run's parameters: kappa - kappa^2 / 2, at most 1/2; None with
    noise, where nothing is recovered perfectly."""
    kappa, noise = record.run.params.get("kappa"), record.run.params.get("delta", 0)
    if not isinstance(kappa, int | float) or noise:
        return None
    return kappa - kappa**2 / 2 if kappa <= 1 else 0.5


def main(record: Record, head: Head) -> Figure:
    """Error against samples: theory as lines, runs as dots with their spread over data sets."""
    spread = {curve.name: curve for curve in curves(record, "mse sd")}
    drawn = []
    for curve in curves(record, "mse", roles=ROLES):
        if curve.name in LINES:
            style = Style("@ink", "@ink", 1.25, _DASHES.get(curve.name, "solid"), "reference")
            drawn.append(Curve(curve.name, curve.x, curve.y, style=style if curve.name in _DASHES else None))
            continue
        bar = None
        if curve.name in spread:
            sd = dict(zip(np.asarray(spread[curve.name].x), np.asarray(spread[curve.name].y), strict=True))
            bar = np.nan_to_num([float(sd.get(alpha, 0.0)) for alpha in np.asarray(curve.x)])
        symbol = SYMBOLS.get(curve.name, "circle")
        drawn.append(
            Curve(curve.name, curve.x, curve.y, error=bar, mode="markers", symbol=symbol, role=curve.role)
        )
    at = recovery_threshold(record)
    mark = [] if at is None else [Threshold(at, f"perfect recovery, α = {at:.3g}")]
    tallest = max(
        (float(np.nanmax(np.asarray(curve.y))) for curve in drawn if np.isfinite(curve.y).any()), default=1.0
    )
    y = Axis(MSE.title, low=0.0, high=min(2.3, 1.1 * max(tallest, 1.0)))
    return lines(head, drawn, ALPHA, y, method=METHOD, thresholds=mark, legend=True)


def best_error(record: Record, head: Head) -> Figure:
    """MMSE over alpha and kappa with the recovery line and a marker at this run's setting."""
    latest = newest(record, "best error")
    if latest is None:
        return empty(head, "")
    info, values = latest
    overlays = []
    line = newest(record, "recovery line")
    if line is not None:
        overlays.append(
            Curve(
                "perfect recovery", np.asarray(line[1], dtype=float), coordinates(line[0], 0), style=_RECOVERY
            )
        )
    params = record.run.params
    if isinstance(params.get("alpha"), int | float) and isinstance(params.get("kappa"), int | float):
        overlays.append(
            Curve("this run", [params["alpha"]], [params["kappa"]], mode="markers", symbol="circle")
        )
    return heatmap(
        head,
        np.asarray(values, dtype=float),
        ALPHA,
        Axis("width κ = m / d"),
        x_values=coordinates(info, 1),
        y_values=coordinates(info, 0),
        value=Axis("best MSE", low=0, high=1),
        overlays=overlays,
        clickable="alpha,kappa",
    )


def spectrum(record: Record, head: Head) -> Figure:
    """Eigenvalues of R_t as a histogram, the theory's density over it, and the edges of its support."""
    seen = kept(record, "spectrum")
    steps = {info.step for info, _ in seen}
    theory, edges = (kept_at(record, name, steps) for name in ("spectrum theory", "spectrum edges"))
    x, y = Axis("eigenvalue λ of Rₜ"), Axis("density", low=0)

    def draw(info: ArrayInfo, values: Any) -> Figure:
        places, heights = _histogram(np.asarray(values, dtype=float)[0])
        over = []
        if info.step in theory:
            grid, both = coordinates(theory[info.step][0], 1), theory[info.step][1]
            over = [Curve("Theory", grid, both[0], role="reference")]
        marks = [
            Threshold(float(edge), "edge" if place == 0 else "")
            for place, edge in enumerate(edges[info.step][1] if info.step in edges else ())
        ]
        return bars(
            head,
            places,
            [Bars("Eigenvalues", heights, role="method")],
            x,
            y,
            touching=True,
            lines_over=over,
            thresholds=marks,
        )

    frames = [(info.step, draw(info, values)) for info, values in seen]
    return history(frames, "iteration") if frames else empty(head, "")


def denoising(record: Record, head: Head) -> Figure:
    """What the denoiser does to each eigenvalue: the theory's curve and the points of this run."""
    seen = kept(record, "spectrum")
    theory = kept_at(record, "spectrum theory", {info.step for info, _ in seen})
    x, y = Axis("eigenvalue λ of Rₜ"), Axis("denoised ξ(λ)")

    def draw(info: ArrayInfo, values: Any) -> Figure:
        both = np.asarray(values, dtype=float)
        drawn = []
        if info.step in theory:
            grid, shown = coordinates(theory[info.step][0], 1), np.asarray(theory[info.step][1], dtype=float)
            drawn.append(Curve("Denoising curve", grid, shown[1], role="reference"))
        ends = [float(np.nanmin(both[0])), float(np.nanmax(both[0]))]
        drawn.append(
            Curve("no denoising", ends, ends, style=Style("@muted", "@muted", 1.0, "dot", "reference"))
        )
        drawn.append(Curve(METHOD, both[0], both[1], mode="markers", symbol="circle-open"))
        return lines(head, drawn, x, y, method=METHOD)

    frames = [(info.step, draw(info, values)) for info, values in seen]
    return history(frames, "iteration") if frames else empty(head, "")


def estimate(record: Record, head: Head) -> Figure:
    """Histogram of the eigenvalues of the estimate against those of the truth, with Marchenko-Pastur's density."""
    truth, limit = newest(record, "true spectrum"), newest(record, "true spectrum theory")
    known = np.asarray(truth[1], dtype=float) if truth else np.empty(0)
    x, y = Axis("eigenvalue"), Axis("density", low=0)
    over = (
        []
        if limit is None
        else [Curve("Theory of S*, d → ∞", coordinates(limit[0], 0), limit[1], role="reference")]
    )

    def draw(values: Any) -> Figure:
        mine = np.asarray(values, dtype=float)[1]
        inside = np.concatenate([mine, known])
        ends = (float(np.nanmin(inside)), float(np.nanmax(inside)))
        places, heights = _histogram(mine, ends)
        groups = [Bars("S*", _histogram(known, ends)[1], role="baseline")] if known.size else []
        return bars(
            head, places, [*groups, Bars("Ŝ", heights, role="method")], x, y, touching=True, lines_over=over
        )

    frames = [(info.step, draw(values)) for info, values in kept(record, "spectrum")]
    return history(frames, "iteration") if frames else empty(head, "")


def _histogram(values: Any, ends: tuple[float, float] | None = None) -> tuple[list[float], Any]:
    """Bin centres and the share of the values per unit length, over `ends` or the values' own range."""
    finite = values[np.isfinite(values)]
    low, high = ends or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0))
    heights, edges = np.histogram(finite, _BINS, (low, high if high > low else low + 1.0))
    width = edges[1] - edges[0]
    return (edges[:-1] + width / 2).tolist(), heights / max(finite.size, 1) / width


def convergence(record: Record, head: Head, *, name: str, y: Axis) -> Figure:
    """A quantity of the watched run by iteration, beside state evolution."""
    found = curves(record, name, roles=ROLES)
    return lines(head, found, Axis("iteration", integer=True), y, method=METHOD)


def descent(record: Record, head: Head) -> Figure:
    """Error of gradient descent, single and averaged, by step or by floating-point work beside GAMP-RIE."""
    by_step = curves(record, "mse by step", roles=ROLES, variant="step")
    by_work = curves(record, "mse by GFLOP", roles=ROLES, variant="work")
    variants = [
        Variant("step", "steps", Axis("optimiser step", integer=True)),
        Variant("work", "floating-point work", Axis("matrix products", "GFLOP", log=True)),
    ]
    chosen = [variant for variant, found in zip(variants, (by_step, by_work), strict=True) if found]
    y = Axis(MSE.title, log=True)
    return lines(head, [*by_step, *by_work], variants[0].axis, y, method=METHOD, variants=chosen)


def measured(
    record: Record,
    head: Head,
    *,
    name: str,
    x: Axis,
    y: Axis,
    level: tuple[float, str] | None = None,
    dots: bool = True,
) -> Figure:
    """Lines, with `dots` at the points that were measured, and a level to compare with."""
    found = curves(record, name, roles=ROLES, mode="both" if dots else "lines")
    marks = [Threshold(level[0], level[1], "y")] if level and found else []
    return lines(head, found, x, y, method=METHOD, thresholds=marks)


def predictions(record: Record, head: Head) -> Figure:
    """Truth against prediction on fresh inputs."""
    latest = newest(record, "predictions")
    if latest is None:
        return empty(head, "")
    both = np.asarray(latest[1], dtype=float)
    cloud = Curve(METHOD, both[0], both[1], mode="markers")
    return scatter(
        head, [cloud], Axis("true Tr[Z S*]"), Axis("predicted Tr[Z Ŝ]"), method=METHOD, diagonal=True
    )


def matrix(record: Record, head: Head, *, name: str) -> Figure:
    """A crop of a matrix; S*, Shat and their difference share the colours' reach, so that they compare by eye."""
    latest = newest(record, name)
    if latest is None:
        return empty(head, "")
    reach = 0.0
    for other in ("S*", "Shat"):
        found = newest(record, other)
        if found is not None and np.isfinite(found[1]).any():
            reach = max(reach, float(np.nanmax(np.abs(found[1]))))
    span = {"low": -reach, "high": reach} if reach > 0 and math.isfinite(reach) else {}
    colours: Literal["diverging"] = "diverging"
    side = {"equal": True}
    return heatmap(
        head,
        np.asarray(latest[1], dtype=float),
        Axis("column", **side),
        Axis("row", reverse=True, **side),
        value=Axis("entry", **span),
        colours=colours,
    )
