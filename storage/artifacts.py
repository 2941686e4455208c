"""Artifacts: pictures, large arrays, result files and uploads, stored once however often they are used.

When may a file be removed? Its row goes in the transaction that removes the last reference (foreign keys make
sure that it is the last). Its file goes in a *later* transaction, that holds the write lock and first looks
whether a row has come back. Whoever refers to an artifact inserts the row in a transaction as well and then
looks whether the file is still there, and puts it again if not. So a file with a row is never missing, whatever
two processes do at once; a process killed in between leaves at most a file that nobody needs, for `sweep`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from storage.blobs import Blobs, Content, content_of
from storage.database import Database
from storage.errors import ArtifactNotFound
from storage.tables import ARRAY, ARTIFACT, FILE, PICTURE, UPLOAD
from storage.values import ArtifactInfo

HOLD_S = 3600.0  # how long a fresh upload stays although no run refers to it yet
LEFTOVER_S = 86400.0  # after this long a file without a row belongs to nobody

_REFERRERS = (PICTURE, ARRAY, FILE, UPLOAD)
_REMOVE_UNREFERENCED = (
    delete(ARTIFACT)
    .where(ARTIFACT.c.held_until < bindparam("now"))
    .where(*(~exists().where(table.c.hash == ARTIFACT.c.hash) for table in _REFERRERS))
    .returning(ARTIFACT.c.hash)
)
_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})/.+", re.DOTALL)


class Artifacts:
    """The store's files, by the SHA-256 of their content (64 hexadecimal digits)."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._cache: TemporaryDirectory[str] | None = None
        self.blobs = blobs

    def put(self, data: bytes, media_type: str, name: str = "") -> str:
        """Store bytes and return their hash. They stay for an hour, and then as long as a run refers to them.

        Raises:
            DiskFull: no room is left.
        """
        return self._put(content_of(data), media_type, name)

    def put_file(self, path: str | Path, media_type: str, name: str = "") -> str:
        """Store a copy of a local file and return its hash; otherwise like `put`.

        Raises:
            DiskFull: no room is left.
            StorageError: the file cannot be read.
        """
        return self._put(self.blobs.stage(path), media_type, name or Path(path).name)

    def read(self, content_hash: str) -> bytes:
        """The bytes of an artifact.

        Raises:
            ArtifactNotFound: it is not there.
        """
        return self.blobs.read(content_hash)

    def open(self, content_hash: str) -> IO[bytes]:
        """A stream of an artifact's bytes.

        Raises:
            ArtifactNotFound: it is not there.
        """
        return self.blobs.open(content_hash)

    def exists(self, content_hash: str) -> bool:
        """Whether the artifact's bytes are there."""
        return self.blobs.holds(content_hash)

    def info(self, content_hash: str) -> ArtifactInfo:
        """Media type, size in bytes and name of an artifact.

        Raises:
            ArtifactNotFound: no artifact has this hash.
        """
        query = select(ARTIFACT).where(ARTIFACT.c.hash == content_hash)
        row = self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise ArtifactNotFound(content_hash)
        return ArtifactInfo(row.hash, row.media_type, row.size, row.name, row.created_at)

    def local_path(self, content_hash: str) -> Path:
        """A file on this machine with the artifact's bytes, to be read only. Where the store is elsewhere it is
        a copy that lives as long as this object.

        Raises:
            ArtifactNotFound: it is not there.
        """
        if self.blobs.is_local:
            path = Path(self.blobs.path(content_hash))
            if not path.exists():
                raise ArtifactNotFound(content_hash)
            return path
        data = self.blobs.read(content_hash)
        if self._cache is None:
            self._cache = TemporaryDirectory(prefix="workbench-artifacts-")
        copy = Path(self._cache.name, content_hash)
        copy.write_bytes(data)
        return copy

    def sweep(self) -> int:
        """Remove what nobody refers to: uploads never used, and leftovers of processes that were killed.

        Returns:
            How many files were removed.
        """
        leftovers, temporary = self.blobs.older_than(LEFTOVER_S)
        self.blobs.remove_temporary(temporary)
        return len(temporary) + self.discard(leftovers) + self.expire()

    def expire(self) -> int:
        """Remove uploads that were held for their hour and never used; the files are not listed, so this may be often.

        Returns:
            How many files were removed.
        """
        return self.discard(
            self._database.write(lambda connection: remove_unreferenced(connection, self._database, None))
        )

    def size(self) -> int:
        """Bytes of all files together."""
        query = select(func.coalesce(func.sum(ARTIFACT.c.size), 0))
        return self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    def discard(self, hashes: Collection[str]) -> int:
        """Remove the files of those hashes that have no row (any more). Returns how many went."""
        if not hashes:
            return 0

        def remove(connection: Connection) -> int:
            self._database.lock_artifacts(connection)
            needed = known(connection, hashes)
            gone = [content_hash for content_hash in hashes if content_hash not in needed]
            for content_hash in gone:
                self.blobs.remove(content_hash)
            return len(gone)

        return self._database.write(remove)

    def register(self, connection: Connection, contents: Sequence[tuple[Content, str, str]]) -> None:
        """Give placed contents, each with its media type and name, their rows, in the transaction that will refer
        to them."""
        if not contents:
            return
        now = time.time()
        rows = [
            {"hash": content.hash, "media_type": media_type, "size": content.size, "name": name}
            | {"created_at": now, "held_until": 0.0}
            for content, media_type, name in contents
        ]
        connection.execute(self._database.insert_new(ARTIFACT), rows)
        for content, _, _ in contents:
            self.blobs.place(content)  # looks; and puts again what another process removed meanwhile

    def close(self) -> None:
        """Remove local copies."""
        if self._cache is not None:
            self._cache.cleanup()
            self._cache = None

    def _put(self, content: Content, media_type: str, name: str) -> str:
        try:
            self.blobs.place(content)

            def hold(connection: Connection) -> None:
                self._database.lock_artifacts(connection)
                self.register(connection, [(content, media_type, name)])
                until = ARTIFACT.c.hash == content.hash
                connection.execute(update(ARTIFACT).where(until).values(held_until=time.time() + HOLD_S))

            self._database.write(hold)
        finally:
            self.blobs.drop(content)
        return content.hash


