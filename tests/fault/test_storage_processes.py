"""Several processes on one database: nobody meets a locked database, and nobody reads half of anything."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from storage import RunQuery, Status, Store

pytestmark = pytest.mark.fault

WRITERS, READERS, RUNS_EACH, FLUSHES = 2, 3, 3, 25

COMMON = """
import sys, time
from pathlib import Path
from storage import RunNotFound, RunQuery, Status, Store

folder, number, wal = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "wal"
store = Store.open(f"sqlite:///{folder}/runs.db", f"file://{folder}/artifacts", wal=wal)
"""

WRITER = (
    COMMON
    + """
for index in range(int(sys.argv[4])):
    run = store.create_run(engine=f"writer-{number}", params={"index": index}, seed=index, headline=("s", "n"))
    assert store.claim_run(run.id, f"worker-{number}")
    with store.writer(run.id) as writer:
        for flush in range(int(sys.argv[5])):
            for step in range(100 * flush, 100 * (flush + 1)):
                writer.scalar("s", "n", step, step, step)
            writer.picture("now", flush, b"picture %d" % flush, 1, 1, keep=False)
            writer.text("count", str(100 * (flush + 1)))
            writer.progress(flush + 1, 25)
            writer.flush()
            store.heartbeat(run.id)
            store.take_commands(run.id)
    store.finish_run(run.id, Status.finished)
    if index % 3 == 2:
        store.delete_run(run.id)
"""
)

READER = (
    COMMON
    + """
looks = 0
while not (folder / "stop").exists():
    for row in store.runs(RunQuery(limit=100)).rows:
        try:
            record = store.record(row.run.id)
            changes = record.changes(0)
            found = {(info.series, info.name): info.count for info in record.series()}
            if found:
                points = record.points("s", "n")
                record.refresh()  # a run deleted between two looks has no points any more
                assert len(points) >= found["s", "n"], "a summary was ahead of its points"
                assert (points.values == range(len(points))).all(), "points in disorder"
                assert len(points) % 100 == 0, "half a flush was visible"
            for picture in record.pictures():
                looks += 1
        except RunNotFound:
            pass
print(looks)
"""
)


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["wal", "rollback"])
def test_two_write_while_three_read(tmp_path: Path, mode: str) -> None:
    readers = [start(READER, tmp_path, number, mode) for number in range(READERS)]
    writers = [start(WRITER, tmp_path, number, mode, RUNS_EACH, FLUSHES) for number in range(WRITERS)]
    try:
        for writer in writers:
            _, errors = writer.communicate(timeout=240)
            assert writer.returncode == 0, errors
    finally:
        (tmp_path / "stop").touch()
    for reader in readers:
        looks, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        assert int(looks) > 0
    with Store.open(
        f"sqlite:///{tmp_path}/runs.db", f"file://{tmp_path}/artifacts", wal=mode == "wal"
    ) as store:
        rows = store.runs(RunQuery(limit=100)).rows
        assert len(rows) == WRITERS * RUNS_EACH * 2 // 3
        for row in rows:
            assert row.run.status is Status.finished
            record = store.record(row.run.id)
            assert len(record.points("s", "n")) == 100 * FLUSHES
            assert [store.artifacts.read(item.hash) for item in record.pictures()] == [
                b"picture %d" % (FLUSHES - 1)
            ]
        assert (
            store.database.read(
                lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            )
            == "ok"
        )
        kept = store.database.read(
            lambda connection: connection.exec_driver_sql("SELECT count(*) FROM artifact").scalar()
        )
    assert kept == 1, "all runs end with one and the same picture; replaced ones have no row"
