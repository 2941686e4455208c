"""Where a run can stand."""

from __future__ import annotations

from enum import StrEnum

from storage.errors import StorageError


class Status(StrEnum):
    """Where a run stands. The first two go on by themselves; the others are final."""

    queued = "queued"
    running = "running"
    finished = "finished"
    failed = "failed"
    cancelled = "cancelled"
    interrupted = "interrupted"

    @classmethod
    def named(cls, name: str) -> Status:
        """The status of this name.

        Raises:
            StorageError: there is none.
        """
        if name not in cls.__members__:
            raise StorageError(f"{name!r} is not a status; there are {', '.join(cls.__members__)}.")
        return cls[name]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be recorded."""
        return self not in (Status.queued, Status.running)
