"""Runs on a host that lends a GPU to one request at a time (ZeroGPU Spaces): inside the request, with a declared duration.

The host starts a process of its own for each call; there the run opens the store anew, so nothing crosses but an id."""

from __future__ import annotations

from workbench.errors import UsageError
from workbench.execution import Bench
from workbench.executors.elsewhere import execute_alone
from workbench.executors.inline import InlineExecutor

DEFAULT_S = 120.0
MARGIN_S = 15.0
"""Loading and the last batch come on top of the run's own time."""


class ZeroGpuExecutor(InlineExecutor):
    """`submit` returns when the run is over; the GPU was ours meanwhile."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        try:
            import spaces
        except ImportError as error:
            raise UsageError(
                "The executor zerogpu needs the package spaces, which ZeroGPU Spaces have."
            ) from error
        duration_s = (bench.settings.run_limit_s or DEFAULT_S) + MARGIN_S
        self._on_gpu = spaces.GPU(duration=int(duration_s))(execute_alone)
        self._settings = bench.settings.to_json()

    def execute(self, run_id: str) -> None:
        """Execute the run with the lent GPU."""
        self._on_gpu(self._settings, run_id)
