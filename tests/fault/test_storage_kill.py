"""A writer that is killed in mid-write leaves everything up to its last flush, and a sound database."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from storage import Status, Store

pytestmark = pytest.mark.fault

WRITER = """
import sys
from storage import Store
folder = sys.argv[1]
store = Store.open(f"sqlite:///{folder}/runs.db", f"file://{folder}/artifacts")
run = store.create_run(engine="x", params={}, seed=0)
store.claim_run(run.id, "doomed")
writer = store.writer(run.id)
step = 0
while True:
    for _ in range(777):
        writer.scalar("s", "n", step, step * 0.5, step)
        step += 1
    writer.picture("now", step, b"%d" % step * 1000, 1, 1, keep=False)
    writer.array("big", step, __import__("numpy").arange(20000.0) + step, [("i", range(20000))], keep=False)
    writer.flush()
    print(run.id, step, flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.13, 0.31])
def test_kill_in_mid_write(tmp_path: Path, delay_s: float) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            line = writer.stdout.readline()
        time.sleep(delay_s)  # lands in another phase of a flush each time
        writer.send_signal(signal.SIGKILL)
        lines = [line, *writer.stdout.read().splitlines()]
    run_id = lines[0].split()[0]
    flushed = max(int(line.split()[1]) for line in lines if len(line.split()) == 2)

    with Store.open(f"sqlite:///{tmp_path}/runs.db", f"file://{tmp_path}/artifacts") as store:
        assert (
            store.database.read(
                lambda connection: connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            )
            == "ok"
        )
        record = store.record(run_id)
        points = record.points("s", "n")
        assert len(points) >= flushed
        assert len(points) % 777 == 0
        np.testing.assert_array_equal(points.values, np.arange(len(points)) * 0.5)
        assert [(info.count, info.last_step) for info in record.series()] == [(len(points), len(points) - 1)]
        [picture], [array] = record.pictures(), record.arrays()
        assert picture.step == array.step == len(points)
        assert store.artifacts.read(picture.hash) == b"%d" % len(points) * 1000
        np.testing.assert_array_equal(record.array(array), np.arange(20000.0) + len(points))

        assert record.run.status is Status.running
        assert store.mark_interrupted(0.0, "The worker was killed.") == [run_id]
        assert record.refresh().error == "The worker was killed."
        with store.writer(run_id) as writer:  # and it could even go on
            writer.scalar("s", "n", len(points), 0, 0)
        assert len(record.points("s", "n")) == len(points) + 1
        store.delete_run(run_id)
