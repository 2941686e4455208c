import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.contract import Context, Engine, Run
from engines.events import Command, Event, File, Progress, Scalar, Text
from storage import DiskFull, Status, Store
from workbench import recorder
from workbench.catalog import Catalog
from workbench.pngrecord import decode
from workbench.recorder import CANCEL, Stop, record_run

Recorded = Callable[..., tuple[Status, Any]]


@pytest.fixture
def engine(fixture_catalog: Catalog) -> Engine:
    return fixture_catalog.engine("fixture")


@pytest.fixture
def recorded(store: Store, engine: Engine, tmp_path: Path) -> Recorded:
    """Runs the fixture engine, or another generator function, through the recorder."""

    def go(
        values: dict[str, Any] | None = None, run: Any = None, seed: int = 1, **options: Any
    ) -> tuple[Status, Any]:
        used = engine if run is None else Engine(**{**vars(engine), "run": run})
        params = engine.params.model_validate(values or {})
        row = store.create_run(engine="fixture", params=params.model_dump(mode="json"), seed=seed)
        store.claim_run(row.id, "test")
        scratch = tmp_path / "work" / row.id / "scratch"
        scratch.mkdir(parents=True)
        context = Context("cpu", seed, scratch)
        status = record_run(store, store.run(row.id), used, params, context, **options)
        return status, store.record(row.id)

    return go


def test_every_kind_of_event_is_kept(recorded: Recorded, store: Store) -> None:
    status, record = recorded({"steps": 4})
    assert status is Status.finished is record.run.status
    series = {(info.series, info.name): info.count for info in record.series()}
    assert series == {("Ours", "error"): 4, ("Base", "error"): 4, ("Ours", "time/step"): 4}
    times = record.points("Ours", "error").times
    assert np.all(np.diff(times) > 0)
    assert times[0] >= 0
    assert [picture.step for picture in record.pictures("strip")] == [0, 1, 2, 3]
    assert [picture.step for picture in record.pictures("newest")] == [3]
    assert [info.shape for info in record.arrays("spectrum")] == [(2, 3)] * 4
    assert record.arrays()[0].axes == (("row", ["a", "b"]), ("x", [0.0, 0.5, 1.0]))
    assert record.tables()["result"].columns == ["who", "error"]
    assert math.isnan(record.tables()["result"].rows[1][1])
    assert record.texts()["summary"].startswith("näme")
    assert [alert.name for alert in record.alerts()] == ["end"]
    [file] = record.files()
    assert (file.name, file.filename, file.media_type) == ("result", "result.csv", "text/csv")
    assert store.artifacts.read(file.hash).startswith(b"error\n")
    smaller, undecided = record.claims()
    assert (smaller.key, smaller.holds, smaller.paper, smaller.unit) == ("smaller", True, "half", "m")
    assert (undecided.holds, undecided.measured, undecided.detail) == (None, None, "Too few steps to tell.")
    assert (record.run.progress_done, record.run.progress_total) == (4, 4)


def test_pictures_carry_the_record(recorded: Recorded, store: Store) -> None:
    _, record = recorded({"steps": 2})
    carried = decode(store.artifacts.read(record.pictures("strip")[1].hash))
    assert (carried.run, carried.engine, carried.seed) == (record.run.id, "fixture", 1)
    assert (carried.params, carried.picture, carried.step) == (record.run.params, "strip", 1)


def test_non_finite_values_are_kept_with_one_alert_each(recorded: Recorded) -> None:
    _, record = recorded({"steps": 5, "mode": "nan"})
    values = record.points("Ours", "error").values
    assert np.isnan(values).tolist() == [False, True, False, True, False]
    assert np.isinf(record.points("Base", "error").values[1])
    messages = [alert.message for alert in record.alerts() if alert.name == "error"]
    assert messages == ["error of Ours became nan at step 1.", "error of Base became inf at step 1."]


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("fail", "ZeroDivisionError", "ZeroDivisionError"),
        ("refuse", "Refusal", "photo must be a picture; got a poem."),
        ("memory", "OutOfMemory", "Out of memory on this machine."),
        ("torch_memory", "OutOfMemory", "Out of memory"),
        ("missing", "MissingPackage", "cmfrec"),
        ("exit", "SystemExit", "SystemExit"),
        ("undeclared", "EngineFault", "'invented', which it does not declare (declared: smaller, undecided)"),
        ("unexplained", "EngineFault", "its detail must say why"),
        ("no_event", "EngineFault", "a str, which is no event"),
        ("float_picture", "EngineFault", "pixels must be uint8 of shape H x W x 3; got float64"),
        ("crooked_array", "EngineFault", "the lengths (2,) and its values the shape (2, 2)"),
        ("foreign_file", "EngineFault", "in the run's scratch folder"),
        ("no_generator", "EngineFault", "must be a generator"),
    ],
)
def test_faults_end_the_run_with_a_sentence(
    recorded: Recorded, tmp_path: Path, mode: str, kind: str, words: str
) -> None:
    status, record = recorded({"mode": mode})
    assert status is Status.failed is record.run.status
    assert record.run.error_kind == kind
    assert words in record.run.error
    assert "/" not in record.run.error.replace("1/step", "")
    if mode != "no_generator":
        assert record.series()[0].count == 4, "what was said before the fault is kept"
    assert ("traceback" in record.texts()) == (kind not in ("Refusal", "EngineFault"))


def test_the_engine_tidies_up_when_it_is_stopped(recorded: Recorded, tmp_path: Path) -> None:
    seen: list[Event] = []
    wish = lambda: CANCEL if len(seen) >= 5 else None  # noqa: E731
    status, record = recorded({"steps": 1000}, on_event=seen.append, stop=wish)
    assert status is Status.cancelled is record.run.status
    assert len(seen) == 5
    assert record.run.error == ""
    assert (tmp_path / "work" / "closed-1").exists()
    assert record.series()[0].count == 1


