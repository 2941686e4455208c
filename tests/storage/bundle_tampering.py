"""What an enemy does to a bundle, for the tests of its import."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from storage import Store
from storage.tables import metadata

Members = dict[str, bytes]


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
