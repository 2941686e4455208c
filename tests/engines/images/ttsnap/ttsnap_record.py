"""Events of a run written into a store, as the recorder writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engines.events import Array, Event, Scalar, Table
from engines.images.ttsnap import ENGINE
from storage import Record, Store


def recorded(folder: Path, values: dict[str, Any], events: Iterable[Event]) -> Record:
    store = Store.open(f"sqlite:///{folder}/db.sqlite", f"file://{folder}/artifacts")
    created = store.create_run(engine="ttsnap", params=values, seed=0, headline=ENGINE.headline)
    with store.writer(created.id) as writer:
        for event in events:
            if isinstance(event, Scalar):
                writer.scalar(event.series, event.name, event.step, event.value, 0.0)
            elif isinstance(event, Array):
                axes = [(a.name, list(a.values)) for a in event.axes]
                writer.array(event.name, event.step, event.values, axes, event.keep)
            elif isinstance(event, Table):
                writer.table(event.name, event.columns, event.rows)
        writer.flush()
    return store.record(created.id)
