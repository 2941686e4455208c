"""What the Library's script asks: lists and comparisons to read, annotations, deletions and imports to make.

Whatever changes something takes a header that only this page's script sends: a page of another site cannot."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from storage import import_bundle
from ui.address import pack, query
from ui.bodies import bounded_body
from ui.library import board, compare, listing, sweep
from ui.visitors import House
from workbench import pngforms, pngmetadata, pngrecord, sweep_access
from workbench.access import Access
from workbench.errors import UnknownRun, UsageError, WorkbenchError, storage_seam
from workbench.execution import safe_name
from workbench.exports import ENDINGS, Format, export
from workbench.imports import bring_curves, is_curves
from workbench.runs import Workbench
from workbench.sweeps import SWEEP, members
from workbench.turns import TooEarly

RUN_IDS = re.compile(r"[0-9a-z]{26}(,[0-9a-z]{26}){0,199}")
KINDS: Mapping[str, str] = {ending.lstrip("."): kind for kind, ending in ENDINGS.items()} | {"html": "html"}
MAX_BODY = 1 << 20
MAX_BUNDLE = 2 << 30
MAX_PNG = 64 << 20
MAX_CURVES = 512 << 20
PNG = b"\x89PNG"
TURN_S = 10.0
"""So long does an export wait for those before it, on a demo."""
MAX_IDS_OF_GUESTS = 12
"""Runs that a guest of a demo exports or compares at once."""


def routes(workbench: Workbench, house: House) -> list[Route]:
    """The routes under wb/library and wb/export."""

    async def runs(request: Request) -> Response:
        return await _reply(
            listing.answer, workbench, dict(request.query_params), house.access, house.viewer(request)
        )

    async def compared(request: Request) -> Response:
        ids = [part for part in request.query_params.get("ids", "").split(",") if part]
        return await _reply(compare.answer, workbench, ids)

    async def claims(request: Request) -> Response:
        return await _reply(board.answer, workbench, house.access.is_guest(house.viewer(request)))

    async def claims_json(request: Request) -> Response:
        return await _reply(board.document, workbench, house.access.is_guest(house.viewer(request)))

    async def swept(request: Request) -> Response:
        asked = request.query_params
        return await _reply(
            sweep.answer,
            workbench,
            asked.get("id", ""),
            asked.get("quantity", ""),
            house.access,
            house.viewer(request),
        )

    async def change(request: Request) -> Response:
        asked = await _body(request)
        if isinstance(asked, Response):
            return asked
        change = CHANGES[request.path_params["what"]]
        return await _reply(change, workbench, asked, house.access, house.viewer(request))

    async def bring(request: Request) -> Response:
        if refusal := _foreign(request):
            return refusal
        owner = house.viewer(request)
        limit = MAX_BUNDLE if house.access.may_import(owner) else house.access.max_upload_bytes
        with tempfile.TemporaryDirectory(prefix="workbench-import-") as room:
            # Under its own name, which says what it is and what an imported run is called.
            path = Path(room) / safe_name(unquote(request.headers.get("x-name", "upload")))
            try:
                size = await _receive(request, path, limit)
            except ClientDisconnect:
                return JSONResponse({"error": "The upload broke off."}, 400)
            if size > limit:
                return JSONResponse({"error": f"The file is larger than {limit >> 20:,} MB."}, 413)
            wanted = request.query_params.get("engine", "")
            return await _reply(take, workbench, path, owner, house.access, wanted)

    async def exported(request: Request) -> Response:
        return await _export(workbench, request, house)

    return [
        Route("/wb/library/runs", runs),
        Route("/wb/library/compare", compared),
        Route("/wb/library/claims", claims),
        Route("/wb/library/claims.json", claims_json),
        Route("/wb/library/sweep", swept),
        Route("/wb/library/import", bring, methods=["POST"]),
        Route("/wb/library/{what}", change, methods=["POST"]),
        Route("/wb/export/{name}", exported),
    ]


async def _reply(function: Callable[..., dict[str, Any]], *arguments: Any) -> JSONResponse:
    """What `function` answers, or its one sentence where it refuses."""
    try:
        return JSONResponse(await run_in_threadpool(function, *arguments))
    except WorkbenchError as error:
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, UnknownRun) else 422)


def _foreign(request: Request) -> JSONResponse | None:
    if request.headers.get("x-workbench") == "1":
        return None
    return JSONResponse({"error": "This is asked by the workbench's own page only."}, 403)


async def _body(request: Request) -> dict[str, Any] | Response:
    if refusal := _foreign(request):
        return refusal
    if request.path_params["what"] not in CHANGES:
        return JSONResponse({"error": "There is no such action."}, 404)
    try:
        data = await bounded_body(request, MAX_BODY)
    except ClientDisconnect:
        data = b""
    if data is None:
        return JSONResponse({"error": "The request is too large."}, 413)
    try:
        asked = json.loads(data)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return JSONResponse({"error": "The request is not understood."}, 400)
    return asked


async def _receive(request: Request, path: Path, limit: int) -> int:
    """Write the body to `path`; stops one chunk after the limit."""
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                return size
            file.write(chunk)
    return size


def delete(workbench: Workbench, asked: Mapping[str, Any], access: Access, viewer: str) -> dict[str, Any]:
    """Delete runs, a sweep with all that it made; those that cannot be deleted are told, the others go."""
    deleted: list[str] = []
    refused: list[str] = []
    for run_id in _ids(asked):
        if run_id in deleted:  # with its sweep
            continue
        try:
            run = workbench.run(run_id)
            if run.engine == SWEEP:
                deleted += sweep_access.delete(access, viewer, run.id)
                continue
            access.require_change(viewer, run, "delete")
            workbench.delete(run.id)
            deleted.append(run.id)
        except WorkbenchError as error:
            refused.append(str(error))
    return {"deleted": deleted, "refused": refused}


def annotate(workbench: Workbench, asked: Mapping[str, Any], access: Access, viewer: str) -> dict[str, Any]:
    """Set a run's tags and note."""
    (run_id,) = _ids(asked)[:1] or [""]
    tags = [word.strip() for word in str(asked.get("tags", "")).split(",") if word.strip()]
    note = str(asked.get("note", ""))
    if len(note) > 10_000 or len(tags) > 50:
        raise UsageError("A note has at most 10,000 characters, a run at most 50 tags.")
    run = workbench.run(run_id)
    access.require_change(viewer, run, "annotate")
    workbench.tag(run.id, tags)
    workbench.note(run.id, note.strip())
    return {"id": run.id}


