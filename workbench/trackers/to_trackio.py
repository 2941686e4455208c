"""A run as a run of Trackio, in its local database."""

from __future__ import annotations

from storage import Record
from workbench.trackers import facts, package, run_name
from workbench.trackers.rows import rows


def send(record: Record, where: str) -> str:
    """Log parameters, curves and verdicts into the project `where`. Trackio counts steps in whole numbers, so a row
    is a step of its own and holds ours as "workbench step"."""
    trackio = package("trackio", "trackio")
    run = record.run
    config = {**run.params, "seed": run.seed, **facts(record)}
    trackio.init(project=where, name=run_name(record), config=config, embed=False)
    try:
        for step, values in rows(record):
            trackio.log({"workbench step": step, **values})
    finally:
        trackio.finish()
    return f"project {where}, run {run_name(record)}: trackio show --project {where}"
