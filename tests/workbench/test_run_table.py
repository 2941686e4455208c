"""The list of runs as CSV, JSON and Parquet: complete, typed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from storage import RunQuery
from workbench import run_table
from workbench.runs import Workbench


@pytest.fixture
def ids(workbench: Workbench) -> list[str]:
    """Three runs, newest last, one with words that a spreadsheet would calculate."""
    made = [
        workbench.submit("fixture", {"rate": rate, "sizes": [3, 4]}, preset="smoke", seed=seed).id
        for seed, rate in ((1, 0.5), (2, 0.25))
    ]
    made.append(workbench.submit("fixture", {"label": '=HYPERLINK("x")'}, preset="smoke", note="-1+1").id)
    return made


def read_csv(workbench: Workbench, **options: object) -> list[dict[str, str]]:
    rows = list(run_table.all_runs(workbench, RunQuery(limit=100)))
    return list(csv.DictReader(io.StringIO(run_table.table(rows, "csv", **options).decode())))  # type: ignore[arg-type]


def test_a_row_a_run_and_a_column_a_parameter(workbench: Workbench, ids: list[str]) -> None:
    rows = read_csv(workbench)
    assert [row["id"] for row in rows] == ids[::-1]
    middle = rows[1]
    run = workbench.run(ids[1])
    assert (middle["seed"], middle["param.rate"], middle["param.sizes"]) == ("2", "0.25", "[3, 4]")
    assert float(middle["headline"]) == workbench.record(run.id).points("Ours", "error").values[-1]
    assert float(middle["duration_s"]) == run.duration_s
    assert (middle["claims_held"], middle["claims_open"]) == ("1", "1")
    assert middle["created_at"].endswith("+00:00")


def test_what_a_spreadsheet_would_calculate_stays_text(workbench: Workbench, ids: list[str]) -> None:
    newest = read_csv(workbench)[0]
    assert newest["param.label"] == '\'=HYPERLINK("x")'
    assert newest["note"] == "'-1+1"


def test_parquet_keeps_kinds_and_words(workbench: Workbench, ids: list[str], tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    assert run_table.write_runs(workbench, RunQuery(limit=100), path, "parquet") == 3
    read = pq.read_table(path)
    assert {name: str(read.schema.field(name).type) for name in ("seed", "headline", "param.steps", "param.is_loud", "param.sizes")} == {
        "seed": "int64", "headline": "double", "param.steps": "int64", "param.is_loud": "bool", "param.sizes": "string",
    }  # fmt: skip
    assert read.column("param.label").to_pylist()[0] == '=HYPERLINK("x")'


def test_whole_and_broken_numbers_share_a_column_of_floats(workbench: Workbench) -> None:
    for size in (1, 2.5, None):
        workbench.store.create_run(engine="elsewhere", params={"size": size, "mixed": size or "none"}, seed=0)
    rows = list(run_table.all_runs(workbench, RunQuery()))
    columns = run_table.columns_of(rows)
    assert (columns["param.size"], columns["param.mixed"]) == (float, str)
    cells = [row["param.size"] for row in read_csv(workbench)]
    assert cells == ["", "2.5", "1.0"]


def test_strangers_are_not_told_where_it_ran(workbench: Workbench, ids: list[str]) -> None:
    rows = read_csv(workbench, for_strangers=True)
    assert not {"owner", "device", "cpu", "parent_id"} & set(rows[0])
    everything = list(run_table.all_runs(workbench, RunQuery()))
    document = json.loads(run_table.table(everything, "json", for_strangers=True))
    assert not {"owner", "environment"} & set(document[0])


def test_all_runs_reads_all_batches(
    workbench: Workbench, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_table, "BATCH", 2)
    assert [row.run.id for row in run_table.all_runs(workbench, RunQuery(limit=99))] == ids[::-1]
    assert [row.run.id for row in run_table.all_runs(workbench, RunQuery(limit=2, offset=1))] == ids[1::-1]


def test_the_command_writes_all_runs_that_fit(
    run_cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for seed in ("1", "2"):
        assert run_cli("run", "fixture", "--preset", "smoke", "--seed", seed)[0] == 0
    target = tmp_path / "runs.csv"
    assert run_cli("runs", "--seed", "2", "--to", str(target))[0] == 0
    [row] = csv.DictReader(io.StringIO(target.read_text(encoding="utf-8")))
    assert row["seed"] == "2"
    code, out, _ = run_cli("runs", "--format", "csv")
    assert code == 0
    assert len(list(csv.DictReader(io.StringIO(out)))) == 2
    code, _, err = run_cli("runs", "--to", str(tmp_path / "runs.xlsx"))
    assert (code, "--format" in err) == (2, True)
    assert run_cli("runs", "--to", str(tmp_path / "none" / "runs.csv"))[0] == 2
