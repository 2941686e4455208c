"""Which cuts suit embedded-f: random search on the tuning prompts, by the noise-aware reward as it is shipped.

    python -m engines.images.training.schedules --folder train-images

Reads `tuning-r2.npz` and `figures.json` of `noise_aware evaluate`. It may cut only where the noise-aware reward ranks the
tuning prompts better than the plain one by more than two standard errors: elsewhere the method would have nothing to add. A
schedule is worth the final reward of TTSnap with it, averaged over two budgets; of those within .005 of the best, noise here,
the one that suits the rival best, pruning by the plain reward, became the default. Prints these, the paper's cuts and best-of-N."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.devices import numpy_generator
from engines.images.embedded import STEPS
from engines.images.ttsnap.method.metrics import spearman
from engines.images.ttsnap.method.replay import Lab, replay, search_schedules
from engines.images.ttsnap.method.schedule import PAPER_SINGLE, SAFE, Prices, Schedule
from engines.images.verdicts import paired

BUDGETS = (100.0, 200.0)
PRICES = Prices(1.0, 0.12, STEPS, "strict")
DRAWS, LOOKED_AT, AGAIN = 60, 150, 300
"""Draws of the search; the best of it are looked at again with more draws."""
NEAR = 0.005


@dataclass(frozen=True)
class Tried:
    """Mean final rewards of a schedule at each of `BUDGETS`, by the noise-aware and by the plain reward."""

    schedule: Schedule
    aware: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def worth(self) -> float:
        """What the search goes by."""
        return float(np.mean(self.aware))

    def __str__(self) -> str:
        counts = (PRICES.seeds(self.schedule, budget) for budget in BUDGETS)
        cells = [f"{n:3} {a:.3f} {p:.3f}" for n, a, p in zip(counts, self.aware, self.plain, strict=True)]
        return f"{self.schedule.steps!s:14} {self.schedule.keep!s:20} " + "   ".join(cells)


def tuning_lab(folder: Path, name: str) -> tuple[Lab, int]:
    """Tuning prompts as a lab, scored as the live search scores them, and the first step that keeps the plain reward."""
    used = int(json.loads((folder / "figures.json").read_text())["used"][name])
    stored = np.load(folder / f"tuning-{name}.npz")
    plain = stored["plain"].astype(np.float64)
    aware = np.concatenate([stored["aware"][..., :used], plain[..., used:]], -1)
    scores = {"plain": plain[None], "noise-aware": aware[None]}
    return Lab(stored["final"].astype(np.float64)[None], scores, tuple(range(plain.shape[-1])), STEPS), used


def clear_steps(lab: Lab, used: int) -> tuple[int, ...]:
    """Steps at which the noise-aware reward ranks better by more than two standard errors over prompts."""
    found = []
    for step in range(used):
        aware, plain = (spearman(lab.at(name, step)[0], lab.final[0]) for name in ("noise-aware", "plain"))
        lead, error = paired(aware, plain)
        print(
            f"step {step}: noise-aware {aware.mean():.3f}, plain {plain.mean():.3f}, lead {lead:.3f} ({error:.3f})"
        )
        if lead > 2 * error:
            found.append(step)
    return tuple(found)


def looked_at(lab: Lab, schedule: Schedule, seed: int) -> Tried:
    """A schedule with many draws, the same for all."""
    rewards = (
        tuple(
            float(
                replay(
                    lab, scorer, schedule, PRICES.seeds(schedule, budget), draws=AGAIN,
                    rng=numpy_generator(seed, "draws"),
                ).reward.mean()
            )
            for budget in BUDGETS
        )
        for scorer in ("noise-aware", "plain")
    )  # fmt: skip
    return Tried(schedule, *rewards)


def searched(lab: Lab, steps: tuple[int, ...], tries: int, seed: int) -> list[Schedule]:
    """The best schedules of a random search with cuts at `steps`, by both budgets together."""
    cut = Lab(lab.final, {k: v[..., list(steps)] for k, v in lab.scores.items()}, steps, STEPS)
    found = [
        dict(
            search_schedules(
                cut, "noise-aware", PRICES, budget, tries=tries, draws=DRAWS, rng=numpy_generator(seed, "schedules")
            )
        )
        for budget in BUDGETS
    ]  # fmt: skip
    affordable = [s for s in found[0] if all(s in some for some in found)]
    return sorted(affordable, key=lambda s: -sum(some[s] for some in found))[:LOOKED_AT]


def chosen(tried: Iterable[Tried]) -> list[Tried]:
    """Those within `NEAR` of the best, the one that suits plain pruning best first."""
    all_of_them = list(tried)
    best = max(one.worth for one in all_of_them)
    near = [one for one in all_of_them if one.worth >= best - NEAR]
    return sorted(near, key=lambda one: -float(np.mean(one.plain)))


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("train-images"))
    parser.add_argument("--reward", default="r2")
    parser.add_argument("--tries", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lab, used = tuning_lab(args.folder, args.reward)
    steps = clear_steps(lab, used)
    print(f"cuts at {steps}; seeds, TTSnap, plain pruning at {' and '.join(f'{b:g}' for b in BUDGETS)} calls")
    for one in chosen(looked_at(lab, s, args.seed) for s in searched(lab, steps, args.tries, args.seed)):
        print(one)
    print("for comparison")
    for schedule in (PAPER_SINGLE, SAFE, Schedule()):
        print(looked_at(lab, schedule, args.seed))


if __name__ == "__main__":
    main()
