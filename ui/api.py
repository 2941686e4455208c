"""The public API: nine endpoints for gradio_client (and MCP), the same words as the command line.

from gradio_client import Client
client = Client("http://127.0.0.1:7860")
run = client.predict("matrix_completion", {"rank": 10}, "smoke", 3, api_name="/start_run")
client.predict(run["id"], api_name="/run_status")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from storage import RunQuery, Status
from ui import api_values as given
from ui import twins
from ui.live_words import ordinal
from ui.visitors import House
from workbench import documents, sweep_access
from workbench.errors import WorkbenchError
from workbench.runs import Workbench
from workbench.sweep_standing import row_objects, standings
from workbench.sweeps import MAX_SEEDS, SWEEP, Plan
from workbench.values import MAX_SEED

LISTED, MAX_LISTED = 50, 500
MAX_BUCKETS = 1000
FORMATS = ("zip", "json", "csv", "parquet", "html")


@contextmanager
def clear_errors() -> Iterator[None]:
    """A workbench error becomes the client's error with the same sentence; nothing else of it leaves."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(str(error), print_exception=False) from error


def build(workbench: Workbench, house: House) -> None:
    """Declare the endpoints inside the Blocks at hand."""
    functions = (
        *_running(workbench, house),
        *_sweeping(workbench, house),
        *_following(workbench),
        *_browsing(workbench, house),
    )
    for function in functions:
        gr.api(function, api_name=function.__name__, concurrency_limit=4)


def _running(workbench: Workbench, house: House) -> tuple[Callable[..., Any], ...]:
    """What starts and stops runs."""
    access = house.access

    def start_run(engine: str, values: dict, preset: str, seed: int, request: gr.Request) -> dict:
        """Record a run and start it; answers its row at once, with the id to follow it by.

        Args:
            engine: Key of the engine, as `engines` lists it.
            values: Parameters that differ from the preset, by name. May be empty.
            preset: Name of a preset: smoke, default, paper or another of the engine's.
            seed: Seed of the run, a whole number from 0.

        Returns:
            The run: id, engine, status, params, seed and the rest of its row.
        """
        viewer = house.viewer(request)
        with clear_errors():
            run = access.submit(
                viewer,
                given.text("engine", engine),
                given.named("values", values),
                preset=given.text("preset", preset, default="") or "default",
                seed=given.whole("seed", seed, 0, MAX_SEED, 0),
            )
        return access.shown(viewer, documents.run_object(run))

    def cancel_run(run_id: str, request: gr.Request) -> dict:
        """Ask a run to stop, or a sweep with all its cells. It keeps everything that it has recorded.

        Args:
            run_id: Id of the run or sweep.

        Returns:
            The run's row as it is now; a running one becomes cancelled at its next step.
        """
        with clear_errors():
            viewer = house.viewer(request)
            run = workbench.run(given.text("run_id", run_id))
            if run.engine == SWEEP:
                sweep_access.cancel(access, viewer, run.id)
            else:
                access.require_change(viewer, run, "stop")
                workbench.cancel(run.id)
            return access.shown(viewer, documents.run_object(workbench.run(run.id)))

    return start_run, cancel_run


def _sweeping(workbench: Workbench, house: House) -> tuple[Callable[..., Any], ...]:
    """What starts a sweep; it is read at wb/sweep/<id>.json, and each cell is a run."""
    access = house.access

    def start_sweep(
        engine: str, over: dict, values: dict, preset: str, seeds: int, seed: int, request: gr.Request
    ) -> dict:
        """Run an engine over values of one to three of its parameters, each cell a run of its own.

        Args:
            engine: Key of the engine, as `engines` lists it.
            over: For each parameter that varies a list of values, or a range as text, such as "5:50:5".
            values: Parameters that differ from the preset in every cell, by name. May be empty.
            preset: Name of a preset: smoke, default, paper or another of the engine's.
            seeds: How many seeds each cell has, from 1.
            seed: The first of them, a whole number from 0.

        Returns:
            The sweep with its cells, at once: what `wb/sweep/<id>.json` answers later too.
        """
        viewer = house.viewer(request)
        with clear_errors():
            known = workbench.catalog.engine(given.text("engine", engine))
            first = given.whole("seed", seed, 0, MAX_SEED, 0)
            count = given.whole("seeds", seeds, 1, MAX_SEEDS, 1)
            plan = Plan(
                known.key,
                given.axes(known, over),
                tuple(range(first, first + count)),
                given.text("preset", preset, default="") or "default",
                given.named("values", values),
            )
            return twins.sweep_document(workbench, house, sweep_access.create(access, viewer, plan), viewer)

    return (start_sweep,)


