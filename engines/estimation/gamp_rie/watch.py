"""What is shown of one run while it goes on: spectra, denoising curve, crops, convergence, predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engines.estimation.gamp_rie.method import (
    Info,
    Settings,
    State,
    draw_inputs,
    edges,
    marchenko_pastur,
    sensing,
    shrink,
    state_evolution,
    stieltjes,
)
from engines.estimation.gamp_rie.method.spectral import Float
from engines.estimation.gamp_rie.problem import Problem
from engines.estimation.gamp_rie.work import gamp_flops
from engines.events import Array, Axis, Event, Picture, Scalar

GRID = 241
"""Points of the theory curves over the spectrum."""
CROP = 40
EVERY = 5
"""Iterations between two crops of the matrices."""
PREDICTIONS = 400
_LOW = np.array([31.0, 95.0, 208.0])
_HIGH = np.array([213.0, 94.0, 0.0])


class Watch:
    """Turns the iterations of one run into events; counts on through a guarded restart."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.problem, self.settings = problem, settings
        self.count = 0
        self.work = 0.0

    def before(self) -> Iterator[Event]:
        """The truth: spectrum of S*, its large-d law, S* itself, and the theory of the iteration."""
        truth, kappa = self.problem.teacher.matrix, self.problem.kappa
        values = np.linalg.eigvalsh(truth)
        yield Array("true spectrum", 0, values, [_ranks(len(values))])
        low, high = (1.0 - kappa**-0.5) ** 2, (1.0 + kappa**-0.5) ** 2
        grid = low + (high - low) * 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, GRID)))
        yield Array("true spectrum theory", 0, marchenko_pastur(grid, kappa), [Axis("lambda", grid)])
        yield _crop("S*", 0, truth, keep=True)
        evolution = state_evolution(
            self.problem.alpha, kappa, self.problem.noise, self.settings.iterations, self.settings.damping
        )
        for t, (s, error) in enumerate(zip(evolution.s.tolist(), evolution.error.tolist(), strict=True), 1):
            yield Scalar("State evolution", "mse by iteration", t, kappa * error)
            yield Scalar("State evolution", "noise level by iteration", t, s)

    def iteration(self, state: State, info: Info) -> Iterator[Event]:
        """All of one iteration."""
        self.count += 1
        self.work += gamp_flops(len(state.estimate), self.problem.alpha) / 1e9
        t, kappa, mse = self.count, self.problem.kappa, self.problem.mse(state.estimate)
        yield Scalar("GAMP-RIE", "mse by iteration", t, mse)
        yield Scalar("GAMP-RIE, own estimate", "mse by iteration", t, kappa * info.own_error)
        if not np.isnan(info.held_out):
            yield Scalar("GAMP-RIE, held-out", "mse by iteration", t, kappa * info.held_out)
        yield Scalar("GAMP-RIE", "noise level by iteration", t, info.noise_level)
        yield Scalar("GAMP-RIE", "change by iteration", t, info.change)
        yield Scalar("GAMP-RIE", "mse by GFLOP", self.work, mse)
        yield from self._spectrum(info)
        if t % EVERY == 1:
            yield from self._matrices(state)

    def after(self, state: State, generator: np.random.Generator) -> Iterator[Event]:
        """Last crops, and predictions on fresh inputs."""
        yield from self._matrices(state)
        fresh = sensing(draw_inputs(PREDICTIONS, len(state.estimate), generator))
        pairs = np.stack([fresh.forward(self.problem.teacher.matrix), fresh.forward(state.estimate)])
        axes = [Axis("quantity", ("true", "predicted")), Axis("input", np.arange(1, PREDICTIONS + 1))]
        yield Array("predictions", self.count, pairs, axes, keep=False)

    def _spectrum(self, info: Info) -> Iterator[Event]:
        s, kappa = info.noise_level, self.problem.kappa
        quantity = Axis("quantity", ("lambda", "xi"))
        pairs = np.stack([info.eigenvalues, info.shrunk])
        yield Array("spectrum", self.count, pairs, [quantity, _ranks(len(info.eigenvalues))])
        ends = edges(s, kappa)
        grid = _grid(ends, info.eigenvalues)
        curve = np.stack([stieltjes(grid, s, kappa).imag / np.pi, shrink(grid, s, kappa)])
        theory_axes = [Axis("quantity", ("density", "xi")), Axis("lambda", grid)]
        yield Array("spectrum theory", self.count, curve, theory_axes)
        yield Array("spectrum edges", self.count, ends, [Axis("edge", np.arange(1, len(ends) + 1))])

    def _matrices(self, state: State) -> Iterator[Event]:
        yield _crop("Shat", self.count, state.estimate)
        yield _crop("difference", self.count, state.estimate - self.problem.teacher.matrix)


def triptych(problem: Problem, estimate: Float) -> Picture:
    """S*, Shat and their difference side by side, four pixels an entry: one frame of the film strip."""
    truth = problem.teacher.matrix
    size = min(CROP, len(truth))
    gap = np.full((size, 2, 3), 255, np.uint8)
    # The diagonal (about 1) would leave the rest pale: colours saturate at four sd of the off-diagonal entries.
    scale = 4.0 * float(np.std(truth[np.triu_indices(len(truth), 1)])) or 1.0
    panels: list[NDArray[np.uint8]] = []
    for matrix in (truth, estimate, estimate - truth):
        panels += [_colours(matrix[:size, :size] / scale), gap]
    pixels = np.concatenate(panels[:-1], axis=1).repeat(4, axis=0).repeat(4, axis=1)
    caption = f"alpha = {problem.alpha:.3g}: S*, estimate, difference; MSE {problem.mse(estimate):.3f}"
    return Picture("matrices", round(problem.alpha, 6), pixels, caption)


def _colours(values: Float) -> NDArray[np.uint8]:
    """Blue, white, vermilion around zero; |value| >= 1 saturates."""
    amount = np.clip(np.abs(values), 0.0, 1.0)[..., None]
    end = np.where(values[..., None] < 0.0, _LOW, _HIGH)
    return np.round(255.0 + amount * (end - 255.0)).astype(np.uint8)


def _crop(name: str, step: int, matrix: Float, keep: bool = False) -> Array:
    size = min(CROP, len(matrix))
    index = np.arange(1, size + 1)
    return Array(
        name, step, matrix[:size, :size].copy(), [Axis("row", index), Axis("column", index)], keep=keep
    )


def _ranks(count: int) -> Axis:
    return Axis("rank", np.arange(1, count + 1))


def _grid(ends: Float, eigenvalues: Float) -> Float:
    """Abscissae for the theory curves: denser at the edges of each bulk, with a margin that covers every lambda."""
    width = float(ends[-1] - ends[0])
    low = min(float(ends[0]), float(eigenvalues[0])) - 0.03 * width
    high = max(float(ends[-1]), float(eigenvalues[-1])) + 0.03 * width
    turn = 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, (GRID - 81) * 2 // len(ends))))
    bulks = [a + (b - a) * turn for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return np.unique(np.concatenate([*bulks, np.linspace(low, high, 81)]))
