"""Events as the engines' docstrings promise them, made up in milliseconds: enough to draw every figure."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.events import Alert, Array, Axis, Event, Picture, Progress, Scalar, Table, Text
from storage import Record, Store
from workbench.pngrecord import PngRecord, encode

RACERS = {
    "Robust AM": (0.32, 1e-7, 0.02),
    "Robust AM, accelerated": (0.45, 1e-7, 0.022),
    "Exact AM": (0.321, 1.05e-7, 0.055),
    "Sketch per row": (0.31, 1.2e-7, 0.16),
    "SoftImpute": (0.06, 2e-2, 0.03),
    "LMaFit": (0.14, 1e-5, 0.015),
    "Scaled gradient": (0.1, 1e-4, 0.012),
}
ALTERNATING = tuple(RACERS)[:4]


def matrix_completion(problem: str = "tour", iterations: int = 40, rank: int = 10) -> Iterator[Event]:
    """The events of engines/estimation/matrix_completion."""
    yield Progress(0, 3)
    yield Text("setting", "500 x 500, rank 10.")
    if problem in ("tour", "synthetic"):
        yield from _race(iterations, rank)
    if problem in ("tour", "picture"):
        yield from _picture(iterations // 2)
    if problem in ("tour", "phase"):
        yield from _phase()
    if problem == "scaling":
        yield from _scaling()
    if problem == "ratings":
        yield from _ratings()
    yield Alert("underdetermined", 0, "37 rows have fewer than 10 entries.")


def _race(iterations: int, rank: int) -> Iterator[Event]:
    truth = np.geomspace(100, 20, rank)
    yield Array("true singular values", 0, truth, [Axis("index", list(range(1, rank + 1)))])
    yield Scalar("Truth", "true incoherence", 0, 2.1)
    yield Array(
        "sketch distortion",
        0,
        np.array([0, 3, 20, 40, 30, 12, 4, 1]),
        [Axis("eigenvalue of R^T A^T A R", np.linspace(0.4, 3.9, 8))],
    )
    for name in (*RACERS, "Mean fill"):
        rate, floor, seconds = RACERS.get(name, (0.0, 0.97, 0.001))
        for step in range(iterations if name in RACERS else 1):
            error = np.exp(-rate * step) + floor
            yield Scalar(name, "error", step, error)
            yield Scalar(name, "held-out error", step, error * 1.05)
            yield Scalar(name, "residual", step, error * 0.9)
            yield Scalar(name, "passes", step, step * (2.0 if "Exact" in name else 8.0))
            yield Scalar(name, "time/CPU seconds", step, seconds * step)
            yield Scalar(name, "time/seconds", step, seconds * step * 0.6)
            if name in ALTERNATING:
                yield Scalar(name, "subspace distance", step, min(1.0, error))
                yield Scalar(name, "incoherence", step, 2.1 + 0.8 * np.exp(-0.3 * step))
                yield Scalar(name, "inner steps", step, 3.0)
            if name == "Robust AM":
                yield Array(
                    "singular values",
                    step,
                    truth * (1 - 0.6 * np.exp(-rate * step)),
                    [Axis("index", list(range(1, rank + 1)))],
                )
                yield Array(
                    "inner steps per row",
                    step,
                    np.array([5, 20, 200 + step, 700 - step]),
                    [Axis("conjugate-gradient steps", [0, 1, 2, 3])],
                )
    rows = [[name, rank, iterations, 12, 40.0, 1e-7, 1e-7, ""] for name in RACERS]
    yield Table(
        "race",
        [
            "contender",
            "rank",
            "iterations",
            "iterations to 1e-6",
            "passes to 1e-6",
            "final error",
            "held-out error",
            "note",
        ],
        rows,
    )


def pixels(seed: int = 0, size: int = 48, noise: float = 0.0) -> NDArray[np.uint8]:
    """A picture of a gradient and a disc, with `noise` (0 to 1) over it."""
    at = np.linspace(-1, 1, size)
    scene = np.stack(
        [
            at[None] * np.ones((size, 1)),
            at[:, None] * np.ones((1, size)),
            (at[None] ** 2 + at[:, None] ** 2 < 0.4) * 1.0,
        ],
        -1,
    )
    scene = 0.5 + 0.4 * scene + noise * np.random.default_rng(seed).normal(size=scene.shape)
    return (np.clip(scene, 0, 1) * 255).astype(np.uint8)


def _picture(iterations: int) -> Iterator[Event]:
    yield Picture("original", 0, pixels(), "Original")
    seen = pixels()
    seen[np.random.default_rng(1).random(seen.shape[:2]) > 0.25] = 128
    yield Picture("observed", 0, seen, "25 % observed")
    for name in ("Robust AM", "Exact AM", "SoftImpute"):
        for step in range(iterations):
            quality = 26 - 14 * np.exp(-step / 4) - (2 if name == "SoftImpute" else 0)
            yield Scalar(name, "picture PSNR", step, quality)
            yield Scalar(name, "picture SSIM", step, 0.8 - 0.6 * np.exp(-step / 5))
            yield Scalar(name, "picture residual", step, 0.05 + 0.9 * np.exp(-step / 3))
            yield Scalar(name, "picture passes", step, 8.0 * step)
            yield Scalar(name, "time/picture CPU seconds", step, 0.02 * step)
            if name == "Robust AM":
                yield Picture(
                    f"completed/{name}",
                    step,
                    pixels(step, noise=0.5 * np.exp(-step / 4)),
                    f"PSNR {quality:.2f} dB, SSIM 0.71",
                )
                yield Array(
                    "picture singular values",
                    step,
                    np.geomspace(90, 1 + step, 20),
                    [Axis("index", list(range(1, 21)))],
                )
        if name != "Robust AM":
            yield Picture(
                f"completed/{name}", iterations - 1, pixels(9, noise=0.1), "PSNR 22.10 dB, SSIM 0.64"
            )
    yield Picture("difference/Robust AM", iterations - 1, 255 - pixels(3, noise=0.2), "Absolute difference")
    yield Table(
        "picture",
        ["contender", "rank", "ridge", "iterations", "PSNR", "SSIM", "note"],
        [["Robust AM", 20, 0.3, 20, 24.3, 0.71, ""]],
    )
    yield Table(
        "tuning",
        ["method", "rank", "ridge", "held-out RMSE of observed entries", "chosen"],
        [["Robust AM", 10, 0.1, 0.12, False], ["Robust AM", 20, 0.3, float("nan"), True]],
    )


def _phase() -> Iterator[Event]:
    ranks, rates = [2, 4, 6, 8, 10, 12], [0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6]
    line = np.array([k * (240 - k) / 120**2 for k in ranks])
    yield Array("threshold", 0, line, [Axis("rank", ranks)])
    shares = {name: np.full((len(ranks), len(rates)), np.nan) for name in ("Robust AM", "Exact AM")}
    step = 0
    for row in range(len(ranks)):
        for column, rate in enumerate(rates):
            for name, share in shares.items():
                share[row, column] = np.clip((rate / line[row] - 1.2) / 0.8, 0, 1).round(2)
                axes = [Axis("rank", ranks), Axis("sampling rate", rates)]
                yield Array(f"recovered/{name}", step, share.copy(), axes, keep=False)
            step += 1
            if row == len(ranks) - 1 and column == 3:
                return


def _scaling() -> Iterator[Event]:
    noise = np.random.default_rng(2)
    for name, power in (("Robust AM", 0.95), ("Exact AM", 1.7), ("Sketch per row", 1.9)):
        for rank in (10, 20, 40, 80):
            yield Scalar(
                name, "time/per iteration by rank", rank, 1e-3 * rank**power * noise.uniform(0.9, 1.1)
            )
        for entries in (50_000, 100_000, 200_000, 400_000):
            yield Scalar(name, "time/per iteration by entries", entries, 1e-6 * entries**1.02 * power)
        yield Scalar(name, "time/slope by rank", 0, power)
        yield Scalar(name, "time/slope by entries", 0, 1.02)


def _ratings() -> Iterator[Event]:
    for name in ("Robust AM", "Exact AM", "SoftImpute", "Mean fill"):
        for step in range(15 if name != "Mean fill" else 1):
            for measure in ("RMSE", "MAE", "residual"):
                yield Scalar(name, f"ratings {measure}", step, 0.9 + 0.3 * np.exp(-step / 3))
            yield Scalar(name, "ratings passes", step, 8.0 * step)
            yield Scalar(name, "time/ratings CPU seconds", step, 0.05 * step)
    yield Array("ratings singular values", 14, np.geomspace(80, 2, 12), [Axis("index", list(range(1, 13)))])
    yield Table(
        "ratings",
        ["contender", "rank", "ridge", "iterations", "RMSE", "MAE", "note"],
        [["Robust AM", 8, 1.0, 15, 0.91, 0.7, ""]],
    )


def write(store: Store, run_id: str, events: Iterable[Event]) -> Record:
    """Record events as the recorder does."""
    run = store.run(run_id)
    with store.writer(run_id) as writer:
        for count, event in enumerate(events):
            seconds = 0.01 * count
            match event:
                case Progress(done, total, note):
                    writer.progress(done, total, note)
                case Scalar(series, name, step, value):
                    writer.scalar(series, name, step, value, seconds)
                case Array(name, step, values, axes, keep):
                    writer.array(name, step, values, [(axis.name, axis.values) for axis in axes], keep)
                case Table(name, columns, rows):
                    writer.table(name, columns, rows)
                case Text(name, value):
                    writer.text(name, value)
                case Alert(name, step, message):
                    writer.alert(name, step, message)
                case Picture(name, step, shown, caption, keep):
                    record = PngRecord(run_id, run.engine, run.params, run.seed, run.preset, name, step)
                    writer.picture(
                        name, step, encode(shown, record), shown.shape[1], shown.shape[0], caption, keep
                    )
                case _:
                    raise TypeError(f"no sample of {type(event).__name__}")
    return store.record(run_id)


def png(shown: NDArray[np.uint8]) -> bytes:
    """A PNG without any record."""
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "PNG")
    return buffer.getvalue()
