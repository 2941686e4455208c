"""How a served workbench holds up: 20 viewers that follow one live run and 20 that browse the library, at once.

    python benchmarks/load.py [--viewers 20] [--browsers 20] [--engine matrix_completion] [--rounds 4] [--demo] [--json]

A server of its own (one worker, a home with 300 earlier runs) is started; the run is executed alone and with everybody looking in
turns, and each time that it was watched is set against the runs alone just before and after it, so that what the readers cost
it is not mistaken for what else the machine did; the processor time of the server and of the
readers themselves (who share the machine here) is told beside. Viewers ask what the page's timer asks,
at the page's pace, each with the version that it has; browsers open lists, searches, Home, runs and comparisons with a pause between.
Then 200 starts arrive at once. Bars: median answer under 150 ms, no error, the run slowed by less than 10 %, each start queued or
refused in words. It exits with 1 where a bar is missed.

With --demo the server is one for strangers: every page and every start is a guest of its own, told apart by a cookie as browsers
are, the earlier runs are published, and the guard and the limits are at work. The bars are the same."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from storage import Status
from workbench.catalog import Catalog
from workbench.runs import Workbench
from workbench.settings import Settings

TICK_S = 0.7
"""The pace at which a page asks (TICK_MS of ui/static/js/core.js)."""
COMMAND = [sys.executable, "-c", "import sys; from workbench.cli import main; sys.exit(main())", "serve"]
EARLIER_RUNS = 300
POINTS = 400
MEDIAN_MS, SLOWED = 150.0, 0.10
OVER = ("finished", "failed", "cancelled", "interrupted")


class Tally:
    """What was asked, how long it took, and what went wrong."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.faults: Counter[str] = Counter()

    async def timed(self, what: str, asked: Awaitable[httpx.Response]) -> httpx.Response | None:
        """Await one answer and note it."""
        started = time.perf_counter()
        try:
            reply = await asked
        except httpx.HTTPError as error:
            self.faults[f"{what}: {type(error).__name__}"] += 1
            return None
        self.seconds.setdefault(what, []).append(time.perf_counter() - started)
        if reply.status_code >= 400:
            self.faults[f"{what}: status {reply.status_code}"] += 1
        return reply

    def figures(self) -> dict[str, Any]:
        """Median and 95 % of all answers and by kind, in milliseconds."""
        every = [second for seconds in self.seconds.values() for second in seconds]
        return {
            "answers": len(every),
            "median_ms": _ms(every, 0.5),
            "p95_ms": _ms(every, 0.95),
            "by_kind": {
                name: {"answers": len(seconds), "median_ms": _ms(seconds, 0.5), "p95_ms": _ms(seconds, 0.95)}
                for name, seconds in sorted(self.seconds.items())
            },
            "faults": dict(self.faults),
        }


def _ms(seconds: list[float], share: float) -> float:
    if not seconds:
        return float("nan")
    return round(1000 * sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))], 1)


def somebody(demo: bool) -> dict[str, str]:
    """The headers of a page: on a demo the cookie of a guest that nobody has seen before."""
    return {"cookie": f"wb-visitor={secrets.token_hex(16)}"} if demo else {}


def fill(home: Path, engine: str, tags: Sequence[str] = ()) -> list[str]:
    """Earlier runs, as a workbench in use has them: two contenders, three curves each."""
    made = []
    with Workbench.open(Settings.at(home), Catalog.load()) as bench:
        headline = bench.catalog.engine(engine).headline
        params = bench.validate(engine, {}, "smoke").model_dump(mode="json")
        for number in range(EARLIER_RUNS):
            run = bench.store.create_run(
                engine=engine, params=params, seed=number, preset="smoke", headline=headline, tags=tags
            )
            bench.store.claim_run(run.id, "load/1")
            with bench.store.writer(run.id) as writer:
                for series in (headline[0], "Baseline"):
                    for name in (headline[1], "loss", "time/step"):
                        for step in range(POINTS):
                            writer.scalar(series, name, step, 1.0 / (1 + step + number % 7), 0.01 * step)
            bench.store.finish_run(run.id, Status.finished)
            made.append(run.id)
    return made


class Served:
    """The server's process."""

    def __init__(self, home: Path, *, demo: bool) -> None:
        environment = {
            **os.environ,
            "WORKBENCH_HOME": str(home),
            "WORKBENCH_SLOTS": "1",
            "WORKBENCH_DEVICE": "cpu",
        }
        words = [*COMMAND, *(["--demo"] if demo else [])]
        self.process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = next(
            (found[0] for line in self.process.stdout if (found := re.search(r"https?://[\w.:]+", line))), ""
        )
        if not found:
            raise SystemExit("The server did not start.")
        self.url = found

    def cpu_s(self) -> float:
        """Processor time of the server's own process, without its workers."""
        spent = psutil.Process(self.process.pid).cpu_times()
        return float(spent.user + spent.system)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


