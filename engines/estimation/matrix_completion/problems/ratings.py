"""Ratings from the user's file: fit on most of them, test on the rest, take the predictions away."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.contract import Context, Refusal
from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import ROBUST, Plan, Racer, racer
from engines.estimation.matrix_completion.problems import table_file
from engines.estimation.matrix_completion.problems.tuning import VALIDATION, tuned_plans
from engines.events import Alert, Array, Axis, Event, File, Progress, Scalar, Table, Text

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.contenders import Snapshot
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

COLUMNS = ("contender", "rank", "ridge", "iterations", "RMSE", "MAE", "note")
PREVIEW = 20


@dataclass(frozen=True)
class Split:
    """Training entries (centred by their mean) and test entries."""

    seen: Observations
    mean: float
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    values: NDArray[np.float64]
    low: float
    high: float
    """Range of the training values, to which predictions are clipped."""

    def predicted(self, snapshot: Snapshot) -> NDArray[np.float64]:
        """Predictions of the test entries."""
        out = np.empty(len(self.rows))
        for part in np.array_split(np.arange(len(out)), max(1, len(out) // 200_000)):
            left = snapshot.left[self.rows[part]].astype(np.float64)
            out[part] = np.einsum("ij,ij->i", left, snapshot.right[self.cols[part]].astype(np.float64))
        return np.clip(out + self.mean, self.low, self.high)


def split(data: table_file.Ratings, settings: Settings, seed: int) -> Split:
    """A random test share; raises `Refusal` where too little is left to learn from."""
    from engines.estimation.matrix_completion.method.observations import Observations, check_rank

    shape = (len(data.row_names), len(data.col_names))
    aside = numpy_generator(seed, "test").random(len(data.values)) < settings.test_share
    kept = data.values[~aside]
    if len(kept) < 10 or not aside.any():
        raise Refusal("upload", f"upload must have enough ratings to learn from and to test on; got {len(data.values)}. "
                      "Give at least a few dozen.")  # fmt: skip
    if not settings.tune:
        check_rank(shape, settings.rank, len(kept), regularised=settings.ridge > 0.0)
    mean = float(kept.mean())
    seen = Observations.from_entries(
        data.rows[~aside], data.cols[~aside], kept - mean, shape, dtype=np.dtype(settings.precision)
    )
    return Split(
        seen,
        mean,
        data.rows[aside],
        data.cols[aside],
        data.values[aside],
        float(kept.min()),
        float(kept.max()),
    )


def run(settings: Settings, context: Context, done: float, share: float) -> Iterator[Event]:
    """The ratings; progress goes from `done` to `done + share` (of 1)."""
    from engines.estimation.matrix_completion.method.compiled import RowTeam, single_threaded_blas

    yield Progress(done, 1.0, "reading the file")
    if "upload" not in context.inputs:
        raise Refusal(
            "upload", "upload must be a CSV of row,column,value for the ratings problem; got no file."
        )
    data = table_file.read(context.inputs["upload"])
    parts = split(data, settings, context.seed)
    yield from _opening(data, parts)
    plans: list[Plan] = []
    with single_threaded_blas(), RowTeam(settings.threads) as team:
        steps = settings.picture_iterations
        aside = numpy_generator(context.seed, "validation").random(parts.seen.count) < VALIDATION
        for said in tuned_plans(settings, parts.seen, aside, context.seed, team, steps, done, 0.4 * share):
            if isinstance(said, list):
                plans = said
            else:
                yield said
        last = settings.picture_iterations
        racers = [racer(plan, parts.seen, settings, context.seed, team, last, 1e-6) for plan in plans]
        results: dict[str, tuple[float, float]] = {}
        for t in range(last + 1):
            for r in racers:
                for snapshot in r.round(t):
                    yield from _report(r, snapshot, parts, results)
            yield Table("ratings", COLUMNS, [_row(r, results) for r in racers])
            yield Progress(done + share * (0.4 + 0.6 * (t + 1) / (last + 1)), 1.0, f"ratings, iteration {t}")
            if all(r.over for r in racers):
                break
    yield from _results(racers, data, parts, context.scratch)


def _opening(data: table_file.Ratings, parts: Split) -> Iterator[Event]:
    m, n = parts.seen.shape
    yield Text("ratings file", f"{m:,} rows ({data.header[0]}) x {n:,} columns ({data.header[1]}), {len(data.values):,} "
               f"values ({data.header[2]}) from {data.values.min():g} to {data.values.max():g}; {len(parts.values):,} kept "
               f"for the test; the mean {parts.mean:.4g} of the others is subtracted, predictions are clipped to their range.")  # fmt: skip
    if data.repeated:
        yield Alert(
            "repeated entries",
            0,
            f"{data.repeated:,} lines repeat a row and column: their values were averaged.",
        )
    rows, cols = (int(np.sum(side.counts == 0)) for side in (parts.seen.by_row, parts.seen.by_col))
    if rows or cols:
        yield Alert(
            "unseen lines",
            0,
            f"{rows} rows and {cols} columns have test entries only: they are predicted as the mean.",
        )


def _report(
    r: Racer, snapshot: Snapshot, parts: Split, results: dict[str, tuple[float, float]]
) -> Iterator[Event]:
    name, t = r.plan.name, snapshot.iteration
    rest = parts.predicted(snapshot) - parts.values
    results[name] = float(np.sqrt(np.mean(rest**2))), float(np.mean(np.abs(rest)))
    yield Scalar(name, "time/ratings CPU seconds", t, r.cpu_s)
    yield Scalar(name, "time/ratings seconds", t, r.wall_s)
    yield Scalar(name, "ratings passes", t, snapshot.passes)
    yield Scalar(name, "ratings RMSE", t, results[name][0])
    yield Scalar(name, "ratings MAE", t, results[name][1])
    if t > 0:
        yield Scalar(name, "ratings residual", t, snapshot.residual)
    if name == ROBUST and snapshot.singular is not None:
        yield Array(
            "ratings singular values",
            t,
            snapshot.singular,
            [Axis("index", np.arange(1, len(snapshot.singular) + 1))],
        )


def _row(r: Racer, results: dict[str, tuple[float, float]]) -> list[str | float | int | None]:
    rmse, mae = results.get(r.plan.name, (None, None))
    last = None if r.last is None else r.last.iteration
    return [r.plan.name, r.plan.rank, r.plan.ridge, last, rmse, mae, r.note]


def _results(racers: list[Racer], data: table_file.Ratings, parts: Split, scratch: Path) -> Iterator[Event]:
    """A preview, the test predictions as CSV, and the factors with their names."""
    snapshot = next(r.last for r in racers if r.plan.name == ROBUST)
    assert snapshot is not None
    predicted = parts.predicted(snapshot)
    names = [(data.row_names[i], data.col_names[j]) for i, j in zip(parts.rows, parts.cols, strict=True)]
    head = [
        [*names[e], float(parts.values[e]), round(float(predicted[e]), 3)]
        for e in range(min(PREVIEW, len(names)))
    ]
    yield Table("ratings preview", ("row", "column", "observed", "predicted"), head)
    path = scratch / "predictions.csv"
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*data.header, "predicted"])
        for (row, col), value, guess in zip(names, parts.values, predicted, strict=True):
            writer.writerow([row, col, repr(float(value)), repr(float(guess))])
    yield File("predictions", path, "text/csv", "Test entries with Robust AM's predictions")
    path = scratch / "completed_matrix.npz"
    with open(path, "wb") as out_file:
        np.savez(
            out_file, left=snapshot.left, right=snapshot.right, mean=np.float64(parts.mean),
            rows=np.array(data.row_names), columns=np.array(data.col_names),
        )  # fmt: skip
    yield File(
        "completed matrix",
        path,
        "application/zip",
        "Factors: the matrix is left @ right.T + mean; rows and columns name its lines",
    )
