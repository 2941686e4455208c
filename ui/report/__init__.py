"""A run, a sweep, or several runs of one engine, as one HTML file that needs no network and no workbench.

Everything in it is text, a data URI or compressed data of its own; its content security policy names the hash of
each script, so that nothing else in it can run and nothing can be fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ui.report import comparison, file, single, swept
from ui.report.figure_files import write_figures
from workbench.errors import UsageError, storage_seam
from workbench.exports import whole
from workbench.runs import Workbench
from workbench.sweeps import SWEEP

__all__ = ["html", "write", "write_figures"]


def html(workbench: Workbench, ids: Sequence[str], *, for_strangers: bool = False) -> str:
    """The report of one run or sweep, or the comparison of several runs. `for_strangers` leaves out where they ran.

    Raises UnknownRun, and UsageError for runs that cannot be compared. About 0.3 s and 3 MB."""
    wanted = list(dict.fromkeys(ids))
    with storage_seam():
        is_sweep = [workbench.run(run_id).engine == SWEEP for run_id in wanted]
        if is_sweep == [True]:
            return file.assemble(swept.page(workbench, wanted[0], for_strangers=for_strangers))
        if any(is_sweep):
            raise UsageError("A sweep has a report of its own: export it alone, or into a folder.")
        if len(wanted) == 1:
            return file.assemble(single.page(workbench, wanted[0], for_strangers=for_strangers))
        return file.assemble(comparison.page(workbench, wanted, for_strangers=for_strangers))


def write(workbench: Workbench, ids: Sequence[str], path: Path, *, for_strangers: bool = False) -> list[Path]:
    """Write the report to `path`; in a folder each run gets its own, named by its id. Answers the files."""
    if path.is_dir():
        return [
            target
            for run_id in dict.fromkeys(ids)
            for target in write(workbench, [run_id], path / f"{run_id}.html", for_strangers=for_strangers)
        ]
    text = html(workbench, ids, for_strangers=for_strangers)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return [path]
