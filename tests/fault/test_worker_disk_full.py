"""The disk fills up under a worker: that run fails with a sentence, also when not even its end could be written at
first; the database stays sound and the next run works."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import Status
from workbench import doctor
from workbench.catalog import Catalog
from workbench.runs import Workbench
from workbench.settings import Settings

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small tmpfs needs root"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_a_full_disk_fails_that_run_alone(small_disk: Path, fixture_catalog: Catalog) -> None:
    settings = Settings.at(small_disk, device="cpu", slots=1, grace_s=2.0)
    with Workbench.open(settings, fixture_catalog) as workbench:
        run = workbench.submit("fixture", {"steps": 1_000_000, "pause_s": 0.001})
        wait_until(lambda: workbench.record(run.id).points("Ours", "error").values.size > 3)
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            free = shutil.disk_usage(small_disk).free
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, free)
        # Nothing at all can be written now, so the worker says it to its parent, who keeps trying.
        wait_until(lambda: not workbench._executor.active())  # type: ignore[union-attr]
        filler.unlink()
        ended = workbench.follow(run.id, poll_s=0.02)
        assert ended.status is Status.failed
        assert ended.error_kind == "DiskFull"
        assert "disk" in ended.error
        assert workbench.record(run.id).points("Ours", "error").values.size > 3
        assert {finding.words for finding in doctor.examine(workbench) if finding.topic == "database"} == {
            "sound, 1 runs, 0 of them queued or running"
        }
        again = workbench.follow(workbench.submit("fixture").id, poll_s=0.02)
        assert again.status is Status.finished
