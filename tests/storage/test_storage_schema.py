"""A new database is complete at once, an old one is migrated, a newer or foreign one is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, Text, inspect, text

from storage import DatabaseTooNew, StorageError, schema
from storage.database import Database
from storage.tables import metadata


@pytest.fixture
def database(database_url, tmp_path):
    (tmp_path / "fresh").mkdir()
    made = Database(database_url("fresh"))
    yield made
    made.close()


def differences(database: Database, wanted: MetaData = metadata) -> list:
    def compare(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), wanted)

    return database.read(compare)


def schema_of(database: Database) -> dict:
    """Every table as the database describes it."""

    def look(connection):
        inspector = inspect(connection)
        return {
            name: (
                {
                    column["name"]: (str(column["type"]), column["nullable"])
                    for column in inspector.get_columns(name)
                },
                inspector.get_pk_constraint(name),
                sorted(map(repr, inspector.get_foreign_keys(name))),
                sorted(map(repr, inspector.get_unique_constraints(name))),
                sorted(map(repr, inspector.get_indexes(name))),
            )
            for name in inspector.get_table_names()
        }

    return database.read(look)


def upgrade(database: Database, target: str) -> None:
    config = schema.alembic_config()

    def run(connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, target)

    database.write(run)


def test_created_and_migrated_databases_are_equal(database, database_url, tmp_path) -> None:
    schema.prepare(database)
    (tmp_path / "migrated").mkdir()
    migrated = Database(database_url("migrated"))
    upgrade(migrated, "head")
    assert differences(database) == []
    assert differences(migrated) == []
    assert schema_of(database) == schema_of(migrated)
    assert database.read(schema.revision_of) == migrated.read(schema.revision_of) == schema.NEWEST
    migrated.close()


def test_the_newest_revision_is_the_head_of_the_scripts() -> None:
    assert ScriptDirectory.from_config(schema.alembic_config()).get_heads() == [schema.NEWEST]


def test_every_revision_can_be_taken_back(database) -> None:
    upgrade(database, "head")
    config = schema.alembic_config()

    def run(connection) -> None:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    database.write(run)
    assert set(schema_of(database)) == {"alembic_version"}


def test_every_constraint_has_a_name() -> None:
    for table in metadata.tables.values():
        for constraint in (*table.constraints, *table.indexes):
            assert constraint.name, f"{table.name}: {constraint}"


def test_preparing_twice_changes_nothing(database) -> None:
    schema.prepare(database)
    before = schema_of(database)
    schema.prepare(database)
    assert schema_of(database) == before


def test_a_newer_database_is_refused(database) -> None:
    schema.prepare(database)
    database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )
    with pytest.raises(DatabaseTooNew, match=r"revision '9999'.*install a newer version"):
        schema.prepare(database)


def test_a_foreign_database_is_refused(database) -> None:
    database.write(lambda connection: connection.execute(text("CREATE TABLE run (x INTEGER)")))
    with pytest.raises(StorageError, match="belongs to another program"):
        schema.prepare(database)


NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade():
    copying = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
    with op.batch_alter_table("run", recreate=copying) as batch:
        batch.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="blue"))


def downgrade():
    with op.batch_alter_table("run") as batch:
        batch.drop_column("colour")
"""


@pytest.fixture
def next_scripts(tmp_path):
    """The scripts of a version after this one, which copies the table that all others refer to."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "0003_colour.py").write_text(NEXT)
    return folder


def test_a_migration_keeps_every_row(store, full_run, everything, next_scripts) -> None:
    run = full_run(store)
    before = everything(store, run.id)
    schema.migrate(store.database, "0002", scripts=next_scripts, target="0003")
    assert everything(store, run.id) == before
    colours = store.database.read(
        lambda connection: connection.execute(text("SELECT colour FROM run")).scalars().all()
    )
    assert colours == ["blue"]
    wanted = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(wanted)
    wanted.tables["run"].append_column(Column("colour", Text(), nullable=False, server_default="blue"))
    assert differences(store.database, wanted) == []
    store.delete_run(run.id)  # references still hold, and cascade
    left = store.database.read(
        lambda connection: connection.execute(text("SELECT count(*) FROM series_chunk")).scalar()
    )
    assert left == 0


def test_a_database_of_the_first_version_is_brought_up_to_date(database) -> None:
    upgrade(database, "0001")
    database.write(
        lambda connection: connection.execute(
            text("INSERT INTO artifact VALUES ('a', 'b', 1, 'c', 2.0, 0.0)")
        )
    )
    schema.prepare(database)
    assert differences(database) == []
    rows = database.read(lambda connection: connection.execute(text("SELECT hash FROM artifact")).all())
    assert rows == [("a",)]


# PostgreSQL watches references all the time: there such a migration fails at its first statement.
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_migration_that_fails_changes_nothing(store, full_run, everything, next_scripts) -> None:
    run = full_run(store)
    before, tables = everything(store, run.id), schema_of(store.database)
    broken = NEXT.replace("def downgrade", '    op.execute("DELETE FROM run")\n\n\ndef downgrade')
    (next_scripts / "versions" / "0003_colour.py").write_text(broken)
    with pytest.raises(StorageError, match="would break references"):
        schema.migrate(store.database, "0002", scripts=next_scripts, target="0003")
    assert schema_of(store.database) == tables
    assert everything(store, run.id) == before


def test_processes_that_open_a_fresh_database_at_once_all_succeed(database_url, tmp_path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from storage import Store
        while time.time() < float(sys.argv[3]):
            pass
        with Store.open(sys.argv[1], f"file://{sys.argv[2]}/artifacts") as store:
            store.create_run(engine="x", params={}, seed=0)
        """
    )
    import time

    url, start = database_url("raced"), str(time.time() + 3)
    racers = [
        subprocess.Popen([sys.executable, "-c", program, url, str(tmp_path), start], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for racer in racers:
        _, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors.decode()
    made = Database(url)
    assert differences(made) == []
    assert made.read(lambda connection: connection.execute(text("SELECT count(*) FROM run")).scalar()) == 4
    made.close()