def about(workbench: Workbench, asked: Mapping[str, Any], access: Access, viewer: str) -> dict[str, Any]:
    """Tags and note of a run, for the dialog."""
    (run_id,) = _ids(asked)[:1] or [""]
    run = workbench.run(run_id)
    return {"id": run.id, "tags": ", ".join(run.tags), "note": run.note}


CHANGES: Mapping[str, Callable[[Workbench, Mapping[str, Any], Access, str], dict[str, Any]]] = {
    "delete": delete,
    "annotate": annotate,
    "about": about,
    "sweep-stop": sweep.stop,
    "sweep-repeat": sweep.repeat,
}


def take(workbench: Workbench, path: Path, owner: str, access: Access, wanted: str = "") -> dict[str, Any]:
    """A bundle becomes runs, and so do the curves of a table or of TensorBoard's event file (not those of a demo's guests); a
    picture becomes the address whose form holds its settings. `wanted` is the engine on whose tab it was dropped."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == PNG:
        if path.stat().st_size > MAX_PNG:
            raise UsageError(f"A picture may have at most {MAX_PNG >> 20} MB.")
        return picture_answer(workbench, path.read_bytes(), wanted)
    if not access.may_import(owner):
        raise UsageError(
            "This demo takes no bundles and no curves, only pictures of its runs. Install the workbench to import one."
        )
    if is_curves(path):
        if path.stat().st_size > MAX_CURVES:
            raise UsageError(f"A file of curves may have at most {MAX_CURVES >> 20} MB.")
        return {"ids": bring_curves(workbench, path, owner=owner)}
    with storage_seam():
        return {"ids": import_bundle(workbench.store, path, owner)}


def picture_answer(workbench: Workbench, data: bytes, wanted: str = "") -> dict[str, Any]:
    """Where a dropped picture leads: its run if it is here, else its engine's form with its settings; another
    program's picture to the image engine that is wanted, or that takes most of its settings, with a note of what was taken.
    """
    try:
        record = pngrecord.decode(data)
    except pngrecord.NoRecord:
        found = pngmetadata.read(data)
        if found is None:
            raise
        return foreign_answer(workbench, found, wanted)
    engine = workbench.catalog.engine(record.engine)
    try:
        run = workbench.run(record.run)
    except UnknownRun:
        filled = pack({"params": record.params, "seed": record.seed, "preset": record.preset})
        return {"go": query(engine=engine.key, values=filled)}
    return {"go": query(engine=engine.key, **{"from": run.id})}


def foreign_answer(workbench: Workbench, found: pngmetadata.Foreign, wanted: str = "") -> dict[str, Any]:
    """The form of an image engine with another program's settings."""
    taken = pngforms.best_engine(workbench.catalog.engines, found, wanted)
    filled = pack({"params": taken.values, "seed": taken.seed, "preset": "default"})
    title = workbench.catalog.engine(taken.engine).paper.short
    note = "".join(f"<p>{escape(sentence)}</p>" for sentence in taken.sentences(found.tool, title))
    return {"go": query(engine=taken.engine, values=filled), "note": note}


