"""Files by content: stored once, found again, removed only when nobody needs them, whoever acts at once."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage import ArtifactNotFound, StorageError, Store
from storage import artifacts as module
from storage.blobs import Blobs, content_of


def files_of(store: Store) -> list[Path]:
    root = Path(store.artifacts.blobs.path("0" * 64)).parents[1]
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture(params=["file", "memory", "s3"])
def any_store(request, tmp_path):
    if request.param == "s3":
        url = request.getfixturevalue("s3")
    else:
        url = f"file://{tmp_path}/files" if request.param == "file" else f"memory://{tmp_path}"
    with Store.open(f"sqlite:///{tmp_path}/runs.db", url) as store:
        yield store


def test_content_is_found_by_its_hash(any_store, tmp_path) -> None:
    artifacts, data = any_store.artifacts, b"some bytes" * 1000
    found = artifacts.put(data, "text/plain", "a.txt")
    assert found == hashlib.sha256(data).hexdigest()
    assert artifacts.exists(found)
    assert artifacts.read(found) == artifacts.local_path(found).read_bytes() == data
    with artifacts.open(found) as stream:
        assert stream.read() == data
    info = artifacts.info(found)
    assert (info.media_type, info.size, info.name) == ("text/plain", 10_000, "a.txt")
    source = tmp_path / "copy.bin"
    source.write_bytes(data)
    assert artifacts.put_file(source, "other/type") == found
    assert artifacts.info(found).media_type == "text/plain"
    assert artifacts.put(b"", "empty/file") == hashlib.sha256(b"").hexdigest()


def test_what_is_not_there_is_said(any_store, tmp_path) -> None:
    for ask in ("read", "info", "local_path", "open"):
        with pytest.raises(ArtifactNotFound, match="000000000000 is not in the store"):
            getattr(any_store.artifacts, ask)("0" * 64)
    assert not any_store.artifacts.exists("0" * 64)
    with pytest.raises(StorageError, match="could not be stored: No such file"):
        any_store.artifacts.put_file(tmp_path / "missing", "text/plain")
    with pytest.raises(StorageError, match="artifacts URL"):
        Blobs("nonsense://x")


def test_local_copies_of_remote_files_end_with_the_store(tmp_path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/runs.db", f"memory://{tmp_path}") as store:
        path = store.artifacts.local_path(store.artifacts.put(b"x", "text/plain"))
        assert path.exists()
    assert not path.exists()


def test_a_stump_left_by_a_power_cut_is_written_again(store) -> None:
    found = store.artifacts.put(b"whole content", "text/plain")
    store.artifacts.local_path(found).write_bytes(b"who")
    assert store.artifacts.put(b"whole content", "text/plain") == found
    assert store.artifacts.read(found) == b"whole content"


def test_uploads_are_held_then_kept_by_their_run(store, make_run) -> None:
    used = store.artifacts.put(b"used", "text/csv")
    waiting = store.artifacts.put(b"waiting", "text/csv")
    run = make_run(store, params={"deep": [{"source": f"sha256:{used}/a name/with slash.csv"}]})
    assert store.artifacts.sweep() == 0
    store.delete_run(run.id)
    assert not store.artifacts.exists(used)
    assert store.artifacts.exists(waiting)


def test_a_run_needs_its_uploads(store, make_run) -> None:
    with pytest.raises(ArtifactNotFound):
        make_run(store, params={"source": f"sha256:{'0' * 64}/x.csv"})
    assert store.runs().total == 0
    make_run(
        store, params={"source": f"sha256:{'0' * 64}", "other": f" sha256:{'0' * 64}/x"}
    )  # no references


def test_the_sweep_removes_what_nobody_needs(store, make_run, monkeypatch) -> None:
    unused = store.artifacts.put(b"unused", "text/csv")
    run = make_run(store)
    with store.writer(run.id) as writer:
        writer.picture("p", 0, b"needed", 1, 1)
    orphan = content_of(b"a process was killed before it could tell the database")
    store.artifacts.blobs.place(orphan)
    stray = store.artifacts.blobs.stage(__file__)
    assert store.artifacts.sweep() == 0, "all of this is young, and may be under way"
    old = time.time() - 2 * module.LEFTOVER_S
    for path in files_of(store):
        os.utime(path, (old, old))
    later = time.time() + 2 * module.HOLD_S
    monkeypatch.setattr(module.time, "time", lambda: later)
    assert store.artifacts.sweep() == 3
    assert not store.artifacts.exists(unused)
    assert not Path(stray.staged).exists()
    assert [path.read_bytes() for path in files_of(store)] == [b"needed"]


def test_many_may_put_the_same_content_at_once(store) -> None:
    data = os.urandom(300_000)
    with ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(lambda _: store.artifacts.put(data, "x/y"), range(24)))
    assert len(hashes) == 1
    assert [path.read_bytes() for path in files_of(store)] == [data]


def test_a_put_between_lookup_and_removal_wins(store, make_run) -> None:
    """The row is gone and its file is about to be removed, when another run stores the same content."""
    run, other = make_run(store), make_run(store)
    with store.writer(run.id) as writer:
        writer.picture("p", 0, b"same", 1, 1)
    from storage import runs

    unneeded = store.database.write(lambda connection: runs.delete_run(connection, store.database, run.id))
    with store.writer(other.id) as writer:
        writer.picture("p", 0, b"same", 1, 1)
    assert store.artifacts.discard(unneeded) == 0
    assert store.artifacts.read(unneeded[0]) == b"same"


def test_a_file_removed_between_put_and_reference_is_put_again(store, make_run, monkeypatch) -> None:
    """The content lies there, so the writer does not write it; then its last run is deleted; then it refers to it."""
    run, other = make_run(store), make_run(store)
    with store.writer(run.id) as writer:
        writer.picture("p", 0, b"same", 1, 1)
    place = store.artifacts.blobs.place
    calls = []

    def place_then_lose(content) -> None:
        place(content)
        calls.append(content)
        if len(calls) == 1:
            store.delete_run(run.id)
            assert not store.artifacts.exists(content.hash)

    monkeypatch.setattr(store.artifacts.blobs, "place", place_then_lose)
    with store.writer(other.id) as writer:
        writer.picture("p", 0, b"same", 1, 1)
    assert len(calls) >= 2
    assert store.artifacts.read(calls[0].hash) == b"same"


def test_deleting_and_writing_the_same_content_never_loses_it(store, make_run) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            run = make_run(store)
            with store.writer(run.id) as writer:
                writer.picture("p", 0, b"contested", 1, 1)
            store.delete_run(run.id)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(churn) for _ in range(2)]
        try:
            for _ in range(25):
                run = make_run(store)
                with store.writer(run.id) as writer:
                    writer.picture("p", 0, b"contested", 1, 1)
                [picture] = store.record(run.id).pictures()
                assert store.artifacts.read(picture.hash) == b"contested"
                store.delete_run(run.id)
        finally:
            stop.set()
        for other in others:
            other.result()
    assert files_of(store) == []
