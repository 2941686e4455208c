"""The public API, served by `workbench serve` and used by somebody's own program."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("api_program.py")
SERVE = "import sys; from workbench.cli import main; sys.exit(main(['serve', '--port', sys.argv[1]]))"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_through_gradio_client(home: Path, plugin: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        line = next(line for line in server.stdout if "http" in line)
        found = re.search(r"https?://\S+", line)
        assert found
        done = subprocess.run(
            [sys.executable, str(PROGRAM), found.group()], capture_output=True, text=True, timeout=240
        )
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert "fixture" in seen["engines"]
    assert (seen["run"]["params"]["steps"], seen["run"]["seed"]) == (5, 7)
    assert seen["status"]["status"] == "finished"
    assert seen["status"]["progress"]["done"] == 5
    assert seen["curve"]["steps"] == [0, 1, 2, 3, 4]
    assert seen["curve"]["values"][0] > seen["curve"]["values"][-1] > 0
    assert {claim["key"] for claim in seen["document"]["claims"]} == {"smaller", "undecided"}
    assert [row["id"] for row in seen["listed"]] == [seen["run"]["id"]]
    assert seen["export"]["url"] == f"wb/export/{seen['run']['id']}.zip"
    assert "steps must be a whole number" in seen["invalid"]
    assert "There is no engine 'nothing'" in seen["unknown"]
    assert seen["cancelled"]["status"] == "cancelled"
    assert str(home) not in done.stdout


SESSIONS = """
from ui import app
from workbench.catalog import Catalog
from workbench.remote import connect
from workbench.runs import Workbench
from workbench.settings import Settings

app.MAX_SESSIONS = app.MAX_CALLS = 3
with Workbench.open(Settings.from_environment(), Catalog.load()) as bench:
    blocks = app.build(bench)
    served, url, _ = app.launch(blocks, bench)
    with connect(url) as remote:
        for _ in range(8):
            remote.runs()
    queue = blocks._queue
    print(len(served.state_holder.session_data), len(queue.pending_event_ids_session), len(queue.event_analytics))
    blocks.close(verbose=False)
"""


def test_calls_of_programs_leave_no_copies_of_the_page_behind(home: Path) -> None:
    """Every call is a session of its own to Gradio, which would keep ten thousand of them: 1.1 GB, and a note of each for ever."""
    done = subprocess.run([sys.executable, "-c", SESSIONS], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    copies, notes, counted = (int(word) for word in done.stdout.split()[-3:])
    assert 0 < copies <= 4
    assert 0 < notes <= 3
    assert counted <= 1
