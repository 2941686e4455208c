"""Runs handed on to a lab's own tracker: `workbench export ID --log-to tensorboard:DIR`.

Each tracker is a module with `send(record, where)`, which answers one line that says where the run went. A tracker's
own package is imported when it is asked for and not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from storage import Record
from workbench.errors import MissingPackage, RunIsActive, UsageError, WorkbenchError, storage_seam
from workbench.runs import Workbench

Send = Callable[[Record, str], str]


@dataclass(frozen=True)
class Tracker:
    """What stands after the colon, and an example of it."""

    takes: str
    example: str


TRACKERS: Final[Mapping[str, Tracker]] = {
    "tensorboard": Tracker("a folder", "tensorboard:logs"),
    "mlflow": Tracker("a tracking address", "mlflow:sqlite:///mlflow.db"),
    "wandb": Tracker("a project, written offline", "wandb:papers"),
    "trackio": Tracker("a project", "trackio:papers"),
}


def log_to(workbench: Workbench, ids: Sequence[str], target: str) -> list[str]:
    """Send runs that are over to `tracker:where`; answers a line for each. Raises UsageError for a target that is
    not understood, MissingPackage, and WorkbenchError with what the tracker said where it failed."""
    name, where = parse(target)
    send: Send = importlib.import_module(f"workbench.trackers.to_{name}").send
    with storage_seam():
        records = [workbench.record(run_id) for run_id in ids]
    for record in records:
        if not record.run.status.is_over:
            raise RunIsActive(f"Run {record.run_id} is not over yet; a tracker is sent only runs that are.")
    lines = []
    for record in records:
        try:
            lines.append(send(record, where))
        except WorkbenchError:
            raise
        except Exception as error:  # trackers have no error in common
            said = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise WorkbenchError(f"{name} did not take run {record.run_id}: {said}.") from error
    return lines


def parse(target: str) -> tuple[str, str]:
    """Name of the tracker and what stands behind the colon. Raises UsageError."""
    name, colon, where = target.partition(":")
    if name not in TRACKERS or not colon or not where.strip():
        examples = ", ".join(tracker.example for tracker in TRACKERS.values())
        raise UsageError(f"--log-to takes a tracker and where, such as {examples}; got {target!r}.")
    return name, where.strip()


def package(name: str, install: str) -> Any:
    """A tracker's own package. Raises MissingPackage with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(
            f"{name} is not installed here, and a run can be sent to it only with it: pip install {install}"
        ) from error


def whole_steps(steps: Sequence[float]) -> list[int]:
    """Steps for trackers that count in whole numbers: the steps themselves where all are whole, otherwise the
    number of each point."""
    if all(float(step).is_integer() for step in steps):
        return [int(step) for step in steps]
    return list(range(len(steps)))


def facts(record: Record) -> dict[str, str]:
    """What a tracker's tags say of a run."""
    run = record.run
    found = {
        "workbench.run": run.id,
        "workbench.engine": run.engine,
        "workbench.engine_version": run.engine_version,
        "workbench.preset": run.preset,
        "workbench.status": run.status.value,
        "workbench.parent": run.parent_id or "",
        "workbench.tags": ", ".join(run.tags),
        "workbench.note": run.note,
        "workbench.git": str((run.environment or {}).get("git", "")),
    }
    for claim in record.claims():
        word = {True: "holds", False: "does not hold", None: "not decided"}[claim.holds]
        found[f"claim.{claim.key}"] = word
    return {name: value for name, value in found.items() if value}


def run_name(record: Record) -> str:
    """Engine and the end of the id: short, and different for each run."""
    return f"{record.run.engine}-{record.run.id[-6:]}"
