"""`workbench run` and `workbench reproduce`: runs in the foreground."""

from __future__ import annotations

import argparse
import sys

from engines.events import Progress
from storage import Run, Status
from workbench.claims import ClaimSummary, Reproduction, reproduce, reproduction_document
from workbench.claims_board import board, board_document
from workbench.cli.interruption import Interruption
from workbench.cli.output import describe_end, engines_print_to_stderr, print_json
from workbench.cli.progress import ProgressLine
from workbench.cli.text import number, table, when
from workbench.documents import run_document
from workbench.errors import Interrupted, UsageError
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweeps import SWEEP, Plan, command_line
from workbench.values import parse_assignments

STOPPING = "Stopping after this step; press Ctrl+C again to stop at once."
EXIT_CODES = {Status.finished: 0, Status.failed: 1, Status.interrupted: 1, Status.cancelled: 130}


def run(arguments: argparse.Namespace) -> int:
    """Create a run and execute it here (on a cluster where the executor is one), or only queue it with `--detach`."""
    with Workbench.open(Settings.from_environment()) as workbench:
        created = _create(
            workbench, arguments, is_elsewhere=not arguments.detach and _is_elsewhere(workbench)
        )
        if arguments.detach:
            if arguments.json:
                print_json(run_document(workbench.record(created.id)))
            else:
                print(created.id)
            return 0
        line = ProgressLine(created.engine)
        with Interruption(lambda: line.say(STOPPING)) as interruption, engines_print_to_stderr():
            if _is_elsewhere(workbench):
                ended = _elsewhere(workbench, created.id, line, interruption)
            else:
                ended = workbench.run_inline(created.id, line, interruption.wish, interruption.insist)
        line.clear()
        return _tell(workbench, ended, is_json=arguments.json)


def _is_elsewhere(workbench: Workbench) -> bool:
    return workbench.settings.executor in ("ray", "submitit")


def _elsewhere(workbench: Workbench, run_id: str, line: ProgressLine, interruption: Interruption) -> Run:
    """Hand the run to a cluster and follow it to its end."""

    def on_look(run: Run) -> None:
        line(Progress(run.progress_done, run.progress_total, run.progress_note))

    workbench.execute_only([run_id])
    workbench.start(run_id)
    return workbench.follow(run_id, stop=interruption.wish, on_look=on_look)


def reproduce_claims(arguments: argparse.Namespace) -> int:
    """Run the embedded experiments and print the claims table. A claim that fails is a result, not an error; a
    run that fails is one."""
    with Workbench.open(Settings.from_environment()) as workbench:
        keys = arguments.keys or list(workbench.catalog.engines)
        lines: list[ProgressLine] = []

        def on_run(created: Run) -> ProgressLine:
            for old in lines:
                old.clear()
            lines[:] = [ProgressLine(f"{created.engine} seed {created.seed}")]
            return lines[0]

        def on_first() -> None:
            for line in lines:
                line.say(STOPPING)

        with Interruption(on_first) as interruption, engines_print_to_stderr():
            result = reproduce(workbench, keys, arguments.seeds, on_run=on_run, stop=interruption.wish)
        for line in lines:
            line.clear()
    if arguments.json:
        print_json(reproduction_document(result))
    else:
        print(claims_table(result.claims))
    return _tell_reproduction(result, is_interrupted=interruption.is_wished)


def claims_table(claims: list[ClaimSummary]) -> str:
    """The claims of the papers beside what was measured here."""
    rows, notes = [], []
    for summary in claims:
        measured = number(summary.mean) + (
            f" ± {number(summary.spread)}" if summary.spread is not None else ""
        )
        unit = f" {summary.claim.unit}" if summary.claim.unit and summary.mean is not None else ""
        rows.append(
            [
                summary.engine,
                summary.verdict,
                measured + unit,
                str(summary.runs or "–"),
                number(summary.baseline),
                summary.claim.paper or "–",
                summary.claim.statement,
            ]
        )
        notes += [f"{summary.engine}/{summary.claim.key}: {detail}" for detail in summary.details]
    if not rows:
        return "No claims."
    header = ["engine", "here", "measured", "seeds", "baseline", "paper", "claim"]
    return "\n".join([table(header, rows), *(["", *notes] if notes else [])])


def claims(arguments: argparse.Namespace) -> int:
    """Print the claims board: what the runs in the store say of every paper's claims."""
    with Workbench.open(Settings.from_environment()) as workbench:
        standings = board(workbench, arguments.keys)
    if arguments.json:
        print_json(board_document(standings))
        return 0
    print(claims_table([summary for standing in standings for summary in standing.claims]))
    for standing in standings:
        print()
        if not standing.runs:
            print(f"{standing.engine.key}: not run yet. workbench reproduce {standing.engine.key}")
            continue
        how = "" if standing.source == "reproduce" else " (runs of the default preset, not of reproduce)"
        print(f"{standing.engine.key}: {when(standing.when)}, {'; '.join(standing.machines)}{how}")
        print("  runs " + " ".join(run.id for run in standing.runs))
    return 0


def _create(workbench: Workbench, arguments: argparse.Namespace, *, is_elsewhere: bool) -> Run:
    """The run that is asked for. A cluster that it is meant for must answer first: otherwise the run would wait for the
    next server that comes along."""
    options = {"tags": tuple(arguments.tags), "note": arguments.note}
    parent = workbench.find(arguments.parent) if arguments.parent else None
    if parent is not None and parent.engine == SWEEP:
        raise UsageError(
            f"Run {parent.id} is a sweep. Run its missing cells with: workbench sweep --resume {parent.id}; "
            f"or all of it anew with: {command_line(workbench.catalog, Plan.of_run(parent))}"
        )
    key = arguments.key or (parent.engine if parent else None)
    if key is None:
        raise UsageError("Name the engine to run, or a run to repeat with --from. See workbench engines.")
    engine = workbench.catalog.engine(key)
    values = parse_assignments(engine, arguments.assignments, workbench.ingest)
    if parent is not None and parent.engine != key:
        raise UsageError(f"Run {parent.id} is one of {parent.engine}, not of {key}.")
    if parent is not None and arguments.preset:
        raise UsageError("--from brings all parameters of the run along; --preset cannot be used with it.")
    preset = arguments.preset or "default"
    if is_elsewhere:
        workbench.check(key, {**parent.params, **values} if parent else values, preset)
        workbench.execute_only(())
        workbench.get_ready()
    if parent is not None:
        return workbench.fork(parent.id, values, arguments.seed, **options)
    return workbench.create(key, values, preset=preset, seed=arguments.seed, **options)


def _tell(workbench: Workbench, ended: Run, *, is_json: bool) -> int:
    """Print how a run ended; its error on standard error."""
    record = workbench.record(ended.id)
    if is_json:
        print_json(run_document(record))
    else:
        print(describe_end(record))
    if ended.status is not Status.finished:
        sentence = ended.error or f"The run was {ended.status}."
        print(f"workbench: {sentence}", file=sys.stderr)
    return EXIT_CODES[ended.status]


def _tell_reproduction(result: Reproduction, *, is_interrupted: bool) -> int:
    for failed in result.failed:
        print(
            f"workbench: {failed.engine} seed {failed.seed} {failed.status}: {failed.error}", file=sys.stderr
        )
    if is_interrupted:
        return Interrupted.exit_code
    return 1 if result.failed else 0
