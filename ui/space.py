"""The page as a Space: where its records lie, the showcase, snapshots, then the page for guests."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from storage import RunQuery, StorageError, import_bundle, runs_in_bundle
from workbench.access import OWNER, PUBLISHED
from workbench.demo_limits import DemoLimits
from workbench.errors import BadSetting, StorageTrouble, storage_seam
from workbench.runs import Workbench
from workbench.settings import Settings
from workbench.snapshots import Schedule, Snapshots

PERSISTENT = Path("/data")
"""Where a Space has its persistent storage, if it has any."""
SNAPSHOTS_S = 600.0
SHOWCASE = "showcase"
"""Under this topic the store remembers which runs came with the Space."""
log = logging.getLogger("workbench")


def serve(app_file: str) -> None:
    """Serve the Space whose app.py this is. Returns when it is asked to end."""
    from ui.app import serve as serve_page

    settings, limits = space_settings(os.environ), DemoLimits.from_environment()
    settings = dataclasses.replace(settings, run_limit_s=settings.run_limit_s or float(limits.run_seconds))
    snapshots = restored(settings, os.environ)
    with Workbench.open(settings) as workbench:
        schedule = Schedule(snapshots, workbench.store, _seconds(os.environ)) if snapshots else None
        bring_showcase(workbench, Path(app_file).parent / "showcase")
        workbench.look_around()
        if schedule:
            schedule.start()
        try:
            host, port = place(os.environ)
            serve_page(workbench, host=host, port=port, limits=limits)
        finally:
            if schedule:
                schedule.close()


def place(environment: Mapping[str, str]) -> tuple[str, int]:
    """Where the page listens: on a Space at every address, where somebody tries the folder out at their own alone."""
    host = "0.0.0.0" if environment.get("SPACE_ID") else "127.0.0.1"
    return environment.get("GRADIO_SERVER_NAME") or host, int(environment.get("GRADIO_SERVER_PORT") or 7860)


def space_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of the environment; the home is on the Space's persistent storage where it has one."""
    given = dict(environment)
    if "WORKBENCH_HOME" not in given and os.access(PERSISTENT, os.W_OK):
        given["WORKBENCH_HOME"] = str(PERSISTENT / "paper-workbench")
    return Settings.from_environment(given)


def restored(settings: Settings, environment: Mapping[str, str]) -> Snapshots | None:
    """The place of snapshots, if one is set; what it holds is brought into an empty home first. A place that does not
    answer, or holds something damaged, stops the start: going on would write an empty record over a full one."""
    url = environment.get("WORKBENCH_SNAPSHOTS_URL")
    if not url:
        return None
    snapshots = Snapshots(url)
    if snapshots.restore(settings):
        log.info("The records were restored from their snapshot")
    return snapshots


def bring_showcase(workbench: Workbench, folder: Path) -> list[str]:
    """Bring the runs in that came with the Space, published; answers those that are new. What was brought once is the
    owner's to decide on: one that was unpublished stays so, one that was deleted stays away. A bundle that cannot be
    read is left out, and said so."""
    brought: list[str] = []
    for bundle in sorted(folder.glob("*.zip")):
        try:
            with storage_seam():
                brought += _bring_new(workbench, bundle)
        except (StorageError, StorageTrouble) as error:
            log.warning("The showcase %s was left out: %s", bundle.name, error)
    return brought


def _bring_new(workbench: Workbench, bundle: Path) -> list[str]:
    store = workbench.store
    ids = runs_in_bundle(bundle)
    here = {row.run.id for row in workbench.runs(RunQuery(ids=ids, limit=len(ids))).rows}
    known = store.remembered(SHOWCASE) | here
    fresh = [run_id for run_id in ids if run_id not in known]
    if fresh:
        import_bundle(store, bundle, OWNER)
        for run_id in ids:
            if run_id in fresh:
                store.set_tags(run_id, {*workbench.run(run_id).tags, PUBLISHED})
            elif run_id not in here:
                store.delete_run(run_id)  # as its owner has before
    store.remember(SHOWCASE, ids)
    return fresh


def _seconds(environment: Mapping[str, str]) -> float:
    text = environment.get("WORKBENCH_SNAPSHOTS_S") or str(SNAPSHOTS_S)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86400:
        raise BadSetting(f"WORKBENCH_SNAPSHOTS_S must be a number from 1 to 86400; got {text[:40]!r}.")
    return value
