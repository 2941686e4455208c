"""One run from its claim to its end, in whichever process it happens: the command line's, a worker's, a request's."""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.contract import Context, Engine, Params, Refusal, upload_fields
from storage import ArtifactNotFound, Run, RunNotFound, Status, Store
from workbench import environment
from workbench.catalog import Catalog
from workbench.errors import UsageError
from workbench.failures import explain
from workbench.recorder import OnEvent, Stop, StopWish, record_run
from workbench.settings import Settings
from workbench.values import params_of

LEFTOVER_S = 86400.0

log = logging.getLogger("workbench")


@dataclass(frozen=True)
class Bench:
    """What a process needs to execute runs."""

    settings: Settings
    store: Store
    catalog: Catalog


def worker_name() -> str:
    """This process, as it is written beside the runs that it executes: `<host>/<process id>`."""
    return f"{platform.node() or 'localhost'}/{os.getpid()}"


def execute(
    bench: Bench,
    run_id: str,
    *,
    device: str | None = None,
    stop: StopWish | None = None,
    on_event: OnEvent | None = None,
    on_stuck: Callable[[Stop], None] | None = None,
) -> Status | None:
    """Claim a queued run, execute it, and record it to its end; answers its final status, or None where another
    process was faster.

    Raises StorageError where the end of the run could not be written down, KeyboardInterrupt when stopped
    from the keyboard (the run is then marked as cancelled)."""
    store = bench.store
    try:
        if not store.claim_run(run_id, worker_name()):
            return None
        return _execute_claimed(bench, store.run(run_id), device, stop, on_event, on_stuck)
    except RunNotFound:
        return None  # it was deleted meanwhile: there is nothing left to write an end to


def _execute_claimed(
    bench: Bench,
    run: Run,
    device: str | None,
    stop: StopWish | None,
    on_event: OnEvent | None,
    on_stuck: Callable[[Stop], None] | None,
) -> Status:
    store, settings = bench.store, bench.settings
    chosen = "cpu"
    try:
        engine = bench.catalog.engine(run.engine)
        params = params_of(engine, run.params)
        chosen = device or environment.choose_device(settings.device)
        store.update_environment(run.id, environment.describe(chosen))
        with workspace(settings.home, run.id) as folder:
            inputs = copy_inputs(store, params, folder / "inputs")
            scratch = folder / "scratch"
            scratch.mkdir()
            context = Context(chosen, run.seed, scratch, inputs)
            return record_run(
                store,
                run,
                engine,
                params,
                context,
                stop=_limited(stop, settings.run_limit_s),
                on_event=on_event,
                on_stuck=on_stuck,
                grace_s=settings.grace_s,
            )
    except UsageError as error:
        store.finish_run(run.id, Status.failed, error.sentence, type(error).__name__)
    except RunNotFound:
        raise
    except KeyboardInterrupt:
        store.finish_run(run.id, Status.cancelled, "Stopped from the keyboard.", "Interrupted")
        raise
    except Exception as error:
        # Whatever goes wrong before or after the engine speaks must not leave the run "running".
        failure = explain(error, chosen)
        store.finish_run(run.id, Status.failed, failure.sentence, failure.kind)
    return store.run(run.id).status


def _limited(stop: StopWish | None, limit_s: float) -> StopWish | None:
    """`stop`, and after `limit_s` seconds (0: never) a wish of our own."""
    if not limit_s:
        return stop
    deadline = time.monotonic() + limit_s
    over = Stop(
        Status.cancelled, f"Stopped after {limit_s:g} s, the longest that a run may take here.", "TimeLimit"
    )

    def wish() -> Stop | None:
        asked = stop() if stop is not None else None
        return asked or (over if time.monotonic() >= deadline else None)

    return wish


@contextmanager
def workspace(home: Path, run_id: str) -> Iterator[Path]:
    """A folder of the run's own, removed afterwards."""
    root = home / "scratch"
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{run_id}-", dir=root))
    try:
        yield folder
    finally:
        remove_folder(folder)


def sweep_workspaces(home: Path, store: Store) -> int:
    """Remove the folders that killed processes left behind; answers how many went. A folder whose run this store
    does not know may belong to a live run of another database, and is given a day."""
    gone = 0
    for folder in (home / "scratch").glob("*-*"):
        try:
            is_left = store.run(folder.name.partition("-")[0]).status.is_over
        except RunNotFound:
            is_left = folder.exists() and time.time() - folder.stat().st_mtime > LEFTOVER_S
        if is_left:
            remove_folder(folder)
            gone += 1
    return gone


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it, read-only files too."""

    def permit(function: Callable[..., Any], path: str, _: Any) -> None:
        if os.path.lexists(path):
            os.chmod(path, stat.S_IWRITE)
            function(path)

    if folder.exists():
        shutil.rmtree(folder, onerror=permit)


def copy_inputs(store: Store, params: Params, folder: Path) -> dict[str, Path]:
    """Read-only copies of the files that the upload fields name, under their own names.

    Raises ArtifactNotFound for a file that is not in the store any more."""
    inputs: dict[str, Path] = {}
    for field in upload_fields(type(params)):
        value = getattr(params, field)
        if not value:
            continue
        content_hash, _, name = value.removeprefix("sha256:").partition("/")
        if not store.artifacts.exists(content_hash):
            raise ArtifactNotFound(content_hash)
        target = folder / field / safe_name(name)
        target.parent.mkdir(parents=True)
        shutil.copyfile(store.artifacts.local_path(content_hash), target)
        target.chmod(stat.S_IREAD)
        inputs[field] = target
    return inputs


def safe_name(name: str) -> str:
    """The last part of a file's name in any system's notation, short enough for every file system."""
    last = re.split(r"[/\\\x00]", name)[-1].strip()
    stem, dot, ending = last.rpartition(".")
    if len(last.encode()) > 200:
        last = (stem or ending).encode()[:150].decode(errors="ignore") + (dot + ending[:20] if stem else "")
    return "file" if last in ("", ".", "..") else last


def check_inputs(store: Store, engine: Engine, params: Params) -> None:
    """Let the engine look at its uploads before a run is recorded.

    Raises Refusal with the engine's sentence, ArtifactNotFound for a file that is not there. A check that breaks (a file
    nested so deeply that its parser gives up, a plug-in's fault) refuses as well."""
    with tempfile.TemporaryDirectory(prefix="workbench-check-") as name:
        inputs = copy_inputs(store, params, Path(name))
        try:
            engine.check(params, inputs)
        except Refusal:
            raise
        except Exception as error:
            log.exception("The check of %s broke", engine.key)
            field = next(iter(inputs), "")
            what = f"{field} cannot be read" if field else "These settings cannot be checked"
            raise Refusal(field, f"{what}: {type(error).__name__}. Choose another.") from error
