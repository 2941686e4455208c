"""Every error that storage raises.

    StorageError            something about the record could not be done; the sentence says what
    |-- RunNotFound         no run has this id
    |-- ArtifactNotFound    no artifact has this hash, or its file is gone
    |-- DatabaseBusy        others kept the database locked for longer than we are willing to wait
    |-- DiskFull            the disk of the database or of the artifacts has no room left
    |-- DatabaseTooNew      the database was made by a newer version of the workbench
    `-- BundleRefused       a bundle is damaged, hostile, from the future, or contradicts what is here

Errors of SQLAlchemy, of the drivers and of file systems are translated at the seam (`database.py`,
`blobs.py`) with their cause kept, so callers meet this family alone.
"""

from __future__ import annotations


class StorageError(Exception):
    """The record could not be read or written. The message is one sentence for a person."""


class RunNotFound(StorageError):
    """No run has the id that was asked for."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id!r}: it was deleted, or the id is mistyped.")
        self.run_id = run_id


class ArtifactNotFound(StorageError):
    """No artifact has this hash, or its file was removed behind our back."""

    def __init__(self, content_hash: str) -> None:
        super().__init__(f"The file with content hash {content_hash[:12]} is not in the store any more.")
        self.content_hash = content_hash


class DatabaseBusy(StorageError):
    """The database stayed locked by others through all our retries."""


class DiskFull(StorageError):
    """No room is left for the database or the artifacts. What was recorded before is intact."""


class DatabaseTooNew(StorageError):
    """The database's schema revision is one that this version does not know."""


class BundleRefused(StorageError):
    """A bundle was not imported; nothing of it was kept."""
