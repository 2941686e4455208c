"""Connections set up in one place, waiting for one's turn, and errors that a person can read."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from storage import DatabaseBusy, StorageError, Store
from storage import database as module
from storage.database import Database


@pytest.fixture
def backend() -> str:
    """These are promises about SQLite: its pragmas, its locks, its files."""
    return "sqlite"


def pragma(store: Store, name: str):
    return store.database.read(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())


def test_every_connection_is_set_up(store) -> None:
    assert pragma(store, "journal_mode") == "wal"
    assert pragma(store, "synchronous") == 1  # NORMAL
    assert pragma(store, "foreign_keys") == 1
    assert pragma(store, "busy_timeout") == 1000 * module.BUSY_TIMEOUT_S


def test_the_log_can_be_switched_off_and_on(open_store, full_run, everything) -> None:
    store = open_store(wal=False)
    assert pragma(store, "journal_mode") == "delete"
    run = full_run(store)
    before = everything(store, run.id)
    store.close()
    for wal in (True, False):
        again = open_store(wal=wal)
        assert pragma(again, "journal_mode") == ("wal" if wal else "delete")
        assert everything(again, run.id) == before
        again.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "not a database URL"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("oracle+nothing://x/y", "driver"),
        ("sqlite:////proc/nowhere/runs.db", "folder of the database cannot be made"),
    ],
)
def test_urls_that_cannot_work_are_refused(tmp_path, url, sentence) -> None:
    with pytest.raises(StorageError, match=sentence):
        Store.open(url, str(tmp_path))


def test_a_file_that_is_no_database_is_refused(tmp_path) -> None:
    (tmp_path / "runs.db").write_bytes(b"certainly no database " * 100)
    with pytest.raises(StorageError, match=r"runs\.db is not a SQLite database"):
        Store.open(f"sqlite:///{tmp_path}/runs.db", str(tmp_path))


def test_a_folder_in_place_of_the_database_is_refused(tmp_path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}", str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_a_read_only_database_is_said(store, tmp_path) -> None:
    os.chmod(tmp_path / "store" / "runs.db", 0o400)
    with pytest.raises(StorageError, match="cannot be written"):
        store.create_run(engine="x", params={}, seed=0)


def test_a_lock_is_waited_for(store, make_run, tmp_path) -> None:
    other = sqlite3.connect(tmp_path / "store" / "runs.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    assert make_run(store).status == "queued"
    other.close()


def test_a_lock_that_stays_is_told_and_readers_do_not_care(store, make_run, tmp_path, monkeypatch) -> None:
    run = make_run(store)
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)
    hasty = Database(f"sqlite:///{tmp_path}/store/runs.db", patience_s=0.1)
    other = sqlite3.connect(tmp_path / "store" / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="kept the database busy"):
        hasty.write(lambda connection: connection.execute(text("DELETE FROM run")))
    assert hasty.read(lambda connection: connection.execute(text("SELECT id FROM run")).scalar()) == run.id
    other.execute("ROLLBACK")
    other.close()
    hasty.close()


def test_work_that_fails_is_undone(store, make_run) -> None:
    run = make_run(store)

    def half(connection) -> None:
        connection.execute(text("DELETE FROM run"))
        raise StorageError("half-way")

    with pytest.raises(StorageError, match="half-way"):
        store.database.write(half)
    assert store.run(run.id).id == run.id


def test_what_the_database_answers_is_kept_as_the_cause(store) -> None:
    with pytest.raises(StorageError, match="answered: no such table") as caught:
        store.database.read(lambda connection: connection.execute(text("SELECT * FROM unheard_of")))
    assert caught.value.__cause__ is not None


def test_no_thread_waits_for_a_connection(store) -> None:
    """More readers at once than any pool of ten: all of them hold their connection at the same time."""
    together = threading.Barrier(40, timeout=60)
    with ThreadPoolExecutor(40) as pool:
        met = [pool.submit(store.database.read, lambda connection: together.wait()) for _ in range(40)]
        assert sorted(each.result() for each in met) == list(range(40))


def test_a_store_serves_many_threads(store, make_run) -> None:
    run = make_run(store)
    store.claim_run(run.id, "w")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(20):
                own = make_run(store, seed=number)
                with store.writer(own.id) as writer:
                    writer.scalar("s", "n", step, step, 0)
                store.heartbeat(run.id)
                assert store.record(own.id).series()[0].last_value == step
        except BaseException as error:  # a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.runs().total == 121
