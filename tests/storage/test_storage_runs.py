"""The life of a run: queue, claim, heartbeat, end, being given up and coming back, commands, deletion."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from storage import ArtifactNotFound, RunNotFound, Status, StorageError
from storage.tables import RUN


def age(store, run_id, seconds) -> None:
    """Pretend that the last sign of life of a run is that old."""
    moment = time.time() - seconds
    store.database.write(
        lambda connection: connection.execute(
            update(RUN).where(RUN.c.id == run_id).values(heartbeat_at=moment)
        )
    )


def test_a_run_keeps_what_was_asked(store) -> None:
    params = {"rank": 4, "tolerance": math.nan, "nested": {"list": [1, None, "ü"]}}
    made = store.create_run(
        engine="sven",
        params=params,
        seed=-7,
        preset="smoke",
        owner="visitor",
        parent_id="0" * 26,
        tags=["b", " a  b ", "b", ""],
        note="n",
        environment={"python": "3.11"},
        engine_version="2",
        headline=("Sven", "loss"),
    )
    run = store.run(made.id)
    assert repr(run.params) == repr(dict(sorted(params.items())))
    assert (run.engine, run.seed, run.preset, run.owner, run.parent_id) == (
        "sven",
        -7,
        "smoke",
        "visitor",
        "0" * 26,
    )
    assert run.tags == ("a b", "b")
    assert (run.status, run.note, run.environment) == (Status.queued, "n", {"python": "3.11"})
    assert (run.headline_series, run.headline_name, run.engine_version) == ("Sven", "loss", "2")
    assert run.started_at is run.finished_at is run.heartbeat_at is run.duration_s is None


def test_ids_seeds_and_params_are_checked(store, make_run) -> None:
    run = make_run(store)
    with pytest.raises(StorageError, match="already a run"):
        make_run(store, id=run.id)
    with pytest.raises(StorageError, match="26 lower-case"):
        make_run(store, id="../../etc")
    with pytest.raises(StorageError, match="64 bits"):
        make_run(store, seed=2**63)
    with pytest.raises(StorageError, match="must be made of"):
        make_run(store, params={"x": object()})
    assert store.runs().total == 1


def test_the_queue_is_first_come_first_served(store, make_run) -> None:
    first, second, third = (make_run(store).id for _ in range(3))
    assert store.queued() == [first, second, third]
    assert store.claim_run(second, "w")
    assert [store.queue_position(item) for item in (first, second, third)] == [0, None, 1]
    assert store.queue_position("0" * 26) is None


def test_of_many_workers_one_gets_the_run(store, make_run) -> None:
    run = make_run(store)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: store.claim_run(run.id, f"w{number}"), range(8)))
    assert sum(won) == 1
    claimed = store.run(run.id)
    assert claimed.status is Status.running
    assert claimed.worker == f"w{won.index(True)}"
    assert claimed.started_at == claimed.heartbeat_at is not None


def test_a_run_ends_once(store, make_run) -> None:
    run = make_run(store)
    store.claim_run(run.id, "w")
    assert store.finish_run(run.id, "failed", "It broke.", "ValueError")
    assert not store.finish_run(run.id, Status.finished)
    ended = store.run(run.id)
    assert (ended.status, ended.error, ended.error_kind) == (Status.failed, "It broke.", "ValueError")
    assert ended.status.is_over
    assert ended.duration_s is not None
    assert ended.version > run.version


def test_a_queued_run_can_be_cancelled(store, make_run) -> None:
    run = make_run(store)
    assert store.finish_run(run.id, Status.cancelled)
    assert not store.claim_run(run.id, "w")


def test_a_run_does_not_finish_as_running_and_unknown_ones_are_told(store, make_run) -> None:
    with pytest.raises(StorageError, match="cannot finish as 'running'"):
        store.finish_run(make_run(store).id, Status.running)
    unknown = "0" * 26
    for act in (
        lambda: store.run(unknown),
        lambda: store.record(unknown),
        lambda: store.writer(unknown),
        lambda: store.finish_run(unknown, Status.failed),
        lambda: store.set_note(unknown, ""),
        lambda: store.set_tags(unknown, ()),
        lambda: store.delete_run(unknown),
        lambda: store.send_command(unknown, "cancel"),
        lambda: store.update_environment(unknown, {}),
    ):
        with pytest.raises(RunNotFound, match=unknown):
            act()


def test_runs_without_a_sign_of_life_are_given_up(store, make_run) -> None:
    alive, dead, waiting = (make_run(store).id for _ in range(3))
    for run_id in (alive, dead):
        store.claim_run(run_id, "w")
    age(store, dead, 100)
    assert store.mark_interrupted(30, "The worker is gone.") == [dead]
    assert store.mark_interrupted(30) == []
    gone = store.run(dead)
    assert (gone.status, gone.error) == (Status.interrupted, "The worker is gone.")
    assert gone.finished_at == gone.heartbeat_at
    assert store.run(waiting).status is Status.queued


@pytest.mark.parametrize("sign", ["heartbeat", "flush", "finish"])
def test_a_run_given_up_too_early_goes_on(store, make_run, sign) -> None:
    """A laptop that slept looks dead until it wakes."""
    run = make_run(store)
    store.claim_run(run.id, "w")
    writer = store.writer(run.id)
    age(store, run.id, 100)
    store.mark_interrupted(30)
    if sign == "heartbeat":
        store.heartbeat(run.id)
    elif sign == "flush":
        writer.flush()
    else:
        assert store.finish_run(run.id, Status.finished)
    back = store.run(run.id)
    assert back.status is (Status.finished if sign == "finish" else Status.running)
    assert back.error == back.error_kind == ""


def test_a_run_that_was_declared_interrupted_stays_so(store, make_run) -> None:
    run = make_run(store)
    store.claim_run(run.id, "w")
    store.finish_run(run.id, Status.interrupted, "killed", "WorkerDied")
    store.heartbeat(run.id)
    store.writer(run.id).flush()
    assert not store.finish_run(run.id, Status.finished)
    assert store.run(run.id).status is Status.interrupted


def test_commands_are_taken_once_in_order(store, make_run) -> None:
    run, other = make_run(store), make_run(store)
    store.send_command(run.id, "set", {"name": "rate", "value": math.inf})
    store.send_command(run.id, "cancel")
    store.send_command(other.id, "cancel")
    taken = store.take_commands(run.id)
    assert [(row.kind, row.payload) for row in taken] == [
        ("set", {"name": "rate", "value": math.inf}),
        ("cancel", {}),
    ]
    assert store.take_commands(run.id) == []
    assert len(store.take_commands(other.id)) == 1


def test_notes_tags_and_environment_change(store, make_run) -> None:
    run = make_run(store, tags=("old",), environment={"a": 1})
    store.set_note(run.id, "für später")
    store.set_tags(run.id, ["z", "new"])
    store.update_environment(run.id, {"b": 2, "a": 3})
    changed = store.run(run.id)
    assert (changed.note, changed.tags, changed.environment) == ("für später", ("new", "z"), {"a": 3, "b": 2})
    assert store.tags() == ["new", "z"]


def test_text_that_databases_refuse_is_made_storable(store, make_run) -> None:
    run = make_run(store, note="nul \0 and half a pair \ud83c", tags=["\ud800"])
    assert store.run(run.id).note == "nul \ufffd and half a pair \ufffd"
    assert store.run(run.id).tags == ("\ufffd",)


def test_deleting_a_run_takes_its_rows_and_its_own_files(store, full_run, make_run) -> None:
    run = full_run(store)
    record = store.record(run.id)
    own, shared = record.pictures()[0].hash, record.pictures()[1].hash
    other = make_run(store)
    with store.writer(other.id) as writer:
        writer.picture("same", 0, store.artifacts.read(shared), 8, 6)
    store.delete_run(run.id)
    assert not store.artifacts.exists(own)
    assert store.artifacts.exists(shared)
    with pytest.raises(ArtifactNotFound):
        store.artifacts.info(own)
    with pytest.raises(RunNotFound):
        record.refresh()
    store.delete_run(other.id)
    assert not store.artifacts.exists(shared)
    assert _rows(store) == 0


def test_a_writer_learns_that_its_run_was_deleted(store, make_run) -> None:
    run = make_run(store)
    writer = store.writer(run.id)
    store.delete_run(run.id)
    writer.scalar("a", "b", 0, 1, 0)
    with pytest.raises(RunNotFound):
        writer.flush()


def _rows(store) -> int:
    from storage.tables import metadata

    def count(connection) -> int:
        return sum(len(connection.execute(table.select()).all()) for table in metadata.sorted_tables)

    return store.database.read(count)
