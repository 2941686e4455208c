"""What a demo answers at all. Gradio brings addresses that this page does not use (its own uploads, files of the
server, a proxy, streams); on a demo they are not there."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.visitors import path_of

MAX_BODY = 256 << 10
"""Largest JSON that a page or a program sends."""
TAKES_FILES = frozenset({"/wb/upload", "/wb/library/import"})
"""Addresses that bound what they read by themselves, as they write it down."""
OPEN = re.compile(
    r"/|/(config|theme\.css|robots\.txt|favicon\.ico|manifest\.json|login_check)/?"
    r"|/(assets|static|svelte)/[\w.@+/-]*|/(login/huggingface|login/callback|logout)"
    r"|/wb/[^\\]*"
    r"|/gradio_api/(info|startup-events|app_id|user|reset|cancel|openapi\.json)/?"
    r"|/gradio_api/(heartbeat/[\w-]+|queue/(join|data)|(run|api)/\w+|call/(v2/)?\w+(/\w+)?)/?"
    r"|/gradio_api/mcp(/[\w/-]*)?"
)
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-site"),
]


class Guard:
    """Middleware: only the addresses of `OPEN`, bodies of a bounded size, and headers that keep browsers careful."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        if not OPEN.fullmatch(path) or ".." in path or "//" in path:
            await JSONResponse({"error": "There is nothing here."}, 404)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message = {
                    **message,
                    "headers": [*message["headers"], *(one for one in HEADERS if one[0] not in present)],
                }
            await send(message)

        if path in TAKES_FILES:
            await self.app(scope, receive, sending)
            return
        if _declared(scope) > MAX_BODY:
            await JSONResponse({"error": "The request is too large."}, 413)(scope, receive, send)
            return
        await self.app(scope, _Bounded(receive), sending)


class _Bounded:
    """`receive` that ends a body which grows beyond the limit, whatever its header says."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size = receive, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._size > MAX_BODY else message


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else MAX_BODY + 1
    return 0
