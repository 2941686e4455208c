"""What only PostgreSQL promises: news of other processes, and records that outlive a restart of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from storage import Status, StorageError, Store
from storage.database import Database


@pytest.fixture
def backend() -> str:
    """SQLite has no server."""
    return "postgres"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_what_others_change_is_told_once_it_is_committed(open_store, make_run) -> None:
    here, there = open_store(), open_store()
    news = here.news()
    assert news is here.news(), "one connection listens for the whole process"
    heard: list[tuple[str, str]] = []
    with news.told(lambda kind, run_id: heard.append((kind, run_id))):
        assert news.wait_until_live(60)
        run = make_run(there)
        there.claim_run(run.id, "w")
        there.send_command(run.id, "cancel")
        there.finish_run(run.id, Status.cancelled)
        wait_until(lambda: ("over", run.id) in heard)
        with pytest.raises(StorageError):
            make_run(there, id=run.id)  # what is rolled back is not told
        stale = make_run(there)
        there.claim_run(stale.id, "w")
        there.mark_interrupted(-1)
        wait_until(lambda: ("over", stale.id) in heard)
    told = [one for one in heard if one[0] != "lost"]
    assert told == [
        ("queued", run.id), ("command", run.id), ("over", run.id), ("queued", stale.id), ("over", stale.id),
    ]  # fmt: skip
    make_run(there)
    assert [one for one in heard if one[0] != "lost"] == told, "who left hears nothing more"


def test_sqlite_has_no_news(tmp_path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/runs.db", str(tmp_path / "files")) as store:
        assert store.news() is None


def test_a_connection_that_breaks_is_made_again_and_news_go_on(
    open_store, make_run, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("storage.notices.RECONNECT_S", 0.05)
    here, there = open_store(), open_store()
    news, heard = here.news(), []
    with news.told(lambda kind, run_id: heard.append((kind, run_id))):
        assert news.wait_until_live(60)
        run = make_run(there)
        _break_all_others(there)
        assert here.run(run.id).id == run.id, "the pool found its connections dead, and opened another"
        wait_until(lambda: "News from the database stopped" in caplog.text)
        wait_until(lambda: news.is_live)
        other = make_run(here)
        wait_until(lambda: ("queued", other.id) in heard)


def test_work_that_is_cut_off_is_done_again(open_store, make_run) -> None:
    """As by a restart of the server in the middle of a transaction."""
    here, there = open_store(), open_store()
    run = make_run(there)
    attempts: list[int] = []

    def work(connection) -> None:
        attempts.append(1)
        connection.execute(text("UPDATE run SET note = note || 'x' WHERE id = :id"), {"id": run.id})
        if len(attempts) == 1:
            _break_all_others(there)
        connection.execute(text("SELECT 1"))

    here.database.write(work)
    assert len(attempts) == 2
    assert there.run(run.id).note == "x", "once, not twice"


def test_a_recorder_waits_for_a_server_that_restarts(open_store, make_run, postgres_cluster) -> None:
    store = open_store()
    run = make_run(store)
    store.claim_run(run.id, "w")
    with store.writer(run.id) as writer:
        writer.scalar("Ours", "error", 0, 1.0, 0.0)
        writer.flush()
        postgres_cluster.stop()
        back = threading.Timer(0.5, postgres_cluster.start)
        back.start()
        writer.scalar("Ours", "error", 1, 0.5, 0.1)
        writer.flush()
        back.join()
    assert store.record(run.id).points("Ours", "error").values.tolist() == [1.0, 0.5]


def test_a_server_that_never_answered_is_told_at_once(tmp_path) -> None:
    pytest.importorskip("psycopg", reason="no psycopg here: install the extra [postgres]")
    absent = Database(f"postgresql+psycopg://tests:secret@/postgres?host={tmp_path}")
    with pytest.raises(StorageError, match="The database postgres answered: connection") as caught:
        absent.read(lambda connection: None)
    assert "secret" not in str(caught.value)
    absent.close()


def test_many_workers_claim_each_run_once(open_store, make_run) -> None:
    stores = [open_store() for _ in range(4)]
    runs = [make_run(stores[0]) for _ in range(20)]
    won: list[str] = []

    def work(place: int) -> None:
        for run in runs:
            if stores[place].claim_run(run.id, f"w{place}"):
                won.append(run.id)

    workers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(won) == sorted(run.id for run in runs)


def _break_all_others(store: Store) -> None:
    """End every connection of the server but the one that says so, as a restart does."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    store.database.write(lambda connection: connection.execute(text(query)).all())
