"""Bundles that are sound as zips, but whose record, arrays or curves lie, are refused and leave nothing behind."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from bundle_tampering import edited, members_of, write
from pyarrow import parquet


def run_of(record: dict) -> dict:
    return record["runs"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(extra=1),
        lambda record: record.update(runs=[]),
        lambda record: run_of(record).pop("engine"),
        lambda record: run_of(record).update(surprise=1),
        lambda record: run_of(record).update(status="queued"),
        lambda record: run_of(record).update(status="running"),
        lambda record: run_of(record).update(status="happy"),
        lambda record: run_of(record).update(id="../../../../evil" + "0" * 10),
        lambda record: run_of(record).update(seed=2**63),
        lambda record: run_of(record).update(seed="7"),
        lambda record: run_of(record).update(created_at={"$float": "nan"}),
        lambda record: run_of(record).update(params=[]),
        lambda record: run_of(record)["pictures"].append(run_of(record)["pictures"][0]),
        lambda record: run_of(record)["series"].append(run_of(record)["series"][0]),
        lambda record: run_of(record)["tables"].append(run_of(record)["tables"][0]),
        lambda record: run_of(record)["pictures"][0].update(hash="../../x"),
        lambda record: run_of(record)["pictures"][0].update(width=-1),
        lambda record: run_of(record)["pictures"][0].update(width=2**40),
        lambda record: run_of(record)["arrays"][0].update(shape=[2]),
        lambda record: run_of(record)["arrays"][0].update(axes=[]),
        lambda record: run_of(record)["tables"][0].update(rows=[[{"a": 1}]]),
        lambda record: run_of(record)["series"][0].update(count=-1),
    ],
)
def test_records_that_are_not_valid(bundle, refuses, change) -> None:
    refuses(edited(bundle, change), "record.json is not valid")


def test_json_that_is_nested_without_end(bundle, refuses, tmp_path) -> None:
    members = members_of(bundle)
    refuses(write(tmp_path / "x.zip", members | {"record.json": b"[" * 5000}), "not readable JSON|zip bomb")
    run_id = json.loads(members["record.json"])["runs"][0]["id"]
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    text = members["record.json"].replace(
        b'"environment":', b'"environment":' + deep + b',"environment_":', 1
    )
    refuses(write(tmp_path / "y.zip", members | {"record.json": text}), "not valid|not readable")
    assert run_id


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda record: record["artifacts"][0].update(size=1), "size of artifacts/"),
        (lambda record: record["runs"].append(run_of(record)), "same run twice"),
        (lambda record: run_of(record)["series"][0].update(count=2344), "do not fit its record.json"),
        (lambda record: run_of(record)["series"][0].update(series="Other"), "do not fit record.json"),
        (lambda record: run_of(record)["series"][0].update(sha256="0" * 64), "do not fit record.json"),
        (lambda record: run_of(record)["series"].reverse(), "do not fit record.json"),
        (
            lambda record: run_of(record)["series"][0].update(last_value=7.0),
            "last_value of curve .* does not fit",
        ),
        (
            lambda record: run_of(record)["series"][0].update(nonfinite=0),
            "nonfinite of curve .* does not fit",
        ),
        (
            lambda record: run_of(record).update(params={"x": f"sha256:{'0' * 64}/x"}),
            "do not fit: artifacts/",
        ),
    ],
)
def test_records_that_contradict_themselves(bundle, refuses, change, sentence) -> None:
    refuses(edited(bundle, change), sentence)


def npy(values) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"not numpy", "not a readable .npy"),
        (npy(np.zeros(4)), "does not have the shape"),
        (npy(np.array([1, 2, object()], dtype=object)), "does not have the shape|not a readable"),
        (npy(np.zeros(3)).replace(b"(3,), }", b"(3000000000000,), }"), "does not have the shape"),
        (npy(np.zeros(3)) + b"more", "does not have the shape"),
        (npy(np.zeros(3))[:-1], "does not have the shape"),
    ],
)
def test_arrays_that_are_not_what_they_claim(bundle, refuses, tmp_path, data, sentence) -> None:
    members = members_of(bundle)
    record = json.loads(members["record.json"])
    array = next(item for item in run_of(record)["arrays"] if item["name"] == "spectrum")
    old, new = array["hash"], hashlib.sha256(data).hexdigest()
    del members[f"artifacts/{old}"]
    text = json.dumps(record).replace(old, new)
    record = json.loads(text)
    next(item for item in record["artifacts"] if item["hash"] == new)["size"] = len(data)
    path = write(
        tmp_path / "x.zip", members | {f"artifacts/{new}": data, "record.json": json.dumps(record).encode()}
    )
    refuses(path, sentence)


@pytest.mark.parametrize("fault", ["not parquet", "columns", "types", "nulls"])
def test_curves_that_are_not_what_they_claim(bundle, refuses, tmp_path, fault) -> None:
    members = members_of(bundle)
    name = next(name for name in members if name.startswith("series/"))
    table = parquet.read_table(io.BytesIO(members[name]))
    if fault == "columns":
        table = table.append_column("extra", table["value"])
    elif fault == "types":
        table = table.set_column(4, "value", table["value"].cast(pa.float32()))
    elif fault == "nulls":
        table = table.set_column(4, "value", pa.array([None] * table.num_rows, pa.float64()))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    data = b"PAR1 nonsense PAR1" if fault == "not parquet" else sink.getvalue()
    refuses(
        write(tmp_path / "x.zip", members | {name: data}),
        "curves (are not readable|do not fit|have a column)",
    )
