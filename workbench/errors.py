"""The one tree of errors that a user meets. Each message is one sentence or two; each class has its exit code.

WorkbenchError              1    something went wrong that no change of the command would cure
├── RunFailed               1    the run itself failed
├── StorageTrouble          1    the database or the artifacts could not be read or written
├── Unreachable             1    a workbench elsewhere does not answer
├── Interrupted           130    stopped from the keyboard or by a signal
└── UsageError              2    the request is wrong; the sentence says what to change
    ├── InvalidParams            one entry a field that is wrong
    ├── UnknownEngine            no such engine in the catalogue
    ├── UnknownRun               no such run in the store
    ├── RunIsActive              not possible while the run is queued or running
    ├── Refused                  a workbench elsewhere refused, in its own words
    ├── BadSetting               an environment variable that cannot be understood
    ├── MissingPackage           what was asked for needs a package that is not installed
    ├── NotOurPicture            a PNG without a record of ours, or a damaged one
    └── FileTrouble              a file of the user's that cannot be read or written
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from engines.validation import FieldError


class WorkbenchError(Exception):
    """Base of all; `str(error)` is what the user reads."""

    exit_code = 1

    @property
    def sentence(self) -> str:
        """What the user reads."""
        return str(self)


class RunFailed(WorkbenchError):
    """The run ended as failed or interrupted; the sentence is the run's own error."""


class StorageTrouble(WorkbenchError):
    """The store answered with an error of its own; its sentence is kept."""


class Unreachable(WorkbenchError):
    """A workbench elsewhere does not answer."""


class Interrupted(WorkbenchError):
    """The user or the system stopped the command."""

    exit_code = 130


class UsageError(WorkbenchError):
    """The request cannot be carried out as it stands."""

    exit_code = 2


class InvalidParams(UsageError):
    """Parameters that break a rule; `errors` has one entry for each field that is wrong."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(" ".join(error.sentence for error in errors))
        self.errors = list(errors)


class UnknownEngine(UsageError):
    """No engine of that key (the sentence names the nearest one), or one that is broken (it says why)."""

    def __init__(self, key: str, known: Iterable[str], reason: str = "") -> None:
        keys = list(known)
        hint = near_match(key, keys)
        rest = f" Did you mean {hint}?" if hint else f" Known engines: {', '.join(keys) or 'none'}."
        super().__init__(reason or f"There is no engine {key!r}.{rest}")
        self.key = key


class UnknownRun(UsageError):
    """No run of that id."""


class RunIsActive(UsageError):
    """Not possible while the run is queued or running."""


class Refused(UsageError):
    """A workbench elsewhere refused; the sentence is its own."""


class BadSetting(UsageError):
    """An environment variable that cannot be understood."""


class MissingPackage(UsageError):
    """What was asked for needs a package that is not installed; the sentence names it."""


class NotOurPicture(UsageError):
    """A PNG that carries no record of a run, or a damaged one."""


class FileTrouble(UsageError):
    """A file that cannot be read or written."""


def near_match(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None where none is near."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


@contextmanager
def storage_seam() -> Iterator[None]:
    """Inside it, every error of the store becomes one of this tree, with its cause kept."""
    from storage import RunNotFound, StorageError

    try:
        yield
    except RunNotFound as error:
        raise UnknownRun(str(error)) from error
    except StorageError as error:
        raise StorageTrouble(str(error)) from error
