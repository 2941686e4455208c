"""Bring a database to the schema of this version: made at once when new, migrated when old, refused when newer.

Alembic is imported only where something must be migrated, so that opening an up-to-date database stays fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, inspect, text
from sqlalchemy.types import TypeDecorator

from storage.database import Database
from storage.errors import DatabaseTooNew, StorageError
from storage.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0002"  # the last file in migrations/versions
SCRIPTS = Path(__file__).parent / "migrations"


def prepare(database: Database) -> None:
    """Make sure that `database` has the tables of this version.

    Raises:
        DatabaseTooNew: its revision is not one of ours.
        StorageError: it cannot be opened, or holds tables of something else.
    """
    if database.path is not None:
        _prepare_file(database)
    revision = database.read(revision_of)
    if revision is None:
        revision = database.write(lambda connection: _created(connection, database))
    if revision != NEWEST:
        migrate(database, revision)


def revision_of(connection: Connection) -> str | None:
    """The schema revision of a database, None where it has no tables yet.

    Raises:
        StorageError: it holds some of our tables' names but no revision: something else lives there.
    """
    existing = set(inspect(connection).get_table_names())
    if "alembic_version" in existing:
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        if row is not None:
            return str(row[0])
    if taken := sorted(existing & set(metadata.tables)):
        raise StorageError(
            f"This database belongs to another program: it has a table {taken[0]!r} of its own."
        )
    return None


def _prepare_file(database: Database) -> None:
    """The folder of a SQLite file, and its journal mode. The mode belongs to the file and outlives us, so it is
    only asked for when it differs: changing it needs the file for oneself."""
    assert database.path is not None
    try:
        database.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder of the database cannot be made: {error.strerror}.") from error
    wanted = "wal" if database.wal else "delete"

    def set_mode(connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT")  # no journal mode changes inside a transaction
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != wanted:
            connection.exec_driver_sql(f"PRAGMA journal_mode = {wanted}")
        connection.exec_driver_sql("BEGIN")

    database.read(set_mode)


def _created(connection: Connection, database: Database) -> str:
    """Create all tables at the newest revision, unless another process was faster."""
    database.lock_schema(connection)
    revision = revision_of(connection)
    if revision is not None:
        return revision
    metadata.create_all(connection)
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(
        text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": NEWEST}
    )
    return NEWEST


def migrate(database: Database, revision: str, *, scripts: Path = SCRIPTS, target: str = NEWEST) -> None:
    """Bring a database from `revision` to `target`, entirely or not at all.

    Raises:
        DatabaseTooNew: `scripts` do not know the revision.
        StorageError: references between tables do not hold afterwards.
    """
    from alembic import command

    config = alembic_config(scripts)
    if not _is_known(config, revision):
        raise DatabaseTooNew(
            f"The database is at revision {revision!r}, which this version of the workbench does not know (its own is "
            f"{target!r}): install a newer version, or choose another database."
        )

    def upgrade(connection: Connection) -> None:
        database.lock_schema(connection)
        if revision_of(connection) == target:  # another process was faster
            return
        config.attributes["connection"] = connection
        command.upgrade(config, target)
        if database.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise StorageError(f"The migration to {target!r} would break references of table {broken[0]!r}.")

    with database.without_foreign_keys() as unchecked:
        unchecked.write(upgrade)


def alembic_config(scripts: Path = SCRIPTS) -> Config:
    """Alembic's configuration: no file, only where the scripts are."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def plain_types(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """How Alembic writes our column types into a new revision: as the plain types underneath, because a revision
    must go on meaning the same when the code has changed."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def _is_known(config: Config, revision: str) -> bool:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        return ScriptDirectory.from_config(config).get_revision(revision) is not None
    except CommandError:
        return False
