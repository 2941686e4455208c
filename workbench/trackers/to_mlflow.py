"""A run as an MLflow run in an experiment named after its engine."""

from __future__ import annotations

import json
import re
from typing import Any

from storage import Record, Status
from workbench.documents import plain, run_document, to_text
from workbench.trackers import facts, package, run_name, whole_steps

METRICS_A_CALL, PARAMS_A_CALL, LONGEST_PARAM = 1000, 100, 6000
"""Limits of MLflow's REST interface."""
ENDED = {Status.finished: "FINISHED", Status.cancelled: "KILLED"}


def send(record: Record, where: str) -> str:
    """Log parameters, curves, pictures and the record itself; `where` is a tracking address."""
    package("mlflow", "mlflow-skinny (with sqlalchemy and alembic for a local sqlite:/// address)")
    entities, tracking = (
        package("mlflow.entities", "mlflow-skinny"),
        package("mlflow.tracking", "mlflow-skinny"),
    )
    client = tracking.MlflowClient(tracking_uri=where)
    run = record.run
    started = run.started_at or run.created_at
    experiment = client.get_experiment_by_name(run.engine)
    found = experiment.experiment_id if experiment is not None else client.create_experiment(run.engine)
    tags = {**facts(record), "workbench.seed": str(run.seed)}
    made = client.create_run(found, start_time=_ms(started), tags=tags, run_name=run_name(record)).info.run_id
    params = [entities.Param(name, _word(value)) for name, value in {**run.params, "seed": run.seed}.items()]
    for at in range(0, len(params), PARAMS_A_CALL):
        client.log_batch(made, params=params[at : at + PARAMS_A_CALL])
    _curves(client, entities, made, record, started)
    for picture in record.pictures():
        _picture(client, made, record, picture)
    client.log_text(made, to_text(run_document(record)), "workbench.json")
    client.set_terminated(made, ENDED.get(run.status, "FAILED"), _ms(run.finished_at or started))
    return f"{where}: experiment {run.engine}, run {made}"


def _curves(client: Any, entities: Any, made: str, record: Record, started: float) -> None:
    batch: list[Any] = []
    for info in record.series():
        points = record.points(info.series, info.name)
        key, steps = _key(f"{info.series}/{info.name}"), whole_steps(points.steps.tolist())
        for step, value, at in zip(steps, points.values.tolist(), points.times.tolist(), strict=True):
            batch.append(entities.Metric(key, value, _ms(started + at), step))
            if len(batch) == METRICS_A_CALL:
                client.log_batch(made, metrics=batch)
                batch = []
    if batch:
        client.log_batch(made, metrics=batch)


def _picture(client: Any, made: str, record: Record, picture: Any) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(record.store.artifacts.read(picture.hash))) as image:
        client.log_image(made, image, f"pictures/{_key(picture.name)} {picture.step:g}.png")


def _key(name: str) -> str:
    """A name of letters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return text[:LONGEST_PARAM]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
