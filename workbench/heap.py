"""A process that serves for months gives memory back that it has used once.

glibc keeps what is freed for whoever asks next, apart for each of up to eight arenas a core, and the larger the blocks it
has seen, the larger those it keeps. A report is some megabytes of text in several copies, made in one of forty threads: after
a few hundred of them a third of the server's memory was kept for nobody."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # the names of <malloc.h>
SETTINGS = {MMAP_THRESHOLD: 1 << 20, TRIM_THRESHOLD: 4 << 20, ARENA_MAX: 2}
"""Blocks of a megabyte go back at once (a threshold that is set no longer rises by itself), and few arenas hold the rest."""


def give_back() -> bool:
    """Set the allocator of this process so; False where it is not glibc's, or the user has set it (`MALLOC_...`)."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL(None)
        taken = [libc.mallopt(name, value) == 1 for name, value in SETTINGS.items()]
    except (OSError, AttributeError):
        return False
    return all(taken)
