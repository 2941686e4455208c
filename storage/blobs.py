"""Files known by their content, on any file system that fsspec reaches (file://, memory://, s3://...).

A file is written under a temporary name and moved to `<first two digits>/<sha256>`, so a reader never sees
half of one, and processes that put the same content at once end with one whole file. This module knows nothing
of the database; `artifacts.py` decides what may be removed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from storage.errors import ArtifactNotFound, DiskFull, StorageError

BLOCK_BYTES = 1 << 20
_CLIENTS = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure"}
"""Packages under remote file systems whose errors are not OSErrors: no address, no credentials, a broken connection."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes on their way into the store: in memory, or staged in a temporary file of the store."""

    hash: str
    size: int
    data: bytes | None = None
    staged: str = ""


def content_of(data: bytes) -> Content:
    """`data` with its hash."""
    return Content(hashlib.sha256(data).hexdigest(), len(data), data=data)


class Blobs:
    """The folder of content-addressed files."""

    def __init__(self, url: str) -> None:
        """Open (and make) the folder at `url`: an fsspec URL or a plain path.

        Raises:
            StorageError: no such file system, or the folder cannot be made.
        """
        with translated("opened"):
            try:
                # Lists that a file system remembers know nothing of what other machines write and remove.
                self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
            except (ValueError, ImportError) as error:
                raise StorageError(f"The artifacts URL {url!r} cannot be used: {error}.") from error
            self._root = str(root).rstrip("/")
            self.is_local = isinstance(self._fs, LocalFileSystem)
            self._fs.makedirs(f"{self._root}/tmp", exist_ok=True)

    def path(self, content_hash: str) -> str:
        """Where the content with this hash lies, as the file system names it."""
        return f"{self._root}/{content_hash[:2]}/{content_hash}"

    def stage(self, source: str | Path | IO[bytes]) -> Content:
        """Copy a local file or a stream into a temporary file of the store, hashing what was in fact copied."""
        digest, size, staged = hashlib.sha256(), 0, self._temporary()
        with (
            translated("stored"),
            self._removed_on_failure(staged),
            open(source, "rb") if isinstance(source, str | Path) else nullcontext(source) as stream,
            self._fs.open(staged, "wb") as target,
        ):
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
                target.write(block)
        return Content(digest.hexdigest(), size, staged=staged)

    def place(self, content: Content) -> None:
        """Make sure that the content lies at its path. May be called again until `drop`."""
        if self.holds(content.hash, content.size):
            return
        final, temporary = self.path(content.hash), self._temporary()
        with translated("stored"), self._removed_on_failure(temporary):
            self._fs.makedirs(os.path.dirname(final), exist_ok=True)
            if content.data is not None:
                self._fs.pipe_file(temporary, content.data)
            else:
                self._fs.cp_file(content.staged, temporary)
            self._move(temporary, final)

    def drop(self, content: Content) -> None:
        """Forget the temporary file of staged content."""
        if content.staged:
            self._remove(content.staged)

    def holds(self, content_hash: str, size: int | None = None) -> bool:
        """Whether the content is there (and whole, where its size is given: a power cut may leave a stump)."""
        with translated("looked up"):
            try:
                found = self._fs.size(self.path(content_hash))
            except FileNotFoundError:
                return False
        return size is None or found == size

    def read(self, content_hash: str) -> bytes:
        """All bytes of the content.

        Raises:
            ArtifactNotFound: it is not there.
        """
        with translated("read"):
            try:
                return bytes(self._fs.cat_file(self.path(content_hash)))
            except FileNotFoundError as error:
                raise ArtifactNotFound(content_hash) from error

    def open(self, content_hash: str) -> IO[bytes]:
        """A readable stream of the content.

        Raises:
            ArtifactNotFound: it is not there.
        """
        with translated("read"):
            try:
                stream: IO[bytes] = self._fs.open(self.path(content_hash), "rb")
            except FileNotFoundError as error:
                raise ArtifactNotFound(content_hash) from error
        return stream

    def remove(self, content_hash: str) -> None:
        """Remove the content if it is there."""
        self._remove(self.path(content_hash))

    def older_than(self, age_s: float) -> tuple[list[str], list[str]]:
        """Hashes, and temporary files, last written more than `age_s` seconds ago."""
        hashes, temporary, now = [], [], time.time()
        with translated("listed"):
            self._fs.invalidate_cache()
            for path, info in self._fs.find(self._root, detail=True).items():
                if now - _written_at(info) < age_s:
                    continue
                folder, name = path.rsplit("/", 2)[-2:]
                if folder == "tmp":
                    temporary.append(path)
                elif len(name) == 64 and folder == name[:2]:
                    hashes.append(name)
        return hashes, temporary

    def remove_temporary(self, paths: list[str]) -> None:
        """Remove temporary files that `older_than` named."""
        for path in paths:
            self._remove(path)

    def _temporary(self) -> str:
        return f"{self._root}/tmp/{secrets.token_hex(16)}"

    def _move(self, temporary: str, final: str) -> None:
        if self.is_local:
            os.replace(temporary, final)  # atomic, also over a file that another process just put there
        else:
            self._fs.mv(temporary, final)

    def _remove(self, path: str) -> None:
        with translated("removed"), suppress(FileNotFoundError):
            self._fs.rm_file(path)

    @contextmanager
    def _removed_on_failure(self, path: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell; a sweep finds what stays
                self._fs.rm_file(path)
            raise


@contextmanager
def translated(done: str) -> Iterator[None]:
    """Errors of the file system as ours, with their cause: 'the file could not be `done`'."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("The disk of the artifacts is full: free some room, then run again.") from error
        reason = error.strerror or type(error).__name__
        raise StorageError(f"A file of the record could not be {done}: {reason}.") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise StorageError(f"A file of the record could not be {done}: {reason}.") from error


def _written_at(info: dict[str, Any]) -> float:
    for key in ("mtime", "created", "LastModified"):
        moment = info.get(key)
        if moment is not None:
            return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)
    return time.time()
