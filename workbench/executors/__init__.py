"""Where runs are executed. An executor answers only: submit this run, stop this run, what is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from workbench.execution import Bench


class Executor(Protocol):
    """What the run service asks of a place where runs are executed. Events never pass through it: whoever
    executes a run writes them into the store."""

    on_change: Callable[[], None]
    """Called when a worker becomes free or dies."""
    needs_dispatcher: bool
    """Whether runs wait in the queue and a dispatcher hands them over, or `submit` executes them itself."""

    def prepare(self, waiting: int) -> None:
        """Get ready for `waiting` runs more than those that are under way."""

    def free(self) -> int:
        """How many runs could start at once."""

    def submit(self, run_id: str) -> None:
        """Start a queued run; returns without an answer, since another executor may claim it first."""

    def stop(self, run_id: str, grace_s: float) -> None:
        """The run was asked to stop: see to it that it does, within `grace_s` seconds."""

    def active(self) -> tuple[str, ...]:
        """The runs that are with this executor."""

    def shutdown(self) -> None:
        """End everything; runs under way become interrupted."""


def make_executor(bench: Bench) -> Executor:
    """The executor that the settings name."""
    if bench.settings.executor == "inline":
        from workbench.executors.inline import InlineExecutor

        return InlineExecutor(bench)
    if bench.settings.executor == "zerogpu":
        from workbench.executors.zerogpu import ZeroGpuExecutor

        return ZeroGpuExecutor(bench)
    if bench.settings.executor == "ray":
        from workbench.executors.on_ray import RayExecutor

        return RayExecutor(bench)
    if bench.settings.executor == "submitit":
        from workbench.executors.on_slurm import SubmititExecutor

        return SubmititExecutor(bench)
    from workbench.executors.process import ProcessExecutor

    return ProcessExecutor(bench)
