"""The scores of every seed of a prompt at every level that matters, filled in as seeds come by."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.events import Progress
from engines.images.generators.base import Sampling
from engines.images.ttsnap.method.replay import Lab
from engines.images.ttsnap.method.search import advance_to
from engines.images.ttsnap.opening import AWARE, PLAIN, Models

Floats = NDArray[np.float64]
Tick = Callable[[], Progress]
BOARD = 64
"""Pictures are kept at most so many pixels wide."""


class Ledger:
    """Tables of one prompt for `number` seeds: `scores[scorer]` [R, N, L], `final` [R, N], `right` and `soft` [N] of the
    exact checker, `pictures` uint8 [N, H, W, 3] of the finished ones. NaN where not known yet."""

    def __init__(self, models: Models, prompt: str, number: int, levels: Sequence[int], total: int) -> None:
        self.models, self.prompt, self.number = models, prompt, number
        self.levels, self.total = tuple(sorted({*levels})), total
        self.features = models.features(prompt)
        rewards = len(models.rewards)
        scorers = (PLAIN, AWARE) if models.aware else (PLAIN,)
        self.scores = {s: np.full((rewards, number, len(self.levels)), np.nan) for s in scorers}
        self.final = np.full((rewards, number), np.nan)
        self.right, self.soft = np.full(number, np.nan), np.full(number, np.nan)
        self.pictures: dict[int, NDArray[np.uint8]] = {}

    @property
    def everybody(self) -> NDArray[np.int64]:
        """Numbers of all seeds."""
        return np.arange(self.number)

    @property
    def finished(self) -> NDArray[np.int64]:
        """Numbers of the seeds whose pictures are finished, ascending."""
        return np.array(sorted(self.pictures), dtype=np.int64)

    def judge(self, pictures: torch.Tensor, seeds: NDArray[np.int64], step: int) -> Floats:
        """Score estimates of a step, write them down, and answer the scores [R, N] that a search goes by."""
        plain = self.models.plain(pictures, self.features)
        if step == self.total - 1:
            self._finish(pictures, seeds, plain)
            return plain
        aware = self.models.by_aware(pictures, self.features, step, plain)
        if step in self.levels:
            at = self.levels.index(step)
            self.scores[PLAIN][:, seeds, at] = plain
            if AWARE in self.scores:
                self.scores[AWARE][:, seeds, at] = aware
        return aware

    def look(self, pictures: torch.Tensor, step: int) -> Floats:
        """What a search would say [R, N] of estimates of a step; nothing is written down."""
        plain = self.models.plain(pictures, self.features)
        return self.models.by_aware(pictures, self.features, step, plain)

    def _finish(self, pictures: torch.Tensor, seeds: NDArray[np.int64], plain: Floats) -> None:
        self.final[:, seeds] = plain
        self.right[seeds], self.soft[seeds] = self.models.strict(pictures, self.prompt)
        for seed, pixels in zip(seeds, small(pictures), strict=True):
            self.pictures[int(seed)] = pixels

    def watched(self, seed: int) -> list[float]:
        """What the judges, which nobody searched with, say of a finished picture."""
        pixels = torch.from_numpy(self.pictures[seed]).permute(2, 0, 1)[None].float() / 255
        return [float(v) for v in self.models.watched(pixels, self.features)[:, 0]]

    def follow(
        self, sampling: Sampling, seeds: NDArray[np.int64], tick: Tick
    ) -> Generator[Progress, None, None]:
        """Bring a batch that was set aside to its end, scoring it at every level on the way."""
        at_once = self.models.params.at_once
        while not sampling.is_done:
            sampling = advance_to(self.models.generator, sampling, sampling.index, at_once)
            done = sampling.index - 1
            if done in self.levels or sampling.is_done:
                assert sampling.clean is not None
                yield tick()
                shown = self.models.shown(sampling.clean, finished=sampling.is_done)
                self.judge(shown, seeds, done)
            yield tick()

    def lab(self) -> Lab:
        """This prompt alone as a lab."""
        scores = {k: v[:, None] for k, v in self.scores.items()}
        return Lab(self.final[:, None], scores, self.levels, self.total, self.models.names, (self.prompt,))


def small(pictures: torch.Tensor, most: int = BOARD) -> NDArray[np.uint8]:
    """Pictures [N, 3, H, W] in 0..1 as uint8 [N, h, w, 3], at most so wide."""
    if pictures.shape[-1] > most:
        pictures = torch.nn.functional.interpolate(pictures, size=(most, most), mode="area")
    return np.ascontiguousarray((pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


def joined(ledgers: Sequence[Ledger], number: int) -> Lab:
    """Ledgers of several prompts, the first `number` seeds of each, as one lab; ledgers without levels give no scores."""
    first = ledgers[0]
    names = first.scores if first.levels else ()
    scores = {k: np.stack([ledger.scores[k][:, :number] for ledger in ledgers], 1) for k in names}
    final = np.stack([ledger.final[:, :number] for ledger in ledgers], 1)
    return Lab(final, scores, first.levels, first.total, first.models.names, tuple(x.prompt for x in ledgers))


def column(ledgers: Sequence[Ledger], name: str, number: int) -> Any:
    """`right` or `soft` of several prompts, [P, number]."""
    return np.stack([getattr(ledger, name)[:number] for ledger in ledgers])
