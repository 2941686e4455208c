"""Curves made elsewhere become runs of the engine `outside`: every layout, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage import Status
from workbench.errors import FileTrouble, UnknownEngine
from workbench.event_files import EventWriter
from workbench.exports import export
from workbench.imports import OUTSIDE, bring_curves
from workbench.imports import csv_curves as csv_module
from workbench.runs import Workbench


def curves(workbench: Workbench, run_id: str) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    record = workbench.record(run_id)
    found = {}
    for info in record.series():
        points = record.points(info.series, info.name)
        columns = (points.steps.tolist(), points.values.tolist(), points.times.tolist())
        found[(info.series, info.name)] = list(zip(*columns, strict=True))
    return found


def write(tmp_path: Path, text: str, name: str = "theirs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_our_own_csv_comes_back_point_by_point(workbench: Workbench, tmp_path: Path) -> None:
    ids = [workbench.submit("fixture", {"mode": "nan"}, seed=seed).id for seed in (1, 2)]
    [path] = export(workbench, ids, tmp_path / "ours.csv", "csv")
    made = bring_curves(workbench, path)
    assert len(made) == 2
    for old, new in zip(ids, made, strict=True):
        mine, theirs = curves(workbench, old), curves(workbench, new)
        assert list(mine) == list(theirs)
        for key in mine:
            np.testing.assert_array_equal(np.array(mine[key]), np.array(theirs[key]))
        run = workbench.run(new)
        assert (run.engine, run.status) == (OUTSIDE, Status.finished)
        assert run.params["name"] == f"ours {old}"


def test_a_page_of_tensorboard_and_a_wide_table(workbench: Workbench, tmp_path: Path) -> None:
    one = write(tmp_path, "Wall time,Step,Value\n1000.5,0,1.0\n1002.5,10,0.5\n", "loss.csv")
    [run_id] = bring_curves(workbench, one)
    assert curves(workbench, run_id) == {("loss", "value"): [(0.0, 1.0, 0.0), (10.0, 0.5, 2.0)]}
    wide = write(tmp_path, "epoch,loss,acc,host\n1,0.5,,a\n2,0.25,0.9,b\n\n3,nan,0.95,c\n", "wide.csv")
    [run_id] = bring_curves(workbench, wide)
    found = curves(workbench, run_id)
    assert [step for step, _, _ in found[("wide", "loss")]] == [1.0, 2.0, 3.0]
    assert found[("wide", "acc")] == [(2.0, 0.9, 0.0), (3.0, 0.95, 0.0)]
    assert workbench.record(run_id).texts() == {"left out": "Columns that are not numbers: host."}
    assert workbench.runs().rows[0].headline != workbench.runs().rows[0].headline  # the last loss is NaN


def test_a_table_without_steps_counts_its_rows(workbench: Workbench, tmp_path: Path) -> None:
    [run_id] = bring_curves(workbench, write(tmp_path, "\ufeffloss\n3\n2\n"))
    assert curves(workbench, run_id) == {("theirs", "loss"): [(0.0, 3.0, 0.0), (1.0, 2.0, 0.0)]}


def test_a_folder_of_event_files_is_one_run_of_several_contenders(
    workbench: Workbench, tmp_path: Path
) -> None:
    for place, name in enumerate(("adam", "muon")):
        (tmp_path / "logs" / name).mkdir(parents=True)
        with EventWriter(tmp_path / "logs" / name / "events.out.tfevents.1.x", 50.0) as writer:
            for step in (0, 2, 1, 2):
                writer.scalar("loss", step, step + place, 50.0 + step)
    [run_id] = bring_curves(workbench, tmp_path / "logs")
    assert curves(workbench, run_id) == {
        ("adam", "loss"): [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)],
        ("muon", "loss"): [(0.0, 1.0, 0.0), (1.0, 2.0, 1.0), (2.0, 3.0, 2.0)],
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "step\tloss\n0\t0.5\n10\t0.25\n"),
        ("a.txt", "step\tloss (mean, all)\n0\t0.5\n10\t0.25\n"),
        ("a.csv", "step;loss\n0;0,5\n10;0.25\n"),
        ("a.csv", "step;loss;host\n0;0,5;a,b\n10;2,5e-1;c\n"),
    ],
)
def test_tabs_and_semicolons_part_columns_too(
    workbench: Workbench, tmp_path: Path, name: str, text: str
) -> None:
    [run_id] = bring_curves(workbench, write(tmp_path, text, name))
    [found] = curves(workbench, run_id).values()
    assert found == [(0.0, 0.5, 0.0), (10.0, 0.25, 0.0)]
    assert workbench.run(run_id).params["name"] == "a"


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,step,loss\n2026-01-31T10:00:00Z,0,1\n2026-01-31T11:00:02.5+01:00,1,2\n",
        "Time,step,loss\n2026-01-31 10:00:00,0,1\n2026-01-31 10:00:02.5,1,2\n",
        "step,name,value,datetime\n0,loss,1,2026-01-31T10:00:00\n1,loss,2,2026-01-31T10:00:02.500\n",
        "time,step,loss\n0,0,1\n2.5,1,2\n",
    ],
)
def test_times_of_the_calendar_are_times(workbench: Workbench, tmp_path: Path, text: str) -> None:
    [run_id] = bring_curves(workbench, write(tmp_path, text))
    assert curves(workbench, run_id) == {("theirs", "loss"): [(0.0, 1.0, 0.0), (1.0, 2.0, 2.5)]}


def test_our_own_parquet_comes_back_point_by_point(workbench: Workbench, tmp_path: Path) -> None:
    ids = [workbench.submit("fixture", {"mode": "nan"}, seed=seed).id for seed in (1, 2)]
    [path] = export(workbench, ids, tmp_path / "ours.parquet", "parquet")
    made = bring_curves(workbench, path)
    for old, new in zip(ids, made, strict=True):
        mine, theirs = curves(workbench, old), curves(workbench, new)
        assert list(mine) == list(theirs)
        for key in mine:
            np.testing.assert_array_equal(np.array(mine[key]), np.array(theirs[key]))
        assert workbench.run(new).params["name"] == f"ours {old}"


def test_a_parquet_file_of_something_else_is_refused(workbench: Workbench, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"series": ["a"], "name": ["b"], "value": [1.0]}), path)
    with pytest.raises(FileTrouble, match="no column step; needed are series, name, step, value"):
        bring_curves(workbench, path)
    pq.write_table(pa.table({"series": ["a"], "name": ["b"], "step": ["x"], "value": [1.0]}), path)
    with pytest.raises(FileTrouble, match="no Parquet file of curves"):
        bring_curves(workbench, path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(FileTrouble, match="no Parquet file of curves"):
        bring_curves(workbench, path)
    assert workbench.runs().total == 0


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.json", b'{"format": 1}', "a.json cannot be imported. Imported are bundles"),
        ("a.bin", b"PAR1", "cannot be imported"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "is a picture: drop it on the page"),
        ("none.zip", b"nothing", "damaged or cut short"),
        ("a.txt", b"only words here\n", "holds no column of numbers"),
    ],
)
def test_what_cannot_be_imported_is_told_what_can(
    run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    code, _, err = run_cli("import", str(tmp_path / name))
    assert words in err
    assert code == (1 if name == "none.zip" else 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("step,loss,loss\n0,1,2\n", r"the name 'loss' over more than one column \(2 and 3\)"),
        ("step,step,value\n0,1,2\n", r"the name 'step' over more than one column \(1 and 2\)"),
        ("0,0.5\n1,0.25\n", "must name the columns, such as step,loss; it holds the number 0"),
        ("2026-01-31T10:00:00,0.5\n", "it holds the number 2026-01-31T10:00:00"),
        ("", "holds no column of numbers"),
        ("a,b\nx,y\n", "holds no column of numbers"),
        ("step,value\n1,x\n", "line 2: value must be a number; got 'x'"),
        ("step,value\n", "holds no numbers in its column value"),
        ("step,loss\nx,1\n", "line 2: step must be a number"),
    ],
)
def test_what_is_no_table_of_curves_is_refused_and_leaves_nothing(
    workbench: Workbench, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(FileTrouble, match=words):
        bring_curves(workbench, write(tmp_path, text))
    assert workbench.runs().total == 0


def test_binary_and_endless_files_are_refused(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(FileTrouble, match="no text in UTF-8"):
        bring_curves(workbench, binary)
    monkeypatch.setattr(csv_module, "MOST_POINTS", 3)
    with pytest.raises(FileTrouble, match="more than 3 points"):
        bring_curves(workbench, write(tmp_path, "loss\n1\n2\n3\n4\n"))
    damaged = tmp_path / "events.out.tfevents.9"
    damaged.write_bytes(b"this is no event file at all")
    with pytest.raises(FileTrouble, match="damaged or no event file"):
        bring_curves(workbench, damaged)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileTrouble, match="holds no event files"):
        bring_curves(workbench, tmp_path / "empty")


def test_an_outside_run_cannot_be_run_again_and_says_so(workbench: Workbench, tmp_path: Path) -> None:
    [run_id] = bring_curves(workbench, write(tmp_path, "loss\n1\n"))
    with pytest.raises(UnknownEngine):
        workbench.fork(run_id)
    assert workbench.command_line(workbench.run(run_id))  # shown, never carried out


def test_the_command_imports_curves(run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    path = write(tmp_path, "step,loss\n0,1\n5,0.5\n")
    code, out, _ = run_cli("import", str(path), "--json")
    [run] = json.loads(out)
    assert (code, run["engine"], run["params"]["source"]) == (0, OUTSIDE, "theirs.csv")
    assert run_cli("show", run["id"])[0] == 0
    code, out, _ = run_cli("runs", "--engine", OUTSIDE)
    assert run["id"] in out
