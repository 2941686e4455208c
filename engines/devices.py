"""Devices, threads and seeds: the few places where an experiment meets the machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def best_device() -> str:
    """ "cuda" when there, else "mps", else "cpu". Imports torch."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def cpu_count() -> int:
    """Cores that this process may use (a container's or a job's share, not the machine's)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Keep torch to one thread, where `wanted`, until the end of the block. Imports torch.

    Layers of the embedded models are so small that a second thread gives a tenth at best, and where other work shares
    the cores, OpenMP's threads spin while they wait for each other: several times slower than one thread."""
    import torch

    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def two_lanes(wanted: bool) -> Iterator[Executor | None]:
    """As `one_thread`; and where it is `wanted` and this process may use a second core, a thread for work that goes on
    beside that of the caller, itself kept to one thread. The two never wait for each other inside a layer, so a busy
    second core costs no more than the time that it takes away."""
    import torch

    has_room = wanted and torch.get_num_threads() > 1
    with one_thread(wanted), ExitStack() as stack:
        lane = ThreadPoolExecutor(1, "lane", torch.set_num_threads, (1,)) if has_room else None
        yield stack.enter_context(lane) if lane is not None else None


def seed_sequence(seed: int, *names: str | int) -> np.random.SeedSequence:
    """A stream of its own for each purpose, so that adding one draw does not shift all others.

    `names` say what the stream is for: `seed_sequence(3, "mask")`, `seed_sequence(3, "cell", 4)`."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy generator of the named stream."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, *names)))


def torch_generator(seed: int, *names: str | int, device: str = "cpu") -> torch.Generator:
    """Torch generator of the named stream. Draw on the CPU and move, where numbers must not depend on the
    device."""
    import torch

    state = int(seed_sequence(seed, *names).generate_state(1, np.uint64)[0]) & 0x7FFF_FFFF_FFFF_FFFF
    return torch.Generator(device=device).manual_seed(state)


def memory_bytes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that is free for this process, in bytes: the smaller of the machine's and the container's (cgroup v2).

    A container is charged for files that were read lately; the kernel gives those pages back before it refuses any, so they
    count as free, as they do in the machine's own figure."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except OSError:
        return free
    if limit == "max":
        return free
    return max(min(free, int(limit) - used + _reclaimable(group / "memory.stat")), 0)


def _reclaimable(stat: Path) -> int:
    """Bytes of files that were not read lately, of a cgroup's memory.stat; 0 where there is none."""
    try:
        pages = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines() if " " in line)
        return int(pages.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0
