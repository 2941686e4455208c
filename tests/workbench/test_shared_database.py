"""Two machines on one PostgreSQL: one is asked, the other executes; neither looks again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from storage import Status
from workbench import sweeps
from workbench.cli import sweeping
from workbench.cli.sweeping import Teller
from workbench.runs import Workbench
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan


def test_a_run_asked_here_is_executed_there_and_cancelled_from_here(
    make_workbench: Callable[..., Workbench], postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far apart looks, so that only news can be the reason for what follows.
    monkeypatch.setattr("workbench.dispatcher.QUIET_POLL_S", 300.0)
    monkeypatch.setattr("workbench.following.QUIET_LOOK_S", 300.0)
    there = make_workbench(database_url=postgres_schema)
    here = make_workbench(database_url=postgres_schema, executor="inline")
    there.look_around()
    news = there.store.news()
    assert news is not None
    assert news.wait_until_live(60)
    short = here.create("fixture", {"steps": 2}, preset="smoke")
    ended = here.follow(short.id)
    assert (ended.status, ended.error) == (Status.finished, "")
    long = here.create("fixture", {"steps": 100_000, "pause_s": 0.01})
    deadline = time.monotonic() + 60
    while not here.record(long.id).series():
        assert time.monotonic() < deadline, "it never started"
        time.sleep(0.02)
    here.cancel(long.id)
    assert here.follow(long.id).status is Status.cancelled
    assert here.record(long.id).series(), "what it recorded is kept"


def test_a_recorder_does_not_ask_for_commands_while_news_arrive(
    make_workbench: Callable[..., Workbench], postgres_schema: str
) -> None:
    bench = make_workbench(database_url=postgres_schema, executor="inline")
    news = bench.store.news()
    assert news is not None
    assert news.wait_until_live(60)
    asked: list[str] = []

    def count(_connection, _cursor, statement, *_rest) -> None:
        if "FROM command" in statement and statement.startswith("SELECT"):
            asked.append(statement)

    event.listen(bench.store.database.engine, "before_cursor_execute", count)
    run = bench.create("fixture", {"steps": 30, "pause_s": 0.05})
    assert bench.run_inline(run.id).status is Status.finished
    assert len(asked) <= 3, "1.5 s of looking at every beat would be six"
    asked.clear()
    long = bench.create("fixture", {"steps": 100_000, "pause_s": 0.01})
    timer = threading.Timer(0.5, lambda: bench.cancel(long.id))
    timer.start()
    assert bench.run_inline(long.id).status is Status.cancelled
    timer.join()
    assert asked


def test_a_sweep_is_looked_at_when_a_cell_has_news(
    make_workbench: Callable[..., Workbench], postgres_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.cli.sweeping.QUIET_LOOK_S", 300.0)
    here = make_workbench(database_url=postgres_schema, executor="inline")
    there = make_workbench(database_url=postgres_schema, executor="inline")
    made = sweeps.create(here, Plan("fixture", (Axis("steps", (2, 3)),), (0,), "smoke"))
    news = here.store.news()
    assert news is not None
    assert news.wait_until_live(60)
    looks = []
    read = sweeps.read
    monkeypatch.setattr(sweeps, "read", lambda *given: (looks.append(1), read(*given))[1])
    wish = SimpleNamespace(is_wished=False)
    waiting = threading.Thread(target=sweeping._wait, args=(here, made, Teller(is_quiet=True), wish))
    waiting.start()
    time.sleep(1.5)
    assert len(looks) == 1, "it does not ask again and again"
    for run_id in made.run_ids:
        there.run_inline(run_id)
    waiting.join(60)
    assert not waiting.is_alive()
    assert len(looks) < 12
