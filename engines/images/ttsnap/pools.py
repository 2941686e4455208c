"""Pools of seeds drawn to their end, prompt after prompt. On a second core, where there is one, the network goes ahead while
what it has drawn is decoded and judged here: each takes about half of the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from queue import Full, Queue

import torch

from engines.events import Progress
from engines.images.ttsnap.ledger import Ledger
from engines.images.ttsnap.method import search
from engines.images.ttsnap.opening import Models

Tick = Callable[[str], Progress]
Call = tuple[int, torch.Tensor | None]
"""A denoising call of a whole pool: its step, and the clean latents [N, C, H, W] where they are scored or finished."""
AHEAD = 100
"""Calls that the network may be ahead."""
PATIENCE_S = 0.2


@dataclass(frozen=True)
class Pool:
    """A pool to draw: its prompt, noise [N, C, H, W], denoising steps, the steps whose estimates are scored, and what the
    progress bar says meanwhile."""

    prompt: str
    noise: torch.Tensor
    steps: int
    levels: tuple[int, ...]
    note: str


def denoised(models: Models, pool: Pool) -> Iterator[Call]:
    """The network's part, call by call."""
    params, generator = models.params, models.generator
    race = search.init(
        generator,
        pool.noise.to(getattr(generator, "device", "cpu")),
        models.conditioning(pool.prompt, len(pool.noise)),
        steps=pool.steps,
        guidance=params.guidance,
    )
    while not race.is_done:
        race = search.call(race, generator, params.at_once)
        step = race.sampling.index - 1
        yield step, race.sampling.clean if step in pool.levels or race.is_done else None


class Pools:
    """Ledgers of pools in their order. As a context: at its end the other thread stops at its next call.

    What is told is the same with and without a `lane`, the other thread."""

    def __init__(self, models: Models, pools: Sequence[Pool], lane: Executor | None) -> None:
        self.models, self.pools, self.lane = models, pools, lane
        self._calls: Queue[Call | BaseException] = Queue(AHEAD)
        self._stop = threading.Event()

    def __enter__(self) -> Pools:
        if self.lane is not None:
            self.lane.submit(self._go_ahead)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def ledgers(self, tick: Tick) -> Iterator[Progress | Ledger]:
        """Progress, and after the last call of each pool its ledger."""
        for pool in self.pools:
            ledger = Ledger(self.models, pool.prompt, len(pool.noise), pool.levels, pool.steps)
            for step, clean in self._made(pool) if self.lane else denoised(self.models, pool):
                if clean is not None:
                    shown = self.models.shown(clean, finished=step == pool.steps - 1)
                    ledger.judge(shown, ledger.everybody, step)
                yield tick(pool.note)
            yield ledger

    def _made(self, pool: Pool) -> Iterator[Call]:
        """Calls of a pool as the other thread makes them."""
        for _ in range(pool.steps):
            call = self._calls.get()
            if isinstance(call, BaseException):
                raise call
            yield call

    def _go_ahead(self) -> None:
        try:
            for pool in self.pools:
                for call in denoised(self.models, pool):
                    if not self._put(call):
                        return
        except BaseException as error:  # belongs to the thread that waits for calls
            self._put(error)

    def _put(self, call: Call | BaseException) -> bool:
        """Hand a call on when there is room; False where nobody waits any more."""
        while not self._stop.is_set():
            try:
                self._calls.put(call, timeout=PATIENCE_S)
                return True
            except Full:
                continue
        return False


def collected(pools: Iterator[Progress | Ledger], number: int) -> Generator[Progress, None, list[Ledger]]:
    """The next `number` ledgers, with the progress on the way."""
    found: list[Ledger] = []
    while len(found) < number:
        item = next(pools)
        if isinstance(item, Ledger):
            found.append(item)
        else:
            yield item
    return found
