"""What is written is what is read: pictures, arrays, tables, texts, alerts, files, claims, and the cursor."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from storage import Changes, Status, StorageError
from storage import writer as writers
from storage.tables import PICTURE


@pytest.fixture
def run(store, make_run):
    made = make_run(store)
    store.claim_run(made.id, "w")
    return made


def test_everything_comes_back(store, full_run) -> None:
    record = store.record(full_run(store).id)
    assert [(info.series, info.name, info.count) for info in record.series()] == [
        ("Ours", "error", 2345),
        ("SoftImpute", "error", 1),
        ("Ours", "время", 1),
    ]
    ours = record.series()[0]
    assert (ours.last_step, ours.last_value) == (2344 / 3, math.sin(2344))
    assert (ours.nonfinite, ours.min >= -1, ours.max <= 1) == (3, True, True)
    assert [picture.caption for picture in record.pictures("film")] == ["frame 0", "frame 1", "frame 2"]
    assert [(picture.step, picture.keep) for picture in record.pictures("now")] == [(2.0, False)]
    assert record.tables()["rivals"].columns == ["name", "error", "won"]
    assert repr(record.tables()["rivals"].rows) == "[['ours', 0.25, True], ['als', nan, None]]"
    assert record.texts() == {"summary": "line one\nzweite Zeile 🎈"}
    assert [(alert.name, alert.step) for alert in record.alerts()] == [("diverged", 7.0)]
    assert [(file.name, file.filename, file.size, file.caption) for file in record.files()] == [
        ("matrix", "result.csv", 4, "completed"),
        ("log", "log.txt", 5, ""),
    ]
    faster, better, cheaper = record.claims()
    assert (faster.measured, faster.baseline, faster.holds, faster.unit) == (3.5, math.inf, True, "s")
    assert math.isnan(better.measured)
    assert (better.baseline, better.holds) == (None, False)
    assert (cheaper.measured, cheaper.holds, cheaper.detail) == (None, None, "no baseline")
    assert (record.run.progress_done, record.run.progress_total, record.run.progress_note) == (10, 10, "done")


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1.5, math.nan], [math.inf, -0.0]]),
        np.arange(6, dtype=np.int8).reshape(1, 2, 3),
        np.array([True, False]),
        np.array(["a", "ß"]),
        np.array(3.0),
        np.empty((0, 4), dtype=np.float32),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
        np.random.default_rng(0).random((100, 100)),  # too large for the database
    ],
    ids=str,
)
def test_arrays_keep_dtype_shape_and_bits(store, run, values) -> None:
    axes = [(f"axis {number}", list(range(length))) for number, length in enumerate(values.shape)]
    with store.writer(run.id) as writer:
        writer.array("a", 1, values, axes)
    record = store.record(run.id)
    [info] = record.arrays("a")
    assert info.shape == values.shape
    assert [name for name, _ in info.axes] == [name for name, _ in axes]
    back = record.array(info)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


def test_an_array_must_fit_its_axes_and_hold_numbers(store, run) -> None:
    with store.writer(run.id) as writer:
        with pytest.raises(StorageError, match=r"axes of array 'a' \(x: 2\) do not fit its shape \(3,\)"):
            writer.array("a", 0, np.zeros(3), [("x", [1, 2])])
        with pytest.raises(StorageError, match="must hold numbers"):
            writer.array("a", 0, np.array([object()]), [("x", [1])])
        with pytest.raises(StorageError, match="must be made of"):
            writer.table("t", ["a"], [[object()]])
        assert writer.pending == 0


def test_frames_that_are_not_kept_are_replaced(store, run, monkeypatch) -> None:
    """In one batch, and over batches; kept frames of the same name stay; replaced files go."""
    with store.writer(run.id) as writer:
        for step in range(3):
            writer.picture("p", step, b"transient %d" % step, 1, 1, keep=False)
        writer.picture("p", 3, b"kept", 1, 1, keep=True)
        writer.picture("p", 4, b"first shown", 1, 1, keep=False)
        writer.array("a", 0, np.zeros(20_000), [("x", np.arange(20_000))], keep=False)
        assert writer.pending == 3
        writer.flush()
        record = store.record(run.id)
        assert [picture.step for picture in record.pictures("p")] == [3, 4]
        shown, old = record.pictures("p")[1].hash, record.arrays("a")[0]
        writer.picture("p", 5, b"second shown", 1, 1, keep=False)
        writer.array("a", 1, np.ones(2), [("x", [0, 1])], keep=False)
        writer.flush()
        assert [picture.step for picture in record.pictures("p")] == [3, 5]
        assert store.artifacts.exists(shown), "a page may be fetching it"
        monkeypatch.setattr(writers, "SUPERSEDED_S", 0.0)
        with pytest.raises(StorageError, match="replaced by a newer one"):
            record.array(old)
    assert not store.artifacts.exists(shown)
    assert record.array(record.arrays()[0]).tolist() == [1.0, 1.0]
    names = {
        path.name
        for path in Path(store.artifacts.local_path(record.pictures("p")[0].hash)).parents[1].rglob("*")
    }
    assert {picture.hash for picture in record.pictures()} == {name for name in names if len(name) == 64}


def test_a_replaced_picture_whose_content_is_used_elsewhere_stays(store, run) -> None:
    with store.writer(run.id) as writer:
        writer.picture("kept", 0, b"same", 1, 1)
        writer.picture("shown", 0, b"same", 1, 1, keep=False)
        writer.flush()
        writer.picture("shown", 1, b"other", 1, 1, keep=False)
        writer.picture("again", 1, b"other", 1, 1, keep=False)
        writer.picture("again", 2, b"newest", 1, 1, keep=False)
    assert [store.artifacts.read(picture.hash) for picture in store.record(run.id).pictures()] == [
        b"same",
        b"other",
        b"newest",
    ]


def test_named_results_are_replaced_and_keep_their_place(store, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(writers, "SUPERSEDED_S", 0.0)
    with store.writer(run.id) as writer:
        writer.text("first", "old")
        writer.text("second", "two")
        writer.file("f", b"old bytes", "text/plain")
        writer.flush()
        old = store.record(run.id).files()[0].hash
        writer.text("first", "new")
        writer.table("t", ["a"], [[1]])
        writer.table("t", ["a"], [[2]])
        writer.file("f", b"new bytes", "text/csv")
        writer.claim("c", "s", None, 1, 2, False)
        writer.claim("c", "s", None, 1, 2, True)
    record = store.record(run.id)
    assert list(record.texts().items()) == [("first", "new"), ("second", "two")]
    assert record.tables()["t"].rows == [[2]]
    assert [claim.holds for claim in record.claims()] == [True]
    assert [(file.media_type, file.size) for file in record.files()] == [("text/csv", 9)]
    assert not store.artifacts.exists(old)


def test_a_file_is_copied_at_once(store, run, tmp_path) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(b"x" * 3_000_000)
    with store.writer(run.id) as writer:
        writer.file("weights", source)
        source.unlink()
    [file] = store.record(run.id).files()
    assert (file.size, file.filename) == (3_000_000, "weights.bin")
    assert store.artifacts.read(file.hash) == b"x" * 3_000_000
    with store.writer(run.id) as writer, pytest.raises(StorageError, match="could not be stored"):
        writer.file("gone", source)


def test_a_table_may_change_after_it_was_given(store, run) -> None:
    rows = [[1, 2]]
    with store.writer(run.id) as writer:
        writer.table("t", ["a", "b"], rows)
        rows[0][0] = 99
    assert store.record(run.id).tables()["t"].rows == [[1, 2]]


def test_pending_counts_until_the_flush(store, run) -> None:
    writer = store.writer(run.id)
    writer.scalar("a", "b", 0, 1, 0)
    writer.text("t", "x")
    writer.progress(1, 2)
    assert writer.pending == 3
    assert store.record(run.id).series() == []
    writer.flush()
    assert writer.pending == 0
    assert len(store.record(run.id).series()) == 1


def test_the_cursor_tells_what_is_new(store, run) -> None:
    record, writer = store.record(run.id), store.writer(run.id)
    writer.scalar("a", "loss", 0, 1, 0)
    writer.scalar("b", "loss", 0, 1, 0)
    writer.picture("p", 0, b"png", 1, 1)
    writer.text("t", "x")
    writer.flush()
    first = record.changes(0)
    assert first.series == {("a", "loss"), ("b", "loss")}
    assert (first.pictures, first.texts, first.tables, first.arrays, first.files) == (
        {"p"},
        {"t"},
        set(),
        set(),
        set(),
    )
    assert (first.claims, first.alerts, first.status) == (False, False, Status.running)
    assert not record.changes(first.version)

    writer.scalar("b", "loss", 1, 2, 0)
    writer.table("tab", ["x"], [])
    writer.array("arr", 0, np.zeros(1), [("x", [0])])
    writer.file("f", b"1")
    writer.claim("c", "s", None, None, None, None)
    writer.alert("a", 0, "m")
    writer.flush()
    second = record.changes(first.version)
    assert second == Changes(
        version=second.version,
        status=Status.running,
        series=frozenset({("b", "loss")}),
        pictures=frozenset(),
        tables=frozenset({"tab"}),
        texts=frozenset(),
        arrays=frozenset({"arr"}),
        files=frozenset({"f"}),
        claims=True,
        alerts=True,
    )
    store.finish_run(run.id, Status.finished)
    third = record.changes(second.version)
    assert third.version > second.version
    assert third.status is Status.finished
    assert not third
    assert record.run.status is Status.running
    assert record.refresh().status is Status.finished


def test_a_flush_that_fails_loses_nothing(store, run, monkeypatch) -> None:
    writer = store.writer(run.id)
    writer.scalar("a", "loss", 0, 1, 0)
    writer.flush()
    for step in range(1, 1500):
        writer.scalar("a", "loss", step, step, step)
    writer.picture("p", 0, b"png", 1, 1)
    writer.text("t", "x")
    pending = writer.pending
    with monkeypatch.context() as patch:
        patch.setattr(writers, "write_batch", _fail)
        with pytest.raises(StorageError, match="on purpose"):
            writer.flush()
    assert writer.pending == pending
    assert len(store.record(run.id).points("a", "loss")) == 1
    writer.scalar("a", "loss", 1500, 0, 0)
    writer.close()
    record = store.record(run.id)
    np.testing.assert_array_equal(record.points("a", "loss").steps, np.arange(1501))
    assert record.texts() == {"t": "x"}
    assert store.artifacts.read(record.pictures()[0].hash) == b"png"


def test_a_writer_that_cannot_close_leaves_no_files(store, run, monkeypatch) -> None:
    writer = store.writer(run.id)
    writer.picture("p", 0, b"png", 1, 1)
    writer.file("f", __file__)
    root = Path(store.artifacts.blobs.path("0" * 64)).parents[1]
    monkeypatch.setattr(writers, "write_batch", _fail)
    with pytest.raises(StorageError, match="on purpose"):
        writer.close()
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_the_error_of_the_block_is_the_one_told(store, run, monkeypatch) -> None:
    monkeypatch.setattr(writers, "write_batch", _fail)

    def record_and_fail() -> None:
        with store.writer(run.id) as writer:
            writer.text("t", "x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_and_fail()


def test_a_second_writer_goes_on_where_the_first_ended(store, run) -> None:
    for part in range(4):
        with store.writer(run.id) as writer:
            for step in range(700):
                writer.scalar("a", "loss", 700 * part + step, math.nan if step == 0 else step, part)
            writer.picture("p", part, b"%d" % part, 1, 1)
            writer.text("t", str(part))
    record = store.record(run.id)
    [info] = record.series()
    assert (info.count, info.nonfinite, info.min, info.max, info.last_step) == (2800, 4, 1, 699, 2799)
    np.testing.assert_array_equal(record.points("a", "loss").steps, np.arange(2800))
    assert [picture.step for picture in record.pictures()] == [0, 1, 2, 3]
    positions = store.database.read(lambda connection: connection.execute(PICTURE.select()).all())
    assert len({row.position for row in positions}) == 4


def test_names_that_become_equal_are_one(store, run) -> None:
    with store.writer(run.id) as writer:
        writer.scalar("a\0", "loss", 0, 1, 0)
        writer.scalar("a\ufffd", "loss", 1, 2, 0)
        writer.text("t\0", "one")
        writer.text("t\ufffd", "two")
    record = store.record(run.id)
    assert record.points("a\0", "loss").values.tolist() == [1.0, 2.0]
    assert record.texts() == {"t\ufffd": "two"}


def _fail(*_args, **_options):
    raise StorageError("This fails on purpose.")
