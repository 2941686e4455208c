"""From a search's state to events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.events import Array, Axis, Event, Picture, Scalar, Table
from engines.images.ttsnap.contenders import BON, TTSNAP
from engines.images.ttsnap.ledger import Ledger, small
from engines.images.ttsnap.method.search import Race, Stage
from engines.images.ttsnap.opening import AWARE, PLAIN, Models
from engines.images.ttsnap.params import TTSnapParams

Floats = NDArray[np.float64]
SHOWN = 12
"""Seeds of which pictures are shown one by one."""
VERIFY_HERE = 2.5
"""Price of a verification (decode and one reward) in guided calls of embedded-f, measured on one AVX2 core."""
LINE = {AWARE: "Noise-aware", PLAIN: "Plain"}


def faded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of a seed that was cut: grey and pale."""
    grey = pixels.astype(np.float64).mean(-1, keepdims=True)
    return np.repeat(np.round(0.35 * grey + 0.65 * 150), 3, axis=-1).astype(np.uint8)


def stage(live: str, models: Models, found: Stage, race: Race, spent: float, before: int) -> Iterator[Event]:
    """A stage that has just ended: board, scores, scalars, pictures of the best."""
    step = found.step
    pixels = small(found.pictures)
    yield Picture(
        "The race/leader", step, pixels[int(found.total.argmax())], _words(found, int(found.total.argmax()))
    )
    seeds = Axis("seed", found.seeds.astype(float))
    rest = (
        Axis("row", np.arange(pixels.shape[1])),
        Axis("column", np.arange(pixels.shape[2])),
        Axis("colour", ("r", "g", "b")),
    )
    yield Array("board", step, pixels, (seeds, *rest))
    predicted = found.scores.mean(0) if len(found.scores) == 1 else found.total
    values = np.stack([predicted, found.kept.astype(float)], axis=1)
    yield Array("board scores", step, values, (seeds, Axis("what", ("prediction", "kept"))))
    yield Scalar(live, "seeds in the race", step, before)
    yield Scalar(live, "calls spent", step, spent)
    yield Scalar(live, "best prediction", step, float(found.scores[0].max()))
    for place in np.argsort(-found.total, kind="stable")[:SHOWN]:
        shown = pixels[place] if found.kept[place] else faded(pixels[place])
        yield Picture(f"In the race/seed {int(found.seeds[place])}", step, shown, _words(found, int(place)))


def _words(found: Stage, place: int) -> str:
    """ "seed 4: 1.83, stays"."""
    scores = ", ".join(f"{value:.2f}" for value in found.scores[:, place])
    return f"seed {int(found.seeds[place])}: {scores}, {'stays' if found.kept[place] else 'cut'}"


def predicted_and_final(ledger: Ledger, stages: Sequence[Stage], is_aware: bool) -> Iterator[Event]:
    """Predictions of every seed of the pool beside its final reward, at each level (first reward)."""
    survivors = {s.step: set(s.seeds[s.kept].tolist()) for s in stages}
    raced = {s.step: set(s.seeds.tolist()) for s in stages}
    for place, level in enumerate(ledger.levels):
        plain = ledger.scores[PLAIN][0, :, place]
        aware = ledger.scores[AWARE][0, :, place] if is_aware else plain
        fate = [
            2.0 if n in survivors.get(level, ()) else 1.0 if n in raced.get(level, ()) else 0.0
            for n in range(ledger.number)
        ]
        values = np.stack([aware, plain, ledger.final[0], np.array(fate)], axis=1)
        axes = (
            Axis("seed", np.arange(ledger.number)),
            Axis("what", ("prediction", "plain", "final", "fate")),
        )
        yield Array("predicted and final", level, values, axes)


def winner_board(stages: Sequence[Stage], ledger: Ledger, winner: int) -> Iterator[Event]:
    """The finished pictures of the whole pool in one array, with their final rewards, and the winner's number."""
    pixels = np.stack([ledger.pictures[n] for n in range(ledger.number)])
    seeds = Axis("seed", np.arange(ledger.number))
    rest = (
        Axis("row", np.arange(pixels.shape[1])),
        Axis("column", np.arange(pixels.shape[2])),
        Axis("colour", ("r", "g", "b")),
    )
    yield Array("finished", ledger.total - 1, pixels, (seeds, *rest), keep=False)
    values = np.stack([ledger.final[0], np.arange(ledger.number) == winner], axis=1)
    yield Array(
        "finished scores", ledger.total - 1, values, (seeds, Axis("what", ("final", "winner"))), keep=False
    )
    rows = []
    for s in stages:
        rows.append(
            [s.step, len(s.seeds), int(s.kept.sum()), float(s.scores[0].max()), float(s.scores[0].min())]
        )
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


def verification(
    params: TTSnapParams,
    calls: Sequence[tuple[int, float]],
    verified: Sequence[tuple[int, float]],
    rewards: int,
) -> Table:
    """What a verification costs on this machine, measured in the race (this includes both scorers)."""
    call = sum(s for _, s in calls) / max(1, sum(n for n, _ in calls))
    verify = sum(s for _, s in verified) / max(1, sum(n for n, _ in verified))
    ratio = verify / call if call > 0 else float("nan")
    rows = [
        ["seconds of a call, one seed", call],
        [
            f"seconds of a verification, one seed ({rewards} reward{'s' if rewards > 1 else ''}, plain and noise-aware)",
            verify,
        ],
        ["a verification in calls, measured", ratio],
        ["a verification in calls, charged", params.verify_price],
    ]
    return Table("seconds: what a verification costs here", ("what", "value"), rows)


def best_series(names: Sequence[str]) -> str:
    """The contender that stands for the run."""
    return TTSNAP if TTSNAP in names else BON
