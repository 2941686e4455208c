"""The life of a run's row: created, queued, claimed, kept alive, finished, given up, deleted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlmodel import Session, col
from sqlmodel import select as select_models

from storage.artifacts import hashes_of_run, refer_to_uploads, remove_unreferenced
from storage.columns import storable
from storage.database import Database
from storage.errors import RunNotFound, StorageError
from storage.flush import STALE
from storage.ids import is_id
from storage.notices import tell
from storage.status import Status
from storage.tables import COMMAND, FILE, RUN, TAG, Run
from storage.values import CommandRow

_UNFINISHED = (Status.queued, Status.running)
_LARGEST_SEED = 2**63 - 1


def load_run(connection: Connection, run_id: str) -> Run:
    """The row of a run, detached from the database.

    Raises:
        RunNotFound: no run has this id.
    """
    with Session(connection) as session:
        run = session.exec(select_models(Run).where(col(Run.id) == run_id)).first()
    if run is None:
        raise RunNotFound(run_id)
    return run


def create_run(
    connection: Connection, database: Database, values: Mapping[str, Any], tags: Iterable[str]
) -> Run:
    """Insert a run with its tags and its references to uploads.

    Raises:
        ArtifactNotFound: the parameters name an upload that is not in the store.
        StorageError: the id is taken, or the seed does not fit 64 bits.
    """
    run_id, seed = values["id"], values["seed"]
    if not is_id(run_id):
        raise StorageError(f"A run id has 26 lower-case letters and digits; got {run_id!r}.")
    if not -_LARGEST_SEED <= seed <= _LARGEST_SEED:
        raise StorageError(f"seed must fit in 64 bits; got {seed}.")
    if connection.execute(select(RUN.c.id).where(RUN.c.id == run_id)).first():
        raise StorageError(f"There is already a run {run_id!r}.")
    connection.execute(insert(RUN).values(**values))
    insert_tags(connection, run_id, tags)
    refer_to_uploads(connection, database, run_id, values["params"])
    tell(connection, "queued", run_id)
    return load_run(connection, run_id)


def claim_run(connection: Connection, run_id: str, worker: str) -> bool:
    """Take a queued run: of all workers that try, one gets True."""
    now = time.time()
    changes = {"status": Status.running, "worker": worker, "started_at": now, "heartbeat_at": now}
    return _change(connection, run_id, changes, (Status.queued,))


def finish_run(connection: Connection, run_id: str, status: Status, error: str, error_kind: str) -> bool:
    """End a run. False where it has ended before (being given up as stale does not count: its worker lived).

    Raises:
        RunNotFound: no run has this id.
        StorageError: the status is not a final one.
    """
    if not status.is_over:
        raise StorageError(f"A run cannot finish as {status.value!r}.")
    changes = {"status": status, "error": error, "error_kind": error_kind, "finished_at": time.time()}
    tell(connection, "over", run_id)
    if _change(connection, run_id, changes, _UNFINISHED):
        return True
    statement = update(RUN).where(RUN.c.id == run_id, RUN.c.error_kind == STALE)
    if connection.execute(statement.values(**changes, version=RUN.c.version + 1)).rowcount:
        return True
    load_run(connection, run_id)
    return False


def heartbeat(connection: Connection, run_id: str) -> None:
    """Note that the run's worker is alive; a run that was given up as stale goes on."""
    now = time.time()
    beat = update(RUN).where(RUN.c.id == run_id, RUN.c.status == Status.running)
    if connection.execute(beat.values(heartbeat_at=now)).rowcount:
        return
    back = {"status": Status.running, "heartbeat_at": now, "finished_at": None, "error": "", "error_kind": ""}
    given_up = update(RUN).where(RUN.c.id == run_id, RUN.c.error_kind == STALE)
    connection.execute(given_up.values(**back, version=RUN.c.version + 1))


