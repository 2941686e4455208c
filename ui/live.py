"""What a page is sent of a run: everything newer than the version it has, and nothing else.

Reads the record, never the engine: a run of another machine, an imported one and one that is under way
right here give the same patches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from engines.contract import Engine, upload_fields
from storage import Changes, FileInfo, Record, Run, RunQuery, Status, StorageError
from ui import address, inquiry, live_parts, live_pictures, live_stage, live_status
from ui.views import FigureSpec, View
from workbench.access import NOBODY
from workbench.errors import InvalidParams
from workbench.recorder import TRACEBACK
from workbench.runs import Workbench

logger = logging.getLogger(__name__)


def patch(
    workbench: Workbench, engine: Engine, view: View, run_id: str, since: int, *, guest: str | None = None
) -> dict[str, Any]:
    """The message for the engine's stage. `since` is the version that the page has, 0 for none. `guest` is
    the guest of a demo who looks: none is shown a traceback, or what else the run's owner has.

    Raises UnknownRun."""
    with workbench.store.database.snapshot():
        return _patch(workbench, engine, view, run_id, since, guest)


def _patch(
    workbench: Workbench, engine: Engine, view: View, run_id: str, since: int, guest: str | None
) -> dict[str, Any]:
    # The run's row is read before its changes: should it end in between (PostgreSQL), the end is told by the next
    # patch, after which nothing is asked any more.
    record = workbench.record(run_id)
    changes = record.changes(since)
    is_over = Status(record.run.status).is_over
    html, tone = live_status.ending(record.run)
    message: dict[str, Any] = {
        "kind": "live",
        "engine": engine.key,
        "run": run_id,
        "since": since,
        "version": changes.version,
        "over": is_over,
        "status": _status(workbench, engine, record, guest),
        "notice": html,
        "tone": tone,
    }
    if since == 0 or changes:
        message.update(_parts(record, view, changes, every=since == 0, guest=guest))
        if since == 0 or changes.files:
            found = record.files()
            message["files"] = live_parts.files(found, file_uses(workbench, engine, record.run, found))
            message["inquiry"] = inquiry.panel(engine.inquiry, found)
    if since == 0 or changes.claims or is_over:
        message["claims"] = live_parts.claims(engine.claims, record.claims(), is_over=is_over)
    return message


def _status(workbench: Workbench, engine: Engine, record: Record, guest: str | None) -> dict[str, Any]:
    run = record.run
    state = Status(run.status)
    position = workbench.store.queue_position(run.id) if state is Status.queued else None
    other = compared_run(workbench, record, guest) if state.is_over else ""
    return live_status.status_line(run, position=position, other=other, asks=engine.actions)


def compared_run(workbench: Workbench, record: Record, guest: str | None = None) -> str:
    """The newest other finished run of the same engine and owner (for a guest: of the guest's own), empty where
    there is none."""
    run, owner = record.run, record.run.owner
    if guest is not None:
        owner = "" if guest == NOBODY else guest
    query = RunQuery(engines=(run.engine,), statuses=(Status.finished,), owner=owner, limit=2)
    return next((row.run.id for row in workbench.runs(query).rows if row.run.id != run.id), "")


def _parts(record: Record, view: View, changes: Changes, *, every: bool, guest: str | None) -> dict[str, Any]:
    specs = view.specs(record.run.params, record)
    parts: dict[str, Any] = {"figures": _figures(specs, record, changes, every)}
    if every or (view.found is not None and (changes.series or changes.arrays)):
        parts["frames"] = [{"key": spec.key, "html": live_stage.frame(spec)} for spec in specs]
    if every or changes.pictures:
        changed = None if every else changes.pictures
        parts["pictures"] = live_pictures.groups(record.pictures(), view.pictures, changed=changed)
    if every or changes.tables:
        found = record.tables()
        if view.lead:
            first = {name: table for name, table in found.items() if name == view.lead}
            parts["lead"] = live_parts.tables(first, (), view.compared)
        rest = {name: table for name, table in found.items() if name != view.lead}
        parts["tables"] = live_parts.tables(rest, view.table_names(rest), view.compared)
    if every or changes.texts:
        parts["texts"] = live_parts.texts(_texts(record, guest))
    if every or changes.alerts:
        parts["alerts"] = live_parts.alerts(record.alerts())
    return parts


def file_uses(
    workbench: Workbench, engine: Engine, run: Run, files: Sequence[FileInfo]
) -> dict[str, list[tuple[str, str]]]:
    """Forms that a result file can fill: those of the family's engines with an upload field of the file's name that
    takes it. The same engine goes on with the run's settings; another takes those that it has too. Both get what the field
    says its use needs (`knob(use=...)`). What the engine would refuse is not offered."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in files:
        for other in workbench.catalog.engines.values():
            if other.paper.family != engine.paper.family or file.name not in upload_fields(other.params):
                continue
            extra = other.params.model_fields[file.name].json_schema_extra
            use: Any = extra.get("use") if isinstance(extra, dict) else None
            words, needed = (use["words"], use["values"]) if use else ("", {})
            is_same = other.key == engine.key
            shared = {
                name: value
                for name, value in run.params.items()
                if name in other.params.model_fields and (is_same or _is_shared(name, engine, other))
            }
            filled = {**shared, **needed, file.name: f"sha256:{file.hash}/{file.filename}"}
            if not _is_taken(workbench, other, file, filled):
                continue
            words = (words or "Continue from it") if is_same else f"Send to {other.paper.short}"
            values = address.pack({"params": filled, "seed": run.seed})
            found.setdefault(file.name, []).append((words, address.query(engine=other.key, values=values)))
    return found


def _is_taken(workbench: Workbench, engine: Engine, file: FileInfo, values: Mapping[str, Any]) -> bool:
    """Whether the engine would take these settings with that file. Where artifacts are on another machine its bytes are
    left there, and looked at when the run is created."""
    extra = engine.params.model_fields[file.name].json_schema_extra
    accept = extra.get("accept") if isinstance(extra, dict) else None
    if isinstance(accept, list) and accept and not file.filename.endswith(tuple(map(str, accept))):
        return False
    look = workbench.check if workbench.store.artifacts.blobs.is_local else workbench.validate
    try:
        look(engine.key, values)
    except InvalidParams as refusal:
        logger.info("%s is not offered to %s: %s", file.filename, engine.key, refusal)
        return False
    return True


def _is_shared(name: str, engine: Engine, other: Engine) -> bool:
    """Whether a parameter means the same in both: the same name and the same title."""
    mine, theirs = engine.params.model_fields.get(name), other.params.model_fields.get(name)
    return (
        mine is not None
        and theirs is not None
        and mine.title == theirs.title
        and mine.annotation == theirs.annotation
    )


def _texts(record: Record, guest: str | None) -> dict[str, str]:
    shown = record.texts()
    return shown if guest is None else {name: text for name, text in shown.items() if name != TRACEBACK}


def _figures(specs: Sequence[FigureSpec], record: Record, changes: Changes, every: bool) -> Mapping[str, Any]:
    found = {}
    for spec in specs:
        if not every and not spec.wants(changes):
            continue
        try:
            figure = spec.build(record)
        except StorageError as error:
            # The record moved on between its list and its numbers (an array was replaced, the run deleted): that is
            # a change of its own, and the patch that tells of it draws the figure anew.
            logger.info("Figure %s of run %s waits for the next patch: %s", spec.key, record.run_id, error)
            continue
        except Exception:
            # One figure that cannot be drawn (a plug-in's, say) must not take the page of the run with it.
            logger.exception("Figure %s of run %s could not be built", spec.key, record.run_id)
            continue
        if figure["data"]:
            found[spec.key] = figure
    return found
