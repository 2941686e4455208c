"""On a demo each browser is a visitor of its own, with a limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui import visitors
from ui.page import Page
from workbench.access import Demo
from workbench.demo_limits import DemoLimits
from workbench.errors import UsageError
from workbench.runs import Workbench


async def _who(request: Request) -> PlainTextResponse:
    return PlainTextResponse(visitors.guest(request))


def test_each_browser_is_a_visitor_of_its_own() -> None:
    app = Starlette(
        routes=[Route("/", _who), Route("/wb", _who)], middleware=[Middleware(visitors.VisitorCookie)]
    )
    with TestClient(app) as one, TestClient(app) as other:
        assert one.get("/wb").text == "visitor"
        cookie = one.get("/").headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        other.get("/")
        assert one.get("/wb").text == one.get("/").text
        assert one.get("/wb").text != other.get("/wb").text
        assert one.cookies[visitors.COOKIE] not in one.get("/wb").text


@pytest.mark.parametrize("token", ["", "x", "0" * 31, "../../etc"])
def test_a_forged_cookie_is_nobody_in_particular(token: str) -> None:
    assert visitors.guest(SimpleNamespace(cookies={visitors.COOKIE: token})) == "visitor"


def test_a_visitor_has_a_limit_and_cannot_stop_others(workbench: Workbench) -> None:
    access = Demo(workbench, DemoLimits(runs=2))
    page = Page(workbench, access)
    mine = [workbench.create("fixture", {}, owner="visitor-a") for _ in range(2)]
    asked: dict[str, Any] = {"do": "run", "engine": "fixture", "preset": "smoke", "values": {}, "seed": "1"}
    [message] = page.act(asked, "visitor-a").messages
    assert "runs under way" in message["errors"][""]
    assert [one["kind"] for one in page.act(asked, "visitor-b").messages] == ["errors", "live"]
    [message] = page.act({"do": "stop", "run": mine[0].id}, "visitor-b").messages
    assert "Only who started a run" in message["html"]
    with pytest.raises(UsageError):
        access.submit("visitor-a", "fixture", {})


@pytest.mark.parametrize(
    ("root", "path"),
    [("", "/"), ("/papers", "/papers/"), ("https://example.org/a/b/", "/a/b/"), ("https://example.org", "/")],
)
def test_a_cookie_is_for_the_path_that_the_page_is_served_under(root: str, path: str) -> None:
    """Other programs of the same site are not sent it."""
    scope = {"type": "http", "root_path": root, "headers": [(b"x-forwarded-proto", b"https, http")]}
    made = visitors.cookie(scope, "a", "b", 5)
    assert made.split("; ")[:3] == ["a=b", f"Path={path}", "Max-Age=5"]
    assert made.endswith("SameSite=None; Secure; Partitioned")
