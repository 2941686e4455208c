"""A built Space in a process, as the Hub starts it, and programs that call it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).parents[1]


@contextmanager
def running(
    folder: Path,
    *,
    zero: bool = False,
    python: str = sys.executable,
    path: str | None = None,
    **variables: str,
) -> Iterator[str]:
    """The Space's app.py in a process as the Hub starts it; answers its address. `path` is the PYTHONPATH, without one
    that of the fixture engine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ
    }
    paths = [str(TESTS / "fixture_plugin"), *([str(TESTS / "fixture_spaces")] if zero else [])]
    environment = {
        **kept, "PYTHONPATH": os.pathsep.join(paths) if path is None else path, "SYSTEM": "spaces", "SPACE_ID": "someone/papers",
        "SPACE_HOST": "someone-papers.hf.space", "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port),
        "WORKBENCH_HOME": str(folder.parent / "space-home"), "WORKBENCH_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", **variables,
    }  # fmt: skip
    process = subprocess.Popen(
        [python, "app.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if "http" in line), "")
        found = re.search(r"https?://[\w.:]+", line)
        assert found, f"the Space ended with code {process.wait()} before it served"
        yield found.group()
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def called(client: httpx.Client, name: str, *data: Any) -> Any:
    begun = client.post(f"/gradio_api/call/{name}", json={"data": list(data)}).json()
    text = client.get(f"/gradio_api/call/{name}/{begun['event_id']}").text
    return json.loads(text.strip().rpartition("data: ")[2])[0]
