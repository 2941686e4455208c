"""Which cuts suit embedded-f: random search on the tuning prompts, by the noise-aware reward as it is shipped.

    python -m engines.images.training.schedules --folder train-images

Reads `tuning-r2.npz` and `figures.json` of `noise_aware evaluate`. A schedule is worth the final reward of TTSnap with it,
averaged over two budgets; it may cut only where the shipped reward is noise-aware. Prints the best ones, the paper's, best-of-N,
and what pruning by the plain reward makes of each: of those within .005 of the best, noise here, the one that suits the rival
best became the default."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from engines.devices import numpy_generator
from engines.images.embedded import STEPS
from engines.images.ttsnap.method.replay import Lab, replay, search_schedules
from engines.images.ttsnap.method.schedule import PAPER_SINGLE, SAFE, Prices, Schedule

BUDGETS = (100.0, 200.0)
PRICES = Prices(1.0, 0.12, STEPS, "strict")
DRAWS, SHOWN = 60, 12


def tuning_lab(folder: Path, name: str) -> tuple[Lab, int]:
    """Tuning prompts as a lab, scored as the live search scores them, and the first step that keeps the plain reward."""
    used = int(json.loads((folder / "figures.json").read_text())["used"][name])
    stored = np.load(folder / f"tuning-{name}.npz")
    plain = stored["plain"].astype(np.float64)
    aware = np.concatenate([stored["aware"][..., :used], plain[..., used:]], -1)
    scores = {"plain": plain[None], "noise-aware": aware[None]}
    return Lab(stored["final"].astype(np.float64)[None], scores, tuple(range(plain.shape[-1])), STEPS), used


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("train-images"))
    parser.add_argument("--reward", default="r2")
    parser.add_argument("--tries", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lab, used = tuning_lab(args.folder, args.reward)
    cut = Lab(lab.final, {k: v[..., :used] for k, v in lab.scores.items()}, lab.levels[:used], STEPS)
    found = [
        dict(
            search_schedules(
                cut, "noise-aware", PRICES, budget, tries=args.tries, draws=DRAWS,
                rng=numpy_generator(args.seed, "schedules"),
            )
        )
        for budget in BUDGETS
    ]  # fmt: skip
    affordable = [s for s in found[0] if all(s in some for some in found)]
    best = sorted(affordable, key=lambda s: -sum(some[s] for some in found))[:SHOWN]
    print(
        f"cuts at steps 0 .. {used - 1}; seeds, TTSnap, plain pruning at {' and '.join(f'{b:g}' for b in BUDGETS)} calls"
    )
    for schedule in [*best, PAPER_SINGLE, SAFE, Schedule()]:
        cells = []
        for budget in BUDGETS:
            count = PRICES.seeds(schedule, budget)
            paid = [
                replay(
                    lab, scorer, schedule, count, draws=200, rng=numpy_generator(args.seed, "draws")
                ).reward.mean()
                for scorer in ("noise-aware", "plain")
            ]
            cells.append(f"{count:3} {paid[0]:.3f} {paid[1]:.3f}")
        print(f"{schedule.steps!s:14} {schedule.keep!s:18} " + "   ".join(cells))


if __name__ == "__main__":
    main()
