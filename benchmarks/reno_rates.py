"""ReNO's rate for the embedded model, chosen on prompts that no evaluation shows; the same care for the search without gradients.

    python benchmarks/reno_rates.py [--rates 1 2 3 5 8 12 20] [--radii 0.1 0.2 0.4 0.6 0.8 1.2] [--per-task 3] [--noises 2]

Prompts: of each task as many as asked for, drawn by a seed of their own, without those that `workbench reproduce reno` draws
with the seeds 0 to 9 (tasks of a few captions have none left). Every setting climbs from the same noises, 50 iterations.
Rule: the smallest rate whose mean reward of plain ReNO is within one standard error (of the paired difference) of the
highest; the radius likewise. The checker is shown and does not choose. A minute and a half of CPU a rate.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from engines.images.quiet import quiet
from engines.images.reno.baselines import consider, init_search, neighbour
from engines.images.reno.contest import DRAWS
from engines.images.reno.judging import Judge
from engines.images.reno.method import Settings, init, step, values
from engines.images.reno.objective import Objective, open_objective
from engines.images.reno.params import REPRODUCE, RenoParams
from engines.images.reno.prompt_files import Listed, chosen
from engines.images.verdicts import paired

EVALUATED = range(10)
TUNING_SEED = 1_000
BATCH = 14


def tuning_prompts(per_task: int) -> list[Listed]:
    """Prompts of a seed of their own that no evaluation seed draws."""
    shown = {
        one.prompt for seed in EVALUATED for one in chosen(RenoParams.model_validate(REPRODUCE), {}, seed)
    }
    everything = chosen(RenoParams(experiment="list", per_task=50), {}, TUNING_SEED)
    by_task: dict[str, list[Listed]] = {}
    for one in everything:
        if one.prompt not in shown:
            by_task.setdefault(one.task, []).append(one)
    rng = np.random.default_rng(TUNING_SEED)
    return [
        members[k] for members in by_task.values() for k in sorted(rng.permutation(len(members))[:per_task])
    ]


@dataclass(frozen=True)
class Reached:
    """Where a setting ended: reward [N] and the checker's verdict [N]."""

    reward: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Trial:
    """The pictures of the sweep: their prompts by number, and their noises."""

    objective: Objective
    judge: Judge
    prompt_of: torch.Tensor
    iterations: int

    def each(self, run: Any) -> Reached:
        """`run(prompt_of, places)` answers best rewards and pictures, batch by batch."""
        rewards, right = [], []
        for rows in torch.arange(len(self.prompt_of)).split(BATCH):
            best, pictures = run(self.prompt_of[rows], rows.tolist())
            rewards.append(best.double().numpy())
            verdict = self.judge(pictures, self.prompt_of[rows]).strict
            right.append(verdict if verdict is not None else np.full(len(rows), np.nan))
        return Reached(np.concatenate(rewards), np.concatenate(right).astype(float))

    def noise(self, places: list[int], number: int) -> torch.Tensor:
        """Candidate `number` of each picture, as an evaluation with the tuning seed would draw it."""
        return torch.stack([self.objective.draw(TUNING_SEED, place, number) for place in places])

    def search(self, prompt_of: torch.Tensor, places: list[int], looks: int) -> Any:
        """The best of so many noises."""
        evaluate, weights = self.objective.evaluate(prompt_of), torch.tensor(self.objective.weights)
        found = init_search(self.noise(places, 0))
        for number in range(looks):
            candidate = self.noise(places, number)
            found, _ = consider(found, candidate, *values(candidate, evaluate), weights)
        return found

    def climb(self, settings: Settings, pool: int) -> Reached:
        """ReNO, from the plain noise or from the best of a pool that is paid for with iterations."""

        def run(prompt_of: torch.Tensor, places: list[int]) -> Any:
            evaluate, weights = self.objective.evaluate(prompt_of), torch.tensor(self.objective.weights)
            start = self.search(prompt_of, places, pool).noise if pool else self.noise(places, 0)
            state = init(start)
            for _ in range(self.iterations - pool // DRAWS):
                state, _ = step(state, evaluate, weights, settings)
            return state.best, state.best_pictures

        return self.each(run)

    def best_of(self, looks: int) -> Reached:
        """Best-of-N, which has nothing to choose."""

        def run(prompt_of: torch.Tensor, places: list[int]) -> Any:
            found = self.search(prompt_of, places, looks)
            return found.best, found.pictures

        return self.each(run)

    def zero_order(self, radius: float) -> Reached:
        """The search without gradients."""

        def run(prompt_of: torch.Tensor, places: list[int]) -> Any:
            evaluate, weights = self.objective.evaluate(prompt_of), torch.tensor(self.objective.weights)
            found = init_search(self.noise(places, 0))
            for i in range(self.iterations):
                fresh = self.noise(places, 1_000_000 + i)
                candidate = self.noise(places, 0) if i == 0 else neighbour(found.noise, fresh, radius)
                found, _ = consider(found, candidate, *values(candidate, evaluate), weights)
            return found.best, found.pictures

        return self.each(run)


def show(title: str, found: dict[str, Reached]) -> None:
    """A table with the paired difference from the best mean reward and its standard error; a star marks the rule's choice."""
    best = max(found.values(), key=lambda one: float(one.reward.mean()))
    gaps = {name: paired(one.reward, best.reward) for name, one in found.items()}
    chosen = next(name for name, (gap, error) in gaps.items() if gap >= -error)
    print(f"\n{title:28}{'reward':>8}{'from the best':>22}{'right':>8}")
    for name, one in found.items():
        gap, error = gaps[name]
        print(
            f"{name + (' *' if name == chosen else ''):28}{one.reward.mean():8.3f}{f'{gap:+.3f} ({error:.3f})':>22}{one.right.mean():8.2f}"
        )


def main() -> None:
    """Sweep and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[1, 2, 3, 5, 8, 12, 20])
    parser.add_argument("--radii", type=float, nargs="*", default=[0.1, 0.2, 0.4, 0.6, 0.8, 1.2])
    parser.add_argument("--per-task", type=int, default=3)
    parser.add_argument("--noises", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    listed = tuning_prompts(given.per_task)
    params = RenoParams(experiment="list")
    with quiet():
        objective = open_objective(params, [one.prompt for one in listed], "cpu")
    prompt_of = torch.arange(len(listed)).repeat_interleave(given.noises)
    trial = Trial(objective, Judge(objective, True), prompt_of, params.iterations)
    tasks = ", ".join(dict.fromkeys(one.task for one in listed))
    print(f"{len(listed)} prompts ({tasks}), {given.noises} noises each, {params.iterations} iterations")
    started = time.process_time()
    own = Settings(clip=params.clip, regularise=params.regularise, momentum=params.momentum)
    for title, pool in (("ReNO, rate", 0), ("ReNO, warm start, rate", params.warm_start)):
        rates = {f"{rate:g}": trial.climb(replace(own, lr=rate), pool) for rate in given.rates}
        if rates:
            show(title, rates)
    if given.radii:
        show("search without gradients", {f"{radius:g}": trial.zero_order(radius) for radius in given.radii})
    show(
        "best of N",
        {str(looks): trial.best_of(looks) for looks in (1, params.iterations, 3 * params.iterations)},
    )
    print(f"\n{time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
