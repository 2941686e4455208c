"""Check 9 of the spec's section 11: a whole run to the threshold, with the assertions of its section 6."""

from __future__ import annotations

import pytest

from engines.contract import Context
from engines.events import ClaimCheck, Scalar, Table
from engines.language.loku import ENGINE
from engines.validation import validate

SETTINGS = {
    "losses": ("ihl", "graddiff"), "rates": "one", "learning_rate": 8e-3, "evaluated": 20, "checks": 1, "relearn_steps": 0,
    "keep_models": False, "cache": False,
}  # fmt: skip
"""The default task at one rate for all, as in section 6; looks once an epoch."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory):
    params = validate(ENGINE.params, {**ENGINE.preset("default"), **SETTINGS})
    return list(ENGINE.run(params, Context("cpu", 0, tmp_path_factory.mktemp("scratch"))))


@pytest.fixture(scope="module")
def ended(events) -> dict[str, dict[str, object]]:
    table = [e for e in events if isinstance(e, Table) and e.name == "Where they ended"][-1]
    return {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_everybody_forgets_as_much_as_the_threshold_asks(events, ended) -> None:
    threshold = next(e.value for e in events if isinstance(e, Scalar) and e.name == "threshold")
    for series in ("IHL + FILA", "IHL", "GradDiff"):
        assert ended[series]["threshold"] == "reached"
        assert ended[series]["forget fact accuracy"] <= threshold
        assert ended[series]["whole answers"] == 0, "no answer is right word by word"
    assert ended["before"]["whole answers"] == 1


def test_the_hinge_keeps_utility_where_the_difference_of_gradients_loses_it(ended) -> None:
    assert ended["IHL"]["model utility"] > ended["GradDiff"]["model utility"] + 0.05


def test_fila_is_there_sooner_at_the_same_rate(ended) -> None:
    assert ended["IHL + FILA"]["epochs"] <= ended["IHL"]["epochs"]


def test_fila_changes_no_logit_at_the_start(events) -> None:
    change = [
        e.value for e in events if isinstance(e, Scalar) and e.name == "largest logit change at the start"
    ]
    assert len(change) == 1
    assert 0 < change[0] < 1e-3


def test_the_verdicts_are_those_of_the_figures(events, ended) -> None:
    verdicts = {e.key: e for e in events if isinstance(e, ClaimCheck)}
    utility = {name: row["model utility"] for name, row in ended.items()}
    assert verdicts["utility_plain"].holds == (utility["IHL"] > utility["GradDiff"])
    assert verdicts["utility"].holds == (utility["IHL + FILA"] > utility["GradDiff"])
    assert verdicts["steps"].holds == (ended["IHL + FILA"]["steps"] < ended["IHL"]["steps"])
