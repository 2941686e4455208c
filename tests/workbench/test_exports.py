import csv
import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from storage import Store, import_bundle
from workbench.errors import FileTrouble, UnknownRun, UsageError
from workbench.exports import COLUMNS, Format, export
from workbench.runs import Workbench


@pytest.fixture
def ids(workbench: Workbench) -> list[str]:
    return [workbench.submit("fixture", {"mode": "nan"}, seed=seed).id for seed in (1, 2)]


def test_csv_is_long_and_exact(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    [path] = export(workbench, ids, tmp_path / "runs.csv", "csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert tuple(rows[0]) == COLUMNS
    for run_id in ids:
        points = workbench.record(run_id).points("Ours", "error")
        mine = [row for row in rows if (row["run"], row["series"], row["name"]) == (run_id, "Ours", "error")]
        assert [float(row["value"]) for row in mine] == pytest.approx(
            points.values.tolist(), nan_ok=True, abs=0, rel=0
        )
        assert [float(row["time_s"]) for row in mine] == points.times.tolist()


def test_parquet_holds_the_same(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    [path] = export(workbench, ids, tmp_path / "runs.parquet", "parquet")
    read = pq.read_table(path)
    assert tuple(read.column_names) == COLUMNS
    values = read.to_pydict()
    for run_id in ids:
        points = workbench.record(run_id).points("Base", "error")
        chosen = [
            value
            for value, run, series, name in zip(
                values["value"], values["run"], values["series"], values["name"], strict=True
            )
            if (run, series, name) == (run_id, "Base", "error")
        ]
        assert np.array_equal(chosen, points.values)


def test_json_is_versioned_and_complete(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    [path] = export(workbench, ids, tmp_path / "runs.json", "json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == 1
    assert [entry["run"]["id"] for entry in document["runs"]] == ids
    points = document["runs"][0]["points"]["Ours/error"]
    assert len(points["steps"]) == len(points["times"]) == len(points["values"]) == 6
    assert points["values"][1] == "nan"
    assert document["runs"][0]["texts"]["summary"]


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_a_folder_gets_a_file_a_run(
    workbench: Workbench, ids: list[str], tmp_path: Path, kind: Format
) -> None:
    assert export(workbench, ids, tmp_path, kind) == [tmp_path / f"{run_id}.{kind}" for run_id in ids]


def test_csv_in_a_zip(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    [path] = export(workbench, ids, tmp_path / "runs.zip", "csv")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{run_id}.csv" for run_id in ids]
        rows = list(csv.DictReader(io.StringIO(archive.read(f"{ids[0]}.csv").decode())))
    assert math.isnan(float(rows[1]["value"]))


def test_a_bundle_comes_back(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    [path] = export(workbench, ids, tmp_path, "bundle")
    assert path.suffix == ".zip"
    with Store.open(f"sqlite:///{tmp_path}/other.db", str(tmp_path / "files")) as other:
        assert sorted(import_bundle(other, path)) == sorted(ids)
        assert np.array_equal(
            other.record(ids[0]).points("Ours", "error").values,
            workbench.record(ids[0]).points("Ours", "error").values,
            equal_nan=True,
        )


def test_refusals_leave_nothing_behind(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    queued = workbench.create("fixture")
    with pytest.raises(UsageError, match="is not over yet"):
        export(workbench, [queued.id], tmp_path / "x.zip", "bundle")
    with pytest.raises(UnknownRun):
        export(workbench, ["nobody"], tmp_path / "x.csv", "csv")
    with pytest.raises(FileTrouble, match=r"x\.csv cannot be written: no such file or directory\."):
        export(workbench, ids, tmp_path / "nowhere" / "x.csv", "csv")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_file_is_replaced_whole(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    export(workbench, ids, target, "csv")
    assert target.read_text().startswith("run,engine")
