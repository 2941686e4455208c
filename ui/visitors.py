"""Who is at the page. On one's own machine everybody is "local"; on a demo each browser is a visitor of its own."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage import RunQuery, Status
from workbench.errors import UsageError
from workbench.runs import Workbench

COOKIE = "wb-visitor"
TOKEN = re.compile(r"[0-9a-f]{32}")
YEAR_S = 365 * 24 * 3600
MAX_RUNS_UNDER_WAY = 2
"""Of one visitor of a demo at a time, queued ones included."""


def local(request: Any) -> str:
    """Everybody who can reach a workbench of one's own is its owner."""
    return "local"


def visitor(request: Any) -> str:
    """The visitor of a demo: derived from the cookie, so that the record does not hold what the browser shows.

    Programs without a cookie are one visitor together."""
    token = str((getattr(request, "cookies", None) or {}).get(COOKIE, ""))
    if not TOKEN.fullmatch(token):
        return "visitor"
    return f"visitor-{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def check_allowance(workbench: Workbench, owner: str) -> None:
    """Raises UsageError where a visitor already has as many runs under way as one may have."""
    query = RunQuery(owner=owner, statuses=(Status.queued, Status.running), limit=1)
    if workbench.runs(query).total >= MAX_RUNS_UNDER_WAY:
        raise UsageError(
            f"You have {MAX_RUNS_UNDER_WAY} runs under way, as many as one visitor of this demo may have. "
            "Wait for one of them or stop it."
        )


class VisitorCookie:
    """Middleware that gives each browser its cookie with the first page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return
        token = secrets.token_hex(16)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={token}; Path=/; Max-Age={YEAR_S}; HttpOnly; SameSite=Lax"
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, sending)
