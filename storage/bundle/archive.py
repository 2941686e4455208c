"""The zip of a bundle: written the same way each time, read with suspicion.

Whoever sends a bundle may be an enemy. Before anything is used, every member's name must be one that the format
knows, every size within limits, and every byte as checksums.json says.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from storage import jsontext
from storage.errors import BundleRefused

RECORD, CHECKSUMS = "record.json", "checksums.json"
BLOCK_BYTES = 1 << 20
WHOLE_BYTES = 64 << 20  # larger members are not compressed: they are copied in blocks, never held in memory
MOST_SAVED = (
    100  # members that shrink by more are stored as they are, so that no bundle of ours looks like a bomb
)
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say; a bundle's bytes must not tell when it was made
_MEMBER = re.compile(r"record\.json|checksums\.json|series/[0-9a-z]{26}\.parquet|artifacts/[0-9a-f]{64}")
_LOCAL_HEADER = b"PK\3\4"
_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may at most be. The same limits bind export, so that what goes out can come in."""

    members: int = 100_000
    total_bytes: int = 4 << 30
    document_bytes: int = 256 << 20
    ratio: float = 200.0
    points: int = 10_000_000


def artifact_member(content_hash: str) -> str:
    """The member that holds an artifact."""
    return f"artifacts/{content_hash}"


def series_member(run_id: str) -> str:
    """The member that holds the points of a run."""
    return f"series/{run_id}.parquet"


class ArchiveWriter:
    """Writes members with fixed dates, rights and order, and their checksums at the end."""

    def __init__(self, target: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(target, "w")
        self._checksums: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        """Add a member, compressed where that is worth it."""
        self._checksums[name] = hashlib.sha256(data).hexdigest()
        self._zip.writestr(_member(name), data, _compression(data))

    def add_stream(self, name: str, source: IO[bytes], size: int) -> None:
        """Add a member of `size` bytes; a large one is copied in blocks."""
        if size <= WHOLE_BYTES:
            self.add(name, source.read())
            return
        digest = hashlib.sha256()
        with self._zip.open(_member(name), "w", force_zip64=True) as target:
            while block := source.read(BLOCK_BYTES):
                digest.update(block)
                target.write(block)
        self._checksums[name] = digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Write the checksums, unless the block failed, and the end of the zip."""
        if kind is None:
            data = jsontext.dumps(self._checksums).encode()
            self._zip.writestr(_member(CHECKSUMS), data, _compression(data))
        self._zip.close()


class ArchiveReader:
    """An open bundle, all of whose members have been checked."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open a bundle and check it from end to end.

        Raises:
            BundleRefused: it is not a zip, it is damaged, or it holds what no bundle may hold.
        """
        with refusing_damage():
            try:
                self._zip = zipfile.ZipFile(path)
            except OSError as error:
                raise BundleRefused(f"The bundle cannot be read: {error.strerror or error}.") from error
        try:
            with refusing_damage():
                self._members = {info.filename: info for info in self._zip.infolist()}
                _check_names(self._zip.infolist(), limits)
                _check_sizes(self._zip.infolist(), limits, path)
                self._check_content()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> set[str]:
        """The members but for the checksums."""
        return set(self._members) - {CHECKSUMS}

    def size(self, name: str) -> int:
        """The number of bytes of a member."""
        return self._members[name].file_size

    def read(self, name: str) -> bytes:
        """The bytes of a member."""
        with refusing_damage():
            return self._zip.read(name)

    def open(self, name: str) -> IO[bytes]:
        """A stream of the bytes of a member."""
        with refusing_damage():
            return self._zip.open(name)

    def _check_content(self) -> None:
        checksums = _parse_checksums(self._zip.read(CHECKSUMS))
        if set(checksums) != self.names:
            raise BundleRefused("The bundle's checksums.json does not list exactly its members.")
        for name, expected in checksums.items():
            actual = _sha256(self._blocks(name))
            if actual != expected or (name.startswith("artifacts/") and name != artifact_member(actual)):
                raise BundleRefused(f"The bundle is damaged: the content of {name} is not what was exported.")

    def _blocks(self, name: str) -> Iterator[bytes]:
        with self._zip.open(name) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Whatever a damaged zip makes its reader raise, as one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError) as error:
        raise BundleRefused("The bundle is damaged or cut short: it is not a readable zip file.") from error
    except RuntimeError as error:  # how zipfile says that a member is encrypted
        raise BundleRefused("The bundle holds an encrypted member.") from error


def _check_names(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(members) > limits.members:
        raise BundleRefused(f"The bundle has {len(members)} members; at most {limits.members} are allowed.")
    seen: set[str] = set()
    for info in members:
        name = info.orig_filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise BundleRefused(f"The bundle holds a member whose name leads out of it: {name[:80]!r}.")
        if not _MEMBER.fullmatch(name):
            raise BundleRefused(f"The bundle holds a member that does not belong there: {name[:80]!r}.")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleRefused(f"The bundle holds {name}, which is a link or a device and not a file.")
        if name in seen:
            raise BundleRefused(f"The bundle holds {name} twice.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleRefused(f"The bundle holds {name} in a compression that bundles do not use.")
        seen.add(name)
    if missing := sorted({RECORD, CHECKSUMS} - seen):
        raise BundleRefused(f"The file is not a bundle: it has no {missing[0]}.")


def _check_sizes(members: list[zipfile.ZipInfo], limits: Limits, path: Path) -> None:
    """Declared sizes within limits. (The zip reader never gives more than was declared.)"""
    total = sum(info.file_size for info in members)
    if total > limits.total_bytes:
        raise BundleRefused(f"The bundle unpacks to {total} bytes; at most {limits.total_bytes} are allowed.")
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.file_size > limits.ratio * max(info.compress_size, 1) + 1024:
            raise BundleRefused(f"The bundle holds {info.filename}, which unpacks like a zip bomb.")
        if info.header_offset < end:
            raise BundleRefused("The bundle's members overlap, as in a zip bomb.")
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
        if info.filename.endswith(".json") and info.file_size > limits.document_bytes:
            raise BundleRefused(f"The bundle's {info.filename} is larger than {limits.document_bytes} bytes.")
    with path.open("rb") as file:
        if file.read(len(_LOCAL_HEADER)) != _LOCAL_HEADER:
            raise BundleRefused("The bundle has something in front of its zip.")


def _parse_checksums(data: bytes) -> dict[str, str]:
    try:
        value = jsontext.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleRefused("The bundle's checksums.json is not readable JSON.") from error
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BundleRefused("The bundle's checksums.json is not a list of members with their SHA-256.")
    return value


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _compression(data: bytes) -> int:
    """Deflate where it saves something, but not so much that an importer would take it for a bomb."""
    packed = sum(len(part) for part in _deflated(data))
    is_worth_it = packed < 0.95 * len(data) and len(data) < MOST_SAVED * packed
    return zipfile.ZIP_DEFLATED if is_worth_it else zipfile.ZIP_STORED


def _deflated(data: bytes) -> Iterator[bytes]:
    compressor, source = zlib.compressobj(), io.BytesIO(data)
    while block := source.read(BLOCK_BYTES):
        yield compressor.compress(block)
    yield compressor.flush()