async def call(http: httpx.AsyncClient, name: str, *data: Any) -> Any:
    """A public endpoint; its answer, or the refusal's sentence."""
    begun = await http.post(f"/gradio_api/call/{name}", json={"data": list(data)})
    if begun.status_code != 200:
        return begun.json().get("detail")
    text = (await http.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}")).text
    answer = json.loads(text.strip().rpartition("data: ")[2])
    return answer[0] if isinstance(answer, list) else answer.get("error")


async def execute(http: httpx.AsyncClient, engine: str, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """One run to its end, asked about once a second."""
    run = await call(http, "start_run", engine, values, "default", seed)
    while True:
        status = await call(http, "run_status", run["id"])
        if status["status"] in OVER:
            return dict(status)
        await asyncio.sleep(1.0)


async def view(
    http: httpx.AsyncClient,
    engine: str,
    newest: Callable[[], str],
    over: asyncio.Event,
    tally: Tally,
    who: dict[str, str],
) -> None:
    """A page that follows the newest run: what its timer asks, at its pace, with the version that it has."""
    await asyncio.sleep(random.uniform(0, TICK_S))
    since, run = 0, ""
    while not over.is_set():
        if newest() != run:
            since, run = 0, newest()
        if run:
            body = [{"engine": engine, "run": run, "since": since}]
            reply = await tally.timed("follow", http.post("/wb/follow", json=body, headers=who))
            if reply is not None and reply.status_code == 200:
                for message in reply.json()["live"]:
                    since = message.get("version", since)
        await asyncio.sleep(TICK_S)


async def browse(
    http: httpx.AsyncClient, ids: list[str], over: asyncio.Event, tally: Tally, seed: int, who: dict[str, str]
) -> None:
    """Somebody who looks around: a list, a search, Home, a run, a comparison, with a second or two between."""
    chance = random.Random(seed)
    session = f"browser{seed}"  # a page keeps its session with Gradio

    def act(**event: Any) -> Awaitable[httpx.Response]:
        asked = {"data": [], "event_data": event, "session_hash": session}
        return http.post("/gradio_api/run/act", json=asked, headers=who)

    def go(search: str) -> Awaitable[httpx.Response]:
        asked = {"data": [], "event_data": {"search": search, "id": 1}, "session_hash": session}
        return http.post("/gradio_api/run/go", json=asked, headers=who)

    def get(path: str, **params: str) -> Awaitable[httpx.Response]:
        return http.get(path, params=params, headers=who)

    moves: tuple[tuple[str, Callable[[], Awaitable[httpx.Response]]], ...] = (
        ("list", lambda: get("/wb/library/runs", page=str(chance.randrange(10)))),
        ("search", lambda: get("/wb/library/runs", text=f"{chance.randrange(100)}")),
        ("sorted", lambda: get("/wb/library/runs", order="headline", descending="0")),
        ("home", lambda: act(do="home")),
        ("open", lambda: go(f"?run={chance.choice(ids)}")),
        ("compare", lambda: get("/wb/library/compare", ids=",".join(chance.sample(ids, 3)))),
        ("twin", lambda: get(f"/wb/run/{chance.choice(ids)}.json")),
    )
    while not over.is_set():
        await asyncio.sleep(chance.uniform(1.0, 3.0))
        name, move = chance.choice(moves)
        await tally.timed(name, move())


async def watched(
    url: str, options: argparse.Namespace, values: dict[str, Any], ids: list[str], tally: Tally
) -> dict[str, Any]:
    """The run once more, with everybody looking."""
    engine, over = options.engine, asyncio.Event()
    newest: list[str] = [""]
    limits = httpx.Limits(max_connections=None)
    who = somebody(options.demo)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, headers=who) as http:
        started = await call(http, "start_run", engine, values, "default", 0)
        newest[0] = started["id"]
        crowd = [
            asyncio.create_task(view(http, engine, lambda: newest[0], over, tally, somebody(options.demo)))
            for _ in range(options.viewers)
        ]
        crowd += [
            asyncio.create_task(browse(http, ids, over, tally, seed, somebody(options.demo)))
            for seed in range(options.browsers)
        ]
        while (status := await call(http, "run_status", started["id"]))["status"] not in OVER:
            await asyncio.sleep(1.0)
        over.set()
        await asyncio.gather(*crowd)
    return dict(status)


