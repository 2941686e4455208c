"""HTML and JavaScript in every text that a run can carry, shown to somebody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from hostile_words import say_all

from storage import Status
from ui.library import board, compare, listing, sweep
from ui.page import Page
from ui.report import html
from workbench import sweeps
from workbench.access import Demo
from workbench.runs import Workbench
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan

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
        "progress",
        # formulas of the papers
        *(
            "math",
            "mrow",
            "mi",
            "mn",
            "mo",
            "mtext",
            "mspace",
            "msub",
            "msup",
            "msubsup",
            "mfrac",
            "msqrt",
            "mover",
            "munder",
        ),
        *("munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded"),
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
        # Keys and names of figures are no HTML: the scripts set them as text, as they do all words of pictures
        # (tests/browser/test_demo_journey.py looks).
        for key, item in value.items():
            if key not in ("key", "name", "caption"):
                yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


@pytest.fixture
def hostile(workbench: Workbench) -> list[str]:
    """Two runs whose every text is an attack: parameters, note, tags, preset, error, names, captions, cells, file names,
    words of claims."""
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
            headline=("Ours", "error"), environment={"device": EVIL, "device_name": EVIL, "cpu": EVIL},
        )  # fmt: skip
        say_all(workbench, run.id, EVIL, seed)
        workbench.store.claim_run(run.id, "host/1")
        workbench.store.finish_run(run.id, Status.failed, EVIL, EVIL)
        ids.append(run.id)
    return ids


def harmless(text: str) -> None:
    """Nothing of it would run where a browser takes it for HTML."""
    looker = _Looker()
    looker.feed(text)
    assert not looker.faults, (looker.faults, text[:300])


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
                        "frames",
                        "status",
                    )
                ]
                seen += [text for text in strings(parts) if "<" in text]
        seen.append(listing.answer(workbench, {"text": ""}, Demo(workbench), viewer)["html"])
    seen.append(listing.answer(workbench, {"text": EVIL})["html"])
    seen.append(compare.answer(workbench, hostile)["html"])
    assert any("alert(1)" in text for text in seen), "the words are shown"
    for place in ("wb-why", "wb/artifact/"):
        assert any(place in text and "alert(" in text for text in seen), place
    for text in seen:
        harmless(text)


def test_nothing_that_a_report_says_can_run(hostile: list[str], workbench: Workbench) -> None:
    """Of one run and of several, for their owner and for strangers: body, title, and the file around them."""
    for ids in (hostile[:1], hostile):
        for for_strangers in (True, False):
            text = html(workbench, ids, for_strangers=for_strangers)
            head, body = text.split("<body", 1)
            said, _, packed = body.partition('<script type="text/plain"')
            assert "alert(2)" in said, "the words are shown"
            harmless(f"<body{said}".replace("<body", "<div", 1))
            for part in (head, packed):
                assert "alert(" not in re.sub(
                    r"<title>[^<]*</title>|<script>.*?</script>", "", part, flags=re.S
                )


def test_nothing_of_a_sweep_can_run(workbench: Workbench) -> None:
    """Values of its axes, its note and tags, and what its cells say, on its page and in its report."""
    evil = EVIL[:40]
    made = sweeps.create(
        workbench,
        Plan("fixture", (Axis("label", (evil, "b")), Axis("words", ([EVIL], ["x"]))), (0,), "smoke"),
        owner="visitor-x", note=EVIL, tags=[EVIL[:60]],
    )  # fmt: skip
    for place, run_id in enumerate(made.run_ids):
        say_all(workbench, run_id, EVIL, place)
        workbench.store.claim_run(run_id, "host/1")
        workbench.store.finish_run(run_id, (Status.failed, Status.finished)[place % 2], EVIL)
    for quantity in ("", f"{EVIL}/{EVIL}", "Ours/error"):
        shown = sweep.answer(workbench, made.run.id, quantity, Demo(workbench), "visitor-y")
        for name in ("head", "grid"):
            assert "onerror" in shown[name], "the words are shown"
            harmless(shown[name])
    text = html(workbench, [made.run.id], for_strangers=True)
    said = text.split("<body", 1)[1].partition('<script type="text/plain"')[0]
    assert "onerror" in said
    harmless(f"<div{said}")


def test_nothing_on_the_claims_board_can_run(workbench: Workbench) -> None:
    """What an engine's run says of a claim: its words, figures, units and the machine."""
    params = workbench.validate("fixture", {}).model_dump(mode="json")
    run = workbench.store.create_run(
        engine="fixture", params=params, seed=0, preset="default", tags=["published"], engine_version=EVIL,
        environment={"cpu": EVIL, "device_name": EVIL},
    )  # fmt: skip
    say_all(workbench, run.id, EVIL)
    workbench.store.claim_run(run.id, "host/1")
    workbench.store.finish_run(run.id, Status.finished)
    for is_guest in (True, False):
        text = board.answer(workbench, is_guest)["html"]
        assert run.id in text
        assert "alert(2)" in text, "the detail is shown"
        harmless(text)


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
        assert "onerror" in text, "the words are there"
        harmless(text)
