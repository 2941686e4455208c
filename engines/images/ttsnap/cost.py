"""What a denoising call and a verification cost: floating-point operations, counted, and seconds, measured in the race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

from engines.events import Table
from engines.images.ttsnap.opening import Models
from engines.images.ttsnap.params import TTSnapParams

TERA = 1e12


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one seed, two a multiplication with addition: a denoising call (with guidance), a
    decoding of an estimate, and the rewards' look at it (plain and noise-aware)."""

    call: int
    decode: int
    rewards: int

    @property
    def teraflops(self) -> float:
        """Of a call, in units of 10^12."""
        return self.call / TERA

    @property
    def verification(self) -> float:
        """A verification in calls."""
        return (self.decode + self.rewards) / self.call


def operations(models: Models, prompt: str) -> Operations:
    """Count them on one seed, at the first step: one call, one decoding and one look at it more than the run needs.

    Operations that the counter does not know (sums, norms, activations) are left out."""
    params, generator = models.params, models.generator
    noise = torch.zeros((1, *generator.noise_shape), device=getattr(generator, "device", "cpu"))
    state = generator.start(
        noise, models.conditioning(prompt, 1), steps=params.steps, guidance=params.guidance
    )
    features = models.features(prompt)
    found = []

    def count(work: Callable[[], object]) -> object:
        with FlopCounterMode(display=False) as counter:
            out = work()
        found.append(int(counter.get_total_flops()))
        return out

    state = count(lambda: generator.advance(state))  # type: ignore[assignment]
    assert state.clean is not None
    clean = state.clean
    pictures: torch.Tensor = count(lambda: models.shown(clean, finished=False))  # type: ignore[assignment]
    count(lambda: models.by_aware(pictures, features, 0, models.plain(pictures, features)))
    return Operations(*found)


@dataclass
class Clock:
    """Seconds of the race, by what was done: (seeds, seconds) of each denoising call and of each verification; `looks` are
    the seconds spent for the reader's eyes, which belong to neither."""

    calls: list[tuple[int, float]] = field(default_factory=list)
    verified: list[tuple[int, float]] = field(default_factory=list)
    looks: float = 0.0

    @property
    def call(self) -> float:
        """Seconds of a call, one seed."""
        return _each(self.calls)

    @property
    def verification(self) -> float:
        """Seconds of a verification, one seed."""
        return _each(self.verified)


def _each(measured: list[tuple[int, float]]) -> float:
    return sum(seconds for _, seconds in measured) / max(1, sum(seeds for seeds, _ in measured))


def tables(params: TTSnapParams, clock: Clock, counted: Operations, rewards: int) -> tuple[Table, Table]:
    """What a verification costs on this machine and by the count of operations (both include both scorers)."""
    looks = f"{rewards} reward{'s' if rewards > 1 else ''}, plain and noise-aware"
    ratio = clock.verification / clock.call if clock.call > 0 else float("nan")
    seconds = [
        ["seconds of a call, one seed", clock.call],
        [f"seconds of a verification, one seed ({looks})", clock.verification],
        ["a verification in calls, measured", ratio],
        ["a verification in calls, charged", params.verify_price],
    ]
    work = [
        ["a call", counted.call / 1e9, 1.0],
        ["decoding of an estimate", counted.decode / 1e9, counted.decode / counted.call],
        [f"look of the rewards ({looks})", counted.rewards / 1e9, counted.rewards / counted.call],
        ["a verification", (counted.decode + counted.rewards) / 1e9, counted.verification],
    ]
    return (
        Table("seconds: what a verification costs here", ("what", "value"), seconds),
        Table("Operations of one seed", ("what", "billions", "in calls"), work),
    )
