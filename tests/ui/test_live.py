"""What a page is sent of a run, from the empty record to the end, and that everything recorded is escaped."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engines.contract import Claim
from storage import AlertRow, ClaimRow, FileInfo, Status, TableData
from ui import live, live_parts, live_status, live_words
from ui.page import Page, numbered
from workbench.errors import UnknownRun
from workbench.runs import Workbench


@pytest.fixture
def page(workbench: Workbench) -> Page:
    return Page(workbench)


def run_form(page: Page, **values: Any) -> list[dict[str, Any]]:
    asked = {"do": "run", "engine": "fixture", "preset": "smoke", "values": values, "seed": "3"}
    return page.act(asked, "local").messages


def live_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return next(message for message in messages if message["kind"] == "live")


def test_a_finished_run_is_sent_whole_and_then_nothing_more(page: Page) -> None:
    message = live_of(run_form(page))
    assert message["over"]
    assert message["status"]["word"] == "Finished"
    assert "✓ holds" in message["claims"]
    assert "– not decided" in message["claims"]
    assert [group["key"] for group in message["pictures"]] == [""]
    assert message["figures"]
    assert set(message["figures"]) <= {frame["key"] for frame in message["frames"]}
    again = page.act({"do": "follow", "run": message["run"], "since": message["version"]}, "local")
    assert again.timer is False
    assert not {"figures", "pictures", "tables"} & set(again.messages[0])


def test_only_what_changed_is_sent(workbench: Workbench, page: Page) -> None:
    run = workbench.create("fixture", {}, preset="smoke")
    workbench.store.claim_run(run.id, "test")
    with workbench.store.writer(run.id) as writer:
        writer.scalar("Ours", "error", 0, 1.0, 0.1)
        writer.flush()
        engine, view = workbench.catalog.engine("fixture"), page.view("fixture")
        first = live.patch(workbench, engine, view, run.id, 0)
        writer.text("note", "<script>")
        writer.progress(1, 4, "one")
        writer.flush()
        second = live.patch(workbench, engine, view, run.id, first["version"])
    assert not first["over"]
    assert list(first["figures"]) == ["scalar:error"]
    assert second["version"] > first["version"]
    assert second["figures"] == {}
    assert second["texts"] == "<p><b>Note.</b> &lt;script&gt;</p>"
    assert second["status"]["fraction"] == 0.25
    assert "tables" not in second


def test_invalid_settings_are_told_at_their_fields_and_make_no_run(workbench: Workbench, page: Page) -> None:
    [message] = run_form(page, steps="0", rate="abc")
    assert set(message["errors"]) == {"steps", "rate"}
    assert "steps must be a whole number" in message["errors"]["steps"]
    [message] = page.act({"do": "run", "engine": "fixture", "values": {}, "seed": "-1"}, "local").messages
    assert set(message["errors"]) == {"seed"}
    assert workbench.runs().total == 0


def test_addresses_lead_to_runs_forms_and_kind_words(workbench: Workbench, page: Page) -> None:
    run_id = live_of(run_form(page, steps="4"))["run"]
    answer = page.go(f"?run={run_id}", "local")
    assert answer.place is not None
    assert answer.place.engine == "fixture"
    assert [message["kind"] for message in answer.messages] == ["form", "live"]
    assert answer.messages[0]["values"]["steps"] == 4
    fork = page.go(f"?engine=fixture&from={run_id}", "local")
    assert fork.messages[-1]["parent"] == run_id
    preset = page.go("?engine=fixture&preset=paper", "local")
    assert preset.messages[-1]["values"]["steps"] == 100
    for unknown in ("?run=00000000000000000000000000", "?engine=nothing", "?engine=fixture&from=zzz"):
        answer = page.go(unknown, "local")
        assert answer.messages[0]["kind"] == "page"
        assert answer.place is not None
        assert answer.place.kind == "home"


def test_a_deleted_run_detaches_its_stage(workbench: Workbench, page: Page) -> None:
    run_id = live_of(run_form(page))["run"]
    workbench.delete(run_id)
    answer = page.tick([{"engine": "fixture", "run": run_id, "since": 1}])
    assert [message["kind"] for message in answer.messages] == ["detach", "notice"]
    assert answer.timer is False


@pytest.mark.parametrize(
    "asked", [None, [], {}, {"do": "nothing"}, {"do": "run"}, {"do": "follow", "run": 3}, {"do": "stop"}]
)
def test_nonsense_from_a_page_is_answered_without_an_exception(page: Page, asked: Any) -> None:
    assert numbered(page.act(asked, "local"))["do"] is not None
    assert page.tick(asked).messages is not None


def test_the_command_of_the_form(page: Page) -> None:
    asked = {"do": "command", "engine": "fixture", "preset": "smoke", "values": {"steps": "9"}, "seed": "2"}
    [message] = page.act(asked, "local").messages
    assert "workbench run fixture --preset smoke --seed 2 --set steps=9" in message["html"]


def test_an_unknown_run_is_an_error_of_the_workbench(workbench: Workbench, page: Page) -> None:
    with pytest.raises(UnknownRun):
        live.patch(workbench, workbench.catalog.engine("fixture"), page.view("fixture"), "0" * 26, 0)


def test_the_status_line_of_each_state(workbench: Workbench) -> None:
    run = workbench.create("fixture", {}, preset="smoke")
    line = live_status.status_line(run, position=2)
    assert (line["word"], line["facts"], line["actions"]) == ("Queued", ["2nd in the queue"], "")
    workbench.store.claim_run(run.id, "test")
    workbench.store.finish_run(run.id, Status.failed, "It <failed>.", "Error")
    run = workbench.run(run.id)
    line = live_status.status_line(run, other="abc")
    assert line["word"] == "Failed"
    assert f"?compare={run.id},abc" in line["actions"]
    assert live_status.ending(run) == (
        "<p>It &lt;failed&gt;. Everything recorded until then is below.</p>",
        "bad",
    )


def test_recorded_texts_are_escaped_everywhere() -> None:
    evil = '<img src=x onerror="alert(1)">'
    made = [
        live_parts.tables({evil: TableData([evil], [[evil]])}),
        live_parts.texts({evil: evil}),
        live_parts.alerts([AlertRow(evil, 0, evil)]),
        live_parts.files([FileInfo(evil, "0" * 64, "text/csv", evil, evil, 3)]),
        live_parts.claims((), [ClaimRow(evil, evil, evil, 1.0, None, True, evil, evil)], is_over=True),
    ]
    assert all(made)
    assert not any("<img" in html for html in made)


def test_claims_stand_there_before_they_are_checked() -> None:
    html = live_parts.claims((Claim("a", "It is better."),), (), is_over=False)
    assert "It is better." in html
    assert "not published or not confirmed" in html
    assert "– at the end" in html
    assert "– not checked" in live_parts.claims((Claim("a", "It is better."),), (), is_over=True)


def test_tables_keep_what_is_no_number() -> None:
    html = live_parts.table(["who", "error"], [["a", math.nan], ["b", None], ["c", 1.23456789]])
    assert ">NaN<" in html
    assert ">–<" in html
    assert 'title="1.23456789">1.235<' in html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (12, "12"),
        (12345, "12\u202f345"),
        (0.012345, "0.01235"),
        (1.2e-7, "1.20e-7"),
        (math.inf, "∞"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert live_words.number(value).replace("\u2009", "\u202f") in (text, text.replace("\u202f", " "))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.8 s"), (23.4, "23 s"), (192, "3 min 12 s"), (7500, "2 h 5 min"), (60, "1 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert live_words.duration(seconds) == text
