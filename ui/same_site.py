"""The outermost middleware: this page answers itself, and no page of another site.

Gradio allows every site to read and change whatever is served under a public name, with the reader's cookies; on one's own
network there is not even a cookie to ask for. A browser says which site a request comes from (`Origin`), and no script can
make it say otherwise; programs (gradio_client, `workbench.connect`, curl) say nothing and are answered."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSAL = (
    "This page answers itself and no page of another site. Where this is its own address, the proxy in front must pass Host or "
    "X-Forwarded-Host on, or WORKBENCH_ORIGINS must name it."
)
SESSION = b"session="
"""Begin of the cookie in which Gradio keeps a login with the Hub."""


class SameSite:
    """Refuses what other sites' pages send, and takes their permissions off what is answered. `known` are names of ours
    besides the one under which a request arrives."""

    def __init__(self, app: ASGIApp, known: set[str]) -> None:
        self._app, self._known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._is_ours(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await JSONResponse({"error": REFUSAL}, 403)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _own_headers(message.get("headers", ()))}
            await send(message)

        await self._app(scope, receive, sending)

    def _is_ours(self, scope: Scope) -> bool:
        origin, hosts = b"", []
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name in (b"host", b"x-forwarded-host"):
                hosts.append(value)
        if not origin:
            return True
        site = host_of(origin.decode("latin-1"))
        asked = {host_of(name) for value in hosts for name in value.decode("latin-1").split(",")}
        return bool(site) and (site in asked or site in self._known)


def outermost(known: set[str]) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Puts the middleware around the whole app as its server starts. Gradio adds its own around any that it is given."""

    @asynccontextmanager
    async def around(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = SameSite(app.middleware_stack, known)
        yield

    return around


def known_hosts(origins: str = "") -> set[str]:
    """The names of this page that its environment tells: of a Space, of a site whose path it is served under, and those
    of `WORKBENCH_ORIGINS`."""
    root = os.environ.get("GRADIO_ROOT_PATH", "")
    words = [*origins.split(","), *os.environ.get("SPACE_HOST", "").split(","), root if "://" in root else ""]
    return {host_of(word) for word in words} - {""}


def host_of(address: str) -> str:
    """Host and port of an origin, an address or a Host header, without the ports that go without saying."""
    rest = address.strip().lower().rpartition("://")[2].partition("/")[0]
    return rest.removesuffix(":443").removesuffix(":80")


def _own_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without permissions for other sites; a session with the Hub's login stays with the page that it was made in, as our
    own cookies do."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower.startswith(b"access-control-"):
            continue
        if lower == b"set-cookie" and value.startswith(SESSION) and b"secure" in value.lower():
            value = value + b"; Partitioned"
        kept.append((name, value))
    return kept
