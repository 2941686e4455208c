"""A full disk fails the run that meets it, in a clear sentence; the database stays sound, earlier runs readable."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage import DiskFull, Status, Store, export_bundle, import_bundle

pytestmark = pytest.mark.fault


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def earlier(small_disk: Path) -> Iterator[tuple[Store, str]]:
    """A store with database and artifacts on the small disk, and a run that ended before it filled up."""
    with Store.open(f"sqlite:///{small_disk}/runs.db", f"file://{small_disk}/artifacts") as store:
        run = store.create_run(engine="x", params={}, seed=0)
        store.claim_run(run.id, "w")
        with store.writer(run.id) as writer:
            for step in range(3000):
                writer.scalar("s", "n", step, step, 0)
            writer.picture("p", 0, b"a picture", 1, 1)
        store.finish_run(run.id, Status.finished)
        yield store, run.id


def is_sound(store: Store, earlier_id: str) -> bool:
    check = store.database.read(
        lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    )
    record = store.record(earlier_id)
    np.testing.assert_array_equal(record.points("s", "n").values, np.arange(3000))
    return bool(check == "ok" and store.artifacts.read(record.pictures()[0].hash) == b"a picture")


def fill(folder: Path) -> Path:
    """Use up the last byte."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for block in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * block)
            except OSError:
                continue
    return path


def endless_points(writer: object) -> None:
    step = 0
    while True:
        for _ in range(2000):
            writer.scalar("s", "n", step, step, step)  # type: ignore[attr-defined]
            step += 1
        writer.flush()  # type: ignore[attr-defined]


def endless_pictures(writer: object) -> None:
    step = 0
    while True:
        writer.picture("p", step, os.urandom(50_000), 1, 1)  # type: ignore[attr-defined]
        writer.flush()  # type: ignore[attr-defined]
        step += 1


def endless_arrays(writer: object) -> None:
    step = 0
    while True:
        writer.array("a", step, np.random.default_rng(step).random(5000), [("i", range(5000))])  # type: ignore[attr-defined]
        writer.flush()  # type: ignore[attr-defined]
        step += 1


@pytest.mark.parametrize("record", [endless_points, endless_pictures, endless_arrays])
def test_a_run_that_fills_the_disk(
    earlier: tuple[Store, str], small_disk: Path, record: Callable[..., None]
) -> None:
    store, earlier_id = earlier
    run = store.create_run(engine="greedy", params={}, seed=0)
    store.claim_run(run.id, "w")
    writer = store.writer(run.id)
    with pytest.raises(DiskFull, match=r"disk of the (database|artifacts) is full: free some room"):
        record(writer)
    assert writer.pending
    assert is_sound(store, earlier_id)
    before = [(info.name, info.count) for info in store.record(run.id).series()]
    with pytest.raises(DiskFull):
        writer.close()
    assert store.finish_run(run.id, Status.failed, "The disk is full.", "DiskFull"), (
        "the failure itself is recorded"
    )
    store.close()

    with Store.open(f"sqlite:///{small_disk}/runs.db", f"file://{small_disk}/artifacts") as again:
        assert is_sound(again, earlier_id)
        assert again.run(run.id).error == "The disk is full."
        assert [(info.name, info.count) for info in again.record(run.id).series()] == before
        for picture in again.record(run.id).pictures():
            assert len(again.artifacts.read(picture.hash)) == 50_000
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)  # somebody made room
        again.delete_run(run.id)
        fresh = again.create_run(engine="modest", params={}, seed=0)
        with again.writer(fresh.id) as modest:
            modest.scalar("s", "n", 0, 1, 0)
            modest.picture("p", 0, b"x" * 10_000, 1, 1)
        assert again.record(fresh.id).series()[0].last_value == 1


def test_uploads_bundles_and_files_on_a_full_disk(
    earlier: tuple[Store, str], small_disk: Path, tmp_path: Path
) -> None:
    store, earlier_id = earlier
    export_bundle(store, [earlier_id], tmp_path / "b.zip")
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(3_000_000))
    count = len([path for path in small_disk.rglob("*") if path.is_file()])
    for act in (
        lambda: store.artifacts.put(source.read_bytes(), "x/y"),
        lambda: store.artifacts.put_file(source, "x/y"),
    ):
        with pytest.raises(DiskFull):
            act()
    filler = fill(small_disk)
    with pytest.raises(DiskFull):
        export_bundle(store, [earlier_id], small_disk / "b.zip")
    filler.unlink()
    assert len([path for path in small_disk.rglob("*") if path.is_file()]) == count
    assert is_sound(store, earlier_id)


def test_an_import_that_fills_the_disk_leaves_nothing(
    earlier: tuple[Store, str], small_disk: Path, tmp_path: Path
) -> None:
    store, earlier_id = earlier
    with Store.open(f"sqlite:///{tmp_path}/runs.db", f"file://{tmp_path}/artifacts") as large:
        run = large.create_run(engine="x", params={}, seed=0)
        with large.writer(run.id) as writer:
            for step in range(100):
                writer.picture("p", step, os.urandom(30_000), 1, 1)
        large.finish_run(run.id, Status.finished)
        export_bundle(large, [run.id], tmp_path / "b.zip")
    artifacts = sorted((small_disk / "artifacts").rglob("*"))
    with pytest.raises(DiskFull):
        import_bundle(store, tmp_path / "b.zip")
    assert [path for path in sorted((small_disk / "artifacts").rglob("*")) if path.is_file()] == [
        path for path in artifacts if path.is_file()
    ]
    assert store.runs().total == 1
    assert is_sound(store, earlier_id)


def test_a_database_that_cannot_grow_by_a_byte(earlier: tuple[Store, str], small_disk: Path) -> None:
    store, earlier_id = earlier
    filler = fill(small_disk)
    created = 0

    def create_without_end() -> None:
        nonlocal created
        while True:
            store.create_run(engine="x", params={"text": "y" * 2000}, seed=0)
            created += 1

    with pytest.raises(DiskFull):
        create_without_end()
    assert is_sound(store, earlier_id)
    filler.unlink()
    assert store.create_run(engine="x", params={}, seed=0).status is Status.queued
    assert store.runs().total == 2 + created
