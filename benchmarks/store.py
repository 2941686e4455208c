"""The store against trackio and MLflow: 100,000 scalars durable, read back, thinned out; 1,000 runs listed.

    python benchmarks/store.py [--folder DIR] [--rounds 3]

The peers are installed only for this (`pip install trackio mlflow` into an environment of its own, beside the
dependencies of this project); one that is missing is said to be. Every contender works in a fresh process and a
fresh folder on the same disk, in turns; its best round counts, and of each reading the best of three. All keep their record in SQLite. "Call by call"
is one call a scalar (trackio: `log`; we: `Writer.scalar`), "in bulk" hands whole columns over (trackio: the bulk
insert under `log`; we: `Writer.scalars`); MLflow has its best way, `log_batch` with 1,000 metrics, in both.
Durable means that a killed process loses nothing. All that is read is compared with what was written, outside the
clock. A list of runs shows name and parameters, and last value where a peer has it (MLflow does, trackio does not);
trackio's is that of its public `Api`.

Lines with a bar decide the exit code, 0 if all hold: ten times faster than the better of the peers in writing and
reading one curve, five times in listing. The others are for information, among them trackio's best cases: ten
metrics in one call, and a list through its internals, without last values.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

POINTS, RUNS, THIN = 100_000, 1_000, 2_000
ONE, TEN = "one curve", "ten curves"
SHAPES = {ONE: 1, TEN: 10}  # scalars a step; together always POINTS
CALLS, BULK, THINNED, LISTED = (
    "write call by call",
    "write in bulk",
    "read 2,000 of 100,000",
    "list 1,000 runs",
)
PEERS = ("trackio", "mlflow")
RESULT = "seconds.json"  # where a contender leaves its figures, since peers print as they like
BARS = {f"{CALLS}, {ONE}": 10.0, f"{BULK}, {ONE}": 10.0, f"read, {ONE}": 10.0, LISTED: 5.0}

Values = dict[str, np.ndarray]
Seconds = dict[str, float]


def values_of(shape: str) -> Values:
    """The curves to record: names and float64 values."""
    count = SHAPES[shape]
    rng = np.random.default_rng(0)
    return {f"metric{number}": rng.standard_normal(POINTS // count).cumsum() for number in range(count)}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds, and what was returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def read_timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The least wall seconds of three readings, and what was returned: other work on the machine counts less."""
    readings = [timed(work) for _ in range(3)]
    return min(seconds for seconds, _ in readings), readings[-1][1]


def check(found: Values, written: Values) -> None:
    """Whoever is fast must also be right."""
    assert found.keys() == written.keys()
    for name, values in written.items():
        np.testing.assert_array_equal(found[name], values)


def params_of(number: int) -> dict[str, Any]:
    """Ten parameters of a run."""
    return {f"parameter{index}": number * index for index in range(10)}


