import math
from typing import Any

import pytest

from storage import ClaimRow, Status
from workbench.claims import reproduce, reproduction_document, summarize
from workbench.errors import UnknownEngine
from workbench.recorder import CANCEL
from workbench.runs import Workbench


def row(
    measured: float | None, holds: bool | None, baseline: float | None = None, detail: str = ""
) -> ClaimRow:
    return ClaimRow("smaller", "s", "half", measured, baseline, holds, detail, "m")


def test_reproduce_runs_every_seed_and_aggregates(workbench: Workbench) -> None:
    told: list[int] = []
    result = reproduce(workbench, ["fixture"], 3, on_run=lambda run: told.append(run.seed))
    assert told == [0, 1, 2]
    assert [run.seed for run in result.runs] == [0, 1, 2]
    assert all(run.status is Status.finished and run.tags == ("reproduce",) for run in result.runs)
    assert all(run.params["steps"] == 8 for run in result.runs), "the engine's values for reproduce count"
    smaller, undecided = result.claims
    measured = [workbench.record(run.id).claims()[0].measured for run in result.runs]
    assert smaller.mean == pytest.approx(sum(measured) / 3)
    assert smaller.spread is not None
    assert smaller.spread > 0
    assert (smaller.held, smaller.decided, smaller.runs, smaller.verdict) == (3, 3, 3, "holds")
    assert (undecided.mean, undecided.decided, undecided.verdict) == (None, 0, "not decided")
    assert undecided.details == ("Too few steps to tell.",)
    assert result.failed == []
    document = reproduction_document(result)
    assert document["claims"][0]["verdict"] == "holds"
    assert len(document["runs"]) == 3


def test_unknown_engines_are_refused_before_anything_runs(workbench: Workbench) -> None:
    with pytest.raises(UnknownEngine):
        reproduce(workbench, ["fixture", "nobody"], 1)
    assert workbench.runs().total == 0


def test_stopping_ends_early(workbench: Workbench) -> None:
    assert reproduce(workbench, ["fixture"], 5, stop=lambda: CANCEL).runs == []


@pytest.mark.parametrize(
    ("rows", "verdict", "mean", "spread"),
    [
        ([[row(1.0, True)], [row(3.0, False)]], "holds in 1 of 2", 2.0, math.sqrt(2)),
        ([[row(1.0, False)]], "does not hold", 1.0, None),
        ([[row(math.nan, True)], [row(1.0, True)]], "holds", 1.0, None),
        ([[row(None, None, detail="no GPU")], []], "not decided", None, None),
        ([], "not run", None, None),
    ],
)
def test_verdicts(
    workbench: Workbench, rows: Any, verdict: str, mean: float | None, spread: float | None
) -> None:
    summary = summarize(workbench.catalog.engine("fixture"), rows)[0]
    assert summary.verdict == verdict
    assert summary.mean == mean
    assert summary.spread == (pytest.approx(spread) if spread is not None else None)
