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
