"""What is known before any data: the setting in words, the numbers, the lines of theory, the map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engines.estimation.gamp_rie.method import (
    bayes_curve,
    bayes_map,
    effective_noise,
    hidden_units,
    linear_error,
    recovery_threshold,
)
from engines.estimation.gamp_rie.params import Settings
from engines.estimation.gamp_rie.work import Work, gamp_flops
from engines.events import Alert, Array, Axis, Cell, Event, Scalar, Table, Text

FLOPS_PER_SECOND = 5e10
"""What two modest cores reach in float32 products: the budget warning is an order of magnitude."""
LONG_S = 600.0


def introduce(settings: Settings) -> Iterator[Event]:
    """The setting in a sentence, the numbers behind it, and warnings."""
    if settings.mode == "map":
        yield Text(
            "setting", f"Theory alone: best possible error over alpha and kappa, Delta = {settings.delta:g}."
        )
        return
    d, hidden = settings.dimension, hidden_units(settings.dimension, settings.kappa)
    kappa = hidden / d
    noise = effective_noise(settings.delta, kappa)
    threshold = float(recovery_threshold(kappa))
    freedom = hidden * d - hidden * (hidden - 1) / 2 if hidden <= d else d * (d + 1) / 2
    samples = [round(alpha * d * d) for alpha in settings.alphas]
    shown = round(settings.watched * d * d)
    noisy = f"hidden noise of variance {settings.delta:g} (Dt = {noise:.4g})" if noise else "no noise"
    yield Text(
        "setting",
        f"d = {d} inputs, m = {hidden} hidden units (kappa = {kappa:.4g}), n from {min(samples)} to {max(samples)} samples, {noisy}.",
    )
    rows: list[tuple[Cell, ...]] = [
        ("Recovery threshold alpha_PR (no noise)", threshold),
        ("Degrees of freedom of the teacher", float(freedom)),
        (f"Samples n at alpha = {settings.watched:g}", shown),
        ("Degrees of freedom / n there", float(freedom / shown)),
        ("Effective noise Dt", noise),
        ("Hidden units m", hidden),
        ("GFLOP of an iteration there", gamp_flops(d, settings.watched) / 1e9),
    ]
    yield Table("numbers", ("quantity", "value"), rows)
    if d < 40:
        yield Alert("finite size", 0, f"d = {d} is below 40: expect clear distance from the large-d theory.")
    seconds = Work(settings).total / FLOPS_PER_SECOND
    if seconds > LONG_S:
        yield Alert(
            "budget", 0, f"This is about {seconds / 60:.0f} minutes of matrix products on two modest cores."
        )


def theory_lines(settings: Settings) -> Iterator[Event]:
    """Bayes-optimal error, twice it, the linear estimator's, and the trivial one's, on a fine grid of alpha."""
    kappa = hidden_units(settings.dimension, settings.kappa) / settings.dimension
    noise = effective_noise(settings.delta, kappa)
    top = min(1.0, max(0.6, 1.1 * max(settings.alphas)))
    grid = np.unique(np.round(np.r_[np.linspace(0.005, top, 120), float(recovery_threshold(kappa))], 6))
    best = bayes_curve(grid, kappa, noise)
    linear = linear_error(grid, kappa, noise)
    for alpha, value, line in zip(grid.tolist(), best.tolist(), linear.tolist(), strict=True):
        yield Scalar("Theory", "mse", alpha, value)
        if settings.delta == 0.0:
            yield Scalar("Twice theory", "mse", alpha, 2.0 * value)
        if "linear" in settings.baselines:
            yield Scalar("Linear theory", "mse", alpha, line)
    for alpha in (float(grid[0]), float(grid[-1])):
        yield Scalar("Trivial", "mse", alpha, 1.0)


def error_map(settings: Settings, work: Work) -> Iterator[Event]:
    """MMSE over alpha and kappa, row by row, with the line of perfect recovery."""
    count = max(settings.map_points, 6)
    alphas, kappas = np.linspace(0.01, 0.6, count), np.linspace(0.05, 2.0, count)
    axes = [Axis("kappa", kappas), Axis("alpha", alphas)]
    yield Array("recovery line", 0, recovery_threshold(kappas), [axes[0]])
    values = np.full((count, count), np.nan)
    rows = max(1, count // 8)
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        values[part] = bayes_map(alphas, kappas[part], settings.delta)
        done = min(start + rows, count)
        yield Array("best error", done, values.copy(), axes, keep=False)
        yield work.add(
            work.map * (done - start) / count, f"Map of theory, kappa up to {kappas[done - 1]:.2g}"
        )
