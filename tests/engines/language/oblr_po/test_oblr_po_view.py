"""The engine's figures from an empty, a half and a full record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.contract import Context
from engines.events import Alert, Array, ClaimCheck, Scalar, Table, Text
from engines.language.oblr_po import ENGINE
from engines.validation import validate
from storage import Record, Store
from ui.figures import resolve
from ui.tabs.language.oblr_po import VIEW

PARAMS = {**ENGINE.preset("smoke")}


@pytest.fixture(scope="module")
def events():
    return list(ENGINE.run(validate(ENGINE.params, PARAMS), Context("cpu", 0, Path("."))))


def recorded(tmp_path: Path, events) -> Record:
    store = Store.open(f"sqlite:///{tmp_path}/db.sqlite", f"file://{tmp_path}/artifacts")
    run = store.create_run(engine="oblr_po", params=PARAMS, seed=0, headline=ENGINE.headline)
    with store.writer(run.id) as writer:
        for event in events:
            if isinstance(event, Scalar):
                writer.scalar(event.series, event.name, event.step, event.value, 0.0)
            elif isinstance(event, Array):
                writer.array(
                    event.name,
                    event.step,
                    event.values,
                    [(a.name, list(a.values)) for a in event.axes],
                    event.keep,
                )
            elif isinstance(event, Table):
                writer.table(event.name, event.columns, event.rows)
        writer.flush()
    return store.record(run.id)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_all_figures_build(tmp_path: Path, events, share: float) -> None:
    record = recorded(tmp_path, events[: int(share * len(events))])
    for spec in VIEW.specs(PARAMS, record):
        figure = spec.build(record)
        json.dumps(figure)
        assert resolve(figure, "dark")["layout"]
        if share == 1.0:
            assert figure["data"], spec.key


def test_figures_read_what_the_experiment_tells(events) -> None:
    told = {f"series:{e.name}" for e in events if isinstance(e, Scalar)} | {
        f"array:{e.name}" for e in events if isinstance(e, Array)
    }
    for spec in VIEW.figures:
        for pattern in spec.reads:
            prefix = pattern.rstrip("*")
            assert any(
                name == pattern or (pattern.endswith("*") and name.startswith(prefix)) for name in told
            ), pattern
    assert set(VIEW.tables) == {e.name for e in events if isinstance(e, Table)}


def test_every_kind_of_run_shows_something() -> None:
    for experiment in ("training", "audit", "bandit", "all"):
        assert len(VIEW.specs({"experiment": experiment})) >= 5


def test_values_are_plain(events) -> None:
    for event in events:
        if isinstance(event, ClaimCheck):
            assert event.holds is None or type(event.holds) is bool
            assert event.measured is None or type(event.measured) is float
        if isinstance(event, Scalar):
            assert type(event.value) in (float, int)
        assert not isinstance(event, Text | Alert) or event
