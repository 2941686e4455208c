"""Snapshots of the records: taken while others write, restored into an empty home, never half."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Store
from workbench.errors import StorageTrouble
from workbench.mounts import is_network_mount
from workbench.runs import Workbench
from workbench.settings import BadSetting, Settings
from workbench.snapshots import KEPT, Schedule, Snapshots


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_what_was_recorded_comes_back(
    kind: str, workbench: Workbench, place: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    upload = workbench.ingest(b"a file", "a.csv")
    run = workbench.submit("fixture", {"photo": upload}, preset="smoke", note="kept")
    snapshots = Snapshots(f"file://{place}" if kind == "folder" else request.getfixturevalue("s3"))
    for note in ("first", "second", "third", "fourth", "kept"):
        workbench.note(run.id, note)
        snapshots.take(workbench.store)
    assert len(snapshots._fs.glob(f"{snapshots._root}/databases/*.sqlite")) == KEPT
    other = Settings.at(tmp_path / "other", executor="inline")
    assert snapshots.restore(other)
    with Workbench.open(other, workbench.catalog) as again:
        back, first = again.record(run.id), workbench.record(run.id)
        assert (back.run.note, back.texts()) == ("kept", first.texts())
        for info in first.series():
            assert (
                back.points(info.series, info.name).values.tobytes()
                == first.points(info.series, info.name).values.tobytes()
            )
        for picture in first.pictures():
            assert again.store.artifacts.read(picture.hash) == workbench.store.artifacts.read(picture.hash)
        assert again.store.artifacts.read(upload[7:71]) == b"a file"
    assert not snapshots.restore(other), "a home that has a database is left alone"


def test_an_empty_place_restores_nothing(place: Path, tmp_path: Path) -> None:
    assert not Snapshots(f"file://{place}").restore(Settings.at(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("harm", ["database", "latest", "missing"])
def test_a_damaged_snapshot_puts_nothing_in_place(
    harm: str, workbench: Workbench, place: Path, tmp_path: Path
) -> None:
    workbench.submit("fixture", preset="smoke")
    digest = Snapshots(f"file://{place}").take(workbench.store)
    database = place / "databases" / f"{digest}.sqlite"
    if harm == "database":
        database.write_bytes(database.read_bytes()[:-1] + b"x")
    elif harm == "missing":
        database.unlink()
    else:
        (place / "latest.json").write_text(json.dumps({"format": 1, "database": "../../etc/passwd"}))
    settings = Settings.at(tmp_path / "new")
    with pytest.raises(StorageTrouble):
        Snapshots(f"file://{place}").restore(settings)
    assert not (tmp_path / "new" / "workbench.sqlite").exists()


def test_a_snapshot_is_one_moment_of_a_database_under_write(
    make_workbench: Callable[..., Workbench], place: Path, tmp_path: Path
) -> None:
    """While a thread makes runs, each snapshot holds a prefix of them, sound and openable."""
    workbench = make_workbench(executor="inline")
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            workbench.create("fixture", preset="smoke")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            Snapshots(f"file://{place}").take(workbench.store)
            settings = Settings.at(tmp_path / f"copy-{number}")
            Snapshots(f"file://{place}").restore(settings)
            with Store.open(settings.database_url, settings.artifacts_url) as copy:
                answers = copy.database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())
                assert answers == "ok"
                mine = {row.run.id for row in copy.runs().rows}
            assert mine <= set(workbench.store.queued())
    finally:
        over.set()
        thread.join()


def test_old_databases_go_and_artifacts_are_sent_once(workbench: Workbench, place: Path) -> None:
    snapshots = Snapshots(f"file://{place}")
    stamps = {}
    for number in range(KEPT + 2):
        workbench.submit("fixture", preset="smoke", seed=number)
        newest = snapshots.take(workbench.store)
        for path in (place / "files").rglob("*"):
            if path.is_file():
                assert stamps.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
    kept = {path.stem for path in (place / "databases").glob("*.sqlite")}
    assert len(kept) == KEPT
    assert newest in kept
    assert {path.stem for path in (place / "databases").glob("*.json")} == kept


def _files(place: Path) -> set[str]:
    return {path.name for path in (place / "files").rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_files_go_with_the_last_database_that_needs_them(
    kind: str, workbench: Workbench, place: Path, request: pytest.FixtureRequest
) -> None:
    snapshots = Snapshots(f"file://{place}" if kind == "folder" else request.getfixturevalue("s3"))

    def there() -> set[str]:
        return {Path(name).name for name in snapshots._fs.find(f"{snapshots._root}/files")}

    kept, gone = (workbench.submit("fixture", preset="smoke", seed=seed) for seed in (1, 2))
    needed, unneeded = (
        {one.hash for one in (*workbench.record(run.id).pictures(), *workbench.record(run.id).files())}
        for run in (kept, gone)
    )
    snapshots.take(workbench.store)
    workbench.delete(gone.id)
    for turn in range(KEPT):
        assert needed | unneeded <= there(), "an older database is here that needs them"
        workbench.note(kept.id, f"turn {turn}")
        snapshots.take(workbench.store)
    assert needed <= there()
    assert not (unneeded - needed) & there()


def test_where_a_database_does_not_say_what_it_needs_nothing_goes(workbench: Workbench, place: Path) -> None:
    """A place of an earlier version: files are removed once its last database of then is."""
    snapshots = Snapshots(f"file://{place}")
    run = workbench.submit("fixture", preset="smoke")
    digest = snapshots.take(workbench.store)
    (place / "databases" / f"{digest}.json").unlink()
    before = _files(place)
    workbench.delete(run.id)
    for seed in range(KEPT - 1):
        workbench.create("fixture", preset="smoke", seed=seed)
        snapshots.take(workbench.store)
        assert _files(place) == before
    workbench.create("fixture", preset="smoke", seed=99)
    snapshots.take(workbench.store)
    assert _files(place) == set()


def test_the_schedule_goes_on_after_trouble_and_ends_with_a_snapshot(
    workbench: Workbench, place: Path
) -> None:
    class Unwilling(Snapshots):
        calls = 0

        def take(self, store: Store) -> str:
            Unwilling.calls += 1
            if Unwilling.calls < 3:
                raise StorageTrouble("The place does not answer.")
            return super().take(store)

    schedule = Schedule(Unwilling(f"file://{place}"), workbench.store, 0.02)
    schedule.start()
    while Unwilling.calls < 4:
        pass
    schedule.close()
    assert (place / "latest.json").exists()


MOUNTS = """/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/fast xfs rw 0 0
bucket /mnt/my\\040bucket fuse.hf-mount rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("/", False), ("/home", True), ("/home/me/wb", True), ("/home/fast/wb", False), ("/homework", False), ("/mnt/my bucket/x", True)],
)  # fmt: skip
def test_network_mounts_are_told_apart(folder: str, expected: bool, tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert is_network_mount(Path(folder), table) is expected
    assert not is_network_mount(Path(folder), tmp_path / "nothing")


def test_the_log_is_off_where_it_is_asked_or_the_mount_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixture_catalog: object
) -> None:
    given = {"WORKBENCH_HOME": str(tmp_path)}
    assert Settings.from_environment(given).wal
    monkeypatch.setattr("workbench.mounts.is_network_mount", lambda folder: True)
    settings = Settings.from_environment(given)
    assert not settings.wal
    assert Settings.from_environment({**given, "WORKBENCH_WAL": "on"}).wal
    with pytest.raises(BadSetting, match="WORKBENCH_WAL"):
        Settings.from_environment({**given, "WORKBENCH_WAL": "perhaps"})
    assert Settings.from_json(settings.to_json()) == settings
    with Workbench.open(settings, fixture_catalog) as workbench:  # type: ignore[arg-type]
        mode = workbench.store.database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert mode == "delete"
