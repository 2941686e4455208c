"""Sweeps under the limits of a house: on a demo a sweep is no larger than what its guest may have under way."""

from __future__ import annotations

from pathlib import Path

from workbench import sweeps
from workbench.access import Access
from workbench.errors import UsageError
from workbench.sweeps import Plan, Sweep


def no_files(path: Path) -> str:
    """What an axis of a page answers to `@path`: the page uploads, it reads no folder of the server."""
    raise UsageError(
        "An axis on the page takes no @files; upload the file in the form, or sweep it from the command line."
    )


def create(access: Access, viewer: str, plan: Plan) -> Sweep:
    """Check, record and start a sweep of the viewer's. Raises as `sweeps.create`, and where there is no room.

    Room and limits come first: an engine is not let near what a guest may not run, nor near more of it than fits."""
    if access.workbench.settings.works_in_requests:
        raise UsageError("This host lends its GPU to one run at a time; sweep on a machine of your own.")
    is_guest = access.is_guest(viewer)
    access.require_room(viewer, plan.size)
    for point in plan.points() if is_guest else ():
        access.validate(viewer, plan.engine, {**plan.values, **point}, plan.preset)
    with access.looking(viewer, at_files=True):
        checked = sweeps.check(access.workbench, plan, files_once=is_guest)
    with access.room_for(viewer, checked.size):
        made = sweeps.enter(access.workbench, checked, owner=viewer)
    sweeps.start(access.workbench, made)
    return made


def cancel(access: Access, viewer: str, sweep_id: str) -> None:
    """Stop a sweep's cells."""
    access.require_change(viewer, access.workbench.run(sweep_id), "stop")
    sweeps.cancel(access.workbench, sweep_id)


def delete(access: Access, viewer: str, sweep_id: str) -> list[str]:
    """Delete a sweep with every run that it made; answers the ids that are gone."""
    for run in (access.workbench.run(sweep_id), *sweeps.everything(access.workbench, sweep_id)):
        access.require_change(viewer, run, "delete")
    return sweeps.delete(access.workbench, sweep_id)


def repeat(access: Access, viewer: str, sweep_id: str) -> int:
    """Run the cells without a result again; answers how many there are."""
    found = sweeps.read(access.workbench, sweep_id)
    access.require_change(viewer, found.run, "start")
    missing = sum(cell.status in ("failed", "cancelled", "interrupted", "missing") for cell in found.cells)
    if not missing:
        return 0
    with access.room_for(viewer, missing):
        sweeps.repeat(access.workbench, sweep_id)
    sweeps.start(access.workbench, sweeps.read(access.workbench, sweep_id))
    return missing
