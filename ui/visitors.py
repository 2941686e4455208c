"""Who is at the page. On one's own machine everybody is its owner; on a demo each browser is a guest of its own."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.owner_login import OwnerLogin
from workbench.access import NOBODY, OWNER, Access, Demo
from workbench.demo_limits import DemoLimits
from workbench.runs import Workbench

COOKIE = "wb-visitor"
TOKEN = re.compile(r"[0-9a-f]{32}")
YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True)
class House:
    """Whose page this is: what each may do, and who is who."""

    access: Access
    login: OwnerLogin | None = None
    """How the owner of a demo gets in; None: not through the page."""

    @classmethod
    def own(cls, workbench: Workbench) -> House:
        """A workbench of one's own."""
        return cls(Access(workbench))

    @classmethod
    def for_guests(
        cls, workbench: Workbench, limits: DemoLimits | None = None, login: OwnerLogin | None = None
    ) -> House:
        """A demo for guests; without a `login` the one that the environment describes."""
        return cls(Demo(workbench, limits), login or OwnerLogin.from_environment())

    @property
    def is_demo(self) -> bool:
        """Whether guests come here."""
        return self.access.is_demo

    def viewer(self, request: Any) -> str:
        """The name under which the runs of whoever sent this request are recorded."""
        if not self.is_demo or (self.login is not None and self.login.is_owner(request)):
            return OWNER
        return guest(request)


def guest(request: Any) -> str:
    """The guest of a demo: derived from the cookie, so that the record does not hold what the browser shows.

    Programs without a cookie are NOBODY."""
    token = str((getattr(request, "cookies", None) or {}).get(COOKIE, ""))
    if not TOKEN.fullmatch(token):
        return NOBODY
    return f"visitor-{hashlib.sha256(token.encode()).hexdigest()[:16]}"


class VisitorCookie:
    """Middleware that gives each browser its cookie with the first page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) != "/" or COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return
        token = secrets.token_hex(16)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie(scope, COOKIE, token, YEAR_S))
            await send(message)

        await self.app(scope, receive, sending)


def cookie(scope: Scope, name: str, value: str, age_s: int) -> str:
    """A Set-Cookie header that scripts cannot read.

    Over https it is partitioned, so that the page also works inside the frame that a Space is shown in, and a page of
    another site that frames it gets another visitor's cookie, not this one."""
    told = HTTPConnection(scope).headers.get("x-forwarded-proto", scope.get("scheme") or "")
    is_secure = told.partition(",")[0].strip() == "https"
    # Under a path of a site the cookie is that path's: other programs of the site are not sent it.
    root = urlsplit(str(scope.get("root_path") or "")).path.rstrip("/")
    site = "SameSite=None; Secure; Partitioned" if is_secure else "SameSite=Lax"
    return f"{name}={value}; Path={root}/; Max-Age={age_s}; HttpOnly; {site}"


def path_of(scope: Scope) -> str:
    """The path of a request below the address at which the page is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    return (path[len(root) :] or "/") if root and path.startswith(root) else path
