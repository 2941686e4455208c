"""A run as an offline run of Weights & Biases: written below `wandb/` here, sent by `wandb sync` when you wish."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

from storage import Record
from workbench.trackers import facts, package, run_name
from workbench.trackers.rows import rows


def send(record: Record, where: str) -> str:
    """Log parameters, curves over their own steps, pictures and verdicts into the project `where`."""
    wandb = package("wandb", "wandb")
    from PIL import Image

    run = record.run
    made = wandb.init(
        project=where,
        id=run.id,
        name=run_name(record),
        config={**run.params, "seed": run.seed},
        tags=list(run.tags),
        notes=run.note or None,
        job_type=run.engine,
        mode="offline",
        settings=wandb.Settings(silent=True, console="off"),
    )
    try:
        # Our steps may be broken numbers or start anew: W&B's own counter only goes up, so they are a value.
        made.define_metric("step")
        made.define_metric("*", step_metric="step")
        for step, values in rows(record):
            made.log({"step": step, **values})
        for picture in record.pictures():
            with Image.open(io.BytesIO(record.store.artifacts.read(picture.hash))) as image:
                made.log({"step": picture.step, picture.name: wandb.Image(image, caption=picture.caption)})
        for name, value in facts(record).items():
            made.summary[name] = value
    finally:
        made.finish()
    # `dir` is the folder of the run's files; what is synced is the run, the folder around it.
    folder = Path(made.dir).parent
    return f"{folder}: sent to project {where} by wandb sync {shlex.quote(str(folder))}"
