"""Rank and ridge of each method, chosen on a held-out part of the observed entries: one grid for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.devices import numpy_generator
from engines.estimation.matrix_completion.contenders import Plan, line_up, racer
from engines.events import Progress, Table

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.method.compiled import RowTeam
    from engines.estimation.matrix_completion.method.observations import Observations
    from engines.estimation.matrix_completion.settings import Settings

VALIDATION = 0.1
"""Share of the observed entries that the choice is made on."""

RIDGES = (0.003, 0.01, 0.02, 0.04, 0.1)
"""Shares of the largest singular value of the observed matrix."""

COLUMNS = ("method", "rank", "ridge", "held-out RMSE", "chosen")

FAMILIES = {
    "alternating minimisation": ("robust", "accelerated", "split", "exact", "sketch", "cmfrec"),
    "SoftImpute": ("softimpute",),
    "LMaFit": ("lmafit",),
    "Scaled gradient": ("scaled_gradient",),
}
"""Contenders that share a choice: they minimise one objective, by different solvers."""

STANDS_FOR = {"alternating minimisation": "accelerated"}
"""The contender whose fits choose for its family; the fastest of them."""


@dataclass(frozen=True)
class Choice:
    """What the grid said for one family."""

    rank: int
    ridge: float
    """Absolute."""


def ranks_up_to(largest: int) -> tuple[int, ...]:
    """Four ranks, halving from `largest`."""
    return tuple(sorted({max(1, round(largest / 2**i)) for i in range(4)}))


def tuned_plans(
    settings: Settings,
    obs: Observations,
    aside: NDArray[np.bool_],
    seed: int,
    team: RowTeam,
    iterations: int,
    done: float,
    share: float,
) -> Iterator[Progress | Table | list[Plan]]:
    """Yields progress and the table "tuning", and at last the plans of all contenders (a list).

    `aside` (|Omega|, bool) are the observed entries that the choice is made on. They must be missing in the way in
    which the test entries are: whole pixels of a colour picture, or the other channels would give them away.
    Without `settings.tune` all get the settings' rank and ridge."""
    from engines.estimation.matrix_completion.baselines.softimpute import largest_singular_value

    top = largest_singular_value(obs, numpy_generator(seed, "norm"), team)
    largest = min(settings.rank, *obs.shape)
    plans = line_up(settings, largest, settings.ridge * top)
    if not settings.tune:
        yield plans
        return
    keys = {plan.key for plan in plans}
    families = [name for name, members in FAMILIES.items() if keys & set(members)]
    kept = obs.subset(~aside)
    held = (obs.rows[aside], obs.by_row.indices[aside], obs.by_row.values[aside])
    rows: list[list[object]] = []
    choices: dict[str, Choice] = {}
    for number, family in enumerate(families):
        found: list[tuple[float, Choice]] = []
        grid = _grid(family, largest)
        for rank, part in grid:
            plan = Plan(STANDS_FOR.get(family, FAMILIES[family][0]), family, rank, part * top)
            error = _held_out_rmse(plan, kept, held, settings, seed, team, iterations)
            found.append((error, Choice(rank, part * top)))
            rows.append([family, rank, part, error, ""])
        best = min(range(len(found)), key=lambda at: (found[at][0], at))
        rows[len(rows) - len(found) + best][4] = "yes"
        choices[family] = found[best][1]
        yield Table("tuning", COLUMNS, [list(row) for row in rows])  # type: ignore[arg-type]
        yield Progress(done + share * (number + 1) / len(families), 1.0, f"tuning {family}")
    yield [_with(plan, choices) for plan in plans]


def _grid(family: str, largest: int) -> list[tuple[int, float]]:
    """(rank, ridge) pairs; LMaFit and scaled gradient know no ridge."""
    ridges = RIDGES if family in ("alternating minimisation", "SoftImpute") else (0.0,)
    return [(rank, ridge) for rank in ranks_up_to(largest) for ridge in ridges]


def _held_out_rmse(
    plan: Plan, kept: Observations, held: tuple[np.ndarray, np.ndarray, np.ndarray], settings: Settings, seed: int,
    team: RowTeam, iterations: int,
) -> float:  # fmt: skip
    """RMSE on the held-out entries at the last iteration; infinite where the fit diverged."""
    runner = racer(plan, kept, settings, seed, team, iterations, 1e-6)
    while not runner.over:
        runner.advance()
    if runner.last is None:
        return float("inf")
    rest = np.einsum("ij,ij->i", runner.last.left[held[0]], runner.last.right[held[1]]) - held[2]
    error = float(np.sqrt(np.mean(np.square(rest, dtype=np.float64))))
    return error if np.isfinite(error) else float("inf")


def _with(plan: Plan, choices: dict[str, Choice]) -> Plan:
    for family, members in FAMILIES.items():
        if plan.key in members:
            choice = choices[family]
            return Plan(plan.key, plan.name, choice.rank, choice.ridge)
    return plan
