"""Pages of other sites, in the browser of somebody who may use this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ui.same_site import host_of, known_hosts

PUBLIC = "papers.example.org"
FOREIGN = (
    "https://evil.example", "null", f"https://{PUBLIC}.evil.example", f"https://{PUBLIC}:8443", f"https://x.{PUBLIC}", "file://",
    "https://evil.example/papers.example.org",
)  # fmt: skip
START = {"data": ["fixture", {}, "smoke", 0]}
ASKED = (
    ("GET", "/", None),
    ("GET", "/config", None),
    ("GET", "/wb/runs.json", None),
    ("POST", "/wb/follow", []),
    ("POST", "/wb/library/delete", {"ids": []}),
    ("POST", "/wb/upload?name=a.csv", {}),
    ("POST", "/gradio_api/call/start_run", START),
    ("POST", "/gradio_api/run/act", {"data": [], "event_data": {"do": "home", "id": 1}}),
    ("OPTIONS", "/wb/library/delete", None),
    ("OPTIONS", "/gradio_api/queue/join", None),
)
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-workbench"}


@pytest.fixture(scope="module")
def own(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workbench of one's own, as somebody serves it to a network: there is no cookie to ask for."""
    served = type(demo)(tmp_path_factory.mktemp("own") / "home")
    served.start(as_demo=False)
    yield served.url
    served.stop()


@pytest.fixture(params=["own", "demo"])
def address(request: pytest.FixtureRequest, demo: Any, own: str) -> str:
    return own if request.param == "own" else str(demo.url)


def ask(http: httpx.Client, method: str, path: str, body: Any, **headers: str) -> httpx.Response:
    more = PREFLIGHT if method == "OPTIONS" else {"X-Workbench": "1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.request(method, path, json=body, headers={"Host": PUBLIC, **more, **named})


def permissions(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


def test_a_page_of_another_site_reads_and_changes_nothing(address: str) -> None:
    """Under a public name, where Gradio by itself would allow every site, with the reader's cookies."""
    with httpx.Client(base_url=address, timeout=60) as http:
        before = [run["id"] for run in http.get("/wb/runs.json?limit=500").json()]
        for origin in FOREIGN:
            for method, path, body in ASKED:
                answer = ask(http, method, path, body, Origin=origin)
                assert (answer.status_code, permissions(answer)) == (403, []), (origin, path)
                assert "no page of another site" in answer.json()["error"]
        assert [run["id"] for run in http.get("/wb/runs.json?limit=500").json()] == before


def test_the_page_itself_and_programs_are_answered(address: str) -> None:
    ours = (
        {"Origin": f"https://{PUBLIC}"},
        {"Origin": f"http://{PUBLIC}", "Host": f"{PUBLIC}:80"},
        {"Origin": f"https://{PUBLIC}", "Host": "127.0.0.1:7860", "X-Forwarded-Host": f"{PUBLIC}, inner"},
        {"Origin": "http://localhost:7860", "Host": "localhost:7860"},
        {},
    )
    with httpx.Client(base_url=address, timeout=60) as http:
        for headers in ours:
            for method, path, body in ASKED[:5]:
                answer = ask(http, method, path, body, **headers)
                assert (answer.status_code, permissions(answer)) == (200, []), (headers, path)


def test_names_that_no_request_tells_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_HOST", "GRADIO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert known_hosts() == set()
    monkeypatch.setenv("SPACE_HOST", "someone-papers.hf.space,papers.example.org")
    monkeypatch.setenv("GRADIO_ROOT_PATH", "https://example.org:443/papers")
    told = known_hosts("https://one.example, two.example:8080")
    assert told == {
        "someone-papers.hf.space", "papers.example.org", "example.org", "one.example", "two.example:8080",
    }  # fmt: skip
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/papers")
    assert "" not in known_hosts(" , ")
    assert host_of("null") not in known_hosts()


def test_a_login_of_the_hub_stays_with_the_page_that_it_was_made_in() -> None:
    """Gradio lets the session go along from every site (SameSite=None): partitioned, a site that frames this page gets none."""
    from ui.same_site import _own_headers

    session = b"session=abc; path=/; Max-Age=1209600; httponly; samesite=none; secure"
    kept = dict(_own_headers([(b"set-cookie", session), (b"Access-Control-Allow-Origin", b"*")]))
    assert kept == {b"set-cookie": session + b"; Partitioned"}
    assert _own_headers([(b"set-cookie", b"other=1; secure")]) == [(b"set-cookie", b"other=1; secure")]
