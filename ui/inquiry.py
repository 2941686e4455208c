"""The panel in which a reader asks what a run has kept: its form, the answer as a table, and the way to delete it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from engines.contract import Inquiry
from storage import FileInfo
from ui import live_parts
from ui.bodies import bounded_body
from ui.live_words import size
from ui.visitors import House
from workbench.errors import WorkbenchError

MAX_BODY = 4096


def panel(inquiry: Inquiry | None, files: list[FileInfo]) -> str:
    """The panel of a run that kept something; empty for any other."""
    kept = [] if inquiry is None else [file for file in files if file.name.startswith(inquiry.files)]
    if inquiry is None or not kept:
        return ""
    room = size(sum(file.size for file in kept))
    return (
        f'<section class="wb-block wb-inquiry"><h3>{escape(inquiry.title)}</h3><p class="wb-help">{escape(inquiry.help)}</p>'
        '<form data-do="inquire">'
        f'<input name="question" type="text" aria-label="Your question" autocomplete="off" maxlength="{inquiry.max_length}" '
        f'placeholder="{escape(inquiry.placeholder)}"><button type="submit" class="wb-secondary">Ask</button></form>'
        '<div class="wb-told" role="status" aria-live="polite"></div>'
        f'<button type="button" class="wb-quiet" data-do="forget_kept">Forget these weights ({escape(room)})</button></section>'
    )


async def take_question(request: Request, house: House) -> Response:
    """Answer a question: `{"run", "question"}` to `{"html"}`, or `{"error"}`, a sentence.

    A page of another site cannot send here: its browser refuses the header without our consent."""
    if request.headers.get("x-workbench") != "1":
        return JSONResponse({"error": "This is asked by the workbench's own page only."}, 403)
    try:
        body = await bounded_body(request, MAX_BODY)
    except ClientDisconnect:
        return JSONResponse({"error": "The question broke off."}, 400)
    if body is None:
        return JSONResponse({"error": "The request is too large."}, 413)
    try:
        asked: Any = json.loads(body)
        run_id, question = str(asked["run"]), str(asked["question"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return JSONResponse({"error": "A question needs a run and its text."}, 422)
    try:
        told = await run_in_threadpool(house.access.inquire, house.viewer(request), run_id, question)
    except WorkbenchError as error:
        return JSONResponse({"error": str(error)}, 422)
    return JSONResponse({"html": live_parts.table(told.columns, told.rows)})
