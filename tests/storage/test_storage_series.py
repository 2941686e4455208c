"""Chunks of points, and how a figure gets at most so many of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Points, StorageError
from storage.series import CHUNK_POINTS, decimated
from storage.tables import CHUNK


def points_of(values) -> Points:
    values = np.asarray(values, dtype=float)
    return Points(np.arange(len(values), dtype=float), np.zeros(len(values)), values)


@pytest.mark.parametrize("batches", [[1], [999, 1, 1], [1000, 1000], [2500], [1, 998, 2, 1999], [3000, 1]])
def test_points_survive_any_division_into_batches(store, make_run, batches) -> None:
    run, total = make_run(store), sum(batches)
    writer, step = store.writer(run.id), 0
    for batch in batches:
        for _ in range(batch):
            writer.scalar("s", "n", step, -step / 7, step * 0.5)
            step += 1
        writer.flush()
    record = store.record(run.id)
    for start in {0, 1, CHUNK_POINTS - 1, CHUNK_POINTS, total - 1, total, total + 5}:
        found = record.points("s", "n", start)
        expected = np.arange(start, max(total, start), dtype=float)
        np.testing.assert_array_equal(found.steps, expected)
        np.testing.assert_array_equal(found.values, -expected / 7)
        np.testing.assert_array_equal(found.times, expected * 0.5)
    rows = store.database.read(
        lambda connection: connection.execute(CHUNK.select().order_by(CHUNK.c.number)).all()
    )
    assert [row.count for row in rows] == [
        min(CHUNK_POINTS, total - start) for start in range(0, total, CHUNK_POINTS)
    ]


def test_many_points_at_once_are_the_same_as_one_by_one(store, make_run) -> None:
    run, rng = make_run(store), np.random.default_rng(0)
    values = rng.standard_normal(3456)
    values[[5, 1000, 2999]] = math.nan, math.inf, -math.inf
    with store.writer(run.id) as writer:
        writer.scalars("many", "n", range(1500), values[:1500], np.zeros(1500))
        writer.flush()
        writer.scalars("many", "n", np.arange(1500, 3456), values[1500:].tolist(), [0] * 1956)
        writer.scalars("many", "n", [], [], [])
        for step, value in enumerate(values):
            writer.scalar("one", "n", step, value, 0)
        assert writer.pending == 3456 + 1956
    record = store.record(run.id)
    many, one = record.points("many", "n"), record.points("one", "n")
    for part in ("steps", "times", "values"):
        assert getattr(many, part).tobytes() == getattr(one, part).tobytes()
    summaries = [repr(info).replace("many", "one") for info in record.series()]
    assert summaries[0] == summaries[1]


def test_all_curves_of_a_name_come_in_the_order_of_their_first_points(store, make_run) -> None:
    run = make_run(store)
    with store.writer(run.id) as writer:
        for series, count in {"b": 2500, "a": 1000, "c": 1}.items():
            steps = np.arange(count)
            writer.scalars(series, "loss", steps, steps / 3, steps * 0.5)
            writer.scalars(series, "other", [0], [1], [0])
            writer.flush()
        writer.scalars("a", "loss", [1000], [math.nan], [7])
    record = store.record(run.id)
    found = record.points_of("loss")
    assert list(found) == ["b", "a", "c"]
    for series, points in found.items():
        alone = record.points(series, "loss")
        for part in ("steps", "times", "values"):
            assert getattr(points, part).tobytes() == getattr(alone, part).tobytes()
    assert record.points_of("nothing") == {}
    assert store.record(make_run(store).id).points_of("loss") == {}, "another run's curves are its own"


@pytest.mark.parametrize(
    "bad", [([0, 1], [0], [0]), ([[0]], [[0]], [[0]]), (["x"], [0], [0]), ([0], [object()], [0])]
)
def test_points_that_are_not_alike_are_refused(store, make_run, bad) -> None:
    writer = store.writer(make_run(store).id)
    with pytest.raises(StorageError, match="curve 's' / 'n' must be"):
        writer.scalars("s", "n", *bad)
    assert writer.pending == 0


def test_an_unknown_curve_has_no_points(store, make_run) -> None:
    record = store.record(make_run(store).id)
    assert len(record.points("no", "such")) == len(record.decimated("no", "such")) == 0


def test_every_float_is_exact(store, make_run) -> None:
    run = make_run(store)
    values = [
        0.1,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        math.nan,
        math.inf,
        -math.inf,
        2**53 + 1,
        np.float32(0.1),
    ]
    with store.writer(run.id) as writer:
        for step, value in enumerate(values):
            writer.scalar("s", "n", step, value, 0)
    found = store.record(run.id).points("s", "n").values
    assert found.tobytes() == np.array(values, dtype=np.float64).tobytes()


def test_a_bad_number_leaves_no_half_point(store, make_run) -> None:
    writer = store.writer(make_run(store).id)
    with pytest.raises(TypeError):
        writer.scalar("s", "n", 0, None, 0)  # type: ignore[arg-type]
    assert writer.pending == 0


def test_minimum_and_maximum_are_those_of_finite_values(store, make_run) -> None:
    run = make_run(store)
    writer = store.writer(run.id)
    for value in (math.nan, math.inf):
        writer.scalar("s", "n", 0, value, 0)
        writer.flush()
    [info] = store.record(run.id).series()
    assert math.isnan(info.min)
    assert math.isnan(info.max)
    assert info.last_value == math.inf
    writer.scalar("s", "n", 1, -3, 0)
    writer.scalar("s", "n", 2, math.nan, 0)
    writer.flush()
    [info] = store.record(run.id).series()
    assert (info.min, info.max, info.nonfinite, info.count) == (-3, -3, 3, 4)
    assert math.isnan(info.last_value)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=400),
    st.integers(min_value=1, max_value=60),
)
def test_decimation_keeps_what_the_eye_needs(values, buckets) -> None:
    whole = points_of(values)
    thin = decimated(whole, buckets)
    assert len(thin) <= 2 * buckets or len(whole) <= 2 * buckets
    positions = thin.steps.astype(int)
    assert (np.diff(positions) > 0).all()
    assert thin.values.tobytes() == whole.values[positions].tobytes()
    if len(whole):
        assert (positions[0], positions[-1]) == (0, len(whole) - 1)
    finite = whole.values[np.isfinite(whole.values)]
    if buckets >= 3 and len(finite):
        assert thin.values[np.isfinite(thin.values)].min() == finite.min()
        assert thin.values[np.isfinite(thin.values)].max() == finite.max()
    if buckets >= 3 and len(finite) < len(whole):
        assert not np.isfinite(thin.values).all()


def test_decimation_has_the_extremes_of_each_neighbourhood() -> None:
    """Against the slow obvious version, on a curve with spikes of one point."""
    rng = np.random.default_rng(0)
    values = np.sin(np.linspace(0, 20, 10_000)) + (rng.random(10_000) < 0.002) * 5
    thin = decimated(points_of(values), 500)
    width = math.ceil(9998 / ((2 * 500 - 2) // 2))
    expected = {0, 9999}
    for start in range(1, 9999, width):
        bucket = values[start : min(start + width, 9999)]
        expected |= {start + int(bucket.argmin()), start + int(bucket.argmax())}
    assert thin.steps.tolist() == sorted(expected)
    assert (values > 4).sum() == (thin.values > 4).sum()


def test_decimation_shows_gaps_where_they_are() -> None:
    values = np.zeros(10_000)
    values[4000:4500] = math.nan
    values[7777] = math.inf
    thin = decimated(points_of(values), 300)
    strange = thin.steps[~np.isfinite(thin.values)]
    assert ((strange >= 4000) & (strange < 4500) | (strange == 7777)).all()
    assert (thin.values == math.inf).sum() == 1
    assert len(strange) >= 10


def test_a_bucket_is_needed() -> None:
    with pytest.raises(ValueError, match="at least 1; got 0"):
        decimated(points_of([1]), 0)
