"""How the kernels are compiled, cached and shared among threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engines.devices import cpu_count

F = TypeVar("F", bound=Callable[..., Any])

CHUNKS_PER_THREAD = 8


def kernel(function: F) -> F:
    """Compiles at first call, releases the GIL, and keeps the machine code on disk for the next process.

    The code is kept beside the source, else in the user's cache folder (or NUMBA_CACHE_DIR). Where none of
    these can be written, the kernel works all the same and is compiled once per process (a few seconds)."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: F = njit(cache=True, **options)(function)
    except RuntimeError:  # numba: no place for its cache can be written
        compiled = njit(cache=False, **options)(function)
    return compiled


class RowTeam:
    """Threads that share the rows of a matrix.

    A kernel gets a range of rows and writes only what belongs to them, so the answer does not depend on which
    thread takes which range, nor on their number. We do not use numba's own `prange`: its default threading
    layer ends the process when two runs call it at once, and compiles ten times longer."""

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or cpu_count()
        self._pool = ThreadPoolExecutor(self.threads, "rows") if self.threads > 1 else None

    def run(self, compiled: Callable[..., None], weights: NDArray[np.int64], *args: Any) -> None:
        """Calls `compiled(first, last, *args)` for ranges that cover all rows.

        `weights` (rows + 1, int64) is the running sum of work before each row, as in a CSR index pointer."""
        rows = len(weights) - 1
        if self._pool is None or rows < 2 * self.threads or weights[-1] < 20_000:
            compiled(0, rows, *args)
            return
        pieces = self.threads * CHUNKS_PER_THREAD
        targets = np.linspace(0.0, float(weights[-1]), pieces + 1)[1:-1]
        cuts = np.unique(np.concatenate([[0], np.searchsorted(weights, targets), [rows]]))
        jobs = [self._pool.submit(compiled, int(a), int(b), *args) for a, b in itertools.pairwise(cuts)]
        for job in jobs:
            job.result()

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> RowTeam:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """BLAS uses one thread inside: its dense work here is thin, and its threads would fight ours for the cores
    (and make sums depend on their number)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