def ours(folder: Path) -> Seconds:
    """Through `Writer`, flushed every 5,000 scalars as the recorder does under load."""
    from storage import RunQuery, Store

    seconds: Seconds = {}
    with Store.open(f"sqlite:///{folder}/runs.db", f"file://{folder}/artifacts") as store:
        for shape in SHAPES:
            written = values_of(shape)
            run = store.create_run(engine="bench", params=params_of(0), seed=0)
            other = store.create_run(engine="bench", params=params_of(0), seed=0)

            def write_calls(written: Values = written, run_id: str = run.id) -> None:
                columns = [(name, values.tolist()) for name, values in written.items()]
                with store.writer(run_id) as writer:
                    for step in range(len(columns[0][1])):
                        for name, values in columns:
                            writer.scalar("bench", name, step, values[step], step * 0.01)
                        if is_due(5000, step, len(columns)):
                            writer.flush()

            def write_bulk(written: Values = written, run_id: str = other.id) -> None:
                with store.writer(run_id) as writer:
                    for name, values in written.items():
                        steps = np.arange(len(values))
                        writer.scalars("bench", name, steps, values, steps * 0.01)

            seconds[f"{CALLS}, {shape}"], _ = timed(write_calls)
            seconds[f"{BULK}, {shape}"], _ = timed(write_bulk)
            record = store.record(run.id)
            check(
                {
                    info.name: store.record(other.id).points("bench", info.name).values
                    for info in record.series()
                },
                written,
            )
            seconds[f"read, {shape}"], found = read_timed(
                lambda record=record: {
                    info.name: record.points("bench", info.name).values for info in record.series()
                }
            )
            check(found, written)
            if shape == ONE:
                seconds[THINNED], points = read_timed(
                    lambda record=record: record.decimated("bench", "metric0", THIN // 2)
                )
                assert 1 < len(points) <= THIN
            for done in (run, other):
                store.delete_run(done.id)
        for number in range(RUNS):
            run = store.create_run(
                engine="bench", params=params_of(number), seed=number, headline=("bench", "loss")
            )
            with store.writer(run.id) as writer:
                writer.scalar("bench", "loss", 0, float(number), 0.0)
        seconds[LISTED], page = read_timed(lambda: store.runs(RunQuery(limit=RUNS)))
        assert [(row.run.params["parameter1"], row.headline) for row in page.rows] == [
            (number, float(number)) for number in reversed(range(RUNS))
        ]
    return seconds


def is_due(batch: int, step: int, width: int) -> bool:
    """Whether another `batch` scalars are in memory after this step of `width` scalars."""
    return (step + 1) * width % batch == 0


def recorder(folder: Path) -> Seconds:
    """The same through the workbench: a synthetic engine that says nothing but scalars."""
    from engines.contract import Claim, Context, Engine, Paper, Params, Preset, Run
    from engines.events import Scalar
    from storage import Store
    from workbench.recorder import record_run

    written = values_of(ONE)["metric0"].tolist()

    def speak(_params: Params, _context: Context) -> Run:
        for step, value in enumerate(written):
            yield Scalar("bench", "metric0", step, value)

    paper = Paper("bench", "Bench", ("Nobody",), 2025, "estimation", "Says scalars.", "Bench")
    presets = {name: Preset(name, name) for name in ("smoke", "default", "paper")}
    claims: tuple[Claim, ...] = ()
    engine = Engine(paper, Params, speak, claims, presets, ("bench", "metric0"), folder / "about.md")
    scratch = folder / "scratch"
    scratch.mkdir()
    with Store.open(f"sqlite:///{folder}/runs.db", f"file://{folder}/artifacts") as store:
        run = store.create_run(engine="bench", params={}, seed=0)
        assert store.claim_run(run.id, "bench")
        took, status = timed(lambda: record_run(store, run, engine, Params(), Context("cpu", 0, scratch)))
        assert status == "finished", store.run(run.id).error
        check({"m": store.record(run.id).points("bench", "metric0").values}, {"m": np.array(written)})
    return {f"{CALLS}, {ONE}": took}


def trackio(folder: Path) -> Seconds:
    """Its public `log`, whose metrics of one step go in one call, and the bulk insert underneath."""
    os.environ["TRACKIO_DIR"] = str(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    import trackio as peer
    from trackio.sqlite_storage import SQLiteStorage

    seconds: Seconds = {}
    for shape in SHAPES:
        written = values_of(shape)
        rows = [
            dict(zip(written, values, strict=True))
            for values in zip(*(values.tolist() for values in written.values()), strict=True)
        ]

        def in_public(rows: list[Any] = rows, project: str = f"public-{shape[:3]}") -> None:
            run = peer.init(
                project=project, name="bench", embed=False, auto_log_gpu=False, auto_log_cpu=False
            )
            for step, row in enumerate(rows):
                run.log(row, step=step)
            run.finish()

        def in_bulk(rows: list[Any] = rows, project: str = f"bulk-{shape[:3]}") -> None:
            for start in range(0, len(rows), 10_000):
                part = rows[start : start + 10_000]
                SQLiteStorage.bulk_log(project, "bench", part, list(range(start, start + len(part))))

        seconds[f"{CALLS}, {shape}"], _ = timed(in_public)
        seconds[f"{BULK}, {shape}"], _ = timed(in_bulk)
        project = f"bulk-{shape[:3]}"
        seconds[f"read, {shape}"], logs = read_timed(
            lambda project=project: SQLiteStorage.get_logs(project, "bench")
        )
        check({name: np.array([row[name] for row in logs]) for name in written}, written)
        if shape == ONE:
            seconds[THINNED], logs = read_timed(
                lambda project=project: SQLiteStorage.get_logs(project, "bench", max_points=THIN)
            )
            assert 1 < len(logs) <= THIN
    for number in range(RUNS):
        SQLiteStorage.bulk_log(
            "many", f"run{number}", [{"loss": float(number)}], [0], config=params_of(number)
        )
    seconds[LISTED], listed = read_timed(lambda: [(run.name, run.config) for run in peer.Api().runs("many")])
    seconds["list 1,000 runs without values, internally"], found = read_timed(
        lambda: (SQLiteStorage.get_run_records("many"), SQLiteStorage.get_all_run_configs("many"))
    )
    assert len(listed) == len(found[0]) == len(found[1]) == RUNS
    assert all(config["parameter0"] == 0 for _, config in listed)
    return seconds


def mlflow(folder: Path) -> Seconds:
    """The client on a SQLite back end, in batches of 1,000 metrics (the most that it takes)."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import logging

    logging.disable(logging.INFO)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    seconds: Seconds = {}
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("bench", artifact_location=f"file://{folder}/artifacts")
    for shape in SHAPES:
        written = values_of(shape)
        run_id = client.create_run(experiment).info.run_id

        def write(written: Values = written, run_id: str = run_id) -> None:
            metrics = []
            columns = [(name, values.tolist()) for name, values in written.items()]
            for step in range(len(columns[0][1])):
                metrics += [Metric(name, values[step], step, step) for name, values in columns]
                if is_due(1000, step, len(columns)):
                    client.log_batch(run_id, metrics=metrics)
                    metrics = []

        seconds[f"{CALLS}, {shape}"], _ = timed(write)
        seconds[f"{BULK}, {shape}"] = seconds[f"{CALLS}, {shape}"]
        seconds[f"read, {shape}"], found = read_timed(
            lambda written=written, run_id=run_id: {
                name: client.get_metric_history(run_id, name) for name in written
            }
        )
        check(
            {name: np.array([metric.value for metric in history]) for name, history in found.items()}, written
        )
        if shape == ONE:
            store = client._tracking_client.store
            seconds[THINNED], thin = read_timed(
                lambda store=store, run_id=run_id: store.get_metric_history_bulk_interval(
                    [run_id], "metric0", THIN, None, None
                )
            )
            assert 1 < len(thin) <= THIN + 1
    many = client.create_experiment("many", artifact_location=f"file://{folder}/artifacts")
    for number in range(RUNS):
        run_id = client.create_run(many).info.run_id
        params = [Param(name, str(value)) for name, value in params_of(number).items()]
        client.log_batch(run_id, metrics=[Metric("loss", float(number), 0, 0)], params=params)
    seconds[LISTED], page = read_timed(lambda: client.search_runs([many], max_results=RUNS))
    assert len(page) == RUNS
    assert all(len(run.data.params) == 10 and "loss" in run.data.metrics for run in page)
    return seconds


CONTENDERS: dict[str, Callable[[Path], Seconds]] = {
    "ours": ours,
    "recorder": recorder,
    "trackio": trackio,
    "mlflow": mlflow,
}


@contextlib.contextmanager
def fresh_folder(parent: str | None) -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="storage-benchmark-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_once(name: str, parent: str | None) -> Seconds:
    """One round of a contender in a process of its own."""
    with fresh_folder(parent) as folder:
        # -P: this folder has a storage.py too, and must not come before the package.
        command = [sys.executable, "-P", __file__, "--contender", name, "--folder", str(folder)]
        project = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join([project, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr}")
        found: Seconds = json.loads((folder / RESULT).read_text())
    return found


def version_of(name: str) -> str | None:
    """The installed version of a package, None where it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def print_machine() -> None:
    """What the figures below depend on."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    print(f"machine   {model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    print(f"load      {load} (1, 5, 15 minutes)")
    names = ("paper-workbench", "sqlalchemy", "sqlmodel", "numpy", *PEERS)
    print(
        f"versions  Python {platform.python_version()}, "
        + ", ".join(f"{n} {version_of(n) or '-'}" for n in names)
    )


def judge(best: dict[str, Seconds]) -> bool:
    """Print the table and whether each bar holds; answers whether all do."""
    peers = [name for name in PEERS if name in best]
    print(f"\n{'':34}" + "".join(f"{name:>12}" for name in ("ours", *peers)) + f"{'ratio':>9}   bar")
    lines = [(task, task, mine) for task, mine in best["ours"].items()]
    lines.append((f"{CALLS}, {ONE}", "the same through the recorder", best["recorder"][f"{CALLS}, {ONE}"]))
    all_hold = True
    for task, title, mine in lines:
        others = [best[name][task] for name in peers]
        row = f"{title:34}" + "".join(f"{value:10.4f} s" for value in (mine, *others))
        if others:
            ratio = min(others) / mine
            row += f"{ratio:8.1f}x"
            if task in BARS:
                holds = ratio >= BARS[task]
                all_hold &= holds
                row += f"   >= {BARS[task]:.0f}x {'holds' if holds else 'MISSED'}"
        print(row)
    for name in peers:
        for task in sorted(set(best[name]) - set(best["ours"])):
            print(f"{name}: {task} {best[name][task]:.4f} s")
    return all_hold


def main() -> int:
    """Measure in turns, print, and answer the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="a folder on the disk to measure (default: that of temporary files)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds for each contender; the best counts")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        folder = Path(options.folder)
        (folder / RESULT).write_text(json.dumps(CONTENDERS[options.contender](folder)))
        return 0
    print_machine()
    names = ["ours", "recorder", *(name for name in PEERS if version_of(name))]
    for name in sorted(set(PEERS) - set(names)):
        print(f"{name} is not installed here: it is left out (pip install {name})")
    best: dict[str, Seconds] = {}
    for _ in range(options.rounds):
        for name in names:
            found = run_once(name, options.folder)
            known = best.setdefault(name, found)
            best[name] = {task: min(known[task], value) for task, value in found.items()}
    return 0 if judge(best) else 1


if __name__ == "__main__":
    sys.exit(main())
