"""A served workbench under everything at once for half an hour: random starts, stops, killed workers, deletions, exports, readers.

    python benchmarks/soak.py [--minutes 30] [--users 6] [--seed 0] [--engine KEY ...] [--json]

A server of its own with two workers; the runs are those of the test suite's plug-in, of which it is known how many points each
must have, and smoke presets of real engines (`--engine`, by default matrix_completion and gamp_rie). Every run is
looked at before it is deleted and at the end. Bars:

- no lost event: a finished run has exactly its points, any other an unbroken beginning that holds whatever a reader had seen;
- no stuck run: after the last start every run comes to its end, however slow the machine, and there are never two minutes in
  which none of them goes on; each ends with a status that follows from what was done to it;
- flat memory: in the last quarter of the time the server's median and the largest worker's peak are not both 15 % and 40 MB above
  those of the second quarter;
- no answer with a status of 500 or more, and no address of a deleted run that still answers.

It exits with 1 where a bar is missed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import io
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

COMMAND = [sys.executable, "-c", "import sys; from workbench.cli import main; sys.exit(main())", "serve"]
PLUGIN = Path(__file__).parents[1] / "tests" / "fixture_plugin"
FIXTURE = "fixture"
OVER = ("finished", "failed", "cancelled", "interrupted")
KEPT = 120
"""With more runs than that the oldest are deleted first, so that the home does not decide how long a soak may be."""
KILL_EVERY_S = 45.0
DRAIN_S = 120.0
SAMPLE_S = 2.0
MODES = ("plain",) * 12 + ("nan", "burst", "fail")
GROWTH, GROWTH_MB = 0.15, 40.0


@dataclass
class Kept:
    """What is known of a run from outside."""

    id: str
    engine: str
    steps: int = 0
    mode: str = "plain"
    seen: int = 0
    cancelled: bool = False
    killed: bool = False
    is_over: bool = False


@dataclass
class Ledger:
    """All runs that are still there, what was done, and what was wrong."""

    runs: dict[str, Kept] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    checked: int = 0
    points: int = 0


@dataclass
class Sample:
    """Memory in MB, open files and threads at a moment; a worker is one by its process."""

    at_s: float
    server_mb: float
    files: int
    threads: int
    workers: dict[int, float]


class Served:
    """The server's process and those below it."""

    def __init__(self, home: Path) -> None:
        path = os.pathsep.join(filter(None, (str(PLUGIN), os.environ.get("PYTHONPATH", ""))))
        variables = {"WORKBENCH_HOME": str(home), "WORKBENCH_SLOTS": "2", "WORKBENCH_DEVICE": "cpu"}
        variables |= {"PYTHONPATH": path, "WORKBENCH_GRACE_S": "3"}
        self.errors = home.with_name("errors.txt")
        with self.errors.open("w") as errors:
            environment = {**os.environ, **variables}
            self.process = subprocess.Popen(
                COMMAND, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self.process.stdout is not None
        lines = (re.search(r"https?://[\w.:]+", line) for line in self.process.stdout)
        found = next((match[0] for match in lines if match), "")
        if not found:
            raise SystemExit("The server did not start.")
        self.url, self.seen = found, psutil.Process(self.process.pid)

    def workers(self) -> list[psutil.Process]:
        """The worker processes: children that are no helpers of multiprocessing."""
        found = []
        for child in self.seen.children():
            with contextlib.suppress(psutil.Error):
                if "worker" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def sample(self, at_s: float) -> Sample:
        """What the processes hold now."""
        workers = {}
        for worker in self.workers():
            with contextlib.suppress(psutil.Error):
                workers[worker.pid] = worker.memory_info().rss / 2**20
        return Sample(
            at_s, self.seen.memory_info().rss / 2**20, self.seen.num_fds(), self.seen.num_threads(), workers
        )

    def said(self) -> str:
        """What the server wrote to its standard error."""
        return self.errors.read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


class Soak:
    """Users of one server, and the ledger that they keep together."""

    def __init__(self, server: Served, engines: list[str], chance: random.Random) -> None:
        self.server, self.engines, self.chance = server, engines, chance
        self.ledger = Ledger()
        # No connection is kept for a second request: the server may be closing it just then.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.http = httpx.AsyncClient(
            base_url=server.url, timeout=60, limits=limits, headers={"x-workbench": "1"}
        )
        self.samples: list[Sample] = []
        self.drained_s = 0.0
        self._last_kill = time.monotonic()

    # What users do ---------------------------------------------------------------------------------------------------

    async def user(self, until: float) -> None:
        """One thing after another until the time is up."""
        deeds = (
            [self.start] * 8
            + [self.look] * 6
            + [self.stop] * 2
            + [self.export] * 2
            + [self.delete] * 3
            + [self.kill]
        )
        while time.monotonic() < until:
            deed = self.delete if len(self.ledger.runs) > KEPT else self.chance.choice(deeds)
            try:
                await deed()
            except (httpx.HTTPError, KeyError, ValueError, TypeError) as error:
                self.fault(f"{deed.__name__}: {type(error).__name__}: {error}"[:300])
            await asyncio.sleep(self.chance.uniform(0.05, 0.6))

    async def start(self) -> None:
        """A run; while many wait, none."""
        if sum(not kept.is_over for kept in self.ledger.runs.values()) > 12:
            return
        steps = self.chance.choice((3, 40, 200, 1000))
        mode = self.chance.choice(MODES)
        is_fixture = self.chance.random() < 0.85 or not self.engines
        values = {"steps": steps, "pause_s": self.chance.choice((0.0, 0.002, 0.02)), "mode": mode}
        engine = FIXTURE if is_fixture else self.chance.choice(self.engines)
        given = values if is_fixture else {}
        answer = await self.call("start_run", engine, given, "smoke", self.chance.randrange(1000))
        if not isinstance(answer, dict):
            self.fault(f"start refused: {answer}")
            return
        self.ledger.runs[answer["id"]] = Kept(answer["id"], engine, steps if is_fixture else 0, mode)
        self.ledger.done["started"] += 1

    async def look(self) -> None:
        """What a page asks: the list, a run that goes on, Home, a run's own answer."""
        await self.get("/wb/library/runs", params={"page": "0", "text": self.chance.choice(("", "fix", "7"))})
        if kept := self.some(over=False):
            body = [{"engine": kept.engine, "run": kept.id, "since": 0}]
            await self.checked(await self.http.post("/wb/follow", json=body))
            await self.read(kept)
        self.ledger.done["looked"] += 1

    async def stop(self) -> None:
        """Stop a run that waits or goes on."""
        if kept := self.some(over=False):
            kept.cancelled = True
            await self.call("cancel_run", kept.id)
            self.ledger.done["stopped"] += 1

    async def kill(self) -> None:
        """Kill a worker outright, with whatever it does."""
        workers = self.server.workers()
        if not workers or time.monotonic() - self._last_kill < KILL_EVERY_S:
            return
        self._last_kill = time.monotonic()
        victim = self.chance.choice(workers)
        with contextlib.suppress(psutil.Error):
            victim.send_signal(signal.SIGKILL)
            self.ledger.done["killed"] += 1
        # What it was doing is found out by its end; anything that goes on now may be it.
        for kept in self.ledger.runs.values():
            kept.killed = kept.killed or not kept.is_over

    async def export(self) -> None:
        """Take a run away in some form, and look into what came."""
        kept = self.some(over=True)
        if kept is None:
            return
        ending = self.chance.choice(("zip", "json", "csv", "parquet", "html"))
        reply = await self.get(f"/wb/export/{kept.id}.{ending}")
        if reply.status_code in (404, 422) and kept.id not in self.ledger.runs:
            return  # somebody deleted it meanwhile
        if reply.status_code != 200:
            self.fault(f"export of {kept.id} as {ending}: {reply.status_code} {reply.text[:200]}")
            return
        if ending == "zip":
            with zipfile.ZipFile(io.BytesIO(reply.content)) as bundle:
                if bundle.testzip() or "record.json" not in bundle.namelist():
                    self.fault(f"the bundle of {kept.id} is damaged")
        elif ending == "json":
            json.loads(reply.text)
        elif not reply.content:
            self.fault(f"the {ending} of {kept.id} is empty")
        self.ledger.done[f"exported {ending}"] += 1

    async def delete(self) -> None:
        """Check a run that is over, delete it, and ask for it again."""
        kept = self.some(over=True)
        if kept is None:
            return
        self.ledger.runs.pop(kept.id)
        await self.check(kept)
        reply = await self.checked(await self.http.post("/wb/library/delete", json={"ids": [kept.id]}))
        if kept.id not in reply.json().get("deleted", []):
            self.fault(f"{kept.id} could not be deleted: {reply.text[:200]}")
            return
        self.ledger.deleted.append(kept.id)
        self.ledger.done["deleted"] += 1
        if (await self.get(f"/wb/run/{kept.id}.json")).status_code != 404:
            self.fault(f"{kept.id} is there after it was deleted")

    # What is checked -------------------------------------------------------------------------------------------------

    async def read(self, kept: Kept) -> dict[str, Any] | None:
        """The run's document; remembers what was seen of it."""
        seen = kept.seen  # other users ask meanwhile, and may be told of more before this answer is here
        reply = await self.get(f"/wb/run/{kept.id}.json")
        if reply.status_code == 404:
            if kept.id in self.ledger.runs:
                self.fault(f"{kept.id} is not there")
            return None
        document = reply.json()
        if (status := document["run"]["status"]) in OVER and not kept.is_over:
            kept.is_over = True
            self.ledger.endings[status] += 1
        curve = document["series"].get("Ours/error")
        if kept.engine == FIXTURE and curve:
            if curve["count"] < seen:
                self.fault(f"{kept.id} had {seen} points and has {curve['count']}")
            kept.seen = max(kept.seen, curve["count"])
        return dict(document)

    async def check(self, kept: Kept) -> None:
        """Whether a run that is over is whole."""
        document = await self.read(kept)
        if document is None:
            return
        status = document["run"]["status"]
        self.ledger.checked += 1
        allowed = {"failed"} if kept.mode == "fail" and kept.engine == FIXTURE else {"finished"}
        allowed |= {"cancelled"} if kept.cancelled else set()
        allowed |= {"interrupted"} if kept.killed else set()
        if status not in allowed:
            told = document["run"].get("error", "")
            self.fault(
                f"{kept.id} ({kept.engine}, {kept.mode}) is {status}, not {' or '.join(sorted(allowed))}: {told}"
            )
        if kept.engine != FIXTURE:
            return
        text = (await self.get(f"/wb/run/{kept.id}.csv", params={"series": "Ours", "name": "error"})).text
        steps = [float(row["step"]) for row in csv.DictReader(io.StringIO(text))] if kept.seen else []
        self.ledger.points += len(steps)
        if steps != [float(step) for step in range(len(steps))]:
            self.fault(f"{kept.id} has gaps: {len(steps)} points, the last at {steps[-1]:g}")
        if len(steps) < kept.seen:
            self.fault(f"{kept.id} had {kept.seen} points and has {len(steps)}")
        if status == "finished" and len(steps) != kept.steps:
            self.fault(f"{kept.id} is finished with {len(steps)} of {kept.steps} points")

    async def drain(self) -> None:
        """Wait for all runs, then check each."""
        begun = moved = time.monotonic()
        before: list[Any] = []
        waiting = [kept for kept in self.ledger.runs.values() if not kept.is_over]
        while waiting and time.monotonic() < moved + DRAIN_S:
            now = [await self.where(kept) for kept in waiting]
            if now != before:
                before, moved = now, time.monotonic()
            waiting = [kept for kept in waiting if not kept.is_over]
            await asyncio.sleep(0.5)
        self.drained_s = round(time.monotonic() - begun, 1)
        for kept in waiting:
            self.fault(f"{kept.id} is stuck: {await self.where(kept)}")
        for kept in list(self.ledger.runs.values()):
            if kept.is_over:
                await self.check(kept)

    async def where(self, kept: Kept) -> Any:
        """How far a run is: changes while it goes on."""
        document = await self.read(kept)
        run = document["run"] if document else {}
        return kept.id, run.get("status"), run.get("progress"), kept.seen

    # Around ----------------------------------------------------------------------------------------------------------

    async def watch(self, started: float, until: float) -> None:
        """Sample the processes, and find out which runs are over."""
        while time.monotonic() < until:
            self.samples.append(self.server.sample(time.monotonic() - started))
            for kept in [kept for kept in self.ledger.runs.values() if not kept.is_over]:
                with contextlib.suppress(httpx.HTTPError):
                    await self.read(kept)
            await asyncio.sleep(SAMPLE_S)

    def some(self, *, over: bool) -> Kept | None:
        found = [kept for kept in self.ledger.runs.values() if kept.is_over is over]
        if over and len(found) > KEPT // 2:
            found = found[: KEPT // 2]
        return self.chance.choice(found) if found else None

    async def call(self, name: str, *data: Any) -> Any:
        """A public endpoint; its answer, or the refusal's sentence."""
        begun = await self.checked(
            await self.http.post(f"/gradio_api/call/{name}", json={"data": list(data)})
        )
        if begun.status_code != 200:
            return begun.json().get("detail")
        text = (await self.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}")).text
        answer = json.loads(text.strip().rpartition("data: ")[2])
        return answer[0] if isinstance(answer, list) else (answer or {}).get("error")

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.checked(await self.http.get(path, **options))

    async def checked(self, reply: httpx.Response) -> httpx.Response:
        if reply.status_code >= 500:
            self.fault(f"{reply.request.url.path}: status {reply.status_code}")
        return reply

    def fault(self, words: str) -> None:
        self.ledger.faults.append(words)
        print(f"FAULT {words}", file=sys.stderr, flush=True)


async def soak(server: Served, engines: list[str], minutes: float, users: int, seed: int) -> dict[str, Any]:
    """The whole of it; answers the figures."""
    done = Soak(server, engines, random.Random(seed))
    started = time.monotonic()
    until = started + 60 * minutes
    async with done.http:
        await asyncio.gather(done.watch(started, until), *(done.user(until) for _ in range(users)))
        await done.drain()
    ledger = done.ledger
    return {
        "machine": {"cores": os.cpu_count(), "load_average": [round(one, 2) for one in os.getloadavg()]},
        "minutes": minutes,
        "users": users,
        "seed": seed,
        "done": dict(sorted(ledger.done.items())),
        "endings": dict(ledger.endings),
        "last_run_over_after_s": done.drained_s,
        "runs_checked": ledger.checked,
        "points_checked": ledger.points,
        "memory": memory(done.samples, 60 * minutes),
        "faults": ledger.faults,
    }


def memory(samples: list[Sample], seconds: float) -> dict[str, Any]:
    """By quarters of the time: medians, and for workers the peak, since one that was killed comes back small."""
    quarters = [[one for one in samples if place <= 4 * one.at_s / seconds < place + 1] for place in range(4)]

    def medians(values: list[list[float]]) -> list[float]:
        return [round(statistics.median(found), 1) if found else float("nan") for found in values]

    return {
        "server_mb": medians([[one.server_mb for one in quarter] for quarter in quarters]),
        "largest_worker_mb": [
            round(max((size for one in quarter for size in one.workers.values()), default=0.0), 1)
            for quarter in quarters
        ],
        "open_files": medians([[float(one.files) for one in quarter] for quarter in quarters]),
        "threads": medians([[float(one.threads) for one in quarter] for quarter in quarters]),
    }


def missed(found: dict[str, Any], said: str) -> list[str]:
    """The bars that were not held."""
    lines = [f"{len(found['faults'])} faults, the first: {found['faults'][0]}"] if found["faults"] else []
    for name in ("server_mb", "largest_worker_mb"):
        _, early, _, late = found["memory"][name]
        if late > early * (1 + GROWTH) and late > early + GROWTH_MB:
            lines.append(f"{name} grew from {early} to {late}")
    if "Traceback" in said:
        lines.append(f"the server wrote a traceback: {said[said.index('Traceback') :][:2000]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak a served workbench in random work.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--users", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", action="append", help="a real engine beside the plug-in; may be repeated")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engines = options.engine or ["matrix_completion", "gamp_rie"]
    with tempfile.TemporaryDirectory(prefix="workbench-soak-") as room:
        home = Path(room) / "home"
        server = Served(home)
        try:
            found = asyncio.run(soak(server, engines, options.minutes, options.users, options.seed))
            found["home_mb"] = round(
                sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 2**20, 1
            )
        finally:
            server.stop()
        lines = missed(found, server.said())
    if options.json:
        found["missed"] = lines
    print(json.dumps(found, indent=2))
    if not options.json:
        print("\n".join(f"MISSED {line}" for line in lines) or "All bars are held.")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
