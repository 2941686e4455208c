"""From the store into a bundle, and from a bundle into the store."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from storage.blobs import Content, translated
from storage.bundle import points as parquet
from storage.bundle.archive import (
    RECORD,
    ArchiveReader,
    ArchiveWriter,
    Limits,
    artifact_member,
    series_member,
)
from storage.bundle.document import ArrayEntry, Document, RunEntry, parse
from storage.bundle.rows import RunParts, insert_run, read_run
from storage.errors import BundleRefused, RunNotFound, StorageError
from storage.store import Store
from storage.values import Points
from storage.writer import INLINE_BYTES

_NPY_HEADER_BYTES = 1 << 16  # more than any header that we accept


def export_bundle(
    store: Store,
    run_ids: Sequence[str],
    path: str | Path,
    *,
    limits: Limits | None = None,
    without_texts: Collection[str] | None = None,
    known_parents: Collection[str] = (),
) -> None:
    """Write runs that are over, with their files, into one zip at `path`. The same runs give the same bytes.

    With `without_texts` the bundle is one for strangers: the texts of these names, the environment, the worker, and
    parents that are neither in the bundle nor among `known_parents` are left out.

    Raises:
        RunNotFound: one of the ids is unknown.
        ArtifactNotFound: a file of a run was removed behind our back.
        DiskFull: no room is left at `path`.
        StorageError: a run is not over yet, no run was named, or together they exceed what an import accepts.
    """
    if not run_ids:
        raise StorageError("Name at least one run to export.")
    parts = [_read(store, run_id) for run_id in sorted(set(run_ids))]
    if without_texts is not None:
        known = {part.entry.id for part in parts}.union(known_parents)
        parts = [replace(part, entry=_for_strangers(part.entry, without_texts, known)) for part in parts]
    artifacts = {entry.hash: entry for part in parts for entry in part.artifacts}
    document = Document(
        runs=[part.entry for part in parts],
        artifacts=[artifacts[content_hash] for content_hash in sorted(artifacts)],
    )
    _check_limits(document, limits or Limits())
    temporary = Path(f"{path}.{secrets.token_hex(8)}.part")
    try:
        with translated("exported"), temporary.open("wb") as target, ArchiveWriter(target) as archive:
            _write(store, document, parts, archive)
        with translated("exported"):
            os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def import_bundle(
    store: Store, path: str | Path, owner: str = "local", *, limits: Limits | None = None
) -> list[str]:
    """Bring the runs of a bundle into the store, as runs of `owner`. A run that is here already is kept as it is.

    Returns:
        The ids of all runs of the bundle.

    Raises:
        BundleRefused: the bundle is damaged, hostile or from the future, or a run with one of its ids but other
            content is here; nothing of it is kept.
        DiskFull: no room is left; nothing of it is kept.
    """
    limits = limits or Limits()
    with ArchiveReader(Path(path), limits) as archive:
        document = parse(archive.read(RECORD))
        _check_members(document, archive, limits)
        fresh = [run for run in document.runs if not _is_here(store, run)]
        points = [_read_points(archive, run) for run in fresh]
        inline = _read_arrays(archive, fresh)
        _bring_in(store, archive, document, fresh, points, inline, owner)
    return [run.id for run in document.runs]


def runs_in_bundle(path: str | Path, *, limits: Limits | None = None) -> list[str]:
    """The ids of the runs that a bundle holds; nothing else of it is read.

    Raises:
        BundleRefused: it is damaged, hostile or from the future.
    """
    with ArchiveReader(Path(path), limits or Limits()) as archive:
        return [run.id for run in parse(archive.read(RECORD)).runs]


def _for_strangers(entry: RunEntry, without_texts: Collection[str], known: Collection[str]) -> RunEntry:
    texts = [text for text in entry.texts if text.name not in without_texts]
    parent = entry.parent_id if entry.parent_id in known else None
    return entry.model_copy(update={"environment": {}, "worker": "", "texts": texts, "parent_id": parent})


def _read(store: Store, run_id: str) -> RunParts:
    return store.database.read(lambda connection: read_run(connection, run_id))


def _write(store: Store, document: Document, parts: Sequence[RunParts], archive: ArchiveWriter) -> None:
    archive.add(RECORD, document.to_json())
    inline = {content_hash: npy for part in parts for content_hash, npy in part.inline.items()}
    for part in parts:
        if part.entry.series:
            archive.add(series_member(part.entry.id), parquet.to_parquet(part.entry.series, part.points))
    for artifact in document.artifacts:
        name = artifact_member(artifact.hash)
        if artifact.hash in inline:
            archive.add(name, inline[artifact.hash])
        else:
            with store.artifacts.open(artifact.hash) as stream:
                archive.add_stream(name, stream, artifact.size)


def _check_limits(document: Document, limits: Limits) -> None:
    total = sum(artifact.size for artifact in document.artifacts)
    points = sum(curve.count for run in document.runs for curve in run.series)
    if total > limits.total_bytes or points > limits.points or len(document.artifacts) > limits.members // 2:
        raise StorageError(
            f"A bundle holds at most {limits.total_bytes} bytes of files, {limits.members // 2} files and "
            f"{limits.points} points; these runs have {total}, {len(document.artifacts)} and {points}: "
            "export fewer runs at once."
        )


def _check_members(document: Document, archive: ArchiveReader, limits: Limits) -> None:
    """The members must be exactly those that the document speaks of, with the sizes that it tells."""
    if len({run.id for run in document.runs}) < len(document.runs):
        raise BundleRefused("The bundle holds the same run twice.")
    listed = {artifact_member(artifact.hash): artifact.size for artifact in document.artifacts}
    needed = {artifact_member(content_hash) for run in document.runs for content_hash in run.hashes()}
    curves = {series_member(run.id) for run in document.runs if run.series}
    if odd := sorted(archive.names ^ ({RECORD} | set(listed) | curves)) or sorted(set(listed) ^ needed):
        raise BundleRefused(f"The bundle's members and its record.json do not fit: {odd[0]}.")
    for name, size in listed.items():
        if archive.size(name) != size:
            raise BundleRefused(f"The size of {name} is not the one that record.json tells.")
    count = sum(curve.count for run in document.runs for curve in run.series)
    if count > limits.points:
        raise BundleRefused(f"The bundle's curves have {count} points; at most {limits.points} are allowed.")
    for run in document.runs:
        for array in run.arrays:
            with archive.open(artifact_member(array.hash)) as stream:
                _check_npy(stream.read(_NPY_HEADER_BYTES), archive.size(artifact_member(array.hash)), array)


def _check_npy(head: bytes, size: int, entry: ArrayEntry) -> None:
    """A .npy must hold plain values, exactly as many as its shape says (a reader would allocate what it says)."""
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, _, dtype = read(stream)
    except (ValueError, KeyError, SyntaxError) as error:
        raise BundleRefused(f"Array {entry.name!r} of the bundle is not a readable .npy file.") from error
    expected = stream.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
    if dtype.hasobject or list(shape) != entry.shape or expected != size:
        raise BundleRefused(f"Array {entry.name!r} of the bundle does not have the shape that it claims.")


def _is_here(store: Store, run: RunEntry) -> bool:
    """Whether this run is in the store already.

    Raises:
        BundleRefused: one with its id is, but it is another run.
    """
    try:
        mine = _read(store, run.id)
    except RunNotFound:
        return False
    except StorageError as error:
        raise BundleRefused(f"A run {run.id} with other content is here already.") from error
    if mine.entry.content() != run.content():
        raise BundleRefused(f"A run {run.id} with other content is here already.")
    return True


def _read_points(archive: ArchiveReader, run: RunEntry) -> list[Points]:
    return parquet.from_parquet(archive.read(series_member(run.id)), run.series) if run.series else []


def _read_arrays(archive: ArchiveReader, runs: Sequence[RunEntry]) -> dict[str, bytes]:
    """The .npy bytes of those arrays that are small enough to live in the database."""
    members = {array.hash: artifact_member(array.hash) for run in runs for array in run.arrays}
    return {key: archive.read(name) for key, name in members.items() if archive.size(name) <= INLINE_BYTES}


def _bring_in(
    store: Store,
    archive: ArchiveReader,
    document: Document,
    runs: Sequence[RunEntry],
    points: Sequence[Sequence[Points]],
    inline: dict[str, bytes],
    owner: str,
) -> None:
    """Files first, then all rows in one transaction; whatever fails, nothing stays."""
    blobs, contents = store.artifacts.blobs, dict[str, Content]()
    needed = _needed_files(runs, inline)
    try:
        for entry in document.artifacts:
            if entry.hash in needed:
                with archive.open(artifact_member(entry.hash)) as stream:
                    contents[entry.hash] = blobs.stage(stream)
                blobs.place(contents[entry.hash])

        def insert_all(connection: Connection) -> None:
            store.database.lock_artifacts(connection)
            store.artifacts.register(
                connection,
                [
                    (contents[entry.hash], entry.media_type, entry.name)
                    for entry in document.artifacts
                    if entry.hash in needed
                ],
            )
            for run, found in zip(runs, points, strict=True):
                insert_run(connection, store.database, run, found, inline, owner)

        store.database.write(insert_all)
    except BaseException:
        store.artifacts.discard(set(contents))
        raise
    finally:
        for content in contents.values():
            blobs.drop(content)


def _needed_files(runs: Sequence[RunEntry], inline: dict[str, bytes]) -> set[str]:
    """The artifacts that must become files: all, but for arrays that live in the database."""
    needed: set[str] = set()
    for run in runs:
        needed |= (
            {picture.hash for picture in run.pictures} | {file.hash for file in run.files} | run.uploads()
        )
        needed |= {array.hash for array in run.arrays if array.hash not in inline}
    return needed
