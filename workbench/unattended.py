"""Queued runs that nobody comes back for, where runs are executed inside requests (ZeroGPU).

There a page records its run and sends the request in which it is executed right after. A page that leaves before, or whose
request was dropped from the server's queue, leaves a row that nothing would ever execute, and that takes a place in the queue."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from storage import RunQuery, Status
from workbench.errors import storage_seam
from workbench.execution import worker_name

if TYPE_CHECKING:
    from workbench.runs import Workbench

UNATTENDED_S = 60.0
"""After so long a queued run whose request neither waits nor is at work is given up."""
MOST = 1000
WORDS = "The page that asked for it had left before it could start. Press Run again."


def cancel_unattended(workbench: Workbench, awaited: Collection[str] = ()) -> list[str]:
    """Cancel them; answers their ids. `awaited` are the runs whose request waits for its turn."""
    if not workbench.settings.works_in_requests:
        return []
    query = RunQuery(statuses=(Status.queued,), descending=False, limit=MOST)
    kept, before = {*awaited, *workbench.under_way()}, time.time() - UNATTENDED_S
    gone = []
    for row in workbench.runs(query).rows:
        run = row.run
        if run.created_at > before or run.id in kept:
            continue
        with storage_seam():
            # Claimed first: should its request come this very moment, one of the two takes it.
            if workbench.store.claim_run(run.id, worker_name()):
                workbench.store.finish_run(run.id, Status.cancelled, WORDS, "Unattended")
                gone.append(run.id)
    return gone