def references_in(value: Any) -> Iterator[str]:
    """The hashes that a run's parameters name as `sha256:<hash>/<name>`, wherever they stand."""
    if isinstance(value, str):
        if match := _REFERENCE.fullmatch(value):
            yield match[1]
    elif isinstance(value, dict):
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references_in(item)


def refer_to_uploads(connection: Connection, database: Database, run_id: str, params: Any) -> None:
    """Write down which uploads a run's parameters need, and end their hold.

    Raises:
        ArtifactNotFound: one of them is not in the store.
    """
    hashes = sorted(set(references_in(params)))
    if not hashes:
        return
    database.lock_artifacts(connection)
    there = known(connection, hashes)
    for content_hash in hashes:
        if content_hash not in there:
            raise ArtifactNotFound(content_hash)
    connection.execute(database.insert(UPLOAD), [{"run_id": run_id, "hash": item} for item in hashes])
    connection.execute(update(ARTIFACT).where(ARTIFACT.c.hash.in_(hashes)).values(held_until=0.0))


def hashes_of_run(connection: Connection, run_id: str) -> set[str]:
    """All artifacts that a run refers to."""
    found: set[str] = set()
    for table in _REFERRERS:
        query = select(table.c.hash).where(table.c.run_id == run_id, table.c.hash.is_not(None))
        found.update(connection.execute(query).scalars())
    return found


def remove_unreferenced(
    connection: Connection, database: Database, candidates: Iterable[str] | None
) -> list[str]:
    """Remove the rows of those candidates (None: of all artifacts) that nobody refers to and nobody holds.

    Returns:
        Their hashes, whose files `Artifacts.discard` may remove once this transaction is committed.
    """
    statement = _REMOVE_UNREFERENCED
    if candidates is not None:
        candidates = list(candidates)
        if not candidates:
            return []
        statement = statement.where(ARTIFACT.c.hash.in_(candidates))
    database.lock_artifacts(connection)
    return list(connection.execute(statement, {"now": time.time()}).scalars())


def known(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Which of these hashes have a row."""
    return set(connection.execute(select(ARTIFACT.c.hash).where(ARTIFACT.c.hash.in_(hashes))).scalars())