def _following(workbench: Workbench) -> tuple[Callable[..., Any], ...]:
    """What reads one run while it goes on, and takes it away."""

    def run_status(run_id: str) -> dict:
        """Where a run stands.

        Args:
            run_id: Id of the run.

        Returns:
            id, status, progress, version (grows with everything recorded), error, and the place in the queue.
        """
        with clear_errors():
            run = workbench.run(given.text("run_id", run_id))
            place = workbench.store.queue_position(run.id) if run.status is Status.queued else None
            standing = standings(workbench, [run]).get(run.id)
        row = documents.run_object(run)
        if standing is not None:
            row["status"] = standing.status.value
        kept = {name: row[name] for name in ("id", "engine", "status", "progress", "duration_s", "error")}
        return {**kept, "version": run.version, "queue": ordinal(place) if place else ""}

    def series(run_id: str, series: str, name: str, buckets: int) -> dict:
        """One curve of a run, thinned to the extremes of each bucket.

        Args:
            run_id: Id of the run.
            series: Who spoke, for example the method's or a baseline's name.
            name: What was measured, for example "error".
            buckets: Number of buckets, 1 to 1000; each gives its smallest and largest point.

        Returns:
            Equally long lists `steps`, `times` (seconds since the start of the run) and `values`.
        """
        with clear_errors():
            record = workbench.record(given.text("run_id", run_id))
            wanted = (given.text("series", series), given.text("name", name))
            count = given.whole("buckets", buckets, 1, MAX_BUCKETS, MAX_BUCKETS)
            if wanted not in {(info.series, info.name) for info in record.series()}:
                raise twins.no_curve(record.run.id, *wanted)
            points = record.decimated(*wanted, count)
        return {
            "steps": documents.plain(points.steps.tolist()),
            "times": documents.plain(points.times.tolist()),
            "values": documents.plain(points.values.tolist()),
        }

    def export_run(run_id: str, format: str) -> dict:
        """Where a run can be downloaded.

        Args:
            run_id: Id of the run.
            format: zip (the bundle that another workbench imports), json, csv, parquet, or html (a report to read).

        Returns:
            `url`, relative to this server's address, and `filename`.
        """
        with clear_errors():
            kind = given.one_of("format", format, FORMATS)
            run = workbench.run(given.text("run_id", run_id))
        return {"url": f"wb/export/{run.id}.{kind}", "filename": f"{run.engine}-{run.id}.{kind}"}

    return run_status, series, export_run


def _browsing(workbench: Workbench, house: House) -> tuple[Callable[..., Any], ...]:
    """What tells which runs and engines there are."""
    access = house.access

    def list_runs(engine: str, status: str, limit: int, request: gr.Request) -> list:
        """Runs, newest first.

        Args:
            engine: Only runs of this engine; empty for all.
            status: Only runs with this status (queued, running, finished, failed, cancelled, interrupted); empty for all.
            limit: How many at most, 1 to 500.

        Returns:
            One row a run, with its headline number and how its claims fared.
        """
        viewer = house.viewer(request)
        with clear_errors():
            key = given.text("engine", engine, default="")
            stage = given.one_of("status", status, list(Status), may_be_empty=True)
            query = RunQuery(
                engines=(key,) if key else (),
                statuses=(Status(stage),) if stage else (),
                limit=given.whole("limit", limit, 1, MAX_LISTED, LISTED),
            )
            rows = workbench.runs(access.listed(viewer, query)).rows
            return access.all_shown(viewer, row_objects(workbench, rows))

    def show_run(run_id: str, request: gr.Request) -> dict:
        """All of a run but the points of its curves.

        Args:
            run_id: Id of the run.

        Returns:
            The same document as `workbench show ID --json`: run, series, claims, artifacts, tables, alerts.
        """
        with clear_errors():
            record = workbench.record(given.text("run_id", run_id))
            return access.shown(house.viewer(request), documents.run_document(record))

    def engines() -> list:
        """What can be run.

        Returns:
            One object an engine: key, family, title, presets, params (JSON schema).
        """
        catalog = workbench.catalog
        return [documents.engine_object(engine, catalog) for engine in catalog.engines.values()]

    return list_runs, show_run, engines
