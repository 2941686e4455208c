"""Damaged, hostile and future bundles are refused in one sentence, and leave nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import select

from storage import BundleRefused, Store, export_bundle, import_bundle
from storage.bundle import Limits
from storage.tables import metadata

Members = dict[str, bytes]


@pytest.fixture
def bundle(open_store, full_run, tmp_path) -> Path:
    """A sound bundle of one run with something of everything."""
    here = open_store("here")
    export_bundle(here, [full_run(here).id], tmp_path / "sound.zip")
    return tmp_path / "sound.zip"


@pytest.fixture
def refuses(open_store, tmp_path) -> Callable[..., None]:
    """Imports a file into an empty store, and looks that it is refused with that sentence and nothing is left."""
    there = open_store("there")

    def check(path: Path, sentence: str, **options) -> None:
        with pytest.raises(BundleRefused, match=sentence) as caught:
            import_bundle(there, path, **options)
        assert str(caught.value).count("\n") == 0
        assert str(tmp_path) not in str(caught.value)
        assert is_empty(there)

    return check


def is_empty(store: Store) -> bool:
    def count(connection) -> int:
        return sum(len(connection.execute(select(table)).all()) for table in metadata.sorted_tables)

    leftovers, temporary = store.artifacts.blobs.older_than(-1)
    return store.database.read(count) == 0 and not leftovers and not temporary


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as source:
        return {name: source.read(name) for name in source.namelist()}


def write(
    path: Path, members: Members, *, seal: bool = True, compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """A zip of those members; `seal` makes the checksums right again, as an enemy would."""
    if seal:
        sums = {
            name: hashlib.sha256(data).hexdigest()
            for name, data in members.items()
            if name != "checksums.json"
        }
        members = members | {"checksums.json": json.dumps(sums).encode()}
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def edited(path: Path, change: Callable[[dict], object]) -> Path:
    """The bundle with another record.json, sealed again."""
    members = members_of(path)
    record = json.loads(members["record.json"])
    change(record)
    return write(path.with_name("edited.zip"), members | {"record.json": json.dumps(record).encode()})


def test_the_sound_bundle_is_taken(open_store, bundle) -> None:
    """Else every refusal below could have another reason. Sealing it again must not matter either."""
    assert len(import_bundle(open_store("one"), bundle)) == 1
    assert len(import_bundle(open_store("two"), edited(bundle, lambda record: None))) == 1


@pytest.mark.parametrize("size", [0, 10, 500, -30, -1])
def test_truncated(bundle, refuses, size) -> None:
    data = bundle.read_bytes()
    bundle.write_bytes(data[:size] if size >= 0 else data[: len(data) + size])
    refuses(bundle, "damaged or cut short")


def test_not_a_zip(tmp_path, refuses) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"hello " * 1000)
    refuses(path, "damaged or cut short")
    refuses(tmp_path / "missing.zip", "cannot be read: No such file")
    refuses(tmp_path, "cannot be read: Is a directory")


def test_a_zip_of_something_else(tmp_path, refuses) -> None:
    refuses(write(tmp_path / "x.zip", {"hello.txt": b"x"}, seal=False), "does not belong there: 'hello.txt'")
    refuses(write(tmp_path / "y.zip", {"record.json": b"{}"}, seal=False), "has no checksums.json")
    refuses(write(tmp_path / "z.zip", {}), "has no record.json")
    refuses(write(tmp_path / "u.zip", {"record.json": b"{}"}), "not a bundle of the Paper Workbench")
    refuses(write(tmp_path / "v.zip", {"record.json": b"[1"}), "not readable JSON")


def test_every_flipped_byte_is_found(bundle, open_store, tmp_path) -> None:
    """Whatever the byte means, the import refuses, or (where it means nothing to a reader) takes the same run."""
    data, there = bundle.read_bytes(), open_store("there")
    rng = np.random.default_rng(0)
    for position in [*range(0, len(data), max(1, len(data) // 60)), *rng.integers(0, len(data), 60)]:
        broken = bytearray(data)
        broken[position] ^= 0xFF
        path = tmp_path / "flipped.zip"
        path.write_bytes(bytes(broken))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                [run_id] = import_bundle(there, path)
            except BundleRefused:
                assert is_empty(there)
            else:
                there.delete_run(run_id)


@pytest.mark.parametrize("member", ["record.json", "artifacts", "series", "checksums.json"])
def test_corrupted_content(bundle, refuses, member, tmp_path) -> None:
    members = members_of(bundle)
    name = next(name for name in members if name.startswith(member))
    data = bytearray(members[name])
    data[len(data) // 2] ^= 1
    sentence = "damaged|does not list|not readable JSON"
    refuses(write(tmp_path / "x.zip", members | {name: bytes(data)}, seal=False), sentence)


def test_a_sealed_lie_about_an_artifact(bundle, refuses, tmp_path) -> None:
    """The checksum fits the content, but the name does not: names are hashes."""
    members = members_of(bundle)
    name = next(name for name in members if name.startswith("artifacts/"))
    refuses(write(tmp_path / "x.zip", members | {name: b"other"}), "is damaged: the content of artifacts/")


@pytest.mark.parametrize("version", [2, 0, -1, 1.5, "1", None, True, 10**30])
def test_unknown_versions(bundle, refuses, version) -> None:
    refuses(edited(bundle, lambda record: record.update(version=version)), "install the newest workbench")


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "artifacts/../../evil",
        "/etc/passwd",
        "..\\evil",
        "C:/evil",
        "artifacts/..",
        "series/../record.json",
        "artifacts/" + "a" * 63 + "\\",
    ],
)
def test_path_tricks(bundle, refuses, tmp_path, name) -> None:
    refuses(write(tmp_path / "x.zip", members_of(bundle) | {name: b"evil"}), "leads out of it")


@pytest.mark.parametrize(
    "name",
    ["evil.txt", "artifacts/", "artifacts/abc", "series/x.parquet", "record.json/", "RECORD.JSON", "a/b/c"],
)
def test_unexpected_names(bundle, refuses, tmp_path, name) -> None:
    refuses(write(tmp_path / "x.zip", members_of(bundle) | {name: b""}), "does not belong there")


def test_members_that_nobody_speaks_of(bundle, refuses, tmp_path) -> None:
    extra = b"smuggled"
    name = f"artifacts/{hashlib.sha256(extra).hexdigest()}"
    refuses(write(tmp_path / "x.zip", members_of(bundle) | {name: extra}), "do not fit: artifacts/")
    listed = {"hash": name[10:], "size": len(extra), "media_type": "", "name": ""}
    path = edited(bundle, lambda record: record["artifacts"].append(listed))
    refuses(write(tmp_path / "y.zip", members_of(path) | {name: extra}), "do not fit: artifacts/")
    refuses(
        write(tmp_path / "z.zip", members_of(bundle) | {f"series/{'z' * 26}.parquet": b"x"}),
        "do not fit: series/",
    )


def test_members_that_are_missing(bundle, refuses, tmp_path) -> None:
    members = members_of(bundle)
    for kind in ("artifacts/", "series/"):
        name = next(name for name in members if name.startswith(kind))
        refuses(
            write(tmp_path / "x.zip", {key: data for key, data in members.items() if key != name}),
            f"do not fit: {kind}",
        )


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFCHR | 0o600])
def test_links_and_devices(bundle, refuses, tmp_path, mode) -> None:
    path, members = tmp_path / "x.zip", members_of(bundle)
    with zipfile.ZipFile(path, "w") as target:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16 if name.startswith("series/") else 0
            target.writestr(info, data)
    refuses(path, "a link or a device")


def test_the_same_member_twice(bundle, refuses, tmp_path) -> None:
    path, members = tmp_path / "x.zip", members_of(bundle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the zip writer itself finds this odd
        with zipfile.ZipFile(path, "w") as target:
            for name, data in [*members.items(), ("record.json", members["record.json"])]:
                target.writestr(name, data)
    refuses(path, "holds record.json twice")


def test_bombs(bundle, refuses, tmp_path) -> None:
    members = members_of(bundle)
    zeros = bytes(30_000_000)
    name = f"artifacts/{hashlib.sha256(zeros).hexdigest()}"
    refuses(write(tmp_path / "ratio.zip", members | {name: zeros}), "unpacks like a zip bomb")
    refuses(bundle, r"unpacks to \d+ bytes; at most 1000", limits=Limits(total_bytes=1000))
    refuses(bundle, r"has \d+ members; at most 5", limits=Limits(members=5))
    refuses(bundle, "record.json is larger than 100 bytes", limits=Limits(document_bytes=100))
    refuses(bundle, "have 2347 points; at most 2346", limits=Limits(points=2346))


def test_a_declared_size_that_is_a_lie(bundle, refuses, tmp_path) -> None:
    """The central directory says that a member is small; its content goes on."""
    zeros = bytes(5_000_000)
    path = write(
        tmp_path / "x.zip", members_of(bundle) | {f"artifacts/{hashlib.sha256(zeros).hexdigest()}": zeros}
    )
    data = path.read_bytes()
    size = struct.pack("<L", len(zeros))
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<L", 1000)))
    refuses(path, "damaged")


def test_members_that_overlap(bundle, refuses, tmp_path) -> None:
    """Two entries of the directory that point at one member, as in David Fifield's bomb."""
    path = write(tmp_path / "x.zip", members_of(bundle), compression=zipfile.ZIP_STORED)
    with zipfile.ZipFile(path) as source:
        first, second = source.infolist()[:2]
    data = path.read_bytes()
    entry = data.rindex(second.filename.encode()) - 46
    assert data[entry : entry + 4] == b"PK\1\2"
    moved = data[: entry + 42] + struct.pack("<L", first.header_offset) + data[entry + 46 :]
    path.write_bytes(moved)
    refuses(path, "overlap")


def test_something_in_front_of_the_zip(bundle, refuses) -> None:
    bundle.write_bytes(b"#!/bin/sh\n" + bundle.read_bytes())
    refuses(bundle, "something in front")


def test_encrypted_and_exotic_members(bundle, refuses, tmp_path) -> None:
    path = write(tmp_path / "x.zip", members_of(bundle), compression=zipfile.ZIP_LZMA)
    refuses(path, "compression that bundles do not use")
    data = bytearray(bundle.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        position = data.find(signature)
        while position >= 0:
            data[position + offset] |= 1
            position = data.find(signature, position + 4)
    bundle.write_bytes(bytes(data))
    refuses(bundle, "encrypted member")


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
