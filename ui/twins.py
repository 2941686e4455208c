"""Every run's address has twins for programs: `?run=<id>` is for people, these are the same as data.

wb/run/<id>.json                          the document of `workbench show ID --json`
wb/run/<id>.csv[?series=...&name=...]     every point, exact
wb/sweep/<id>.json                        the document of `workbench sweep --json`
wb/runs.json[?engine=...&status=...&limit=...]
wb/engines.json
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storage import Record, RunQuery, Status
from ui.visitors import House
from workbench import documents, sweep_results, sweeps
from workbench.errors import UnknownRun, UsageError, WorkbenchError
from workbench.exports import series_csv
from workbench.runs import Workbench
from workbench.sweep_standing import row_objects

NAME = re.compile(r"([0-9a-z]{26})\.(json|csv)")
SWEEP_NAME = re.compile(r"([0-9a-z]{26})\.json")
MAX_LISTED = 500


def routes(workbench: Workbench, house: House) -> list[Route]:
    """The routes of the twins."""

    async def run(request: Request) -> Response:
        found = NAME.fullmatch(request.path_params["name"])
        if found is None:
            return JSONResponse({"error": "A run is asked for as <id>.json or <id>.csv."}, 404)
        return await _reply(one, workbench, house, found[1], found[2], request)

    async def sweep(request: Request) -> Response:
        found = SWEEP_NAME.fullmatch(request.path_params["name"])
        if found is None:
            return JSONResponse({"error": "A sweep is asked for as <id>.json."}, 404)
        return await _reply(swept, workbench, house, found[1], request)

    async def runs(request: Request) -> Response:
        return await _reply(listed, workbench, house, request)

    async def engines(request: Request) -> Response:
        found = [
            documents.engine_object(engine, workbench.catalog)
            for engine in workbench.catalog.engines.values()
        ]
        return JSONResponse(documents.plain(found))

    return [
        Route("/wb/run/{name}", run),
        Route("/wb/sweep/{name}", sweep),
        Route("/wb/runs.json", runs),
        Route("/wb/engines.json", engines),
    ]


async def _reply(function: Callable[..., Response], *arguments: Any) -> Response:
    try:
        return await run_in_threadpool(function, *arguments)
    except WorkbenchError as error:
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, UnknownRun) else 422)


def one(workbench: Workbench, house: House, run_id: str, kind: str, request: Request) -> Response:
    """A run as JSON or CSV. A program that asks again says what it has (If-None-Match) and is told where nothing is new."""
    record = workbench.record(run_id)
    viewer = house.viewer(request)
    tag = f'W/"{record.run.version}-{int(house.access.is_guest(viewer))}"'
    # Readers are told different things of one run: no proxy may hand one's answer to another.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if kind == "json":
        document = house.access.shown(viewer, documents.run_document(record))
        return JSONResponse(document, headers=headers)
    text = series_csv(
        [_narrowed(record, request.query_params.get("series"), request.query_params.get("name"))]
    )
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def swept(workbench: Workbench, house: House, sweep_id: str, request: Request) -> Response:
    """A sweep as it stands."""
    found = sweeps.read(workbench, sweep_id)
    return JSONResponse(sweep_document(workbench, house, found, house.viewer(request)))


def sweep_document(
    workbench: Workbench, house: House, found: sweeps.Sweep, viewer: str
) -> documents.Document:
    """The JSON of a sweep; guests are not told for whom it ran."""
    document = sweep_results.document(workbench, found)
    if house.access.is_guest(viewer):
        document["sweep"].pop("owner")
    return document


def listed(workbench: Workbench, house: House, request: Request) -> Response:
    """The viewer's list of runs, newest first."""
    asked = request.query_params
    status, limit = asked.get("status", ""), asked.get("limit", "50")
    if status and status not in set(Status):
        raise UsageError(f"status must be one of {', '.join(Status)}; got {status[:40]!r}.")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= MAX_LISTED:
        raise UsageError(f"limit must be a whole number from 1 to {MAX_LISTED}; got {limit[:40]!r}.")
    query = RunQuery(
        engines=(asked["engine"],) if asked.get("engine") else (),
        statuses=(Status(status),) if status else (),
        limit=int(limit),
    )
    viewer = house.viewer(request)
    rows = workbench.runs(house.access.listed(viewer, query)).rows
    return JSONResponse(house.access.all_shown(viewer, row_objects(workbench, rows)))


class _Narrowed:
    """A record of which only some curves are asked for."""

    def __init__(self, record: Record, wanted: list[Any]) -> None:
        self.run, self._record, self._wanted = record.run, record, wanted

    def series(self) -> list[Any]:
        return self._wanted

    def points(self, series: str, name: str) -> Any:
        return self._record.points(series, name)


def _narrowed(record: Record, series: str | None, name: str | None) -> Any:
    if series is None and name is None:
        return record
    wanted = [
        info
        for info in record.series()
        if (series is None or info.series == series) and (name is None or info.name == name)
    ]
    if not wanted:
        raise no_curve(record.run.id, *(part for part in (series, name) if part is not None))
    return _Narrowed(record, wanted)


def no_curve(run_id: str, *asked: str) -> UnknownRun:
    """That a run has no such curve."""
    return UnknownRun(f"Run {run_id} has no curve {' / '.join(asked)[:200]!r}.")
