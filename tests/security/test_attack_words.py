"""HTML and JavaScript in every text that a run can carry, shown to somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from storage import Status
from ui.library import compare, listing
from ui.page import Page
from workbench.access import Demo
from workbench.runs import Workbench

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'`{{7*7}}${7*7}</style></textarea>"
SAFE_TAGS = frozenset(
    [
        "a",
        "article",
        "b",
        "br",
        "button",
        "circle",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "header",
        "i",
        "img",
        "input",
        "label",
        "legend",
        "li",
        "line",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "path",
        "polyline",
        "pre",
        "rect",
        "section",
        "select",
        "small",
        "span",
        "strong",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "time",
        "tr",
        "ul",
        "use",
        "g",
        "title",
        "fieldset",
        "textarea",
        "datalist",
        "kbd",
        "sup",
        "sub",
        "noscript",
        "hr",
        "defs",
    ]
)


class _Looker(HTMLParser):
    """Notes every tag and attribute that a browser would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in SAFE_TAGS:
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or (
                name in ("href", "src")
                and (value or "").strip().lower().startswith(("javascript:", "data:text"))
            ):
                self.faults.append(f"{tag} {name}={value}")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        # Keys and names of figures and pictures are no HTML: the scripts set them as text.
        for key, item in value.items():
            if key not in ("key", "name", "caption"):
                yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


@pytest.fixture
def hostile(workbench: Workbench) -> list[str]:
    """Two runs whose every text is an attack: parameters, note, tags, preset, error, names, captions, cells."""
    ids = []
    for seed in range(2):
        params = {
            **workbench.validate("fixture", {}).model_dump(mode="json"),
            "label": EVIL,
            "words": [EVIL],
            EVIL: EVIL,
        }
        run = workbench.store.create_run(
            engine="fixture", params=params, seed=seed, preset=EVIL, owner="visitor-x", note=EVIL, tags=[EVIL],
            headline=("Ours", "error"), environment={"device": EVIL, "device_name": EVIL},
        )  # fmt: skip
        png = workbench.store.artifacts.put(b"\x89PNG\r\n\x1a\n evil", "text/html", f"{EVIL}.html")
        with workbench.store.writer(run.id) as writer:
            for series in ("Ours", EVIL):
                for step in range(3):
                    writer.scalar(series, "error", step=step, value=1.0 + step + seed, time_s=0.1)
                    writer.scalar(series, EVIL, step=step, value=1.0 + step + seed, time_s=0.1)
            writer.text(EVIL, EVIL)
            writer.text("traceback", EVIL)
            _say_all(writer)
        assert png
        workbench.store.claim_run(run.id, "host/1")
        workbench.store.finish_run(run.id, Status.failed, EVIL, EVIL)
        ids.append(run.id)
    return ids


def _say_all(writer: Any) -> None:
    """The rest of what an engine can say, by the writer's own methods."""
    from engines.events import Axis

    writer.table(EVIL, [EVIL, "b"], [[EVIL, 1.0], [EVIL, None]])
    writer.alert(EVIL, 1.0, EVIL)
    writer.array(EVIL, 0, np.ones((2, 2)), [(EVIL, [EVIL, "b"]), ("x", [0.0, 1.0])], keep=True)
    assert Axis


def test_nothing_that_a_page_is_sent_can_run(hostile: list[str], workbench: Workbench) -> None:
    page = Page(workbench, Demo(workbench))
    seen: list[str] = []
    for viewer in ("local", "visitor-x", "visitor-y"):
        for answer in (
            page.go(f"?run={hostile[0]}", viewer),
            page.act({"do": "follow", "run": hostile[0], "since": 0}, viewer),
            page.act({"do": "home"}, viewer),
            page.act({"do": EVIL, "engine": EVIL}, viewer),
            page.act({"do": "stop", "run": EVIL, "engine": EVIL}, viewer),
            page.act(
                {
                    "do": "run",
                    "engine": "fixture",
                    "values": {"mode": EVIL, "steps": EVIL},
                    "seed": EVIL,
                    "preset": EVIL,
                },
                viewer,
            ),
            page.act(
                {"do": "command", "engine": "fixture", "values": {"label": EVIL}, "preset": "smoke"}, viewer
            ),
            page.go(f"?run={EVIL}", viewer),
            page.go(f"?engine={EVIL}", viewer),
        ):
            for message in answer.messages:
                parts = [
                    message.get(name)
                    for name in (
                        "html",
                        "notice",
                        "tables",
                        "texts",
                        "alerts",
                        "files",
                        "claims",
                        "pictures",
                        "frames",
                        "status",
                    )
                ]
                seen += [text for text in strings(parts) if "<" in text]
        seen.append(listing.answer(workbench, {"text": ""}, Demo(workbench), viewer)["html"])
    seen.append(listing.answer(workbench, {"text": EVIL})["html"])
    seen.append(compare.answer(workbench, hostile)["html"])
    assert any("alert(1)" in text for text in seen), "the words are shown"
    for text in seen:
        looker = _Looker()
        looker.feed(text)
        assert not looker.faults, (looker.faults, text[:300])


def test_a_picture_that_is_a_page_is_handed_over_as_a_download(workbench: Workbench) -> None:
    from ui.serving import serve_artifact

    for media_type in ("text/html", "image/svg+xml", "application/xhtml+xml"):
        found = workbench.store.artifacts.put(f"<script>{media_type}</script>".encode(), media_type, EVIL)
        answer = serve_artifact(workbench, found)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "\n" not in answer.headers["content-disposition"]
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_words_of_a_guest_reach_others_escaped_over_the_wire(guest: Callable[..., Any]) -> None:
    one, other = guest(), guest()
    run = one.call("start_run", "fixture", {"label": EVIL[:40]}, "smoke", 0)
    one.ended(run["id"])
    one.post("/wb/library/annotate", {"ids": [run["id"]], "note": EVIL, "tags": EVIL.replace(",", "")[:60]})
    for text in (
        one.http.get("/wb/library/runs").json()["html"],
        str(other.http.get(f"/wb/library/compare?ids={run['id']}").json()["html"]),
    ):
        looker = _Looker()
        looker.feed(text)
        assert not looker.faults