async def burst(url: str, engine: str, count: int, *, demo: bool) -> dict[str, Any]:
    """`count` starts at once, each by its own connection; what each was told, and how long the last one waited."""

    guests = [somebody(demo) for _ in range(count)]

    async def start(seed: int) -> Any:
        # No connection is kept for a second request: the server may be closing it just then, which is told as an error.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, headers=guests[seed]) as http:
            return await call(http, "start_run", engine, {}, "smoke", seed)

    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        started = time.perf_counter()
        answers = await asyncio.gather(*map(start, range(count)), return_exceptions=True)
        seconds = time.perf_counter() - started
        queued = [answer["id"] for answer in answers if isinstance(answer, dict)]
        refused = Counter(answer for answer in answers if isinstance(answer, str))
        broken = [repr(answer) for answer in answers if not isinstance(answer, dict | str)]
        page = (await http.get("/wb/runs.json?limit=1")).status_code
        for seed, answer in enumerate(answers):
            if isinstance(answer, dict):
                http.cookies.clear()
                http.headers.update(guests[seed])
                await call(http, "cancel_run", answer["id"])
    return {
        "queued": len(queued),
        "refused": dict(refused),
        "broken": broken,
        "seconds": round(seconds, 2),
        "page": page,
    }


async def measure(server: Served, ids: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Alone and watched in turns, and the burst."""
    url, values, tally = server.url, json.loads(options.values), Tally()
    looked_at: list[dict[str, Any]] = []
    served_s = asked_s = 0.0
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=somebody(options.demo)) as http:
        await execute(http, options.engine, values, 0)  # warm: imports and compiled code
        alone = [await execute(http, options.engine, values, 0)]
        for _ in range(options.rounds):
            served, asked = server.cpu_s(), time.process_time()
            looked_at.append(await watched(url, options, values, ids, tally))
            served_s, asked_s = served_s + server.cpu_s() - served, asked_s + time.process_time() - asked
            alone.append(await execute(http, options.engine, values, 0))
    slowed = [
        2 * one["duration_s"] / (before["duration_s"] + after["duration_s"]) - 1
        for one, before, after in zip(looked_at, alone, alone[1:], strict=False)
    ]
    together_s = sum(one["duration_s"] for one in looked_at)
    return {
        "machine": {"cores": os.cpu_count(), "load_average": [round(one, 2) for one in os.getloadavg()]},
        "run": {
            "engine": options.engine,
            "alone_s": [round(one["duration_s"], 2) for one in alone],
            "watched_s": [round(one["duration_s"], 2) for one in looked_at],
            "slowed": round(statistics.median(slowed), 3),
            "slowed_each": [round(one, 3) for one in slowed],
            "statuses": [one["status"] for one in (*alone, *looked_at)],
            "cores_of_the_server": round(served_s / together_s, 3),
            "cores_of_the_readers": round(asked_s / together_s, 3),
        },
        "readers": tally.figures(),
        "burst": await burst(url, options.engine, 200, demo=options.demo),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """The bars that were not held."""
    said = []
    if not found["readers"]["median_ms"] < MEDIAN_MS:
        said.append(f"median answer {found['readers']['median_ms']} ms, not under {MEDIAN_MS:g}")
    if found["readers"]["faults"] or set(found["run"]["statuses"]) != {"finished"}:
        said.append(f"errors: {found['readers']['faults']}, {found['run']['statuses']}")
    if not found["run"]["slowed"] < SLOWED:
        said.append(f"the run was slowed by {found['run']['slowed']:.1%}, not by less than {SLOWED:.0%}")
    if found["burst"]["broken"] or found["burst"]["page"] != 200:
        said.append(f"the burst broke something: {found['burst']}")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure a served workbench under readers and a burst of starts."
    )
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--engine", default="matrix_completion")
    parser.add_argument(
        "--values", default="{}", help="parameters of the run as JSON, over its default preset"
    )
    parser.add_argument("--rounds", type=int, default=4, help="how often the run is watched")
    parser.add_argument("--demo", action="store_true", help="serve a demo: readers and starts are guests")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbench-load-") as room:
        home = Path(room) / "home"
        ids = fill(home, options.engine, ("published",) if options.demo else ())
        server = Served(home, demo=options.demo)
        try:
            found = asyncio.run(measure(server, ids, options))
        finally:
            server.stop()
    found["missed"] = missed(found)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(json.dumps({key: value for key, value in found.items() if key != "missed"}, indent=2))
        print("\n".join(f"MISSED {line}" for line in found["missed"]) or "All bars are held.")
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
