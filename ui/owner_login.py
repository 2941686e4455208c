"""How the owner of a demo gets in through its page: a password, or a name that the hosting Hub vouches for.

The password comes from `WORKBENCH_OWNER_PASSWORD`, the names from `WORKBENCH_OWNERS` (a Space with `hf_oauth: true`).
Without either there is no way in, and nothing to attack."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ui.bodies import bounded_body
from ui.hub_login import hub_name, what_is_missing
from workbench.errors import BadSetting

COOKIE = "wb-owner"
SESSION_S = 12 * 3600
MAX_FAILURES, FAILURES_WITHIN_S = 5, 60.0
MAX_ADDRESSES = 10_000
"""Addresses whose wrong passwords are remembered."""
SHORTEST_PASSWORD = 10
MAX_BODY = 4096
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Paper Workbench: owner</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:22rem;padding:0 1rem}
h1{font-size:1.1rem}input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.25rem 0}</style>
<h1>Paper Workbench: the owner's view</h1>
"""
PASSWORD = """<form><label>Password of the owner<input type="password" autocomplete="current-password" required autofocus></label>
<button>Log in</button><p role="status"></p></form><script>
document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({password: document.querySelector("input").value});
  const reply = await fetch("login", {method: "POST", headers: {"x-workbench": "1"}, body});
  const answer = await reply.json();
  if (reply.ok) location.href = "../"; else document.querySelector("p").textContent = answer.error;
});</script>
"""
HUB = """<p><a href="../login/huggingface?_target_url=/">Log in with your name on the Hub</a></p>
"""


class OwnerLogin:
    """Sessions of the owner. They live in this process: a restart logs out."""

    def __init__(self, password: str = "", names: frozenset[str] = frozenset()) -> None:
        self._digest = hashlib.sha256(password.encode()).digest() if password else None
        self._names = names
        self._lock = threading.Lock()
        self._sessions: dict[str, float] = {}
        self._failures: dict[str, deque[float]] = {}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> OwnerLogin | None:
        """The login that the environment describes, None where it describes none. Raises BadSetting."""
        given = os.environ if environment is None else environment
        password = given.get("WORKBENCH_OWNER_PASSWORD", "")
        names = frozenset(re.findall(r"[\w.-]+", given.get("WORKBENCH_OWNERS", "")))
        if password and len(password) < SHORTEST_PASSWORD:
            raise BadSetting(f"WORKBENCH_OWNER_PASSWORD must have at least {SHORTEST_PASSWORD} characters.")
        return cls(password, names) if password or names else None

    @property
    def has_names(self) -> bool:
        """Whether somebody may come in by a name that the Hub vouches for."""
        return bool(self._names)

    def is_owner(self, request: Any) -> bool:
        """Whether the request carries a live session, or a name of the owner's that the Hub has signed."""
        token = str((getattr(request, "cookies", None) or {}).get(COOKIE, ""))
        with self._lock:
            if token and self._sessions.get(_digest(token), 0.0) > time.time():
                return True
        return bool(self._names) and hub_name(request) in self._names

    def enter(self, password: str, address: str = "") -> str | None:
        """A session's token for the right password, None for a wrong one. Raises TooMany where this address has guessed too
        often: others do not lock the owner out."""
        with self._lock:
            now, failures = time.monotonic(), self._failures.get(address, deque())
            while failures and now - failures[0] > FAILURES_WITHIN_S:
                failures.popleft()
            if len(failures) >= MAX_FAILURES:
                raise TooMany
            given = hashlib.sha256(password.encode()).digest()
            if self._digest is None or not hmac.compare_digest(given, self._digest):
                if address not in self._failures and len(self._failures) >= MAX_ADDRESSES:
                    self._failures.pop(next(iter(self._failures)))
                self._failures.setdefault(address, failures).append(now)
                return None
            self._failures.pop(address, None)
            token = secrets.token_urlsafe(32)
            self._sessions = {key: end for key, end in self._sessions.items() if end > time.time()}
            self._sessions[_digest(token)] = time.time() + SESSION_S
            return token

    def leave(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(token), None)

    def routes(self) -> list[Route]:
        """wb/login (the form, and where it sends) and wb/logout."""

        async def form(request: Request) -> Response:
            ways = (PASSWORD if self._digest else "") + (HUB if has_hub else "")
            return HTMLResponse(f"{PAGE}{ways}</html>", headers={"Cache-Control": "no-store"})

        async def login(request: Request) -> Response:
            return await self._login(request)

        async def logout(request: Request) -> Response:
            from ui.visitors import cookie

            if request.headers.get("x-workbench") != "1":
                return JSONResponse({"error": "This is asked by the workbench's own page only."}, 403)
            self.leave(request.cookies.get(COOKIE, ""))
            return JSONResponse({}, headers={"set-cookie": cookie(request.scope, COOKIE, "", 0)})

        has_hub = self.has_names and not what_is_missing()
        found = [Route("/wb/login", form)] if self._digest or has_hub else []
        if self._digest is None:
            return found
        return [
            *found,
            Route("/wb/login", login, methods=["POST"]),
            Route("/wb/logout", logout, methods=["POST"]),
        ]

    async def _login(self, request: Request) -> Response:
        from ui.visitors import cookie

        if request.headers.get("x-workbench") != "1":
            return JSONResponse({"error": "This is asked by the workbench's own page only."}, 403)
        try:
            body = await bounded_body(request, MAX_BODY)
        except ClientDisconnect:
            body = b""
        if body is None:
            return JSONResponse({"error": "The request is too large."}, 413)
        try:
            asked = json.loads(body)
            token = self.enter(str(asked["password"]), address_of(request))
        except TooMany:
            return JSONResponse({"error": "Too many wrong passwords. Wait a minute."}, 429)
        except (ValueError, KeyError, TypeError, RecursionError):
            return JSONResponse({"error": "The request is not understood."}, 400)
        if token is None:
            return JSONResponse({"error": "That is not the password."}, 401)
        return JSONResponse({}, headers={"set-cookie": cookie(request.scope, COOKIE, token, SESSION_S)})


class TooMany(Exception):
    """Too many wrong passwords within a minute from one address."""


def address_of(request: HTTPConnection) -> str:
    """The network address that a request comes from, of IPv6 the network that one customer has. Behind a proxy it is what
    the proxies say, read from the nearest one on: what a sender writes there itself stands before."""
    peer = request.client.host if request.client else ""
    told = request.headers.get("x-forwarded-for", "").split(",") if _is_inner(peer) else []
    found = next((word.strip() for word in reversed(told) if not _is_inner(word.strip())), peer)
    try:
        address = ip_address(found)
    except ValueError:
        return found[:64]
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _is_inner(word: str) -> bool:
    """Whether an address belongs to this machine or to a network behind a proxy."""
    try:
        return not ip_address(word).is_global
    except ValueError:
        return not word


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
