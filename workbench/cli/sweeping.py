"""`workbench sweep`: an engine over values of its parameters, each cell a run."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import nullcontext

from storage import Kind, Run, Status
from workbench import sweep_results, sweeps
from workbench.cli.interruption import Interruption
from workbench.cli.output import engines_print_to_stderr, print_json
from workbench.cli.progress import ProgressLine
from workbench.cli.text import number, seconds, table, when
from workbench.documents import run_document
from workbench.errors import Interrupted, UsageError
from workbench.following import LOOK_FOR_DEAD_S, QUIET_LOOK_S
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweep_axes import parse_axes
from workbench.sweep_standing import standings
from workbench.sweeps import Cell, Plan, Sweep
from workbench.values import parse_assignments

LOOK_S = 0.3
STOPPING = "Stopping: cells under way end after their step; press Ctrl+C again to stop at once."


def sweep(arguments: argparse.Namespace) -> int:
    """Make a sweep and execute it here, or only queue it with `--detach`."""
    with Workbench.open(Settings.from_environment()) as workbench:
        made = _resumed(workbench, arguments) if arguments.resume else _made(workbench, arguments)
        if not arguments.detach:
            teller = Teller(is_quiet=arguments.json)
            with Interruption(lambda: teller.line.say(STOPPING)) as interruption, engines_print_to_stderr():
                _execute(workbench, made, teller, interruption)
            teller.line.clear()
            made = sweeps.read(workbench, made.run.id)
        if arguments.json:
            print_json(sweep_results.document(workbench, made))
        elif arguments.detach:
            print(made.run.id)
        else:
            print(_table(workbench, made))
        if arguments.detach:
            return 0
        return _exit_code(made, is_interrupted=interruption.is_wished)


def show_sweep(workbench: Workbench, run: Run, *, is_json: bool) -> int:
    """Where a sweep stands: its plan, each cell with its run, and the headline over the axes."""
    found = sweeps.read(workbench, run.id)
    if is_json:
        [status] = [one.status for one in standings(workbench, [run]).values()]
        document = run_document(workbench.record(run.id))
        document["run"]["status"] = status.value
        print_json({**document, **sweep_results.document(workbench, found)})
        return 0
    facts = [
        ("sweep", run.id),
        ("engine", found.plan.engine),
        ("preset", found.plan.preset),
        ("created", when(run.created_at)),
        ("tags", ", ".join(run.tags) or "–"),
        ("note", run.note or "–"),
        ("repeat", sweeps.command_line(workbench.catalog, found.plan)),
    ]
    cells = [
        [
            cell.label,
            cell.status,
            number(cell.row.headline) if cell.row else "–",
            cell.row.run.id if cell.row else "",
            cell.row.run.error if cell.row else "",
        ]
        for cell in found.cells
    ]
    print("\n".join(f"{name:<9} {value}" for name, value in facts))
    print()
    print(table(["cell", "status", "headline", "run", ""], cells))
    print()
    print(_table(workbench, found))
    return 0


class Teller:
    """Says what became of each cell as it ends."""

    def __init__(self, *, is_quiet: bool) -> None:
        self.line = ProgressLine("sweep")
        self._is_quiet = is_quiet
        self._told: set[str] = set()

    def look(self, found: Sweep) -> None:
        """Tell the cells that ended since the last look."""
        ended = [cell for cell in found.cells if cell.row and cell.row.run.status.is_over]
        for cell in ended:
            if cell.row and cell.row.run.id not in self._told:
                self._told.add(cell.row.run.id)
                if not self._is_quiet:
                    self.line.say(f"{len(self._told)}/{len(found.cells)}  {_cell_words(cell)}")


def _made(workbench: Workbench, arguments: argparse.Namespace) -> Sweep:
    if arguments.key is None:
        raise UsageError(
            "Name the engine to sweep, or a sweep to go on with --resume. See workbench engines."
        )
    engine = workbench.catalog.engine(arguments.key)
    axes = parse_axes(engine, arguments.axes, workbench.ingest)
    values = parse_assignments(engine, arguments.assignments, workbench.ingest)
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    plan = Plan(engine.key, axes, seeds, arguments.preset, values)
    if not arguments.detach:
        sweeps.check(workbench, plan)
        _get_ready(workbench)
    return sweeps.create(workbench, plan, tags=arguments.tags, note=arguments.note)


def _resumed(workbench: Workbench, arguments: argparse.Namespace) -> Sweep:
    if arguments.key or arguments.axes or arguments.assignments:
        raise UsageError("--resume goes on with a sweep as it is; leave engine, --over and --set out.")
    workbench.mark_dead()
    found = workbench.find(arguments.resume)
    sweeps.read(workbench, found.id)
    if not arguments.detach:
        _get_ready(workbench)
    sweeps.repeat(workbench, found.id)
    return sweeps.read(workbench, found.id)


def _get_ready(workbench: Workbench) -> None:
    """Have the executor answer before there are cells: otherwise they would wait for the next server that comes along."""
    if workbench.settings.executor != "inline":
        workbench.execute_only(())
        workbench.get_ready()


def _execute(workbench: Workbench, made: Sweep, teller: Teller, interruption: Interruption) -> None:
    """Execute the queued cells and wait for all of them: one after the other here with the inline executor, else by
    workers, as many at a time as there are slots."""
    waiting = [cell.row.run for cell in made.cells if cell.row and cell.row.run.status is Status.queued]
    if workbench.settings.executor == "inline":
        for run in waiting:
            if interruption.is_wished:
                break
            workbench.run_inline(run.id, stop=interruption.wish, on_stuck=interruption.insist)
            teller.look(sweeps.read(workbench, made.run.id))
    else:
        workbench.execute_only(run.id for run in waiting)
        sweeps.start(workbench, made)
    _wait(workbench, made, teller, interruption)


def _wait(workbench: Workbench, made: Sweep, teller: Teller, interruption: Interruption) -> None:
    """Look at the cells until none waits or runs: when the database tells of one, else every now and then."""
    news, heard, cells = workbench.store.news(), threading.Event(), set(made.run_ids)

    def hear(kind: Kind, run_id: str) -> None:
        if kind == "lost" or run_id in cells:
            heard.set()

    with news.told(hear) if news else nullcontext():
        is_cancelled = False
        look_for_dead_at = time.monotonic() + LOOK_FOR_DEAD_S
        while True:
            heard.clear()
            found = sweeps.read(workbench, made.run.id)
            teller.look(found)
            if found.is_over:
                return
            if interruption.is_wished and not is_cancelled:
                is_cancelled = True
                sweeps.cancel(workbench, made.run.id)
                continue
            if time.monotonic() > look_for_dead_at:
                look_for_dead_at = time.monotonic() + LOOK_FOR_DEAD_S
                workbench.mark_dead()
            look_again_at = time.monotonic() + (QUIET_LOOK_S if news and news.is_live else 0.0)
            while not heard.wait(LOOK_S) and time.monotonic() < look_again_at:
                if interruption.is_wished and not is_cancelled:
                    break


def _table(workbench: Workbench, made: Sweep) -> str:
    """The headline over the axes."""
    run, names = made.run, [axis.name for axis in made.plan.axes]
    rows = [
        [
            *(sweeps.shown(one.point[name]) for name in names),
            number(one.mean)
            + (f"  ({number(one.low)} to {number(one.high)})" if len(one.values) > 1 else ""),
            str(len(one.values)),
            f"{one.failed} without a result" if one.failed else "",
        ]
        for one in sweep_results.summarize(made, sweep_results.values_of(workbench, made))
    ]
    header = [*names, f"{run.headline_name} of {run.headline_series}", "runs", ""]
    counts = ", ".join(f"{count} {status}" for status, count in made.counts.items())
    return "\n".join([table(header, rows), "", f"{made.plan.engine}: {counts}   sweep {run.id}"])


def _cell_words(cell: Cell) -> str:
    assert cell.row is not None
    run = cell.row.run
    tail = f"   {run.error}" if run.error and run.status is not Status.finished else ""
    return f"{cell.label}: {run.status} after {seconds(run.duration_s)}, {number(cell.row.headline)}{tail}"


def _exit_code(made: Sweep, *, is_interrupted: bool) -> int:
    if is_interrupted:
        return Interrupted.exit_code
    lost = [cell for cell in made.cells if cell.status != Status.finished]
    for cell in lost[:5]:
        error = cell.row.run.error if cell.row else ""
        print(f"workbench: {cell.label} {cell.status}. {error}".rstrip(), file=sys.stderr)
    if lost:
        print(f"workbench: run them again with: workbench sweep --resume {made.run.id}", file=sys.stderr)
    return 1 if lost else 0
