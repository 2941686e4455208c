"""From a search's state to events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from engines.events import Array, Axis, Event, Picture, Scalar, Table
from engines.images.ttsnap.ledger import Ledger, small
from engines.images.ttsnap.method.ranking import Combine, combined
from engines.images.ttsnap.method.search import Stage
from engines.images.ttsnap.opening import AWARE, PLAIN

Floats = NDArray[np.float64]
SHOWN = 12
"""Seeds of a stage of which pictures are shown one by one, beside those that were shown before."""
LOOKED = 32
"""Pixels of what is kept of estimates between cuts."""
VERIFY_HERE = 2.5
"""Price of a verification (decode and one reward) in guided calls of embedded-f, measured on one AVX2 core."""
LINE = {AWARE: "Noise-aware", PLAIN: "Plain"}


def faded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of a seed that was cut: grey and pale."""
    grey = pixels.astype(np.float64).mean(-1, keepdims=True)
    return np.repeat(np.round(0.35 * grey + 0.65 * 150), 3, axis=-1).astype(np.uint8)


def stage(live: str, stages: Sequence[Stage], spent: float, before: int) -> Iterator[Event]:
    """The last stage, which has just ended: board, scores, scalars, pictures of the best and of whom the reader knows."""
    found = stages[-1]
    step = found.step
    pixels = small(found.pictures)
    yield Picture(
        "The race/leader", step, pixels[int(found.total.argmax())], _words(found, int(found.total.argmax()))
    )
    seeds = Axis("seed", found.seeds.astype(float))
    yield Array("board", step, pixels, (seeds, *_pixel_axes(pixels)))
    predicted = found.scores[0] if len(found.scores) == 1 else found.total
    values = np.stack([predicted, found.kept.astype(float)], axis=1)
    yield Array("board scores", step, values, (seeds, Axis("what", ("prediction", "kept"))))
    yield Scalar(live, "seeds in the race", step, before)
    yield Scalar(live, "calls spent", step, spent)
    yield Scalar(live, "best prediction", step, float(found.scores[0].max()))
    known = {int(seed) for earlier in stages for seed in earlier.seeds[_best(earlier)]}
    for place in np.argsort(-found.total, kind="stable"):
        if int(found.seeds[place]) not in known:
            continue
        shown = pixels[place] if found.kept[place] else faded(pixels[place])
        yield Picture(f"In the race/seed {int(found.seeds[place])}", step, shown, _words(found, int(place)))


def _best(found: Stage) -> NDArray[np.int64]:
    """Places of the best seeds of a stage, the first of equals first."""
    return np.argsort(-found.total, kind="stable")[:SHOWN]


def look(
    step: int, seeds: NDArray[np.int64], pictures: torch.Tensor, scores: Floats, combine: Combine
) -> Iterator[Event]:
    """Estimates between two cuts, small, with what the search would say of them; scores [R, N]."""
    pixels = small(pictures, LOOKED)
    own = Axis("seed", seeds.astype(float))
    yield Array("estimates", step, pixels, (own, *_pixel_axes(pixels)))
    predicted = scores[0] if len(scores) == 1 else combined(scores, combine)
    yield Array("estimate scores", step, predicted[:, None], (own, Axis("what", ("prediction",))))


def _pixel_axes(pixels: NDArray[np.uint8]) -> tuple[Axis, Axis, Axis]:
    return (
        Axis("row", np.arange(pixels.shape[1])),
        Axis("column", np.arange(pixels.shape[2])),
        Axis("colour", ("r", "g", "b")),
    )


def _words(found: Stage, place: int) -> str:
    """ "seed 4: 1.83, stays"."""
    scores = ", ".join(f"{value:.2f}" for value in found.scores[:, place])
    return f"seed {int(found.seeds[place])}: {scores}, {'stays' if found.kept[place] else 'cut'}"


def predicted_and_final(ledger: Ledger, stages: Sequence[Stage], is_aware: bool) -> Iterator[Event]:
    """Predictions of every finished seed of the pool beside its final reward, at each level (first reward)."""
    survivors = {s.step: set(s.seeds[s.kept].tolist()) for s in stages}
    raced = {s.step: set(s.seeds.tolist()) for s in stages}
    done = ledger.finished
    for place, level in enumerate(ledger.levels):
        plain = ledger.scores[PLAIN][0, done, place]
        aware = ledger.scores[AWARE][0, done, place] if is_aware else plain
        fate = [
            2.0 if n in survivors.get(level, ()) else 1.0 if n in raced.get(level, ()) else 0.0 for n in done
        ]
        values = np.stack([aware, plain, ledger.final[0, done], np.array(fate)], axis=1)
        axes = (Axis("seed", done), Axis("what", ("prediction", "plain", "final", "fate")))
        yield Array("predicted and final", level, values, axes)


def winner_board(stages: Sequence[Stage], ledger: Ledger, winner: int) -> Iterator[Event]:
    """The finished pictures of the pool in one array, with their final rewards, and the winner's number."""
    done = ledger.finished
    pixels = np.stack([ledger.pictures[int(n)] for n in done])
    seeds = Axis("seed", done.astype(float))
    yield Array("finished", ledger.total - 1, pixels, (seeds, *_pixel_axes(pixels)), keep=False)
    values = np.stack([ledger.final[0, done], done == winner], axis=1)
    axes = (seeds, Axis("what", ("final", "winner")))
    yield Array("finished scores", ledger.total - 1, values, axes, keep=False)
    rows = [
        [s.step, len(s.seeds), int(s.kept.sum()), float(s.scores[0].max()), float(s.scores[0].min())]
        for s in stages
    ]
    yield Table("Stages", ("after step", "seeds", "stay", "best prediction", "worst prediction"), rows)


def saved(live: str, budget: float, calls: float) -> Scalar:
    """Calls saved against drawing the same seeds to the end."""
    return Scalar(live, "calls saved", budget, calls)


def seconds(live: str, budget: float, value: float) -> Scalar:
    """Measured time of the race."""
    return Scalar(live, "time/seconds", budget, value)


def alignment(values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> Iterator[Event]:
    """`values[scorer][measure][step]` as scalars by step."""
    for scorer, measures in values.items():
        for measure, by_step in measures.items():
            for step, value in by_step.items():
                yield Scalar(LINE[scorer], measure, step, value)


def compute(counts: Sequence[int], steps: Sequence[int], segments: Sequence[int], verify: float) -> Array:
    """Calls of each stage that the race made with `counts` seeds before it, beside all of them drawn to the end. `steps` at
    which stages end, `segments` calls of one seed in each."""
    made = [n * c for n, c in zip(counts, segments, strict=True)]
    whole = [counts[0] * c for c in segments]
    looks = [n * verify for n in counts]
    axes = (
        Axis("what", ("all seeds to the end", "seeds in the race", "verification")),
        Axis("stage", tuple(f"to step {step}" for step in steps)),
    )
    return Array("compute", 0, np.array([whole, made, looks], dtype=float), axes, keep=False)
