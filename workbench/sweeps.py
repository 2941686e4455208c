"""Sweeps: one engine over one to three axes of its parameters, with seeds.

A sweep is a run of the engine name `sweep` that holds the plan and executes nothing, and its cells: ordinary runs
that name it as their parent. Where a sweep stands is always read off its cells, so there is nothing that a killed
server could leave behind wrongly, a cell may run on any machine, and a cell that failed is simply run again."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines.contract import upload_fields
from engines.validation import FieldError
from storage import Run, RunQuery, RunRow, Status
from workbench.catalog import Catalog
from workbench.documents import Document
from workbench.errors import InvalidParams, RunIsActive, UnknownRun, UsageError, storage_seam
from workbench.recipes import Recipe
from workbench.runs import Workbench
from workbench.sweep_axes import Axis, check_axes, key_of, text_of
from workbench.values import seed_of, tags_of

SWEEP = "sweep"
"""Engine name of the row that holds a sweep's plan; no engine may be called so."""
MAX_CELLS = 1000
MAX_SEEDS = 100
_TOLD = 5
"""Refusals told one by one; a wide sweep of a wrong value would fill the screen."""
UNDER_WAY = (Status.queued, Status.running)


@dataclass(frozen=True)
class Plan:
    """What a sweep runs: `values` over the preset in every cell, the axes over both, each with every seed."""

    engine: str
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...] = (0,)
    preset: str = "default"
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([len(axis.values) for axis in self.axes])) * len(self.seeds)

    def points(self) -> Iterator[dict[str, Any]]:
        """The axes' values in each cell, the last axis fastest; seeds left out."""
        names = [axis.name for axis in self.axes]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip(names, values, strict=True))

    def to_params(self) -> Document:
        """As the sweep's row holds it."""
        return {
            "engine": self.engine,
            "preset": self.preset,
            "values": dict(self.values),
            "axes": [{"name": axis.name, "values": list(axis.values)} for axis in self.axes],
            "seeds": list(self.seeds),
        }

    @classmethod
    def of_run(cls, run: Run) -> Plan:
        """The plan that a sweep's row holds. Raises UnknownRun where the run is no sweep."""
        if run.engine != SWEEP:
            raise UnknownRun(f"Run {run.id} is one of {run.engine}, no sweep.")
        found = run.params
        axes = tuple(Axis(axis["name"], tuple(axis["values"])) for axis in found["axes"])
        return cls(found["engine"], axes, tuple(found["seeds"]), found["preset"], found["values"])


@dataclass(frozen=True)
class Cell:
    """One place of a sweep: the axes' values, the seed, and the newest run there (None where it was deleted)."""

    point: Mapping[str, Any]
    seed: int
    row: RunRow | None

    @property
    def status(self) -> str:
        """The run's status, or "missing"."""
        return self.row.run.status.value if self.row else "missing"

    @property
    def label(self) -> str:
        """The cell in words: `rank 5, seed 0`."""
        return ", ".join(
            [*(f"{name} {shown(value)}" for name, value in self.point.items()), f"seed {self.seed}"]
        )


