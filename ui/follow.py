"""What a page asks about once a second while something runs: `POST wb/follow`, as light as it can be.

Twenty readers of one run ask twenty times for nearly the same. So this is a route of ours and no Gradio event (whose own work is
some ten times ours), and what was just made for one reader is sent to the next who has the same version."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import OrderedDict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ui.bodies import bounded_body
from ui.page import MAX_FOLLOWED, Page, plain_number
from ui.visitors import House

FRESH_S = 0.5
"""For so long an answer is good for the next reader: less than the time between two questions of one."""
KEPT = 64
MAX_BODY = 4096
WORTH_PACKING = 1400

Key = tuple[str, int, str, str]


class Follower:
    """Answers, kept for a moment. Safe to share between threads."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()
        self._made: OrderedDict[Key, tuple[float, bytes, bool]] = OrderedDict()
        self._making: dict[Key, threading.Lock] = {}

    def key(self, asked: Any, viewer: str) -> Key:
        """What makes two questions one: guests see the same of a run that goes on."""
        one = asked if isinstance(asked, dict) else {}
        kind = "guest" if self._page.access.is_guest(viewer) else ""
        return str(one.get("run")), plain_number(one.get("since")), str(one.get("engine")), kind

    def known(self, key: Key) -> tuple[bytes, bool] | None:
        """The messages of a question that was just answered, and whether its run goes on."""
        with self._lock:
            found = self._made.get(key)
        return (found[1], found[2]) if found and time.monotonic() - found[0] < FRESH_S else None

    def made(self, key: Key, asked: Any, viewer: str) -> tuple[bytes, bool]:
        """The same, made now; of readers who ask for it at once one makes it, and the others wait for that."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                return self.known(key) or self._make(key, asked, viewer)
        finally:
            # Whoever came late found the answer made, and had put a lock of its own here: it goes all the same.
            with self._lock:
                if self._making.get(key) is making:
                    del self._making[key]

    def _make(self, key: Key, asked: Any, viewer: str) -> tuple[bytes, bool]:
        answer = self._page.tick([asked], viewer)
        body = b",".join(json.dumps(message, separators=(",", ":")).encode() for message in answer.messages)
        goes_on = bool(answer.timer)
        with self._lock:
            now = time.monotonic()
            # How a run ended names what else its reader has, so that is each reader's own.
            if goes_on or not key[3]:
                self._made[key] = now, body, goes_on
                self._made.move_to_end(key)
            # A whole run may be a megabyte: what is too old to be sent again is not kept until others push it out.
            while self._made and (
                len(self._made) > KEPT or now - next(iter(self._made.values()))[0] >= FRESH_S
            ):
                self._made.popitem(last=False)
        return body, goes_on


def routes(page: Page, house: House) -> list[Route]:
    """wb/follow: a list of `{engine, run, since}`, answered by `{live: messages, active: whether anything goes on}`."""
    follower = Follower(page)

    async def follow(request: Request) -> Response:
        asked = await _asked(request)
        if asked is None:
            return JSONResponse({"error": "The request is not understood."}, 400)
        viewer = house.viewer(request)
        parts, active = [], False
        for one in asked[:MAX_FOLLOWED]:
            key = follower.key(one, viewer)
            body, goes_on = follower.known(key) or await run_in_threadpool(follower.made, key, one, viewer)
            parts.append(body)
            active = active or goes_on
        live = b",".join(part for part in parts if part)
        text = b'{"live":[%b],"active":%b}' % (live, b"true" if active else b"false")
        headers = {"Cache-Control": "no-store"}
        if len(text) > WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
            text = gzip.compress(text, 1)
            headers["Content-Encoding"] = "gzip"
        return Response(text, media_type="application/json", headers=headers)

    return [Route("/wb/follow", follow, methods=["POST"])]


async def _asked(request: Request) -> list[Any] | None:
    try:
        asked = json.loads(await bounded_body(request, MAX_BODY) or b"")
    except (ValueError, RecursionError, ClientDisconnect):
        return None
    return asked if isinstance(asked, list) else None
