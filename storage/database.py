"""The one door to the database: connections set up in one place, transactions that wait their turn, errors
that a person can read.

Every piece of work is a function of a connection. `read` runs it in a snapshot; `write` runs it in a transaction
that takes SQLite's write lock at once (BEGIN IMMEDIATE), so that no writer finds out half-way that it has lost.
When others hold the lock for too long, or a server that has answered before breaks the connection (it is being
restarted), the whole piece of work is done again, hence it must not have effects outside the database that cannot
be repeated.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import DatabaseBusy, DiskFull, StorageError

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0  # SQLite's own waiting for a lock, within one attempt
PATIENCE_S = 60.0  # all attempts of one piece of work together
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.25
LARGEST_LOG_BYTES = 64 << 20  # what a large import leaves of the write-ahead log
NO_ROOM_BYTES = 1 << 20  # below this a failing write is blamed on the full disk
ARTIFACT_LOCK, SCHEMA_LOCK = (
    0x7057_0001,
    0x7057_0002,
)  # PostgreSQL's advisory locks: see Database.lock_artifacts

_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_BUSY_STATES = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available
# Connections to a file cost next to nothing, so no thread waits for one; a server has a limit to respect.
_SQLITE_POOL: dict[str, Any] = {"pool_size": 8, "max_overflow": -1}
_SERVER_POOL: dict[str, Any] = {"pool_size": 8, "max_overflow": 24, "pool_pre_ping": True}
_FULL_STATE, _TOO_LARGE_STATE = "53100", "22003"
_TOO_LARGE = "A number does not fit into 64 bits and cannot be recorded."
_UNKNOWN = (
    "The connection to the database broke while a change was being written: whether it was kept is not known."
)
_SENTENCES = {
    sqlite3.SQLITE_NOTADB: "is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a copy, or export what can still be read",
    sqlite3.SQLITE_READONLY: "cannot be written: check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and is permitted",
}


class Database:
    """A pool of connections to one database, safe to share between threads."""

    def __init__(self, url: str, *, wal: bool = True, patience_s: float = PATIENCE_S) -> None:
        """Set the pool up; nothing is opened yet.

        Args:
            url: `sqlite:///path` or `postgresql+psycopg://...`.
            wal: write-ahead log; switch it off on network mounts, which lack the shared memory that it needs.
            patience_s: how long one piece of work may wait for its turn, in seconds.

        Raises:
            StorageError: the URL is not understood, or names a SQLite database in memory.
        """
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise StorageError(f"{url!r} is not a database URL such as sqlite:///runs.db.") from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database in (None, "", ":memory:"):
            raise StorageError("A SQLite database must be a file, since many connections share it.")
        self.wal = wal
        self._has_answered = False
        self._patience_s = patience_s
        try:
            self._reader = create_engine(self.url, **(_SQLITE_POOL if self.is_sqlite else _SERVER_POOL))
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise StorageError(
                f"The driver of {self.url.drivername} databases is not installed. For PostgreSQL install the extra [postgres] "
                "and write postgresql+psycopg:// in the address."
            ) from error
        if self.is_sqlite:
            event.listen(self._reader, "connect", _set_up_sqlite)
            event.listen(self._reader, "begin", _begin_sqlite)
        self._writer = self._reader.execution_options(begin="IMMEDIATE")
        self._snapshot = threading.local()

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(str(self.url.database)) if self.is_sqlite else None

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, for tools that need one."""
        return self._reader

    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, computed on one snapshot (SQLite) of the database.

        Raises:
            StorageError: whatever went wrong, in one sentence.
        """
        held: Connection | None = getattr(self._snapshot, "connection", None)
        return self._patiently(self._reader, work) if held is None else self._at_once(held, work)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Whatever this thread reads inside comes from one state of the database, and pays for one transaction instead of one
        a question. Nothing may be written inside. PostgreSQL goes on as outside: there every read may be repeated when the
        server was restarted, which a transaction over several could not.

        Raises:
            StorageError: the database cannot be opened; and from the reads inside, as they do.
        """
        if not self.is_sqlite or getattr(self._snapshot, "connection", None) is not None:
            yield
            return
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._reader.connect())
                stack.enter_context(connection.begin())
            except StatementError as error:
                raise self._translated(error) from error
            self._snapshot.connection = connection
            try:
                yield
            finally:
                self._snapshot.connection = None

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, its changes committed together or not at all.

        Raises:
            DatabaseBusy: others held the lock through all our patience.
            DiskFull: no room is left; nothing of this work is kept.
            StorageError: anything else that the database refused.
        """
        return self._patiently(self._writer, work)

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT of this database's kind, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def insert_new(self, table: Table) -> Insert:
        """An INSERT that passes over rows which are there already."""
        return _insert_new(sqlite.insert if self.is_sqlite else postgresql.insert, table)

    def upsert(self, table: Table, keys: tuple[str, ...], replaced: tuple[str, ...]) -> Insert:
        """An INSERT that sets the `replaced` columns where a row with these keys is there already."""
        return _upsert(sqlite.insert if self.is_sqlite else postgresql.insert, table, keys, replaced)

    def size(self) -> int:
        """Bytes in use; room that deleted rows have left in SQLite's file is used again, and not counted."""
        if not self.is_sqlite:
            size = "SELECT pg_database_size(current_database())"
            return self.read(lambda connection: int(connection.exec_driver_sql(size).scalar() or 0))

        def pages(connection: Connection) -> int:
            whole, free, bytes_each = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
            return (whole - free) * bytes_each

        return self.read(pages)

    def lock_artifacts(self, connection: Connection) -> None:
        """From here to the end of the transaction, nobody else adds or removes artifacts.

        SQLite's write lock says so already; PostgreSQL needs to be asked."""
        if not self.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ARTIFACT_LOCK})")

    def lock_schema(self, connection: Connection) -> None:
        """From here to the end of the transaction, nobody else makes or migrates tables (as `lock_artifacts`)."""
        if not self.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")

    @contextmanager
    def without_foreign_keys(self) -> Iterator[Database]:
        """Another door to this database through which SQLite does not watch references: a migration copies tables,
        and removing the old one must not take along what refers to it."""
        other = Database(
            self.url.render_as_string(hide_password=False), wal=self.wal, patience_s=self._patience_s
        )
        if self.is_sqlite:
            event.listen(other.engine, "connect", _unwatch_references)
        try:
            yield other
        finally:
            other.close()

    def connect_driver(self) -> Any:
        """A psycopg connection of its own, outside of the pool and of transactions: for `storage.notices`."""
        import psycopg

        place = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(place, autocommit=True)

    def close(self) -> None:
        """Close all connections of the pool."""
        self._reader.dispose()

    def _patiently(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            is_connected = is_committing = False
            try:
                with engine.connect() as connection:
                    is_connected = self._has_answered = True
                    with connection.begin():
                        result = work(connection)
                        is_committing = True
                    return result
            except PoolTimeout as error:
                raise DatabaseBusy("All connections to the database are in use; try again.") from error
            except OverflowError as error:
                raise StorageError(_TOO_LARGE) from error
            except StatementError as error:
                if isinstance(error.orig, StorageError):  # a column type refused a value
                    raise error.orig from error
                is_lost = not self.is_sqlite and _is_lost(error, is_connected)
                if is_lost and is_committing:
                    raise StorageError(_UNKNOWN) from error
                if not _is_busy(error) and not (is_lost and self._has_answered):
                    raise self._translated(error) from error
                if time.monotonic() > deadline and is_lost:
                    raise self._translated(error) from error
                if time.monotonic() > deadline:
                    raise DatabaseBusy(
                        f"Other processes kept the database busy for {self._patience_s:.0f} s; try again."
                    ) from error
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # unequal pauses: two losers must not meet again
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _at_once(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction that is under way: what fails is not repeated."""
        try:
            return work(connection)
        except OverflowError as error:
            raise StorageError(_TOO_LARGE) from error
        except StatementError as error:
            raise self._translated(error) from error

    def _translated(self, error: StatementError) -> StorageError:
        original: Any = error.orig
        code, state = getattr(original, "sqlite_errorcode", 0), getattr(original, "sqlstate", None)
        if state == _TOO_LARGE_STATE:
            return StorageError(_TOO_LARGE)
        is_full = code == sqlite3.SQLITE_FULL or state == _FULL_STATE
        if is_full or (code & 0xFF == sqlite3.SQLITE_IOERR and self._has_no_room()):
            return DiskFull(
                "The disk of the database is full: free some room; what was recorded before is intact."
            )
        name = self.path.name if self.path else self.url.database
        if sentence := _SENTENCES.get(code & 0xFF):
            return StorageError(f"The database {name} {sentence}.")
        return StorageError(f"The database {name} answered: {str(original).splitlines()[0]}.")

    def _has_no_room(self) -> bool:
        folder = self.path.parent if self.path else None
        return folder is not None and folder.exists() and shutil.disk_usage(folder).free < NO_ROOM_BYTES


@cache  # building a statement takes longer than executing it
def _upsert(
    insert: Callable[[Table], Any], table: Table, keys: tuple[str, ...], replaced: tuple[str, ...]
) -> Insert:
    statement = insert(table)
    fresh = {name: statement.excluded[name] for name in replaced}
    made: Insert = statement.on_conflict_do_update(index_elements=keys, set_=fresh)
    return made


@cache  # as above
def _insert_new(insert: Callable[[Table], Any], table: Table) -> Insert:
    made: Insert = insert(table).on_conflict_do_nothing()
    return made


def _is_busy(error: StatementError) -> bool:
    original: Any = error.orig
    return (
        getattr(original, "sqlite_errorcode", 0) & 0xFF in _BUSY_CODES
        or getattr(original, "sqlstate", None) in _BUSY_STATES
    )


def _is_lost(error: StatementError, is_connected: bool) -> bool:
    """Whether the server went away: in the middle of something, or when it was to be reached."""
    if is_connected:
        return isinstance(error, DBAPIError) and error.connection_invalidated
    return isinstance(error, OperationalError)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    """What each SQLite connection needs. (The journal mode is the file's own: `schema.prepare` sets it.)"""
    connection.isolation_level = None  # the driver must not begin transactions on its own: _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_TIMEOUT_S)}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG_BYTES}")
    cursor.close()


def _unwatch_references(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = OFF").close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")
