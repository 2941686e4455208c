"""How many runs may record into one database at a time, and how soon a run starts: SQLite beside PostgreSQL.

    python benchmarks/many_machines.py [--seconds 10] [--recorders 1,8,32] [--postgres URL]

Each recorder is a process with a store of its own, as a worker on another machine is: it writes `RATE` scalars a second
to each of two curves and makes them durable every 0.25 s, as a run does. Told are the times of those flushes, and how
long a run waits between being queued and being claimed by another process that heard of it (PostgreSQL) or looked every
half second (SQLite). Times depend on the machine and its load, which is printed; the ratio of the two databases less."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from storage import Store

RATE = 100
FLUSH_S = 0.25
STARTS = 20


def record(url: str, files: str, seconds: float, told: Any) -> None:
    """One run's recorder."""
    flushes = []
    with Store.open(url, files) as store:
        run = store.create_run(engine="benchmark", params={}, seed=0)
        store.claim_run(run.id, f"worker/{os.getpid()}")
        with store.writer(run.id) as writer:
            end, step = time.perf_counter() + seconds, 0
            while time.perf_counter() < end:
                began = time.perf_counter()
                for _ in range(int(RATE * FLUSH_S)):
                    step += 1
                    for series in ("Ours", "baseline"):
                        writer.scalar(series, "error", step, 1.0 / step, began)
                before = time.perf_counter()
                writer.flush()
                flushes.append(time.perf_counter() - before)
                time.sleep(max(0.0, FLUSH_S - (time.perf_counter() - began)))
        kept = sum(info.count for info in store.record(run.id).series())
        store.finish_run(run.id, "finished")
    told.put((flushes, 2 * step, kept))


def claims(url: str, files: str, count: int, is_over: Any) -> None:
    """A worker that claims what is queued: woken by news, or looking every half second."""
    heard = threading.Event()
    with Store.open(url, files) as store:
        news = store.news()
        if news is None:
            while not is_over.is_set():
                for run_id in store.queued():
                    store.claim_run(run_id, "worker/0")
                time.sleep(0.5)
            return
        with news.told(lambda kind, _: heard.set()):
            while not is_over.is_set():
                heard.wait(3.0)
                heard.clear()
                for run_id in store.queued():
                    store.claim_run(run_id, "worker/0")


def start_times(url: str, files: str, context: Any) -> list[float]:
    """Seconds from queued to claimed."""
    is_over = context.Event()
    worker = context.Process(target=claims, args=(url, files, STARTS, is_over))
    worker.start()
    waits, generator = [], np.random.default_rng(0)
    with Store.open(url, files) as store:
        for place in range(STARTS + 1):
            run = store.create_run(engine="benchmark", params={}, seed=place)
            while store.run(run.id).started_at is None:
                time.sleep(0.005)
            found = store.run(run.id)
            waits.append(found.started_at - found.created_at)
            store.finish_run(run.id, "finished")
            time.sleep(
                generator.uniform(0.0, 0.5)
            )  # so that looks every half second are met at all their moments
    is_over.set()
    worker.join()
    return waits[1:]  # the first one waits for the worker's process


def measure(name: str, url_of: Any, recorders: list[int], seconds: float) -> None:
    """Print the table's lines of one database."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        url, files = url_of(folder), f"file://{folder}/files"
        Store.open(url, files).close()
        for count in recorders:
            told = context.Queue()
            workers = [context.Process(target=record, args=(url, files, seconds, told)) for _ in range(count)]
            for worker in workers:
                worker.start()
            answers = [told.get() for _ in workers]
            for worker in workers:
                worker.join()
            flushes = 1000 * np.concatenate([np.asarray(one[0]) for one in answers])
            said, kept = sum(one[1] for one in answers), sum(one[2] for one in answers)
            median, high = np.percentile(flushes, [50, 95])
            print(
                f"{name:<10} {count:>3} recorders  {said / seconds:>8,.0f} points/s  lost {said - kept}  flush median "
                f"{median:6.1f} ms, 95 % {high:6.1f} ms, longest {flushes.max():6.0f} ms  load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        waits = 1000 * np.asarray(start_times(url, files, context))
        print(
            f"{name:<10} queued to claimed: median {np.median(waits):.0f} ms, longest {waits.max():.0f} ms",
            flush=True,
        )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--recorders", default="1,8,32")
    parser.add_argument(
        "--postgres",
        default=os.environ.get("WORKBENCH_DATABASE_URL", ""),
        help="its URL, of an empty database",
    )
    arguments = parser.parse_args()
    recorders = [int(word) for word in arguments.recorders.split(",")]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    measure("SQLite", lambda folder: f"sqlite:///{Path(folder) / 'runs.db'}", recorders, arguments.seconds)
    if arguments.postgres:
        measure("PostgreSQL", lambda folder: arguments.postgres, recorders, arguments.seconds)


if __name__ == "__main__":
    main()
