"""The store: everything that the workbench remembers, behind one object.

store = Store.open("sqlite:///runs.db", "file:///artifacts")
run = store.create_run(engine="sven", params={"rank": 4}, seed=1)
with store.writer(run.id) as writer:
    writer.scalar("Sven", "loss", step=0, value=0.5, time_s=0.01)
store.record(run.id).points("Sven", "loss")
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from threading import Lock
from types import TracebackType
from typing import Any, Self

from sqlalchemy import bindparam, select

from storage import queries, runs, schema
from storage.artifacts import Artifacts
from storage.blobs import Blobs
from storage.database import Database
from storage.ids import new_id
from storage.notices import Notices
from storage.record import Record
from storage.status import Status
from storage.tables import COMMAND, REMEMBERED, Run
from storage.values import CommandRow, RunPage, RunQuery
from storage.writer import Writer

NO_LIFE_SIGN = "The worker stopped without a word: it was killed, or its machine went down."
_WAITING = select(COMMAND.c.id).where(COMMAND.c.run_id == bindparam("run_id")).limit(1)


class Store:
    """Runs in a database, their files in a folder. Safe to share between threads; each process opens its own.

    Every method raises a `StorageError` of one clear sentence where it cannot do its work; a database that is
    locked by others is waited for.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self.database = database
        self.artifacts = Artifacts(database, blobs)
        self._notices: Notices | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, database_url: str, artifacts_url: str, *, wal: bool = True) -> Self:
        """Open a store; a new database is created, an old one is migrated.

        Args:
            database_url: `sqlite:///path` or `postgresql+psycopg://user@host/name`.
            artifacts_url: an fsspec URL (`file:///path`, `memory://name`, `s3://bucket/prefix`) or a path.
            wal: SQLite's write-ahead log; must be off where the file lies on a network mount.

        Raises:
            DatabaseTooNew: a newer version of the workbench made the database.
            StorageError: it cannot be opened.
        """
        database = Database(database_url, wal=wal)
        try:
            schema.prepare(database)
            return cls(database, Blobs(artifacts_url))
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close all connections and remove local copies of remote files."""
        if self._notices is not None:
            self._notices.close()
        self.artifacts.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def news(self) -> Notices | None:
        """What other processes change, as it happens: one connection that listens, made at the first call. None where
        the database has no such thing (SQLite); then a reader can only ask again."""
        if self.database.is_sqlite:
            return None
        with self._lock:
            if self._notices is None:
                self._notices = Notices(self.database)
                self._notices.start()
            return self._notices

    # Runs

    def create_run(
        self,
        *,
        engine: str,
        params: Mapping[str, Any],
        seed: int,
        preset: str = "",
        owner: str = "local",
        parent_id: str | None = None,
        tags: Iterable[str] = (),
        note: str = "",
        environment: Mapping[str, Any] | None = None,
        engine_version: str = "",
        headline: tuple[str, str] = ("", ""),
        id: str | None = None,
    ) -> Run:
        """Queue a run. Uploads that `params` name as `sha256:<hash>/<name>` are kept as long as the run is.

        Args:
            headline: series and name of the curve whose last value stands for the run in lists.
            id: only where the id must be known beforehand; otherwise a new ULID.

        Raises:
            ArtifactNotFound: an upload named in `params` is not in the store.
            StorageError: the id is taken, the seed does not fit 64 bits, or `params` are not JSON.
        """
        values = {
            "id": id or new_id(),
            "engine": engine,
            "engine_version": engine_version,
            "status": Status.queued,
            "params": dict(params),
            "seed": int(seed),
            "preset": preset,
            "created_at": time.time(),
            "environment": dict(environment or {}),
            "owner": owner,
            "parent_id": parent_id,
            "note": note,
            "error": "",
            "error_kind": "",
            "worker": "",
            "headline_series": headline[0],
            "headline_name": headline[1],
            "progress_done": 0.0,
            "progress_total": 0.0,
            "progress_note": "",
            "version": 1,
        }
        wanted = tuple(tags)
        return self.database.write(
            lambda connection: runs.create_run(connection, self.database, values, wanted)
        )

    def run(self, run_id: str) -> Run:
        """One run's row.

        Raises:
            RunNotFound: no run has this id.
        """
        return self.database.read(lambda connection: runs.load_run(connection, run_id))

    def runs(self, query: RunQuery | None = None) -> RunPage:
        """One page of the runs that fit a query (default: the newest 50)."""
        return self.database.read(lambda connection: queries.find_runs(connection, query or RunQuery()))

    def ended_before(self, moment: float, *, not_of: str, limit: int = 500) -> list[str]:
        """The ids of runs that ended before a moment (Unix seconds) and belong to anybody but this owner, oldest first."""
        return self.database.read(
            lambda connection: queries.ended_before(connection, moment, not_of=not_of, limit=limit)
        )

    def size(self) -> int:
        """Bytes that the records take: what is in use of the database, and the files."""
        return self.database.size() + self.artifacts.size()

    def tags(self) -> list[str]:
        """Every tag in use, in alphabetical order."""
        return self.database.read(queries.all_tags)

    def last_values(self, parent_id: str) -> list[tuple[str, str, str, float]]:
        """(run, series, name, last value) of every curve of the runs that name this parent and belong to its owner, in
        one query."""
        return self.database.read(lambda connection: queries.last_values(connection, parent_id))

    def params(self, query: RunQuery) -> list[tuple[str, dict[str, Any]]]:
        """The ids and parameters of all runs that fit, by age; offset, limit and another order do not count."""
        return self.database.read(lambda connection: queries.find_params(connection, query))

    def child_statuses(self, parent_ids: list[str]) -> dict[str, dict[Status, int]]:
        """How many runs of each status name these parents and belong to the parent's owner; parents without any are
        missing."""
        return self.database.read(lambda connection: queries.child_statuses(connection, parent_ids))

    def record(self, run_id: str) -> Record:
        """A reader of one run.

        Raises:
            RunNotFound: no run has this id.
        """
        return Record(self, run_id)

    def writer(self, run_id: str) -> Writer:
        """The pen of one run; there must be only one at a time.

        Raises:
            RunNotFound: no run has this id.
        """
        return Writer(self.database, self.artifacts, run_id)

    def remember(self, topic: str, items: Iterable[str]) -> None:
        """Write down that these were done; one that was before stays."""
        rows = [{"topic": topic, "item": item} for item in sorted(set(items))]
        if rows:
            statement = self.database.insert_new(REMEMBERED)
            self.database.write(lambda connection: connection.execute(statement, rows))

    def remembered(self, topic: str) -> set[str]:
        """All that was written down of a topic."""
        query = select(REMEMBERED.c.item).where(REMEMBERED.c.topic == topic)
        return self.database.read(lambda connection: set(connection.execute(query).scalars()))

    # The queue, and the life of a run

    def queued(self) -> list[str]:
        """The ids of queued runs, oldest first."""
        return self.database.read(queries.queued)

    def queue_position(self, run_id: str) -> int | None:
        """How many queued runs are before this one (0: it is next); None where it is not queued."""
        waiting = self.queued()
        return waiting.index(run_id) if run_id in waiting else None

    def claim_run(self, run_id: str, worker: str) -> bool:
        """Take a queued run and set it running: of all workers that try, exactly one gets True."""
        return self.database.write(lambda connection: runs.claim_run(connection, run_id, worker))

    def heartbeat(self, run_id: str) -> None:
        """Note that the run's worker is alive. A run that was given up as stale goes on."""
        self.database.write(lambda connection: runs.heartbeat(connection, run_id))

    def finish_run(self, run_id: str, status: Status | str, error: str = "", error_kind: str = "") -> bool:
        """End a run. Returns False, and changes nothing, where it has ended before.

        Raises:
            RunNotFound: no run has this id.
            StorageError: the status is not a final one.
        """
        final = Status.named(status)
        return self.database.write(
            lambda connection: runs.finish_run(connection, run_id, final, error, error_kind)
        )

    def mark_interrupted(self, stale_after_s: float, reason: str = NO_LIFE_SIGN) -> list[str]:
        """Mark running runs without a sign of life for `stale_after_s` seconds; returns their ids."""
        return self.database.write(
            lambda connection: runs.mark_interrupted(connection, stale_after_s, reason)
        )

    def update_environment(self, run_id: str, environment: Mapping[str, Any]) -> None:
        """Add to what is known of where a run ran; keys given again are replaced.

        Raises:
            RunNotFound: no run has this id.
        """

        def update(connection: Any) -> None:
            known = runs.load_run(connection, run_id).environment
            runs.change_run(connection, run_id, {"environment": {**known, **environment}})

        self.database.write(update)

    def send_command(self, run_id: str, kind: str, payload: Mapping[str, Any] | None = None) -> None:
        """Leave a command for the recorder of a run.

        Raises:
            RunNotFound: no run has this id.
        """
        self.database.write(lambda connection: runs.send_command(connection, run_id, kind, payload or {}))

    def take_commands(self, run_id: str) -> list[CommandRow]:
        """Take the waiting commands of a run, oldest first. Cheap when there are none: no lock is taken."""
        wanted = {"run_id": run_id}
        if self.database.read(lambda connection: connection.execute(_WAITING, wanted).first()) is None:
            return []
        return self.database.write(lambda connection: runs.take_commands(connection, run_id))

    # What a reader adds, and takes away

    def set_note(self, run_id: str, note: str) -> None:
        """Write a note to a run.

        Raises:
            RunNotFound: no run has this id.
        """
        self.database.write(lambda connection: runs.change_run(connection, run_id, {"note": note}))

    def set_tags(self, run_id: str, tags: Iterable[str]) -> None:
        """Give a run these tags and no others.

        Raises:
            RunNotFound: no run has this id.
        """
        wanted = tuple(tags)
        self.database.write(lambda connection: runs.set_tags(connection, run_id, wanted))

    def remove_files(self, run_id: str, prefix: str) -> None:
        """Delete the result files of a run whose names begin with `prefix`; all else of it stays.

        Raises:
            RunNotFound: no run has this id.
        """
        unneeded = self.database.write(
            lambda connection: runs.remove_files(connection, self.database, run_id, prefix)
        )
        self.artifacts.discard(unneeded)

    def delete_run(self, run_id: str) -> None:
        """Delete a run, all that it recorded, and the files that no other run refers to.

        Raises:
            RunNotFound: no run has this id.
        """
        unneeded = self.database.write(lambda connection: runs.delete_run(connection, self.database, run_id))
        self.artifacts.discard(unneeded)
