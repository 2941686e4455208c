"""Bundles whose zip is damaged or hostile are refused in one sentence, and leave nothing behind."""

from __future__ import annotations

import hashlib
import stat
import struct
import warnings
import zipfile

import numpy as np
import pytest
from bundle_tampering import edited, is_empty, members_of, write

from storage import BundleRefused, import_bundle
from storage.bundle import Limits


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