@dataclass(frozen=True)
class Sweep:
    """A sweep as it stands."""

    run: Run
    plan: Plan
    cells: tuple[Cell, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many cells there are of each status."""
        found: dict[str, int] = {}
        for cell in self.cells:
            found[cell.status] = found.get(cell.status, 0) + 1
        return found

    @property
    def is_over(self) -> bool:
        """Whether no cell waits or runs."""
        return not any(cell.status in UNDER_WAY for cell in self.cells)

    @property
    def run_ids(self) -> list[str]:
        """The cells' runs, as far as they are there."""
        return [cell.row.run.id for cell in self.cells if cell.row]


def check(workbench: Workbench, plan: Plan, *, files_once: bool = False) -> Plan:
    """Check every cell's parameters, the engine's look at uploads included; answers the plan with the values as
    they are recorded. Nothing is made. With `files_once` the engine looks at uploads that several cells share in the
    first of these alone: what a file does not allow in another cell that cell says when it runs.

    Raises InvalidParams with the sentences of all cells that are wrong, UsageError for a plan that is none."""
    engine = workbench.catalog.engine(plan.engine)
    axes = check_axes(plan.axes)
    if both := [axis.name for axis in axes if axis.name in plan.values]:
        raise UsageError(f"{both[0]} is both on an axis and set to one value; leave one of them out.")
    _check_seeds(plan.seeds)
    if plan.size > MAX_CELLS:
        raise UsageError(
            f"A sweep has at most {MAX_CELLS:,} cells; this one has {plan.size:,}. Thin an axis out."
        )
    errors: dict[tuple[str, str], FieldError] = {}
    dumped: dict[str, dict[str, Any]] = {axis.name: {} for axis in axes}
    base: dict[str, Any] = {}
    looked_at: set[tuple[str, ...]] = set()
    for point in plan.points():
        values = {**plan.values, **point}
        try:
            checked = workbench.validate(plan.engine, values, plan.preset)
            files = tuple(getattr(checked, name) for name in upload_fields(engine.params))
            if not (files_once and any(files) and files in looked_at):
                looked_at.add(files)
                workbench.look_over(plan.engine, checked)
            params = checked.model_dump(mode="json")
        except InvalidParams as error:
            for one in error.errors:
                where = "" if one.field in point else f" (in the cell {_point_words(point)})"
                errors.setdefault(
                    (one.field, one.sentence), FieldError(one.field, one.value, one.sentence + where)
                )
            continue
        for name, value in point.items():
            dumped[name][key_of(value)] = params[name]
        base = {name: params[name] for name in plan.values}
    if errors:
        told = list(errors.values())
        rest = len(told) - _TOLD
        more = [FieldError("", None, f"And {rest} more.")] if rest > 0 else []
        raise InvalidParams(told[:_TOLD] + more)
    exact = tuple(Axis(axis.name, tuple(dumped[axis.name][key_of(v)] for v in axis.values)) for axis in axes)
    return Plan(engine.key, check_axes(exact), plan.seeds, plan.preset, base)


def create(
    workbench: Workbench, plan: Plan, *, owner: str = "local", tags: Iterable[str] = (), note: str = ""
) -> Sweep:
    """Record a sweep and all its cells as queued runs, after every one of them was checked. Nothing is started.
    Raises as `check` does."""
    return enter(workbench, check(workbench, plan), owner=owner, tags=tags, note=note)


def enter(
    workbench: Workbench, checked: Plan, *, owner: str, tags: Iterable[str] = (), note: str = ""
) -> Sweep:
    """Record a sweep whose plan `check` has answered."""
    words = tags_of(tags)
    headline = workbench.catalog.engine(checked.engine).headline
    with storage_seam():
        parent = workbench.store.create_run(
            engine=SWEEP, params=checked.to_params(), seed=checked.seeds[0], preset=checked.preset, owner=owner,
            tags=words, note=note, headline=headline, engine_version=workbench.catalog.version(checked.engine),
        )  # fmt: skip
        # The plan is all there is to it; from here on the cells tell how it goes.
        workbench.store.finish_run(parent.id, Status.finished)
    for point in checked.points():
        for seed in checked.seeds:
            _create_cell(workbench, checked, point, seed, owner, parent.id, words)
    return read(workbench, parent.id)


def read(workbench: Workbench, sweep_id: str) -> Sweep:
    """A sweep as it stands now; three queries, however many cells. Raises UnknownRun where it is none.

    Its cells are runs of its own owner: whoever knows its id may name it as a parent, and that makes no cell."""
    run = workbench.run(sweep_id)
    plan = Plan.of_run(run)
    query = RunQuery(parent_id=sweep_id, owner=run.owner, engines=(plan.engine,), limit=20 * MAX_CELLS)
    rows = workbench.runs(query).rows
    names = [axis.name for axis in plan.axes]
    newest: dict[tuple[str, ...], RunRow] = {}
    for row in rows:  # newest first
        place = _place(names, row.run.params, row.run.seed)
        newest.setdefault(place, row)
    cells = tuple(
        Cell(point, seed, newest.get(_place(names, point, seed)))
        for point in plan.points()
        for seed in plan.seeds
    )
    return Sweep(run, plan, cells)


def start(workbench: Workbench, sweep: Sweep) -> None:
    """See to it that all queued cells are executed, as many at a time as there are slots."""
    for cell in sweep.cells:
        if cell.row and cell.row.run.status is Status.queued:
            workbench.start(cell.row.run.id)


def everything(workbench: Workbench, sweep_id: str) -> list[Run]:
    """Every run that a sweep ever made, oldest first: also attempts that a newer run of their cell has replaced.

    Raises UnknownRun where it is no sweep."""
    sweep = workbench.run(sweep_id)
    plan = Plan.of_run(sweep)
    found: list[Run] = []
    while True:
        query = RunQuery(
            parent_id=sweep_id,
            engines=(plan.engine,),
            owner=sweep.owner,
            descending=False,
            offset=len(found),
            limit=20 * MAX_CELLS,
        )
        page = workbench.runs(query)
        found += [row.run for row in page.rows]
        if not page.rows or len(found) >= page.total:
            return found


def cancel(workbench: Workbench, sweep_id: str) -> None:
    """Stop the cells that wait or run, those that wait first."""
    found = everything(workbench, sweep_id)
    for status in UNDER_WAY:
        for run in found:
            if run.status is status:
                workbench.cancel(run.id)


def delete(workbench: Workbench, sweep_id: str) -> list[str]:
    """Delete a sweep with every run that it made, queued ones too; answers the ids that are gone. The sweep goes last,
    so that what remains after a failure can still be found.

    Raises RunIsActive where a cell is running; then nothing is deleted."""
    made = everything(workbench, sweep_id)
    if running := sum(run.status is Status.running for run in made):
        cells = "a cell is" if running == 1 else f"{running} cells are"
        raise RunIsActive(f"Of sweep {sweep_id} {cells} still running. Stop the sweep first, then delete it.")
    # What waits longest goes last: the others must not start while those before them are deleted.
    gone = []
    for run in reversed(made):
        workbench.delete(run.id)
        gone.append(run.id)
    workbench.delete(sweep_id)
    return [*gone, sweep_id]


def repeat(workbench: Workbench, sweep_id: str) -> list[Run]:
    """New queued runs for the cells without a result: failed, cancelled, interrupted or deleted. What those left
    behind stays. Nothing is started."""
    sweep = read(workbench, sweep_id)
    done = (Status.finished, *UNDER_WAY)
    return [
        _create_cell(
            workbench, sweep.plan, cell.point, cell.seed, sweep.run.owner, sweep.run.id, sweep.run.tags
        )
        for cell in sweep.cells
        if cell.status not in done
    ]


def members(workbench: Workbench, run_ids: Sequence[str]) -> list[str]:
    """The runs themselves, with the cells of each sweep among them: what an export of them holds."""
    found: dict[str, None] = {}
    for run_id in run_ids:
        run = workbench.run(run_id)
        found[run.id] = None
        if run.engine == SWEEP:
            found.update(dict.fromkeys(read(workbench, run.id).run_ids))
    return list(found)


def command_line(catalog: Catalog, plan: Plan) -> str:
    """The command that makes such a sweep."""
    words = Recipe.of(catalog, plan.engine, plan.values, plan.preset, 0).command_line()
    head = shlex.split(words)
    at = head.index("--seed")
    del head[at : at + 2]
    head[1] = "sweep"
    for axis in plan.axes:
        head += ["--over", f"{axis.name}={text_of(axis.values)}"]
    head += ["--seeds", str(len(plan.seeds))]
    if plan.seeds[0]:
        head += ["--seed", str(plan.seeds[0])]
    return shlex.join(head)


def _create_cell(
    workbench: Workbench,
    plan: Plan,
    point: Mapping[str, Any],
    seed: int,
    owner: str,
    parent: str,
    tags: Sequence[str],
) -> Run:
    params = workbench.validate(plan.engine, {**plan.values, **point}, plan.preset)
    return workbench.enter(
        plan.engine, params, preset=plan.preset, seed=seed, owner=owner, parent_id=parent, tags=tags
    )


def _check_seeds(seeds: Sequence[int]) -> None:
    if not 1 <= len(seeds) <= MAX_SEEDS or len(set(seeds)) < len(seeds):
        raise UsageError(f"A sweep has 1 to {MAX_SEEDS} different seeds; got {len(seeds)}.")
    for seed in seeds:
        seed_of(seed)


def _place(names: Sequence[str], values: Mapping[str, Any], seed: int) -> tuple[str, ...]:
    return (*(key_of(values.get(name)) for name in names), str(seed))


def _point_words(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in point.items())


def shown(value: Any) -> str:
    """A value of an axis in words."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
