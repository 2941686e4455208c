"""Many questions in one state of the database: what a page of a run is drawn from."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from storage import StorageError, Store
from storage.database import Database


@pytest.fixture
def backend() -> str:
    """PostgreSQL goes on as outside, on purpose."""
    return "sqlite"


def elsewhere(work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_reads_inside_see_one_state_and_others_go_on_writing(store: Store, full_run) -> None:
    run = full_run(store)
    record = store.record(run.id)
    with store.database.snapshot():
        note = record.refresh().note
        elsewhere(lambda: store.set_note(run.id, "later"))
        with store.database.snapshot():  # one inside another is the same
            assert record.refresh().note == note
        assert record.refresh().note == note
    assert record.refresh().note == "later"


def test_a_transaction_is_begun_once_and_its_connection_given_back(store: Store, full_run) -> None:
    run = full_run(store)
    record = store.record(run.id)
    pool = store.database.engine.pool
    with store.database.snapshot():
        for _ in range(3):
            record.series()
        assert pool.checkedout() == 1
    assert pool.checkedout() == 0


def test_a_fault_inside_gives_the_connection_back_too(store: Store) -> None:
    def faulty() -> None:
        with store.database.snapshot():
            raise ValueError("a fault of the reader")

    with pytest.raises(ValueError, match="of the reader"):
        faulty()
    assert store.database.engine.pool.checkedout() == 0
    assert store.database.read(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1


def test_a_database_that_cannot_be_opened_is_a_sentence(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none' / 'runs.db'}")
    with pytest.raises(StorageError, match="cannot be opened"), database.snapshot():
        pass


def test_threads_have_snapshots_of_their_own(store: Store, full_run) -> None:
    run = full_run(store)
    seen = []
    with store.database.snapshot():
        store.record(run.id)
        elsewhere(lambda: store.set_note(run.id, "later"))
        elsewhere(lambda: seen.append(store.record(run.id).run.note))
    assert seen == ["later"]


def test_what_fails_inside_is_a_sentence(store: Store) -> None:
    with store.database.snapshot(), pytest.raises(StorageError, match="no such table"):
        store.database.read(lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    with store.database.snapshot(), pytest.raises(StorageError, match="64 bits"):
        store.database.read(lambda connection: connection.execute(text("SELECT :n"), {"n": 2**70}).all())
