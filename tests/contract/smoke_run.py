"""What the tests of a run look at."""

from __future__ import annotations

from dataclasses import dataclass

from engines.contract import Engine, Params
from engines.events import Event
from storage import Record, Run
from workbench.runs import Workbench


@dataclass(frozen=True)
class Smoke:
    """A run of the smoke preset: what the engine said, and what became of it."""

    workbench: Workbench
    engine: Engine
    params: Params
    events: list[Event]
    run: Run
    record: Record
