"""What the page draws of an engine: figures from an empty, a half and a full record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from smoke_run import Smoke

from engines.events import Event
from workbench.recorder import CANCEL

views = pytest.importorskip("ui.views")

MAX_POINTS = 2000


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["empty", "half", "full"])
def test_figures_build(smoke: Smoke, share: float) -> None:
    bench = smoke.workbench
    view = views.view_for(smoke.engine.key, bench.catalog)
    assert view.figures
    count = int(len(smoke.events) * share)
    seen: list[Event] = []
    record = smoke.record
    if share < 1:
        created = bench.create(smoke.engine.key, preset="smoke", seed=smoke.run.seed)
        bench.run_inline(
            created.id, on_event=seen.append, stop=lambda: CANCEL if len(seen) >= count else None
        )
        record = bench.record(created.id)
    keys = [figure.key for figure in view.figures]
    assert len(keys) == len(set(keys))
    for figure in view.figures:
        built = figure.build(record)
        assert {"data", "layout"} <= set(built)
        json.dumps(built, allow_nan=False)
        for trace in built["data"]:
            if trace.get("type", "scatter").startswith("scatter"):
                assert _length(trace) <= MAX_POINTS, f"{figure.key}: more points than pixels"


def _length(trace: dict[str, Any]) -> int:
    values = trace.get("y", trace.get("x", ()))
    return len(values) if hasattr(values, "__len__") and not isinstance(values, dict) else 0
