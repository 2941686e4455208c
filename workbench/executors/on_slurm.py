"""Runs execute as Slurm jobs, through submitit. Jobs outlive the workbench that submitted them: one that starts again
finds them by the files beside their logs."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import BadSetting, UsageError
from workbench.execution import Bench
from workbench.executors.elsewhere import ElsewhereExecutor, End, execute_alone, needs_shared_database
from workbench.settings import Settings

DEFAULT_MINUTES = 240
_WELL = ("COMPLETED", "FINISHED")
_NEXT_NAME = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")


class SubmititExecutor(ElsewhereExecutor):
    """A job a run."""

    def __init__(self, bench: Bench) -> None:
        jobs = SlurmJobs(bench.settings)
        super().__init__(bench, jobs, jobs.known())


class SlurmJobs:
    """Slurm (or submitit's stand-in on this machine) as `Jobs`; a job is one of submitit's."""

    def __init__(self, settings: Settings) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UsageError(
                "The executor submitit needs it: pip install 'paper-workbench[slurm]'."
            ) from error
        given = options_of(settings.slurm)
        self._cluster = str(given.pop("cluster", "slurm"))
        if self._cluster == "slurm":
            needs_shared_database(settings, "Slurm")
        if settings.run_gpus % 1 > 0:
            raise BadSetting(
                f"WORKBENCH_RUN_GPUS must be a whole number for Slurm; got {settings.run_gpus:g}. "
                "Only Ray lets runs share a GPU."
            )
        self._settings = settings
        # Submissions and logs are nobody else's to read.
        self._folder = settings.home / "slurm"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # the folder of another user, who keeps it as they like
            self._folder.chmod(0o700)
        self._address = self._folder / "database"
        asked: dict[str, Any] = {"timeout_min": DEFAULT_MINUTES, "cpus_per_task": settings.run_cpus}
        if settings.run_gpus > 0:
            asked["gpus_per_node"] = int(settings.run_gpus)
        try:
            self._executor: Any = submitit.AutoExecutor(folder=self._folder, cluster=self._cluster)
            self._executor.update_parameters(name="workbench", **{**asked, **given})
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UsageError(f"Slurm cannot be used: {str(error).strip().splitlines()[0]}") from error

    def known(self) -> dict[str, Any]:
        """The jobs of an earlier workbench on this home, by run id. The stand-in on this machine knows only its own
        children; what an earlier one started goes on by itself, and the store tells how."""
        found: dict[str, Any] = {}
        for note in self._folder.glob("*.job"):
            if self._cluster != "slurm":
                note.unlink(missing_ok=True)
                continue
            with contextlib.suppress(
                Exception
            ):  # a note of an older submitit: the store tells what became of the run
                found[note.stem] = self._executor._executor.job_class(self._folder, note.read_text().strip())
        return found

    def launch(self, run_id: str) -> Any:
        # A submission lies in a file: the database's address, which may hold a password, is not in it.
        write_for_us(self._address, self._settings.database_url)
        without = replace(self._settings, database_url="")
        job = self._executor.submit(execute_alone, without.to_json(), run_id, str(self._address))
        job.run_id = run_id
        self._note(run_id).write_text(str(job.job_id))
        return job

    def ended(self, job: Any) -> End | None:
        if not job.done():
            return None
        state = str(job.state).split(" ")[0]
        trouble = _trouble(job)
        is_well = state in _WELL and not trouble
        self._tidy(str(job.job_id), keeps_logs=not is_well)
        return End() if is_well else End(f"Its Slurm job {job.job_id} ended as {state}. {trouble}".strip())

    def _tidy(self, job_id: str, *, keeps_logs: bool) -> None:
        """Remove the files of a job that is over; its logs stay where it failed."""
        for note in self._folder.glob("*.job"):
            if note.read_text().strip() == job_id:
                note.unlink(missing_ok=True)
        for file in self._folder.glob(f"{job_id}_*"):
            if not (keeps_logs and "_log." in file.name):
                file.unlink(missing_ok=True)

    def kill(self, job: Any) -> None:
        job.cancel(check=False)

    def close(self, jobs: dict[str, Any]) -> bool:
        """Jobs of Slurm go on, and are found again; those of the stand-in are children of this process' session."""
        return False

    def _note(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.job"


def options_of(text: str) -> dict[str, Any]:
    """The parameters of `WORKBENCH_SLURM`: `cluster=slurm,timeout_min=60,slurm_exclude=n1,n2` (a comma inside a value stays
    one, unless a name and = follow it), or a JSON object. A value that is JSON is read as such.

    Raises BadSetting."""
    if text.lstrip().startswith("{"):
        try:
            whole = json.loads(text)
        except ValueError as error:
            raise BadSetting(f"WORKBENCH_SLURM is no JSON object: {error}.") from error
        return {str(name): value for name, value in whole.items()}
    found: dict[str, Any] = {}
    for word in filter(None, (part.strip(" ,") for part in _NEXT_NAME.split(text))):
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise BadSetting(
                f"WORKBENCH_SLURM must be name=value pairs such as slurm_partition=gpu,timeout_min=60, or a JSON object; got {word!r}."
            )
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def write_for_us(path: Path, text: str) -> None:
    """Write a file that only its owner can read; whole, as somebody may be reading it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)


def _trouble(job: Any) -> str:
    """The last line of what the job's process said as it failed; nothing where it left no result (it was killed)."""
    if not job.paths.result_pickle.exists():
        return "It left no result: it was killed, or its machine went down."  # asking submitit would wait for one
    error = job.exception()
    return (str(error).strip().splitlines() or [""])[-1][:300] if error else ""
