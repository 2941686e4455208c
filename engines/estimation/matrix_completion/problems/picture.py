"""A picture with missing pixels, filled in by all contenders in lockstep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.contract import Context, Refusal
from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import ROBUST, Racer, racer
from engines.estimation.matrix_completion.problems import images
from engines.estimation.matrix_completion.problems.tuning import VALIDATION, tuned_plans
from engines.events import Alert, Array, Axis, Event, Picture, Progress, Scalar, Table, Text

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.contenders import Snapshot
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

COLUMNS = ("contender", "rank", "ridge", "iterations", "PSNR (dB)", "SSIM", "note")
SHOWN = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300)
"""Iterations at which the rivals' pictures are kept; the method's are kept at each."""
FEWEST_PIXELS = 20
GREY = 0.5
"""Shade of missing pixels in the observed picture."""


@dataclass(frozen=True)
class Scene:
    """The picture, what is seen of it, and the centred observations."""

    photo: images.Photograph
    seen: NDArray[np.bool_]
    """(h, w)."""
    obs: Observations
    mean: float

    def completed(self, snapshot: Snapshot) -> NDArray[np.float64]:
        """The picture of a snapshot: seen pixels as they are, the others from the factors."""
        matrix = snapshot.left.astype(np.float64) @ snapshot.right.astype(np.float64).T + self.mean
        known = self.photo.mask_of_matrix(self.seen)
        return self.photo.picture_of(np.where(known, self.photo.matrix, matrix))

    def validation(self, seed: int) -> NDArray[np.bool_]:
        """Entries (|Omega|) of the observed pixels that tuning holds out: whole pixels, all channels of them."""
        pixels = numpy_generator(seed, "validation").random(self.seen.shape) < VALIDATION
        return pixels[self.obs.rows, self.obs.by_row.indices % self.seen.shape[1]]


def scene(settings: Settings, context: Context) -> Scene:
    """The settings' picture and mask."""
    from engines.estimation.matrix_completion.method.observations import Observations, check_rank

    colour = settings.colour != "grey"
    photo = images.photograph(settings.picture, context.inputs.get("upload"), settings.side, colour)
    shape = photo.pixels.shape[:2]
    rng = numpy_generator(context.seed, "mask")
    seen = images.mask(settings.pattern, (shape[0], shape[1]), settings.fraction, rng)
    if np.sum(seen) < FEWEST_PIXELS:
        raise Refusal(
            "fraction",
            f"fraction={settings.fraction:g} leaves {np.sum(seen)} of {seen.size} pixels, fewer than {FEWEST_PIXELS}. Raise it.",
        )
    rows, cols = np.nonzero(photo.mask_of_matrix(seen))
    values = photo.matrix[rows, cols]
    mean = float(values.mean())
    if not settings.tune:
        least = min(settings.rank, *photo.matrix.shape)
        check_rank(photo.matrix.shape, least, len(values), regularised=settings.ridge > 0.0)
    obs = Observations.from_entries(
        rows, cols, values - mean, photo.matrix.shape, dtype=np.dtype(settings.precision)
    )
    return Scene(photo, seen, obs, mean)


