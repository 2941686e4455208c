"""The command as a real process: what it imports, how it answers signals and closed pipes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage import Status, Store
from workbench.settings import Settings

WORKBENCH = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "import sys; from workbench.cli import main; sys.exit(main())",
]
HEAVY = (
    "torch",
    "gradio",
    "plotly",
    "scipy",
    "sklearn",
    "skimage",
    "numba",
    "transformers",
    "diffusers",
    "sqlalchemy",
)


@pytest.mark.parametrize(
    "words", [["--help"], ["engines"], ["engines", "--json"], ["run", "--help"], ["--version"]]
)
def test_quick_answers_import_nothing_heavy(words: list[str], home: Path, plugin: Path) -> None:
    code = (
        "import sys\nfrom workbench.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert done.stdout


def test_importing_the_package_is_light() -> None:
    code = (
        f"import sys, workbench; print([name for name in {HEAVY!r} if name in sys.modules], len(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("[] ")


def _start(home: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*WORKBENCH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_points(home: Path) -> None:
    settings = Settings.at(home)
    deadline = time.monotonic() + 60
    with Store.open(settings.database_url, settings.artifacts_url) as store:
        while time.monotonic() < deadline:
            if any(store.record(row.run.id).series() for row in store.runs().rows):
                return
            time.sleep(0.05)
    raise AssertionError("the run never started")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_and_keeps_it(home: Path, plugin: Path, number: signal.Signals) -> None:
    home.mkdir()
    with _start(
        home, "run", "fixture", "--set", "steps=100000", "--set", "pause_s=0.01", "--json"
    ) as process:
        _wait_for_points(home)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["run"]["status"] == "cancelled"
    assert document["series"]["Ours/error"]["count"] >= 1
    assert err.splitlines()[-1] == "workbench: Stopped from the keyboard."
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_second_signal_stops_at_once(home: Path, plugin: Path) -> None:
    home.mkdir()
    with _start(home, "run", "fixture", "--set", "mode=stuck") as process:
        _wait_for_points(home)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        err
        == "Stopping after this step; press Ctrl+C again to stop at once.\nworkbench: Stopped from the keyboard.\n"
    )
    settings = Settings.at(home)
    with Store.open(settings.database_url, settings.artifacts_url) as store:
        assert [row.run.status for row in store.runs().rows] == [Status.cancelled]


def test_a_reader_that_goes_away_is_no_error(home: Path, plugin: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*WORKBENCH, "engines", "--json"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
