"""Copies of the records to a place that outlives this machine: a bucket, a dataset, another folder (any fsspec URL).

    <url>/files/<first two digits>/<sha256>   artifacts, each once
    <url>/databases/<sha256>.sqlite           the database as of one moment
    <url>/databases/<sha256>.json             {"taken_at": seconds, "files": [the artifacts that it refers to]}
    <url>/latest.json                         {"format": 1, "database": <sha256>, "taken_at": seconds}

`latest.json` is written last, so whoever restores meets either the old snapshot or the new one, never half of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from storage import Store
from workbench.errors import StorageTrouble
from workbench.settings import Settings

FORMAT = 1
KEPT = 3
"""Databases that stay at the place."""
PRUNED_AT_ONCE = 500
"""Artifacts that one snapshot removes at most: the rest goes with the next."""
HASH = re.compile(r"[0-9a-f]{64}")
log = logging.getLogger("workbench")


class Snapshots:
    """Takes and restores snapshots at one place. Only for SQLite: a database server has copies of its own."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._fs, self._root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StorageTrouble(f"WORKBENCH_SNAPSHOTS_URL cannot be used: {error}.") from error

    def take(self, store: Store) -> str:
        """Copy the database and the artifacts that are not there yet; answers the hash of the database.

        Raises StorageTrouble."""
        path = store.database.path
        if path is None:
            raise StorageTrouble("Snapshots are for SQLite; a database server has copies of its own.")
        try:
            with tempfile.TemporaryDirectory(prefix="workbench-snapshot-") as room:
                copy = Path(room) / "copy.sqlite"
                _copy_database(path, copy)
                digest = _hash(copy)
                self._fs.makedirs(self._root, exist_ok=True)
                # Artifacts first: a database must never arrive before what it refers to.
                needed = _artifacts_of(copy)
                self._put_artifacts(store, needed)
                place = f"{self._root}/databases/{digest}.sqlite"
                if not self._fs.exists(place):
                    self._put(copy, place)
                told = json.dumps({"taken_at": time.time(), "files": needed})
                self._fs.pipe_file(f"{self._root}/databases/{digest}.json", told.encode())
            self._write_latest(digest)
            self._remove_old(digest)
        except (OSError, sqlite3.Error) as error:
            raise StorageTrouble(f"The snapshot could not be taken: {error}.") from error
        return digest

    def restore(self, settings: Settings) -> bool:
        """Bring the latest snapshot into an empty home; False where there is a database already, or no snapshot.

        Raises StorageTrouble where the snapshot is damaged; then nothing is put in place."""
        target = _sqlite_path(settings)
        if target.exists():
            return False
        try:
            latest = self._latest()
            if latest is None:
                return False
            digest = str(latest.get("database", ""))
            if latest.get("format") != FORMAT or not HASH.fullmatch(digest):
                raise StorageTrouble("The snapshot's latest.json is damaged, or of a newer version.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".restore-") as room:
                copy = Path(room) / "copy.sqlite"
                self._fs.get_file(f"{self._root}/databases/{digest}.sqlite", str(copy))
                if _hash(copy) != digest:
                    raise StorageTrouble("The snapshot's database is damaged: its checksum is wrong.")
                self._get_artifacts(settings, copy)
                os.replace(copy, target)
        except (OSError, sqlite3.Error) as error:
            raise StorageTrouble(f"The snapshot could not be restored: {error}.") from error
        return True

    def _put_artifacts(self, store: Store, needed: Sequence[str]) -> None:
        there = {Path(found).name for found in self._fs.find(f"{self._root}/files")}
        for digest in needed:
            if digest not in there and store.artifacts.exists(digest):
                self._put(store.artifacts.local_path(digest), f"{self._root}/files/{digest[:2]}/{digest}")

    def _get_artifacts(self, settings: Settings, copy: Path) -> None:
        import fsspec

        fs, root = fsspec.url_to_fs(settings.artifacts_url)
        for digest in _artifacts_of(copy):
            place, source = f"{root}/{digest[:2]}/{digest}", f"{self._root}/files/{digest[:2]}/{digest}"
            if fs.exists(place) or not self._fs.exists(source):
                continue
            data = self._fs.cat_file(source)
            if hashlib.sha256(data).hexdigest() != digest:
                log.warning("Artifact %s of the snapshot is damaged and was left out", digest)
                continue
            fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(place, data)

    def _put(self, path: Path, place: str) -> None:
        self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._fs.put_file(str(path), place)

    def _latest(self) -> dict[str, Any] | None:
        place = f"{self._root}/latest.json"
        if not self._fs.exists(place):
            return None
        try:
            found = json.loads(self._fs.cat_file(place))
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {}

    def _write_latest(self, digest: str) -> None:
        body = json.dumps({"format": FORMAT, "database": digest, "taken_at": time.time()})
        self._fs.pipe_file(f"{self._root}/latest.json", body.encode())

    def _remove_old(self, newest: str) -> None:
        """Remove all but the last few databases, and the artifacts that none of those needs: their runs were deleted. A
        database of an earlier version, which does not say what it needs, counts as old, and keeps all files while it is here."""
        names = {Path(str(one["name"])).name: str(one["name"]) for one in self._listed()}
        databases = {name.removesuffix(".sqlite") for name in names if name.endswith(".sqlite")}
        lists = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        told = {
            digest: json.loads(self._fs.cat_file(names[f"{digest}.json"])) for digest in databases & lists
        }
        by_age = sorted(
            databases, key=lambda digest: (digest == newest, told.get(digest, {}).get("taken_at", 0.0))
        )
        old, kept = by_age[:-KEPT], by_age[-KEPT:]
        gone = [names[f"{digest}.sqlite"] for digest in old]
        gone += [names[f"{digest}.json"] for digest in lists - set(kept)]
        if all(digest in told for digest in kept):
            needed = {content_hash for digest in kept for content_hash in told[digest]["files"]}
            files = [name for name in self._fs.find(f"{self._root}/files") if Path(name).name not in needed]
            gone += files[:PRUNED_AT_ONCE]
        if gone:
            self._fs.rm(gone)

    def _listed(self) -> list[dict[str, Any]]:
        self._fs.invalidate_cache()
        found: list[dict[str, Any]] = self._fs.ls(f"{self._root}/databases", detail=True)
        return found


class Schedule(threading.Thread):
    """Takes a snapshot every so often, and a last one at the end. A place that does not answer is tried again."""

    def __init__(self, snapshots: Snapshots, store: Store, every_s: float) -> None:
        super().__init__(name="snapshots", daemon=True)
        self._snapshots, self._store, self._every_s = snapshots, store, every_s
        self._over = threading.Event()
        self._last = ""

    def run(self) -> None:
        while not self._over.wait(self._every_s):
            self._take()

    def close(self) -> None:
        """Take the last snapshot and end."""
        self._over.set()
        if self.is_alive():
            self.join()
        self._take()

    def _take(self) -> None:
        try:
            self._last = self._snapshots.take(self._store)
        except StorageTrouble as error:
            log.warning("%s", error)


def _copy_database(path: Path, copy: Path) -> None:
    """A copy as of one moment, without stopping those who write (SQLite's own online copy)."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=2000, sleep=0.01)
        target.execute("PRAGMA journal_mode = delete")


def _artifacts_of(copy: Path) -> list[str]:
    with closing(sqlite3.connect(copy)) as connection:
        return [row[0] for row in connection.execute("SELECT hash FROM artifact ORDER BY hash")]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sqlite_path(settings: Settings) -> Path:
    from sqlalchemy import make_url

    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise StorageTrouble("Snapshots are for SQLite; a database server has copies of its own.")
    return Path(url.database)