def run(settings: Settings, context: Context, done: float, share: float) -> Iterator[Event]:
    """The picture; progress goes from `done` to `done + share` (of 1)."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas

    yield Progress(done, 1.0, "reading the picture")
    view = scene(settings, context)
    yield from _opening(settings, view)
    plans = []
    with single_threaded_blas(), RowTeam(settings.threads) as team:
        steps = settings.picture_iterations
        aside = view.validation(context.seed)
        for said in tuned_plans(settings, view.obs, aside, context.seed, team, steps, done, 0.4 * share):
            if isinstance(said, list):
                plans = said
            else:
                yield said
        last = settings.picture_iterations
        racers = [racer(plan, view.obs, settings, context.seed, team, last, 1e-6) for plan in plans]
        results: dict[str, tuple[float, float]] = {}
        for t in range(last + 1):
            for r in racers:
                for snapshot in r.round(t):
                    yield from _report(r, snapshot, view, results, last)
            yield Table("picture", COLUMNS, [_row(r, results) for r in racers])
            yield Progress(done + share * (0.4 + 0.6 * (t + 1) / (last + 1)), 1.0, f"picture, iteration {t}")
            if all(r.over for r in racers):
                break
    yield from _closing(racers, view, results)


def _opening(settings: Settings, view: Scene) -> Iterator[Event]:
    h, w = view.seen.shape
    pixels = view.photo.pixels
    yield Picture("original", 0, images.as_uint8(pixels), f"{settings.picture}, {w} x {h}")
    hidden = np.where(view.seen[..., None] if pixels.ndim == 3 else view.seen, pixels, GREY)
    yield Picture(
        "observed", 0, images.as_uint8(hidden), f"{view.seen.mean():.0%} of the pixels, {settings.pattern}"
    )
    channels = ", its three channels side by side as one matrix" if view.photo.is_colour else ", grey"
    yield Text("picture setting", f"{settings.picture}, {w} x {h}{channels}; {view.seen.mean():.1%} of the pixels seen "
               f"({settings.pattern}); the observed mean {view.mean:.3f} is subtracted.")  # fmt: skip
    rows, cols = (int(np.sum(side.counts == 0)) for side in (view.obs.by_row, view.obs.by_col))
    if rows or cols:
        yield Alert("unseen lines", 0, f"{rows} rows and {cols} columns have no observed pixel: no low-rank method can "
                    "fill them, they stay at the mean.")  # fmt: skip


def _report(
    r: Racer, snapshot: Snapshot, view: Scene, results: dict[str, tuple[float, float]], last: int
) -> Iterator[Event]:
    name, t = r.plan.name, snapshot.iteration
    missing, truth = ~view.seen, view.photo.pixels
    answer = view.completed(snapshot)
    psnr = images.psnr(truth, answer, missing)
    yield Scalar(name, "time/picture CPU seconds", t, r.cpu_s)
    yield Scalar(name, "time/picture seconds", t, r.wall_s)
    yield Scalar(name, "picture passes", t, snapshot.passes)
    yield Scalar(name, "picture PSNR", t, psnr)
    if t > 0:
        yield Scalar(name, "picture residual", t, snapshot.residual)
    if name == ROBUST and snapshot.singular is not None:
        index = Axis("index", np.arange(1, len(snapshot.singular) + 1))
        yield Array("picture singular values", t, snapshot.singular, [index])
    if name != ROBUST and t not in SHOWN and t != last:
        return
    similarity = images.ssim(truth, answer, missing)
    results[name] = (psnr, similarity)
    yield Scalar(name, "picture SSIM", t, similarity)
    yield Picture(f"completed/{name}", t, images.as_uint8(answer), _caption(name, t, psnr, similarity))


def _caption(name: str, t: float, psnr: float, similarity: float) -> str:
    return f"{name}, iteration {t:g}: PSNR {psnr:.2f} dB, SSIM {similarity:.3f} on the missing pixels"


def _row(r: Racer, results: dict[str, tuple[float, float]]) -> list[str | float | int | None]:
    psnr, similarity = results.get(r.plan.name, (None, None))
    last = None if r.last is None else r.last.iteration
    return [r.plan.name, r.plan.rank, r.plan.ridge, last, psnr, similarity, r.note]


def _closing(racers: list[Racer], view: Scene, results: dict[str, tuple[float, float]]) -> Iterator[Event]:
    """The last picture of each contender that ended between two that are shown, the difference, the table."""
    for r in racers:
        if r.last is None:
            continue
        answer = view.completed(r.last)
        if r.plan.name != ROBUST and r.last.iteration not in SHOWN:
            missing = ~view.seen
            psnr = images.psnr(view.photo.pixels, answer, missing)
            results[r.plan.name] = (psnr, images.ssim(view.photo.pixels, answer, missing))
            caption = _caption(r.plan.name, r.last.iteration, *results[r.plan.name])
            yield Scalar(r.plan.name, "picture SSIM", r.last.iteration, results[r.plan.name][1])
            yield Picture(f"completed/{r.plan.name}", r.last.iteration, images.as_uint8(answer), caption)
        if r.plan.name == ROBUST:
            gap = np.abs(answer - view.photo.pixels)
            gap = gap.mean(axis=2) if gap.ndim == 3 else gap
            caption = f"|completed - original|, white from {0.25:.0%} of the range on"
            yield Picture("difference/Robust AM", r.last.iteration, images.as_uint8(4.0 * gap), caption)
    yield Table("picture", COLUMNS, [_row(r, results) for r in racers])
