"""Calls of the public API as they arrive. Gradio answers a name that it does not know, or too few arguments, with an error
of its own that says nothing; here they are told what there is, and what is missing counts as nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.visitors import path_of

CALL = re.compile(r"/gradio_api/call/(v2/)?([^/]+)/?")
MAX_BODY = 16 << 20


class Calls:
    """Middleware for `POST gradio_api/call/NAME`. `endpoints` are the public ones with the names of their arguments."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Sequence[str]]) -> None:
        self.app, self.endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = (
            CALL.fullmatch(path_of(scope)) if scope["type"] == "http" and scope["method"] == "POST" else None
        )
        if found is None:
            await self.app(scope, receive, send)
            return
        name, is_named = found[2], bool(found[1])
        if name not in self.endpoints:
            words = f"There is no endpoint {name[:60]!r}. Endpoints: {', '.join(self.endpoints)}."
            await JSONResponse({"error": words}, 404)(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            await JSONResponse({"error": "The request is too large."}, 413)(scope, receive, send)
            return
        asked = self._completed(name, body, is_named=is_named)
        if isinstance(asked, str):
            await JSONResponse({"error": asked}, 422)(scope, receive, send)
            return
        await self.app(_of_length(scope, len(asked)), _once(asked, receive), send)

    def _completed(self, name: str, body: bytes, *, is_named: bool) -> bytes | str:
        """The body with nothing in the place of each argument that is missing, or what is wrong with it."""
        wanted = self.endpoints[name]
        takes = f"{name} takes {', '.join(wanted) or 'no argument'}"
        try:
            asked = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            return f"{takes}, as JSON."
        if is_named:
            return json.dumps({**dict.fromkeys(wanted), **asked}).encode()
        data = asked.get("data", [])
        if not isinstance(data, list):
            return f'{takes}, in this order: {{"data": [...]}}; data must be a list.'
        if len(data) > len(wanted):
            return f"{takes}; got {len(data)} arguments."
        return json.dumps({**asked, "data": [*data, *[None] * (len(wanted) - len(data))]}).encode()


async def _read(receive: Receive) -> bytes | None:
    """The body; None where it is too large, or broke off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _once(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives this body, and then what else happens to the connection."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _of_length(scope: Scope, length: int) -> Scope:
    kept: list[Any] = [one for one in scope["headers"] if one[0] != b"content-length"]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}
