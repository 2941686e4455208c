"""Commands about recorded runs: runs, show, export, import, delete, cancel, tag, note."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from storage import Run, RunQuery, import_bundle
from workbench.cli.output import describe_run, engines_print_to_stderr, print_json
from workbench.cli.sweeping import show_sweep
from workbench.cli.targets import target
from workbench.cli.text import number, seconds, table, when
from workbench.documents import run_document, run_object
from workbench.errors import FileTrouble, RunIsActive, UsageError, storage_seam
from workbench.exports import ENDINGS, Format
from workbench.exports import export as export_runs
from workbench.imports import bring_curves, is_curves
from workbench.run_table import TABLE_FORMATS, TableFormat, all_runs, write_runs
from workbench.run_table import table as table_of_runs
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.sweep_standing import row_objects, standings
from workbench.sweeps import SWEEP, everything, members
from workbench.trackers import log_to
from workbench.trackers import parse as parse_target

LISTED = 50
MOST_IN_FILE = 1_000_000


@contextmanager
def _open() -> Iterator[Workbench]:
    """The workbench of this environment, with runs of dead processes marked as such."""
    with Workbench.open(Settings.from_environment()) as workbench:
        workbench.mark_dead()
        yield workbench


def runs(arguments: argparse.Namespace) -> int:
    """List runs, or write their table to a file."""
    is_file = arguments.to is not None or arguments.format is not None
    query = RunQuery(
        engines=arguments.engines,
        statuses=arguments.statuses,
        tags=arguments.tags,
        text=arguments.text,
        preset=arguments.preset,
        seed=arguments.seed,
        order=arguments.order,
        descending=not arguments.ascending,
        offset=arguments.offset,
        limit=arguments.limit or (MOST_IN_FILE if is_file else LISTED),
    )
    if is_file:
        return _write_table(arguments, query)
    with _open() as workbench:
        page = workbench.runs(query)
        if arguments.json:
            print_json(row_objects(workbench, page.rows))
            return 0
        standing = standings(workbench, (row.run for row in page.rows))
    if not page.rows:
        print("No runs." if page.total == 0 else "No runs here; use a smaller --offset.")
        return 0
    rows = [
        [
            row.run.id,
            row.run.engine,
            row.run.preset,
            str(row.run.seed),
            standing.get(row.run.id, row.run).status.value,
            number(row.headline),
            seconds(row.run.duration_s),
            when(row.run.created_at),
            ", ".join(row.run.tags),
        ]
        for row in page.rows
    ]
    header = ["id", "engine", "preset", "seed", "status", "headline", "duration", "when", "tags"]
    print(table(header, rows, right=(3, 5, 6)))
    if page.total > len(rows):
        print(f"{len(rows)} of {page.total} runs; see --limit and --offset.", file=sys.stderr)
    return 0


def _write_table(arguments: argparse.Namespace, query: RunQuery) -> int:
    """`workbench runs --to PATH`, or `--format` alone for standard output."""
    path, kind = None, cast(TableFormat, arguments.format)
    if arguments.to:
        path, found = target(arguments.to, arguments.format, {f".{one}": one for one in TABLE_FORMATS})
        kind = cast(TableFormat, found)
    with _open() as workbench:
        if path is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(table_of_runs(list(all_runs(workbench, query)), kind))
            return 0
        count = write_runs(workbench, query, path, kind)
    if arguments.json:
        print_json({"format": kind, "file": str(path), "runs": count})
    else:
        print(f"{path}: {count} run{'s' if count != 1 else ''}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show one run, or a sweep with its cells."""
    with _open() as workbench:
        record = workbench.record(workbench.find(arguments.id).id)
        if record.run.engine == SWEEP:
            return show_sweep(workbench, record.run, is_json=arguments.json)
        if arguments.json:
            print_json(run_document(record))
        else:
            print(describe_run(record, workbench.catalog))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write runs to a file, or hand them on to a tracker."""
    if arguments.log_to:
        return _hand_on(arguments)
    if not arguments.to:
        raise UsageError("Say where to: --to PATH for a file, --log-to TRACKER:WHERE for a tracker.")
    by_ending = {ending: kind for kind, ending in ENDINGS.items()} | {".html": "html"}
    path, kind = target(arguments.to, arguments.format, by_ending, of_folder="bundle")
    with _open() as workbench:
        ids = _asked(workbench, arguments)
        if kind == "html":
            # Figures are the page's, so the report is made by the layer above; see also `workbench serve`.
            from ui.report import write

            written = write(workbench, ids, path)
        elif kind == "figures":
            from ui.report import write_figures

            written = write_figures(workbench, ids, path)
        else:
            ids = members(workbench, ids)
            written = export_runs(workbench, ids, path, cast(Format, kind))
    if arguments.json:
        print_json({"format": kind, "runs": ids, "files": [str(file) for file in written]})
    else:
        for file in written:
            print(file)
    return 0


def _asked(workbench: Workbench, arguments: argparse.Namespace) -> list[str]:
    """The ids of the runs that were named, or of all that are over."""
    if bool(arguments.ids) == arguments.all:
        raise UsageError("Name the runs to export, or take all of them with --all.")
    if not arguments.all:
        return list(dict.fromkeys(workbench.find(text).id for text in arguments.ids))
    found = [row.run for row in all_runs(workbench, RunQuery(descending=False, limit=MOST_IN_FILE))]
    over = [run.id for run in found if run.status.is_over]
    if left := len(found) - len(over):
        words = "run is" if left == 1 else "runs are"
        print(f"workbench: {left} {words} not over and left out.", file=sys.stderr)
    if not over:
        raise UsageError("There are no runs to export yet.")
    return over


def _hand_on(arguments: argparse.Namespace) -> int:
    """`workbench export ID --log-to TRACKER:WHERE`."""
    if arguments.to or arguments.format:
        raise UsageError("--log-to sends runs to a tracker and writes no file; leave --to and --format out.")
    parse_target(arguments.log_to)
    with _open() as workbench:
        found = members(workbench, _asked(workbench, arguments))
        ids = [run_id for run_id in found if workbench.run(run_id).engine != SWEEP]  # a plan has no curves
        with engines_print_to_stderr():
            lines = log_to(workbench, ids, arguments.log_to)
    if arguments.json:
        print_json({"log_to": arguments.log_to, "runs": ids, "sent": lines})
    else:
        print("\n".join(lines))
    return 0


def bring(arguments: argparse.Namespace) -> int:
    """Import a bundle, or curves that were made elsewhere."""
    path = Path(arguments.path).expanduser()
    if not path.exists():
        raise FileTrouble(f"There is no file {arguments.path!r}.")
    with _open() as workbench, storage_seam():
        ids = bring_curves(workbench, path) if is_curves(path) else import_bundle(workbench.store, path)
        if arguments.json:
            print_json([run_object(workbench.run(run_id)) for run_id in ids])
        else:
            for run_id in ids:
                print(run_id)
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Delete runs, all or none of them, after asking."""
    with _open() as workbench:
        found = _with_cells(workbench, arguments.ids)
        for run in found:
            if run.status.value == "running":
                raise RunIsActive(f"Run {run.id} is still running. Stop it first: workbench cancel {run.id}")
        if not arguments.yes and not _agrees(found):
            print("Nothing was deleted.", file=sys.stderr)
            return 0
        # What waits longest comes first: deleted last, it does not start because a run before it went.
        for run in reversed(found):
            workbench.delete(run.id)
    if arguments.json:
        print_json({"deleted": [run.id for run in found]})
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Ask runs to stop."""
    with _open() as workbench:
        found = _with_cells(workbench, arguments.ids)
        for run in reversed(found):
            workbench.cancel(run.id)
        _print_runs(workbench, found, is_json=arguments.json, says_status=True)
    return 0


def tag(arguments: argparse.Namespace) -> int:
    """Add tags, or take them away."""
    with _open() as workbench:
        run = workbench.find(arguments.id)
        wanted = set(run.tags) - set(arguments.tags) if arguments.remove else {*run.tags, *arguments.tags}
        workbench.tag(run.id, sorted(wanted))
        _print_runs(workbench, [run], is_json=arguments.json)
    return 0


def note(arguments: argparse.Namespace) -> int:
    """Write a note."""
    with _open() as workbench:
        run = workbench.find(arguments.id)
        workbench.note(run.id, arguments.text)
        _print_runs(workbench, [run], is_json=arguments.json)
    return 0


def _with_cells(workbench: Workbench, texts: Sequence[str]) -> list[Run]:
    """The runs of these ids, after each sweep all that it made, oldest first."""
    found: dict[str, Run] = {}
    for run in map(workbench.find, texts):
        found.setdefault(run.id, run)
        if run.engine == SWEEP:
            found |= {cell.id: cell for cell in everything(workbench, run.id)}
    return list(found.values())


def _print_runs(
    workbench: Workbench, found: Sequence[Run], *, is_json: bool, says_status: bool = False
) -> None:
    if is_json:
        print_json([run_object(workbench.run(run.id)) for run in found])
    elif says_status:
        for run in found:
            now = workbench.run(run.id)
            print(f"{now.id} {now.status}" if now.status.is_over else f"{now.id} is asked to stop")


def _agrees(found: Sequence[Run]) -> bool:
    """Ask on the terminal. Raises UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError("Deleting asks first; without a terminal add --yes.")
    what = f"run {found[0].id} of {found[0].engine}" if len(found) == 1 else f"{len(found)} runs"
    print(f"Delete {what} for good? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
