"""The claims board: which runs count, what they say together, and what the command prints."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from storage import Status
from workbench.claims import reproduce
from workbench.claims_board import Standing, board, board_document, machine, tally
from workbench.errors import UnknownEngine
from workbench.runs import Workbench


def standing(workbench: Workbench) -> Standing:
    [found] = board(workbench)
    return found


def test_without_runs_every_claim_is_not_run(workbench: Workbench) -> None:
    found = standing(workbench)
    assert (found.source, found.runs, found.when) == ("", (), None)
    assert [summary.verdict for summary in found.claims] == ["not run", "not run"]
    assert tally([found]) == (0, 0, 0, 2)


def test_runs_of_reproduce_count_with_mean_and_spread_over_seeds(workbench: Workbench) -> None:
    result = reproduce(workbench, ["fixture"], 3)
    workbench.submit("fixture", preset="smoke", seed=9, tags=("reproduce",))  # a tag alone counts for nothing
    found = standing(workbench)
    assert (found.source, [run.seed for run in found.runs]) == ("reproduce", [0, 1, 2])
    assert [(one.mean, one.spread, one.verdict) for one in found.claims] == [
        (one.mean, one.spread, one.verdict) for one in result.claims
    ]
    assert tally([found]) == (1, 0, 1, 0)
    assert found.when == max(run.finished_at or 0.0 for run in result.runs)
    assert found.machines == (machine(result.runs[0]),)


def test_runs_are_found_behind_however_many_others(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = reproduce(workbench, ["fixture"], 2)
    params = workbench.validate("fixture", {"rate": 0.75}).model_dump(mode="json")
    for _ in range(1005):  # as a sweep leaves them
        made = workbench.store.create_run(engine="fixture", params=params, seed=0, preset="default")
        workbench.store.finish_run(made.id, Status.finished)
    found = standing(workbench)
    assert (found.source, [run.id for run in found.runs]) == ("reproduce", [run.id for run in result.runs])
    monkeypatch.setattr("workbench.claims_board.BATCH", 1)
    assert [run.id for run in standing(workbench).runs] == [run.id for run in result.runs]


def test_the_newest_run_of_a_seed_counts_and_a_new_version_starts_anew(workbench: Workbench) -> None:
    reproduce(workbench, ["fixture"], 2)
    [again] = reproduce(workbench, ["fixture"], 1).runs
    assert standing(workbench).runs[0].id == again.id
    assert len(standing(workbench).runs) == 2
    workbench.store.update_environment(again.id, {"git": "another"})
    assert [run.id for run in standing(workbench).runs] == [again.id]


def test_default_runs_stand_in_only_unchanged_and_only_the_owners(workbench: Workbench) -> None:
    workbench.submit("fixture", {"rate": 0.25})
    workbench.submit("fixture", owner="guest")
    workbench.submit("fixture", {"mode": "fail"})
    assert standing(workbench).source == ""
    plain = workbench.submit("fixture")
    found = standing(workbench)
    assert (found.source, [run.id for run in found.runs]) == ("default", [plain.id])
    [run] = reproduce(workbench, ["fixture"], 1).runs
    assert [one.id for one in standing(workbench).runs] == [run.id]


def test_the_document_tells_strangers_no_machine(workbench: Workbench) -> None:
    reproduce(workbench, ["fixture"], 1)
    own, told = (board_document(board(workbench), for_strangers=flag) for flag in (False, True))
    assert own["papers"][0]["machines"]
    assert told["papers"][0]["machines"] == []
    assert told["papers"][0]["claims"][0]["verdict"] == "holds"
    with pytest.raises(UnknownEngine):
        board(workbench, ["nobody"])


def test_the_command(run_cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run_cli("claims", "fixture")
    assert (code, "fixture: not run yet. workbench reproduce fixture" in out) == (0, True)
    assert "seeds)" not in out
    assert run_cli("reproduce", "fixture", "--seeds", "2")[0] == 0
    code, out, _ = run_cli("claims", "fixture", "--json")
    [paper] = json.loads(out)["papers"]
    assert (code, paper["source"], len(paper["runs"])) == (0, "reproduce", 2)
    code, out, _ = run_cli("claims", "fixture")
    assert out.splitlines()[0].split() == [
        "engine",
        "here",
        "measured",
        "seeds",
        "baseline",
        "paper",
        "claim",
    ]
    assert all(run["id"] in out for run in paper["runs"])
    assert run_cli("claims", "nobody")[0] == 2