def mark_interrupted(connection: Connection, stale_after_s: float, reason: str) -> list[str]:
    """Give up all running runs without a sign of life for `stale_after_s` seconds. They end at their last one."""
    stale = update(RUN).where(
        RUN.c.status == Status.running, RUN.c.heartbeat_at < time.time() - stale_after_s
    )
    changes = {"status": Status.interrupted, "error": reason, "error_kind": STALE}
    statement = stale.values(**changes, finished_at=RUN.c.heartbeat_at, version=RUN.c.version + 1)
    given_up = sorted(connection.execute(statement.returning(RUN.c.id)).scalars())
    for run_id in given_up:
        tell(connection, "over", run_id)
    return given_up


def change_run(connection: Connection, run_id: str, changes: Mapping[str, Any]) -> None:
    """Set columns of a run.

    Raises:
        RunNotFound: no run has this id.
    """
    if not _change(connection, run_id, changes):
        raise RunNotFound(run_id)


def set_tags(connection: Connection, run_id: str, tags: Iterable[str]) -> None:
    """Give a run these tags and no others.

    Raises:
        RunNotFound: no run has this id.
    """
    change_run(connection, run_id, {})
    connection.execute(delete(TAG).where(TAG.c.run_id == run_id))
    insert_tags(connection, run_id, tags)


def delete_run(connection: Connection, database: Database, run_id: str) -> list[str]:
    """Delete a run and all that it recorded.

    Returns:
        The artifacts that nobody refers to any more.

    Raises:
        RunNotFound: no run has this id.
    """
    hashes = hashes_of_run(connection, run_id)
    if not connection.execute(delete(RUN).where(RUN.c.id == run_id)).rowcount:
        raise RunNotFound(run_id)
    return remove_unreferenced(connection, database, hashes)


def remove_files(connection: Connection, database: Database, run_id: str, prefix: str) -> list[str]:
    """Remove the result files of a run whose names begin with `prefix`.

    Returns:
        The artifacts that nobody refers to any more.

    Raises:
        RunNotFound: no run has this id.
    """
    change_run(connection, run_id, {})
    named = FILE.c.name.startswith(prefix, autoescape=True)
    statement = delete(FILE).where(FILE.c.run_id == run_id, named).returning(FILE.c.hash)
    return remove_unreferenced(connection, database, set(connection.execute(statement).scalars()))


def send_command(connection: Connection, run_id: str, kind: str, payload: Mapping[str, Any]) -> None:
    """Leave a command for the recorder of a run.

    Raises:
        RunNotFound: no run has this id.
    """
    load_run(connection, run_id)
    values = {"run_id": run_id, "kind": kind, "payload": dict(payload), "created_at": time.time()}
    connection.execute(insert(COMMAND).values(**values))
    tell(connection, "command", run_id)


def take_commands(connection: Connection, run_id: str) -> list[CommandRow]:
    """Take the waiting commands of a run out of its box, oldest first."""
    statement = delete(COMMAND).where(COMMAND.c.run_id == run_id)
    rows = connection.execute(statement.returning(COMMAND.c.id, COMMAND.c.kind, COMMAND.c.payload)).all()
    return [CommandRow(kind, payload) for _, kind, payload in sorted(rows, key=lambda row: row[0])]


def _change(
    connection: Connection, run_id: str, changes: Mapping[str, Any], only_from: tuple[Status, ...] = ()
) -> bool:
    statement = update(RUN).where(RUN.c.id == run_id)
    if only_from:
        statement = statement.where(RUN.c.status.in_(only_from))
    return bool(connection.execute(statement.values(**changes, version=RUN.c.version + 1)).rowcount)


def insert_tags(connection: Connection, run_id: str, tags: Iterable[str]) -> None:
    """Tag a run; white space within a tag becomes one blank."""
    rows = [
        {"run_id": run_id, "tag": tag}
        for tag in sorted({storable(" ".join(tag.split())) for tag in tags} - {""})
    ]
    if rows:
        connection.execute(insert(TAG), rows)