@pytest.mark.parametrize("live", [True, False])
def test_a_live_file_is_taken_as_the_engine_leaves_it(recorded: Recorded, store: Store, live: bool) -> None:
    def run(params: Any, context: Context) -> Run:
        path = context.scratch / "state.txt"
        path.write_text("first")
        yield File("state", path, "text/plain", "Where it stands", live=live)
        try:
            for done in range(1000):
                yield Progress(done, 1000)
        finally:
            path.write_text(f"after {done}")

    seen: list[Event] = []
    wish = lambda: CANCEL if len(seen) >= 5 else None  # noqa: E731
    _, record = recorded(run=run, on_event=seen.append, stop=wish)
    [file] = record.files()
    assert store.artifacts.read(file.hash) == (b"after 3" if live else b"first")
    assert (file.name, file.caption) == ("state", "Where it stands")


def test_a_stop_brings_its_status_and_reason(recorded: Recorded) -> None:
    stop = Stop(Status.interrupted, "The lights went out.", "Dark")
    status, record = recorded(stop=lambda: stop)
    assert status is Status.interrupted
    assert (record.run.error, record.run.error_kind) == ("The lights went out.", "Dark")
    assert record.series() == []


def test_a_command_in_the_store_cancels(recorded: Recorded, store: Store) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 1:
            [row] = store.runs().rows
            store.send_command(row.run.id, "cancel")

    status, record = recorded({"steps": 1_000_000, "pause_s": 0.01}, on_event=on_event)
    assert status is Status.cancelled
    assert record.points("Ours", "error").values.size >= 1


def test_an_engine_that_does_not_let_itself_be_closed(recorded: Recorded) -> None:
    seen: list[Event] = []
    status, record = recorded(
        {"mode": "rude"}, on_event=seen.append, stop=lambda: CANCEL if len(seen) > 60 else None
    )
    assert status is Status.cancelled
    assert "ignored GeneratorExit" in record.texts()["traceback"]


def test_keyboard_interrupt_cancels_and_goes_on_up(recorded: Recorded, store: Store) -> None:
    def on_event(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorded(on_event=on_event)
    [row] = store.runs().rows
    assert row.run.status is Status.cancelled
    assert row.run.error == "Stopped from the keyboard."


def test_commands_reach_the_engine_as_the_value_of_its_yield(recorded: Recorded, store: Store) -> None:
    sent = threading.Event()

    def run(params: Any, context: Context) -> Run:
        answer = yield Progress(0, 1)
        [row] = store.runs().rows
        store.send_command(row.run.id, "set", {"name": "rate", "value": 0.25, "data": {"why": "faster"}})
        sent.set()
        while answer is None:
            time.sleep(0.01)
            answer = yield Progress(0, 1)
        yield Text("answer", f"{answer.kind} {answer.name} {answer.value} {answer.data}")
        assert isinstance(answer, Command)

    _, record = recorded(run=run)
    assert record.texts()["answer"] == "set rate 0.25 {'why': 'faster'}"


def test_a_silent_engine_does_not_hold_back_what_it_said(recorded: Recorded, store: Store) -> None:
    found: list[int] = []

    def run(params: Any, context: Context) -> Run:
        yield Scalar("Ours", "error", 0, 1.0)
        [row] = store.runs().rows
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found.extend(info.count for info in store.record(row.run.id).series())
            time.sleep(0.02)

    status, _ = recorded(run=run)
    assert status is Status.finished
    assert found == [1], "the pulse made it durable while the engine was silent"


def test_a_silent_engine_gives_signs_of_life(
    recorded: Recorded, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SIGN_OF_LIFE_S", 0.1)
    beats: list[float] = []

    def run(params: Any, context: Context) -> Run:
        yield Progress(0, 1)
        [row] = store.runs().rows
        deadline = time.monotonic() + 30
        while len(set(beats)) < 3 and time.monotonic() < deadline:
            beats.append(store.run(row.run.id).heartbeat_at or 0.0)
            time.sleep(0.02)

    recorded(run=run)
    assert len(set(beats)) == 3


def test_a_stuck_engine_is_told_after_the_grace_period(recorded: Recorded) -> None:
    told: list[Stop] = []
    asked: list[int] = []

    def wish() -> Stop | None:
        asked.append(1)
        return CANCEL if len(asked) > 1 else None  # the engine's thread asks first, then it is stuck

    def run(params: Any, context: Context) -> Run:
        deadline = time.monotonic() + 30
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        yield Progress(1, 1)

    status, _ = recorded(run=run, stop=wish, on_stuck=told.append, grace_s=0.1)
    assert told[0] is CANCEL
    assert status is Status.cancelled


def test_a_store_that_cannot_be_written_fails_the_run(
    recorded: Recorded, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage import Writer

    def full(self: Writer) -> None:
        raise DiskFull("No room is left for the database.")

    def run(params: Any, context: Context) -> Run:
        monkeypatch.setattr(Writer, "flush", full)
        while True:
            yield Scalar("Ours", "error", 0, 1.0)

    status, record = recorded(run=run)
    assert status is Status.failed
    assert (record.run.error_kind, record.run.error) == ("DiskFull", "No room is left for the database.")


def test_many_points_go_through_in_batches(recorded: Recorded) -> None:
    status, record = recorded({"mode": "burst", "steps": 12_345})
    assert status is Status.finished
    points = record.points("Ours", "error")
    assert np.array_equal(points.steps, np.arange(12_345))
    assert np.array_equal(points.values, 1.0 / np.arange(1, 12_346))
