"""Waiting for the end of a run that is executed elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from storage import Kind, Notices, Run
from workbench.recorder import StopWish

if TYPE_CHECKING:
    from workbench.runs import Workbench

QUIET_LOOK_S = 2.0
"""Between two looks at a followed run where the database tells of its end by itself."""
LOOK_FOR_DEAD_S = 5.0


def follow(
    workbench: Workbench,
    run_id: str,
    *,
    stop: StopWish | None,
    poll_s: float,
    on_look: Callable[[Run], None] | None,
) -> Run:
    """What `Workbench.follow` says."""
    news, heard = workbench.store.news(), threading.Event()

    def hear(kind: Kind, told_id: str) -> None:
        if told_id == run_id or kind == "lost":
            heard.set()

    with news.told(hear) if news else nullcontext():
        return _until_over(workbench, run_id, stop, poll_s, on_look, heard, news)


def _until_over(
    workbench: Workbench,
    run_id: str,
    stop: StopWish | None,
    poll_s: float,
    on_look: Callable[[Run], None] | None,
    heard: threading.Event,
    news: Notices | None,
) -> Run:
    look_at = time.monotonic()
    is_asked = False
    while not (run := workbench.run(run_id)).status.is_over:
        if on_look is not None:
            on_look(run)
        if stop is not None and not is_asked and stop() is not None:
            is_asked = True
            workbench.cancel(run_id)
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_FOR_DEAD_S
            workbench.mark_dead()
        look_again_at = time.monotonic() + (QUIET_LOOK_S if news and news.is_live else 0.0)
        while not heard.wait(poll_s) and time.monotonic() < look_again_at:
            if stop is not None and not is_asked and stop() is not None:
                break
        heard.clear()
    return run
