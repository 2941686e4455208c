"""Somebody's program on the public API: `python api_program.py ADDRESS` drives runs and prints what it saw as JSON.

A program of its own, because gradio_client leaves sockets to the end of its process."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from gradio_client import Client
from gradio_client.exceptions import AppError

WAIT_S = 120.0


def ended(client: Client, run_id: str) -> dict[str, Any]:
    """The status of a run at its end."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        status = client.predict(run_id, api_name="/run_status")
        if status["status"] not in ("queued", "running"):
            return dict(status)
        time.sleep(0.1)
    raise SystemExit(f"the run did not end: {status}")


def refused(client: Client, *arguments: Any) -> str:
    """The sentence with which a start is refused."""
    try:
        client.predict(*arguments, api_name="/start_run")
    except AppError as error:
        return str(error)
    return ""


def main(address: str) -> dict[str, Any]:
    client = Client(address, verbose=False)
    run = client.predict("fixture", {"steps": 5}, "smoke", 7, api_name="/start_run")
    seen: dict[str, Any] = {
        "engines": [engine["key"] for engine in client.predict(api_name="/engines")],
        "run": run,
        "status": ended(client, run["id"]),
        "curve": client.predict(run["id"], "Ours", "error", 100, api_name="/series"),
        "document": client.predict(run["id"], api_name="/show_run"),
        "listed": client.predict("fixture", "finished", 10, api_name="/list_runs"),
        "export": client.predict(run["id"], "zip", api_name="/export_run"),
        "invalid": refused(client, "fixture", {"steps": 0}, "smoke", 7),
        "unknown": refused(client, "nothing", {}, "smoke", 0),
    }
    long = client.predict("fixture", {"steps": 1000, "pause_s": 0.05}, "default", 0, api_name="/start_run")
    client.predict(long["id"], api_name="/cancel_run")
    seen["cancelled"] = ended(client, long["id"])
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
