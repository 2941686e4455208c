"""A workbench elsewhere, from Python: `workbench.connect(url)`.

    remote = workbench.connect("http://127.0.0.1:7860")
    run = remote.start("matrix_completion", {"rank": 4}, preset="smoke", seed=3)
    run.follow()
    points = run.series("Robust AM", "error")
    points.steps, points.values          # float64 arrays, every point, exact

It speaks to the public endpoints of the page (docs/api.md) and to the addresses of each run; nothing of it is private."""

from __future__ import annotations

import csv
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workbench.errors import Refused, RunFailed, Unreachable

OVER = frozenset({"finished", "failed", "cancelled", "interrupted"})
POLL_S, LONGEST_POLL_S = 0.2, 2.0
TIMEOUT_S = 60.0
PATIENCE_S = 60.0
"""So long is a question asked again that got lost on the way, as when the workbench starts anew."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
READING = frozenset({"engines", "list_runs", "run_status", "series", "show_run", "export_run", "cancel_run"})
"""Endpoints that may be asked twice: those that change nothing, and cancel_run, which a second time changes nothing."""
STOPPED = "Server stopped unexpectedly."
"""What Gradio answers as it ends."""
AWAY = frozenset({502, 503, 504})
"""What a proxy answers while there is nobody behind it."""


@dataclass(frozen=True, eq=False)
class RemotePoints:
    """A curve: three float64 arrays of one length. `times` are seconds since the start of the run."""

    steps: NDArray[np.float64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


class Remote:
    """A workbench at an address. Close it, or use it as a context."""

    def __init__(self, url: str, *, visitor: str = "", timeout_s: float = TIMEOUT_S) -> None:
        import httpx

        # On a demo a program without a cookie shares its room with all others; this one has its own.
        self.visitor = visitor or secrets.token_hex(16)
        self._has_answered, self._timeout_s = False, timeout_s
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/", timeout=timeout_s, cookies={"wb-visitor": self.visitor}, follow_redirects=True
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def engines(self) -> list[dict[str, Any]]:
        """What can be run there: key, family, presets, params (JSON schema)."""
        return list(self.call("engines"))

    def start(
        self, engine: str, values: Mapping[str, Any] | None = None, *, preset: str = "default", seed: int = 0
    ) -> RemoteRun:
        """Start a run. It is asked for once: after a lost answer `runs` tells whether it began. Raises Refused with the
        workbench's own sentence, Unreachable."""
        return RemoteRun(self, self.call("start_run", engine, dict(values or {}), preset, seed)["id"])

    def start_sweep(
        self,
        engine: str,
        over: Mapping[str, Sequence[Any] | str],
        values: Mapping[str, Any] | None = None,
        *,
        preset: str = "default",
        seeds: int = 1,
        seed: int = 0,
    ) -> RemoteSweep:
        """Start a sweep over one to three parameters: `{"rank": [2, 5, 10]}` or `{"rank": "5:50:5"}`. Asked for once, as
        `start` is. Raises Refused, Unreachable."""
        axes = {name: axis if isinstance(axis, str) else list(axis) for name, axis in over.items()}
        made = self.call("start_sweep", engine, axes, dict(values or {}), preset, seeds, seed)
        return RemoteSweep(self, made["sweep"]["id"])

    def sweep(self, sweep_id: str) -> RemoteSweep:
        """A sweep that exists. Raises Refused where there is none."""
        found = RemoteSweep(self, sweep_id)
        found.document()
        return found

    def run(self, run_id: str) -> RemoteRun:
        """A run that exists. Raises Refused where there is none."""
        self.call("run_status", run_id)
        return RemoteRun(self, run_id)

    def runs(self, engine: str = "", status: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """Rows of the list, newest first."""
        return list(self.call("list_runs", engine, status, limit))

    def upload(self, source: Path | str | bytes, name: str = "") -> str:
        """Send a file; answers the value of an upload field."""
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        shown = name or ("file" if isinstance(source, bytes) else Path(source).name)
        reply = self._request(
            "POST", "wb/upload", params={"name": shown}, content=data, headers={"X-Workbench": "1"}
        )
        return str(reply.json()["ref"])

    def call(self, name: str, *data: Any) -> Any:
        """One public endpoint by its name. Raises Refused, Unreachable."""
        if name in READING:
            return self._patiently(lambda: self._call(name, data))
        return self._call(name, data)

    def fetch(self, path: str, **params: str) -> bytes:
        """The bytes at an address below the workbench's own."""
        return bytes(self._patiently(lambda: self._request("GET", path, params=params)).content)

    def _call(self, name: str, data: Sequence[Any]) -> Any:
        event = self._request("POST", f"gradio_api/call/{name}", json={"data": list(data)}).json()["event_id"]
        kind, answer = "", None
        for line in self._lines(f"gradio_api/call/{name}/{event}"):
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind in ("complete", "error"):
                answer = json.loads(line[6:])
        if kind == "complete" and isinstance(answer, list):
            return answer[0]
        said = answer.get("error") if isinstance(answer, dict) else answer
        if kind != "error" or said == STOPPED:
            raise Unreachable(f"The workbench at {self._http.base_url} ended before it answered.")
        raise Refused(str(said or f"The workbench could not carry out {name}."))

    def _lines(self, path: str) -> Iterator[str]:
        """The lines of an event stream, as long as it takes but for those that hold nothing but signs of life."""
        import httpx

        give_up_at = time.monotonic() + self._timeout_s
        try:
            with self._http.stream("GET", path) as reply:
                self._check(reply)
                for line in reply.iter_lines():
                    yield line
                    if time.monotonic() > give_up_at:
                        raise Unreachable(
                            f"The workbench at {self._http.base_url} gave no answer within {self._timeout_s:g} s."
                        )
        except httpx.HTTPError as error:
            raise Unreachable(f"The workbench at {self._http.base_url} does not answer: {error}.") from error

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What `ask` answers, asked again for a minute where a workbench that has answered before does not."""
        give_up_at, pause_s = float("inf"), FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except Unreachable:
                give_up_at = min(give_up_at, time.monotonic() + PATIENCE_S)
                if not self._has_answered or time.monotonic() + pause_s > give_up_at:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _request(self, method: str, path: str, **options: Any) -> Any:
        import httpx

        try:
            reply = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(f"The workbench at {self._http.base_url} does not answer: {error}.") from error
        self._check(reply)
        return reply

    def _check(self, reply: Any) -> None:
        """Raises Refused with the workbench's own sentence, Unreachable where a proxy answers in its place."""
        if reply.status_code in AWAY:
            raise Unreachable(
                f"The workbench at {self._http.base_url} does not answer: status {reply.status_code}."
            )
        self._has_answered = True
        if reply.status_code >= 400:
            try:
                body = json.loads(reply.read())
                said = body.get("error") or body.get("detail")
            except (ValueError, AttributeError):
                said = None
            raise Refused(str(said or f"The workbench answered with status {reply.status_code}."))


class RemoteRun:
    """One run there."""

    def __init__(self, remote: Remote, run_id: str) -> None:
        self.remote, self.id = remote, run_id

    def status(self) -> dict[str, Any]:
        """id, engine, status, progress, version, error, queue."""
        return dict(self.remote.call("run_status", self.id))

    def follow(
        self,
        on_change: Callable[[dict[str, Any]], None] | None = None,
        *,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> dict[str, Any]:
        """Wait for the end; `on_change` sees the status whenever something new was recorded. A workbench that starts anew
        meanwhile is waited for, up to a minute.

        Raises RunFailed where the run failed or was interrupted (not with `check=False`), TimeoutError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen, pause_s = -1, POLL_S
        while True:
            status = self.status()
            if status["version"] != seen:
                seen, pause_s = status["version"], POLL_S
                if on_change is not None:
                    on_change(status)
            if status["status"] in OVER:
                if check and status["status"] in ("failed", "interrupted"):
                    raise RunFailed(status["error"] or f"Run {self.id} is {status['status']}.")
                return status
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Run {self.id} is still {status['status']}.")
            time.sleep(pause_s)
            pause_s = min(1.3 * pause_s, LONGEST_POLL_S)

    def cancel(self) -> dict[str, Any]:
        """Ask it to stop; it keeps what it recorded."""
        return dict(self.remote.call("cancel_run", self.id))

    def document(self) -> dict[str, Any]:
        """Row, summaries of the curves, claims, artifacts, tables, alerts."""
        return dict(json.loads(self.remote.fetch(f"wb/run/{self.id}.json")))

    def series(self, series: str, name: str) -> RemotePoints:
        """Every point of one curve, bit for bit. Raises Refused where there is no such curve."""
        text = self.remote.fetch(f"wb/run/{self.id}.csv", series=series, name=name).decode()
        rows = list(csv.DictReader(text.splitlines()))
        columns = [
            np.array([float(row[key]) for row in rows], dtype=np.float64)
            for key in ("step", "time_s", "value")
        ]
        return RemotePoints(*columns)

    def download(self, path: Path | str, format: str = "zip") -> Path:
        """The export of the run: zip (a bundle), json, csv, parquet or html (a report to read)."""
        target = Path(path)
        address = self.remote.call("export_run", self.id, format)["url"]
        target.write_bytes(self.remote.fetch(address))
        return target

    def artifact(self, content_hash: str) -> bytes:
        """The bytes of one of its pictures or files, by the hash in `document()`."""
        return self.remote.fetch(f"wb/artifact/{content_hash}")


class RemoteSweep:
    """One sweep there. Its cells are runs: `remote.run(cell["run"])`."""

    def __init__(self, remote: Remote, sweep_id: str) -> None:
        self.remote, self.id = remote, sweep_id

    def document(self) -> dict[str, Any]:
        """The plan and where it stands (`sweep`), the `cells`, and the headline over seeds (`summary`)."""
        return dict(json.loads(self.remote.fetch(f"wb/sweep/{self.id}.json")))

    def follow(
        self, on_change: Callable[[dict[str, Any]], None] | None = None, *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Wait until no cell waits or runs; answers the document. `on_change` sees it whenever a cell has another status.
        Raises TimeoutError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen, pause_s = None, POLL_S
        while True:
            document = self.document()
            if document["sweep"]["counts"] != seen:
                seen, pause_s = document["sweep"]["counts"], POLL_S
                if on_change is not None:
                    on_change(document)
            if document["sweep"]["over"]:
                return document
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Sweep {self.id} still has cells that wait or run.")
            time.sleep(pause_s)
            pause_s = min(1.3 * pause_s, LONGEST_POLL_S)

    def cancel(self) -> None:
        """Stop the cells that wait or run; they keep what they recorded."""
        self.remote.call("cancel_run", self.id)

    def download(self, path: Path | str, format: str = "zip") -> Path:
        """The export of the sweep with its cells: zip (a bundle), json, csv, parquet or html."""
        return RemoteRun(self.remote, self.id).download(path, format)


def connect(url: str, *, visitor: str = "", timeout_s: float = TIMEOUT_S) -> Remote:
    """The workbench at `url`, also below a path of a proxy.

    Args:
        visitor: on a demo, 32 hexadecimal digits that say who you are (your own are made anew each time).
    """
    return Remote(url, visitor=visitor, timeout_s=timeout_s)
