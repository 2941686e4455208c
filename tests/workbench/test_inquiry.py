"""Questions to what a run has kept: refused, answered in another process, after a restart, and after deletion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines.contract import Inquiry
from engines.events import Table
from workbench import inquiry as inquiry_module
from workbench.access import GUESTS_QUESTION, QUESTIONS, Demo
from workbench.catalog import Catalog, Origin
from workbench.errors import RunFailed, RunIsActive, UsageError
from workbench.inquiry import Inquirer, Told, _handle
from workbench.runs import Workbench

INQUIRY = Inquiry("Ask", "help", "What?", "kept ", lambda files, question: Table("Asked", ("file", "said"), [(f.read_text(), question) for f in files]), max_length=20)  # fmt: skip


@pytest.fixture
def bench(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The fixture engine with an inquiry, answered in this process: the helper's own function, without the process."""
    key, engine = next(iter(workbench.catalog.engines.items()))
    catalog = Catalog.of(
        [(key, replace(engine, inquiry=INQUIRY), Origin("fixture_engine", "fixture-engine", "1.0"))]
    )
    workbench.catalog = catalog
    answered = lambda self, asked: inquiry_module._told(_handle(catalog, asked))  # noqa: E731
    monkeypatch.setattr(Inquirer, "_answer", answered)
    return workbench


def kept_run(bench: Workbench, tmp_path: Path) -> str:
    run = bench.create(next(iter(bench.catalog.engines)), preset="smoke")
    with bench.store.writer(run.id) as writer:
        for name in ("one", "two"):
            path = tmp_path / f"{name}.txt"
            path.write_text(name)
            writer.file(f"kept {name}", path, "text/plain", "kept")
        path = tmp_path / "other.txt"
        path.write_text("other")
        writer.file("result", path, "text/plain", "a result")
        writer.flush()
    return run.id


def test_every_kept_file_answers(bench: Workbench, tmp_path: Path) -> None:
    told = bench.inquire(kept_run(bench, tmp_path), "  who\n are you ")
    assert told == Told(("file", "said"), (("one", "who are you"), ("two", "who are you")))


def test_bad_questions_are_one_sentence(bench: Workbench, tmp_path: Path) -> None:
    run_id = kept_run(bench, tmp_path)
    for text in ("", "  \n ", "x" * 21):
        with pytest.raises(UsageError, match="question must"):
            bench.inquire(run_id, text)
    empty = bench.create(next(iter(bench.catalog.engines)), preset="smoke")
    with pytest.raises(UsageError, match="kept nothing"):
        bench.inquire(empty.id, "who?")


def test_forgetting_deletes_these_files_and_no_others(bench: Workbench, tmp_path: Path) -> None:
    run_id = kept_run(bench, tmp_path)
    hashes = {file.name: file.hash for file in bench.record(run_id).files()}
    with pytest.raises(RunIsActive):
        bench.forget_kept(run_id)
    bench.cancel(run_id)
    before = bench.run(run_id).version
    bench.forget_kept(run_id)
    assert [file.name for file in bench.record(run_id).files()] == ["result"]
    assert bench.run(run_id).version > before
    assert not bench.store.artifacts.exists(hashes["kept one"])
    assert bench.store.artifacts.exists(hashes["result"])
    with pytest.raises(UsageError, match="kept nothing"):
        bench.inquire(run_id, "who?")


def test_guests_ask_short_questions_and_not_without_end(bench: Workbench, tmp_path: Path) -> None:
    run_id, demo = kept_run(bench, tmp_path), Demo(bench)
    with pytest.raises(UsageError, match=f"at most {GUESTS_QUESTION}"):
        demo.inquire("visitor-1", run_id, "x" * (GUESTS_QUESTION + 1))
    for _ in range(QUESTIONS):
        demo.inquire("visitor-1", run_id, "who?")
    with pytest.raises(UsageError, match="in the last hour"):
        demo.inquire("visitor-1", run_id, "who?")
    assert demo.inquire("local", run_id, "who?").rows


def test_what_goes_wrong_in_the_helper_is_told(bench: Workbench) -> None:
    engine = next(iter(bench.catalog.engines))
    assert "failed" in _handle(bench.catalog, {"engine": engine, "files": ["missing"], "question": "who?"})
    with pytest.raises(RunFailed):
        inquiry_module._told({"failed": "out of memory"})
    with pytest.raises(UsageError, match="not like that"):
        inquiry_module._told({"refused": "not like that"})


def test_a_helper_that_dies_or_hangs_does_not_take_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    inquirer = Inquirer()
    monkeypatch.setattr(inquiry_module, "COMMAND", ("-c", "import sys; sys.exit(1)"))
    with pytest.raises(RunFailed, match="ended before it answered"):
        inquirer.ask("x", INQUIRY, [], "who?")
    monkeypatch.setattr(inquiry_module, "COMMAND", ("-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(inquiry_module, "ANSWER_S", 0.2)
    with pytest.raises(RunFailed, match="did not answer"):
        inquirer.ask("x", INQUIRY, [], "who?")
    inquirer.close()
