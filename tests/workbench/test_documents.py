import json
import math
from typing import Any

import pytest

from engines.validation import FieldError
from storage import Status
from workbench.documents import engine_object, error_document, plain, row_object, run_document, to_text
from workbench.errors import InvalidParams, UsageError
from workbench.runs import Workbench


def strict(document: Any) -> Any:
    """Through JSON text that has no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(to_text(document), parse_constant=refuse)


def test_the_document_of_a_run(workbench: Workbench) -> None:
    run = workbench.submit("fixture", {"mode": "nan", "steps": 4}, seed=3, tags=("a",))
    document = strict(run_document(workbench.record(run.id)))
    row = document["run"]
    assert {"id", "engine", "status", "params", "seed"} <= set(row)
    assert (row["id"], row["engine"], row["status"], row["seed"]) == (run.id, "fixture", "finished", 3)
    assert row["params"] == run.params
    assert row["tags"] == ["a"]
    curve = document["series"]["Ours/error"]
    assert curve["last"] == "nan"
    assert curve["count"] == 4
    assert 0 < curve["min"] < curve["max"] < 1
    assert document["series"]["Base/error"]["last"] == "inf"
    smaller, undecided = document["claims"]
    assert set(smaller) >= {"key", "statement", "measured", "baseline", "paper", "holds"}
    assert (smaller["key"], smaller["holds"], smaller["paper"]) == ("smaller", True, "half")
    assert (undecided["holds"], undecided["measured"]) == (None, None)
    kinds = [artifact["kind"] for artifact in document["artifacts"]]
    assert kinds == ["picture"] * 5 + ["file"]
    for artifact in document["artifacts"]:
        assert workbench.store.artifacts.exists(artifact["hash"])
    assert document["tables"]["result"]["rows"][1] == ["Base", "nan"]
    assert [alert["name"] for alert in document["alerts"]].count("error") == 2


def test_the_document_of_a_queued_run(workbench: Workbench) -> None:
    document = strict(run_document(workbench.record(workbench.create("fixture").id)))
    assert document["run"]["status"] == Status.queued
    assert (document["series"], document["claims"], document["artifacts"]) == ({}, [], [])


def test_the_object_of_a_row(workbench: Workbench) -> None:
    workbench.submit("fixture")
    [row] = workbench.runs().rows
    document = strict(row_object(row))
    assert isinstance(document["headline"], float)
    assert document["claims"] == {"held": 1, "failed": 0, "open": 1}


def test_the_object_of_an_engine(workbench: Workbench) -> None:
    document = strict(engine_object(workbench.catalog.engine("fixture"), workbench.catalog))
    assert (document["key"], document["family"]) == ("fixture", "estimation")
    assert document["title"] == "On the convergence of test suites"
    assert document["presets"]["smoke"]["values"] == {"steps": 3}
    assert document["params"]["properties"]["steps"]["maximum"] == 1_000_000
    assert [claim["key"] for claim in document["claims"]] == ["smaller", "undecided"]


def test_errors_as_documents() -> None:
    error = InvalidParams(
        [FieldError("rate", math.nan, "rate must be small; got nan."), FieldError("x", {}, "X.")]
    )
    assert strict(error_document(error)) == {
        "error": {
            "kind": "InvalidParams",
            "message": "rate must be small; got nan. X.",
            "fields": [
                {"field": "rate", "value": "nan", "sentence": "rate must be small; got nan."},
                {"field": "x", "value": "{}", "sentence": "X."},
            ],
        }
    }
    assert strict(error_document(UsageError("No."))) == {"error": {"kind": "UsageError", "message": "No."}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ({"a": (1, math.inf)}, {"a": [1, "inf"]}),
        (1e300, 1e300),
        (None, None),
        (True, True),
    ],
)
def test_plain(value: Any, shown: Any) -> None:
    assert plain(value) == shown