def _ids(asked: Mapping[str, Any]) -> list[str]:
    found = asked.get("ids", [])
    return [str(run_id) for run_id in found][:200] if isinstance(found, list) else []


def _written(access: Access, viewer: str, ids: list[str], path: Path, kind: str) -> None:
    workbench, for_strangers = access.workbench, access.is_guest(viewer)
    if kind == "html":
        from ui.report import write

        write(workbench, ids, path, for_strangers=for_strangers)
    else:
        parents = {parent for run_id in ids if (parent := workbench.run(run_id).parent_id)}
        known = access.known(viewer, parents)
        export(workbench, ids, path, cast(Format, kind), for_strangers=for_strangers, known_parents=known)


def _few(ids: list[str], is_guest: bool) -> None:
    if is_guest and len(ids) > MAX_IDS_OF_GUESTS:
        raise UsageError(f"This demo exports at most {MAX_IDS_OF_GUESTS} runs at once; got {len(ids)}.")


async def _wait_for(turn: ExitStack, access: Access, viewer: str) -> None:
    """Wait until it is the viewer's turn to export, as long as is polite; no thread is held meanwhile."""
    until = time.monotonic() + TURN_S
    while True:
        try:
            turn.enter_context(access.exporting(viewer))
            return
        except TooEarly:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(0.1)


async def _export(workbench: Workbench, request: Request, house: House) -> Response:
    ids, _, ending = request.path_params["name"].rpartition(".")
    if not RUN_IDS.fullmatch(ids) or ending not in KINDS:
        words = ", ".join(KINDS)
        return JSONResponse({"error": f"An export is asked for as <id>[,<id>].<{words}>."}, 404)
    asked = ids.split(",")
    viewer = house.viewer(request)
    is_guest = house.access.is_guest(viewer)
    try:
        _few(asked, is_guest)
        with_cells = await run_in_threadpool(members, workbench, asked)
        _few(with_cells, is_guest)
        engine = (await run_in_threadpool(workbench.run, asked[0])).engine
    except WorkbenchError as error:
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, UnknownRun) else 422)
    wanted = asked if ending == "html" else with_cells  # the report of a sweep is one file of its own
    room = tempfile.TemporaryDirectory(prefix="workbench-export-")
    path = Path(room.name) / f"export.{ending}"
    try:
        with ExitStack() as turn:
            await _wait_for(turn, house.access, viewer)
            await run_in_threadpool(_written, house.access, viewer, wanted, path, KINDS[ending])
    except WorkbenchError as error:
        room.cleanup()
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, UnknownRun) else 422)
    name = f"{engine}-{wanted[0] if len(wanted) == 1 else f'{len(wanted)}-runs'}.{ending}"
    from starlette.background import BackgroundTask

    return FileResponse(path, filename=name, background=BackgroundTask(room.cleanup))
