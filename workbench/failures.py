"""From whatever stopped a run to one sentence for its reader. Nothing here shows a path of this machine."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import PurePath

import engines
from engines.contract import Refusal
from engines.validation import Refused
from storage import StorageError
from workbench.errors import WorkbenchError
from workbench.redaction import redact

MAX_SENTENCE = 400

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|alloc(ate)? failed", re.I
)


class EngineFault(WorkbenchError):
    """An engine said something that its contract does not allow."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed: one sentence, its kind for programs, and the traceback for whoever mends it."""

    sentence: str
    kind: str
    trace: str = ""


def explain(error: BaseException, device: str = "cpu") -> Failure:
    """The failure that `error` stands for. Only an unexpected error brings its traceback."""
    if isinstance(error, Refusal):
        return Failure(error.sentence, "Refusal")
    if isinstance(error, Refused | StorageError | EngineFault):
        return Failure(redact(str(error)), type(error).__name__)
    if _is_out_of_memory(error):
        where = "this machine" if device == "cpu" else f"the device {device}"
        sentence = (
            f"Out of memory on {where}. Make the problem smaller, or run it where there is more memory."
        )
        return Failure(sentence, "OutOfMemory", trace_of(error))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure("The disk is full. Free some space and run it again.", "DiskFull", trace_of(error))
    if isinstance(error, ModuleNotFoundError) and error.name:
        sentence = f"This run needs the package {error.name.partition('.')[0]}, which is not installed here."
        return Failure(sentence, "MissingPackage", trace_of(error))
    return Failure(_unexpected(error), type(error).__name__, trace_of(error))


def trace_of(error: BaseException) -> str:
    """The traceback with file names relative to their package."""
    seen = traceback.TracebackException.from_exception(error, compact=True)
    chain: list[traceback.TracebackException | None] = [seen]
    while chain:
        link = chain.pop()
        if link is None:
            continue
        for frame in link.stack:
            frame.filename = _short(frame.filename)
        chain += [link.__cause__, link.__context__]
    return redact("".join(seen.format()))


def _unexpected(error: BaseException) -> str:
    message = redact(str(error)).strip().partition("\n")[0].rstrip(".")
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({PurePath(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    words = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"The engine stopped with {words[:MAX_SENTENCE]}{place}."


def _is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, and what torch and its allocators raise instead, told by name so that torch stays out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def _short(filename: str) -> str:
    """A file's name from its package on: what follows the longest import folder that it lies in."""
    path = PurePath(filename)
    source = str(PurePath(engines.__path__[0]).parent)
    roots = [PurePath(entry) for entry in (source, *sys.path) if entry and path.is_relative_to(entry)]
    if not roots:
        return path.name
    return path.relative_to(max(roots, key=lambda root: len(root.parts))).as_posix()
