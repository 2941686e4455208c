"""Tuning of the learning rates on a disclosed grid; resumable, writes `tuned_rates.json` beside itself.

    python -m engines.language.loku.tuning [--only ihl+fila ga+lora]

Every contender gets the same rates and epochs, with seeds that no experiment uses by default (the default preset's
contenders six, from 100 on; all others the first two of them), on the task of the default preset (forget05, rank 8,
batch 8, 15 epochs at most). A rate's result is the utility of what must stay at the moment when the threshold is
reached: equal forgetting for all. `contenders.merit` says how the best one is chosen: a fifth of the epochs must be
left, so that a rate which just makes it here makes it with other seeds as well. Where the best rate is the smallest or
the largest that was tried, the next one beyond it is tried too, by a factor of two, at most twice on each side.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from engines.contract import Context
from engines.language.loku import contest
from engines.language.loku.contenders import TUNING_FILE, Contender, merit
from engines.language.loku.params import LokuParams
from engines.language.loku.setup import Setup, set_up
from engines.language.loku.starts import begin
from engines.language.loku.unlearning import Unlearner

RATES = (1e-3, 2e-3, 4e-3, 8e-3)
BEYOND = 2
"""How often the grid may grow on each side."""
SEEDS, FEWER = (100, 101, 102, 103, 104, 105), 2
IN_TIME = 0.8
"""A rate counts where every seed reaches the threshold in this share of the steps."""
DEFAULT = ("ihl+fila", "ihl+lora", "ga+lora", "graddiff+lora", "npo+lora")
ORDER = (
    *DEFAULT, "simnpo+lora", "wga+lora", "idk+lora", "kl+lora", "dpo+lora", "rmu+lora", "ihl+pissa", "ihl+full",
    "graddiff+fila", "graddiff+pissa", "graddiff+full",
)  # fmt: skip
PARAMS = LokuParams(
    losses=("ihl", "ga", "graddiff", "kl", "idk", "npo", "simnpo", "dpo", "wga", "rmu"), rates="one", checks=4
)
T = TypeVar("T")


def ended(generator: Generator[Any, None, T]) -> T:
    """What a generator of events returns at its end."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def result(setup: Setup, contender: Contender, rate: float, original: torch.nn.Module) -> dict[str, Any]:
    """One contender at one rate: where it stood when it stopped."""
    setup.params = setup.params.model_copy(update={"learning_rate": rate})
    begun = begin(setup.model, contender.start, setup.adapters, setup.context.seed, setup.fishers)
    unlearner = Unlearner(
        begun.model.model, setup.questions, setup.settings(contender), pad=setup.model.pad, seed=setup.context.seed,
        original=original,
    )  # fmt: skip
    _, reached, _ = ended(contest.train(setup, contender.series, unlearner, begun, watched=False))
    return {
        "utility": setup.exam.kept(begun.model).utility,
        "forget accuracy": setup.exam.light(begun.model)[0],
        "steps": unlearner.taken,
        "reached": reached,
        "in time": reached and unlearner.taken <= IN_TIME * unlearner.steps,
    }


def merged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over the seeds; reached, and in time, only where every seed did."""
    found: dict[str, Any] = {
        name: round(float(np.mean([r[name] for r in results])), 4)
        for name in ("utility", "forget accuracy", "steps")
    }
    return {
        **found,
        "seeds": len(results),
        **{name: all(r[name] for r in results) for name in ("reached", "in time")},
    }


def next_rate(grid: Mapping[str, dict[str, Any]]) -> float | None:
    """What to try next: the rates that all try, then beyond an edge while the best rate lies on it; None: done."""
    tried = sorted(float(rate) for rate in grid)
    missing = [rate for rate in RATES if rate not in tried]
    if missing:
        return missing[0]
    best = float(max(grid, key=lambda rate: merit(grid[rate])))
    low, high = RATES[0] / 2**BEYOND, RATES[-1] * 2**BEYOND
    if best == tried[0] and best > low:
        return best / 2
    if best == tried[-1] and best < high:
        return best * 2
    return None


def main() -> None:
    """All contenders and rates that the file does not hold yet, in `ORDER`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=TUNING_FILE)
    parser.add_argument("--only", nargs="*", default=ORDER)
    arguments = parser.parse_args()
    settings = {
        "seeds": list(SEEDS), "fewer seeds": FEWER, "rates for all": list(RATES), "in time": IN_TIME, "epochs": PARAMS.epochs,
        "batch": PARAMS.batch, "rank": PARAMS.rank, "split": PARAMS.split, "optimizer": PARAMS.optimizer,
    }  # fmt: skip
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if stored.get("settings") != settings:  # other settings: start anew
        stored = {"settings": settings, "grid": {}}
    torch.set_num_threads(1)
    chosen = [Contender(*key.split("+")) for key in arguments.only]  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as scratch:
        seeds = SEEDS if set(DEFAULT) & set(arguments.only) else SEEDS[:FEWER]
        setups = [ended(set_up(PARAMS, Context("cpu", seed, Path(scratch)), chosen)) for seed in seeds]
        original = copy.deepcopy(setups[0].model.model).requires_grad_(False)
        for contender in chosen:
            grid = stored["grid"].setdefault(contender.key, {})
            enough = setups if contender.key in DEFAULT else setups[:FEWER]
            while (rate := next_rate(grid)) is not None:
                found = merged([result(setup, contender, rate, original) for setup in enough])
                grid[f"{rate:g}"] = found
                arguments.out.write_text(json.dumps(stored, indent=1) + "\n")
                print(contender.key, rate, found, flush=True)


if __name__ == "__main__":
    main()
