"""A run leaves as one file and comes back as it was; the same run gives the same bytes."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from storage import (
    ArtifactNotFound,
    BundleRefused,
    DiskFull,
    RunNotFound,
    Status,
    StorageError,
    Store,
    export_bundle,
    import_bundle,
)
from storage.bundle import Limits, archive
from storage.tables import ARTIFACT, metadata

names = st.text(max_size=8)
numbers = st.floats(allow_nan=True, allow_infinity=True)
cells = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | st.text(max_size=12)
plain = st.recursive(
    cells, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
runs = st.fixed_dictionaries(
    {
        "params": st.dictionaries(names, plain, max_size=4),
        "environment": st.dictionaries(names, plain, max_size=2),
        "seed": st.integers(-(2**63) + 1, 2**63 - 1),
        "tags": st.lists(names, max_size=3),
        "note": st.text(max_size=30),
        "parent_id": st.none() | st.just("z" * 26),
        "headline": st.tuples(names, names),
        "status": st.sampled_from([status for status in Status if status.is_over]),
        "error": names,
        "scalars": st.lists(st.tuples(names, names, numbers, numbers, numbers), max_size=30),
        "repeat": st.integers(1, 120),
        "pictures": st.lists(
            st.tuples(names, numbers, st.binary(max_size=20), names, st.booleans()), max_size=4
        ),
        "arrays": st.lists(
            st.tuples(names, numbers, st.lists(numbers, max_size=5), st.booleans()), max_size=3
        ),
        "tables": st.lists(
            st.tuples(names, st.lists(st.lists(cells, min_size=2, max_size=2), max_size=3)), max_size=2
        ),
        "texts": st.lists(st.tuples(names, st.text(max_size=40)), max_size=3),
        "alerts": st.lists(st.tuples(names, numbers, names), max_size=3),
        "files": st.lists(st.tuples(names, st.binary(max_size=20), names), max_size=2),
        "claims": st.lists(
            st.tuples(
                names,
                names,
                st.none() | names,
                st.none() | numbers,
                st.none() | numbers,
                st.none() | st.booleans(),
            ),
            max_size=3,
        ),
        "progress": st.none() | st.tuples(numbers, numbers, names),
    }
)


def record_run(store: Store, content: dict) -> str:
    """A finished run with that content."""
    asked = {
        name: content[name]
        for name in ("params", "environment", "seed", "tags", "note", "parent_id", "headline")
    }
    run = store.create_run(engine="sven", owner="me", **asked)
    store.claim_run(run.id, "w")
    with store.writer(run.id) as writer:
        for _ in range(content["repeat"]):
            for series, name, step, value, time_s in content["scalars"]:
                writer.scalar(series, name, step, value, time_s)
        for name, step, png, caption, keep in content["pictures"]:
            writer.picture(name, step, png, 3, 4, caption, keep)
        for name, step, values, keep in content["arrays"]:
            writer.array(name, step, np.array(values, dtype=float), [("x", range(len(values)))], keep)
        for name, rows in content["tables"]:
            writer.table(name, ["a", "b"], rows)
        for name, value in content["texts"]:
            writer.text(name, value)
        for name, step, message in content["alerts"]:
            writer.alert(name, step, message)
        for name, data, filename in content["files"]:
            writer.file(name, data, "text/plain", filename=filename)
        for key, statement, paper, measured, baseline, holds in content["claims"]:
            writer.claim(key, statement, paper, measured, baseline, holds)
        if content["progress"]:
            writer.progress(*content["progress"])
    store.finish_run(run.id, content["status"], content["error"])
    return run.id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=runs)
def test_what_is_imported_equals_what_was_exported(open_store, everything, tmp_path, content) -> None:
    here, there = open_store("here"), open_store("there")
    path = tmp_path / "run.zip"
    run_id = record_run(here, content)
    export_bundle(here, [run_id], path)
    assert import_bundle(there, path, owner="you") == [run_id]
    assert everything(there, run_id) == everything(here, run_id)
    assert (here.run(run_id).owner, there.run(run_id).owner) == ("me", "you")
    first = path.read_bytes()
    export_bundle(there, [run_id], path)
    assert path.read_bytes() == first
    here.close()
    there.close()


def test_a_full_run_travels_with_its_files_and_uploads(open_store, full_run, everything, tmp_path) -> None:
    here, there = open_store("here"), open_store("there")
    run = full_run(here)
    export_bundle(here, [run.id], tmp_path / "b.zip")
    assert import_bundle(there, tmp_path / "b.zip") == [run.id]
    assert everything(there, run.id) == everything(here, run.id)
    upload = run.params["source"].split(":")[1].split("/")[0]
    assert there.artifacts.read(upload) == b"row,col,value\n"
    assert there.artifacts.info(upload).name == "ratings.csv"
    assert there.artifacts.sweep() == 0
    there.delete_run(run.id)
    assert rows_and_files(there) == (0, 0)


def test_the_same_run_gives_the_same_bytes(store, make_run, tmp_path) -> None:
    """Many curves of few names: a dictionary with repeated entries once came out different each time."""
    run = make_run(store)
    with store.writer(run.id) as writer:
        for series in ("Ours", "Theirs", "Ä\u1234", "Mine"):
            for name in ("loss", "ü", "accuracy"):
                writer.scalar(series, name, 0, 1, 0)
    store.finish_run(run.id, Status.finished)
    made = set()
    for _ in range(20):
        export_bundle(store, [run.id], tmp_path / "b.zip")
        made.add((tmp_path / "b.zip").read_bytes())
    assert len(made) == 1


def test_a_bundle_may_leave_a_remote_store_and_enter_another(
    open_store, full_run, everything, tmp_path
) -> None:
    with Store.open(f"sqlite:///{tmp_path}/a.db", f"memory://{tmp_path}/a") as here:
        run = full_run(here)
        export_bundle(here, [run.id], tmp_path / "b.zip")
        there = open_store("there")
        import_bundle(there, tmp_path / "b.zip")
        assert everything(there, run.id) == everything(here, run.id)


def test_many_runs_share_a_bundle_and_its_files(open_store, full_run, make_run, everything, tmp_path) -> None:
    here, there = open_store("here"), open_store("there")
    ids = [full_run(here).id for _ in range(3)]
    empty = make_run(here)
    here.finish_run(empty.id, Status.cancelled)
    ids.append(empty.id)
    export_bundle(here, ids[::-1] + ids, tmp_path / "b.zip")
    assert import_bundle(there, tmp_path / "b.zip") == sorted(ids)
    for run_id in ids:
        assert everything(there, run_id) == everything(here, run_id)


def test_a_run_that_is_here_already_is_kept(store, full_run, everything, tmp_path) -> None:
    run = full_run(store)
    export_bundle(store, [run.id], tmp_path / "b.zip")
    store.set_note(run.id, "what I think of it now")
    store.set_tags(run.id, ["mine"])
    before, counted = everything(store, run.id), rows_and_files(store)
    assert import_bundle(store, tmp_path / "b.zip", owner="someone else") == [run.id]
    assert everything(store, run.id) == before
    assert rows_and_files(store) == counted
    assert store.run(run.id).owner == "local"


def test_another_run_with_the_same_id_is_refused(open_store, full_run, make_run, tmp_path) -> None:
    here, there = open_store("here"), open_store("there")
    run = full_run(here)
    export_bundle(here, [run.id], tmp_path / "b.zip")
    make_run(there, id=run.id)
    counted = rows_and_files(there)
    with pytest.raises(BundleRefused, match="with other content is here already"):
        import_bundle(there, tmp_path / "b.zip")
    there.finish_run(run.id, Status.finished)
    with pytest.raises(BundleRefused, match="with other content is here already"):
        import_bundle(there, tmp_path / "b.zip")
    assert rows_and_files(there) == counted


def test_only_runs_that_are_over_are_exported(store, make_run, tmp_path) -> None:
    run = make_run(store)
    with pytest.raises(StorageError, match="is queued: stop it, or wait"):
        export_bundle(store, [run.id], tmp_path / "b.zip")
    with pytest.raises(RunNotFound):
        export_bundle(store, ["0" * 26], tmp_path / "b.zip")
    with pytest.raises(StorageError, match="at least one"):
        export_bundle(store, [], tmp_path / "b.zip")
    assert list(tmp_path.glob("*zip*")) == []


def test_an_export_that_fails_leaves_no_file(store, full_run, tmp_path) -> None:
    run = full_run(store)
    store.artifacts.local_path(store.record(run.id).pictures()[0].hash).unlink()
    with pytest.raises(ArtifactNotFound):
        export_bundle(store, [run.id], tmp_path / "b.zip")
    assert list(tmp_path.glob("b.zip*")) == []
    with pytest.raises(StorageError, match="could not be exported: No such file"):
        export_bundle(store, [run.id], tmp_path / "missing" / "b.zip")


def test_an_export_stays_within_what_an_import_accepts(store, full_run, tmp_path) -> None:
    run = full_run(store)
    for limits in (Limits(points=2000), Limits(total_bytes=1000), Limits(members=4)):
        with pytest.raises(StorageError, match="export fewer runs at once"):
            export_bundle(store, [run.id], tmp_path / "b.zip", limits=limits)


def test_what_compresses_like_a_bomb_is_stored_as_it_is(open_store, make_run, everything, tmp_path) -> None:
    here, there = open_store("here"), open_store("there")
    run = make_run(here)
    with here.writer(run.id) as writer:
        writer.array("zeros", 0, np.zeros((1500, 1500)), [("i", range(1500)), ("j", range(1500))])
        writer.table("same", ["a"], [["x" * 100]] * 20_000)
        for _ in range(50_000):
            writer.scalar("flat", "n", 0, 0, 0)
    here.finish_run(run.id, Status.finished)
    export_bundle(here, [run.id], tmp_path / "b.zip")
    import_bundle(there, tmp_path / "b.zip")
    assert everything(there, run.id) == everything(here, run.id)


def test_large_files_are_copied_in_blocks(open_store, full_run, everything, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "WHOLE_BYTES", 100)
    here, there = open_store("here"), open_store("there")
    run = full_run(here)
    export_bundle(here, [run.id], tmp_path / "b.zip")
    import_bundle(there, tmp_path / "b.zip")
    assert everything(there, run.id) == everything(here, run.id)


def test_an_import_that_finds_no_room_leaves_nothing(open_store, full_run, tmp_path, monkeypatch) -> None:
    here, there = open_store("here"), open_store("there")
    run = full_run(here)
    export_bundle(here, [run.id], tmp_path / "b.zip")
    place, placed = there.artifacts.blobs.place, []

    def place_some(content) -> None:
        if len(placed) == 3:
            raise DiskFull("The disk is full.")
        placed.append(content)
        place(content)

    monkeypatch.setattr(there.artifacts.blobs, "place", place_some)
    with pytest.raises(DiskFull):
        import_bundle(there, tmp_path / "b.zip")
    assert rows_and_files(there) == (0, 0)


def test_a_bundle_is_readable_without_us(store, full_run, tmp_path) -> None:
    """The promise of docs/bundle.md: plain JSON, Parquet and files."""
    run = full_run(store)
    export_bundle(store, [run.id], tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as bundle:
        assert bundle.testzip() is None
        record = json.loads(bundle.read("record.json"))
        table = parquet.read_table(io.BytesIO(bundle.read(f"series/{run.id}.parquet")))
        assert {info.date_time for info in bundle.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for entry in record["artifacts"]:
            assert len(bundle.read(f"artifacts/{entry['hash']}")) == entry["size"]
        large = next(item for item in record["runs"][0]["arrays"] if item["name"] == "large")
        np.testing.assert_array_equal(np.load(bundle.open(f"artifacts/{large['hash']}")), np.arange(20_000))
    assert (record["format"], record["version"]) == ("paper-workbench bundle", 1)
    frame = table.to_pandas() if _has_pandas() else None
    assert table.column_names == ["series", "name", "step", "time", "value"]
    assert table.num_rows == 2347
    if frame is not None:
        ours = frame[(frame.series == "Ours") & (frame.name == "error")]
        np.testing.assert_array_equal(
            ours.value.to_numpy(), store.record(run.id).points("Ours", "error").values
        )


def rows_and_files(store: Store) -> tuple[int, int]:
    def count(connection) -> int:
        return sum(len(connection.execute(table.select()).all()) for table in metadata.sorted_tables)

    leftovers, temporary = store.artifacts.blobs.older_than(-1)
    files = store.database.read(lambda connection: len(connection.execute(ARTIFACT.select()).all()))
    assert len(leftovers) == files
    return store.database.read(count), len(leftovers) + len(temporary)


def _has_pandas() -> bool:
    try:
        import pandas  # noqa: F401
    except ImportError:
        return False
    return True
