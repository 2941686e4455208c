"""What an engine does: its smoke preset through the recorder, again, cancelled, exported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fingerprints import cell, fingerprints
from smoke_run import Smoke

from engines.contract import Engine
from engines.events import Alert, Array, ClaimCheck, Event, File, Picture, Progress, Scalar, Table, Text
from storage import Status, Store, export_bundle, import_bundle
from workbench.recorder import CANCEL


def test_smoke_finishes(smoke: Smoke, record_property: Callable[[str, object], None]) -> None:
    record_property("smoke_s", smoke.run.duration_s)
    assert smoke.run.status is Status.finished, smoke.run.error
    assert smoke.run.error == ""
    assert "traceback" not in smoke.record.texts()
    progress = [event for event in smoke.events if isinstance(event, Progress)]
    assert progress, "the reader must see how far it is"
    assert all(0 <= event.done <= event.total for event in progress)
    assert progress[-1].done == progress[-1].total


def test_the_headline_is_among_the_curves(smoke: Smoke) -> None:
    assert smoke.engine.headline in {(info.series, info.name) for info in smoke.record.series()}


def test_same_seed_same_events(smoke: Smoke, speak: Callable[..., list[Event]]) -> None:
    again = fingerprints(speak())
    first = fingerprints(smoke.events)
    assert len(again) == len(first)
    for position, (one, other) in enumerate(zip(first, again, strict=True)):
        assert one == other, f"event {position} differs"


def test_curves_survive_bit_for_bit(smoke: Smoke) -> None:
    said: dict[tuple[str, str], list[Scalar]] = defaultdict(list)
    for event in smoke.events:
        if isinstance(event, Scalar):
            said[event.series, event.name].append(event)
    assert {(info.series, info.name) for info in smoke.record.series()} == set(said)
    for (series, name), scalars in said.items():
        points = smoke.record.points(series, name)
        assert np.array_equal(points.steps, [float(scalar.step) for scalar in scalars], equal_nan=True)
        assert np.array_equal(points.values, [float(scalar.value) for scalar in scalars], equal_nan=True)
        strange = sum(not np.isfinite(float(scalar.value)) for scalar in scalars)
        assert (
            next(
                info for info in smoke.record.series() if (info.series, info.name) == (series, name)
            ).nonfinite
            == strange
        )


def test_everything_else_survives(smoke: Smoke) -> None:
    record, events = smoke.record, smoke.events
    assert [picture.step for picture in record.pictures()] == [event.step for event in _kept(events, Picture)]
    arrays = _kept(events, Array)
    assert [info.step for info in record.arrays()] == [event.step for event in arrays]
    for info, event in zip(record.arrays(), arrays, strict=True):
        assert np.array_equal(
            record.array(info), event.values, equal_nan=np.asarray(event.values).dtype.kind == "f"
        )
    tables = {event.name: event for event in events if isinstance(event, Table)}
    assert set(record.tables()) == set(tables)
    for name, table in tables.items():
        read = record.tables()[name]
        assert read.columns == list(table.columns)
        assert [list(map(cell, row)) for row in read.rows] == [list(map(cell, row)) for row in table.rows]
    assert record.texts() == {event.name: event.value for event in events if isinstance(event, Text)}
    assert {file.name for file in record.files()} == {
        event.name for event in events if isinstance(event, File)
    }
    alerts = [alert.message for alert in record.alerts()]
    assert all(event.message in alerts for event in events if isinstance(event, Alert))


def test_claims_are_declared_and_decided_or_explained(smoke: Smoke) -> None:
    declared = {claim.key: claim for claim in smoke.engine.claims}
    checks = [event for event in smoke.events if isinstance(event, ClaimCheck)]
    assert checks, "the run ends with its claim checks"
    assert {check.key for check in checks} <= set(declared)
    for row in smoke.record.claims():
        assert row.statement == declared[row.key].statement
        assert row.paper == declared[row.key].paper
        assert row.holds is not None or row.detail, f"{row.key} is not decided and says not why"


@pytest.mark.parametrize("place", ["before the first", "after the first", "in the middle", "after the last"])
def test_cancel_after_any_event_leaves_a_clean_record(smoke: Smoke, place: str) -> None:
    total = len(smoke.events)
    count = {
        "before the first": 0,
        "after the first": 1,
        "in the middle": total // 2,
        "after the last": total,
    }[place]
    seen: list[Event] = []
    bench = smoke.workbench
    created = bench.create(smoke.engine.key, preset="smoke", seed=smoke.run.seed)
    run = bench.run_inline(
        created.id, on_event=seen.append, stop=lambda: CANCEL if len(seen) >= count else None
    )
    assert run.status is Status.cancelled
    assert run.error == ""
    assert len(seen) == count
    record = bench.record(run.id)
    assert "traceback" not in record.texts(), "the engine's finally blocks must not fail"
    assert sum(info.count for info in record.series()) == sum(isinstance(event, Scalar) for event in seen)
    assert fingerprints(seen) == fingerprints(smoke.events[:count])
    assert not [path for path in (bench.settings.home / "scratch").iterdir() if path.is_dir()]


def test_the_record_exports_and_imports(smoke: Smoke, tmp_path: Path) -> None:
    bundle = tmp_path / "run.zip"
    export_bundle(smoke.workbench.store, [smoke.run.id], bundle)
    with Store.open(f"sqlite:///{tmp_path}/other.db", str(tmp_path / "artifacts")) as other:
        assert import_bundle(other, bundle) == [smoke.run.id]
        read = other.record(smoke.run.id)
        assert (read.run.params, read.run.seed) == (smoke.run.params, smoke.run.seed)
        assert read.claims() == smoke.record.claims()
        assert read.texts() == smoke.record.texts()
        for info in smoke.record.series():
            mine, theirs = (record.points(info.series, info.name) for record in (smoke.record, read))
            assert np.array_equal(mine.values, theirs.values, equal_nan=True)


def test_the_engine_needs_no_recorder_and_no_database(
    engine: Engine, speak: Callable[..., list[Event]]
) -> None:
    assert speak(seed=2)


def _kept(events: list[Event], kind: type) -> list[Any]:
    """Pictures or arrays that stay: all that are kept, and the last of each name that is not."""
    last = {event.name: event for event in events if isinstance(event, kind) and not event.keep}  # type: ignore[attr-defined]
    return [
        event for event in events if isinstance(event, kind) and (event.keep or last[event.name] is event)
    ]  # type: ignore[attr-defined]
