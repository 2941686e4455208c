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
    ("text", "words"),
    [
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
