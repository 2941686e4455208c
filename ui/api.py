"""The public API: eight endpoints for gradio_client (and MCP), the same words as the command line.

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
from ui.live_words import ordinal
from ui.visitors import House
from workbench import documents
from workbench.errors import WorkbenchError
from workbench.runs import Workbench
from workbench.sweep_standing import row_objects

MAX_LISTED = 500
MAX_BUCKETS = 1000
FORMATS = ("zip", "json", "csv", "parquet")


@contextmanager
def clear_errors() -> Iterator[None]:
    """A workbench error becomes the client's error with the same sentence; nothing else of it leaves."""
    try:
        yield
    except WorkbenchError as error:
        raise gr.Error(str(error), print_exception=False) from error


def build(workbench: Workbench, house: House) -> None:
    """Declare the endpoints inside the Blocks at hand."""
    functions = (*_running(workbench, house), *_following(workbench), *_browsing(workbench, house))
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
            run = access.submit(viewer, engine, values or {}, preset=preset or "default", seed=seed)
        return access.shown(viewer, documents.run_object(run))

    def cancel_run(run_id: str, request: gr.Request) -> dict:
        """Ask a run to stop. It keeps everything that it has recorded.

        Args:
            run_id: Id of the run.

        Returns:
            The run's row as it is now; a running one becomes cancelled at its next step.
        """
        with clear_errors():
            viewer = house.viewer(request)
            access.require_change(viewer, workbench.run(run_id), "stop")
            workbench.cancel(run_id)
            return access.shown(viewer, documents.run_object(workbench.run(run_id)))

    return start_run, cancel_run


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
            run = workbench.run(run_id)
            place = workbench.store.queue_position(run_id) if run.status is Status.queued else None
        row = documents.run_object(run)
        kept = {name: row[name] for name in ("id", "engine", "status", "progress", "duration_s", "error")}
        return {**kept, "version": run.version, "queue": ordinal(place) if place else ""}

    def series(run_id: str, series: str, name: str, buckets: int) -> dict:
        """One curve of a run, thinned to the extremes of each bucket.

        Args:
            run_id: Id of the run.
            series: Who spoke, for example the method's or a baseline's name.
            name: What was measured, for example "error".
            buckets: Number of buckets, at most 1000; each gives its smallest and largest point.

        Returns:
            Equally long lists `steps`, `times` (seconds since the start of the run) and `values`.
        """
        with clear_errors():
            points = workbench.record(run_id).decimated(series, name, max(1, min(int(buckets), MAX_BUCKETS)))
        return {
            "steps": documents.plain(points.steps.tolist()),
            "times": documents.plain(points.times.tolist()),
            "values": documents.plain(points.values.tolist()),
        }

    def export_run(run_id: str, format: str) -> dict:
        """Where a run can be downloaded.

        Args:
            run_id: Id of the run.
            format: zip (the bundle that another workbench imports), json, csv or parquet.

        Returns:
            `url`, relative to this server's address, and `filename`.
        """
        if format not in FORMATS:
            raise gr.Error(
                f"format must be one of {', '.join(FORMATS)}; got {format!r}.", print_exception=False
            )
        with clear_errors():
            run = workbench.run(run_id)
        return {"url": f"wb/export/{run.id}.{format}", "filename": f"{run.engine}-{run.id}.{format}"}

    return run_status, series, export_run


def _browsing(workbench: Workbench, house: House) -> tuple[Callable[..., Any], ...]:
    """What tells which runs and engines there are."""
    access = house.access

    def list_runs(engine: str, status: str, limit: int, request: gr.Request) -> list:
        """Runs, newest first.

        Args:
            engine: Only runs of this engine; empty for all.
            status: Only runs with this status (queued, running, finished, failed, cancelled, interrupted); empty for all.
            limit: How many at most, up to 500.

        Returns:
            One row a run, with its headline number and how its claims fared.
        """
        if status and status not in set(Status):
            raise gr.Error(
                f"status must be one of {', '.join(Status)}, or empty; got {status!r}.", print_exception=False
            )
        query = RunQuery(
            engines=(engine,) if engine else (),
            statuses=(Status(status),) if status else (),
            limit=max(1, min(int(limit), MAX_LISTED)),
        )
        viewer = house.viewer(request)
        with clear_errors():
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
            return access.shown(house.viewer(request), documents.run_document(workbench.record(run_id)))

    def engines() -> list:
        """What can be run.

        Returns:
            One object an engine: key, family, title, presets, params (JSON schema).
        """
        catalog = workbench.catalog
        return [documents.engine_object(engine, catalog) for engine in catalog.engines.values()]

    return list_runs, show_run, engines
