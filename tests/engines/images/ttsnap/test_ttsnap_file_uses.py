"""Where the files of a run lead: stored rewards to the replay lab, trained weights to a search, ReNO's noise to a race."""

from __future__ import annotations

from typing import Any

import pytest

from engines.images.reno import ENGINE as RENO
from engines.images.ttsnap import ENGINE, lab_file
from storage import Run
from ui import address, live
from workbench.runs import Workbench
from workbench.settings import Settings

SMALL: dict[str, Any] = {**ENGINE.preset("smoke"), "bench_prompts": 2, "pool": 5}
TRAIN: dict[str, Any] = {
    "experiment": "train", "steps": 4, "train_levels": 2, "train_prompts": 2, "train_seeds": 2, "held_prompts": 2, "batch": 2,
    "prune_steps": (1,), "keep": (0.5,), "guidance": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    settings = Settings.at(tmp_path_factory.mktemp("home"), executor="inline", device="cpu")
    with Workbench.open(settings) as opened:
        yield opened


def finished(bench: Workbench, engine: str, values: dict[str, Any], preset: str = "default") -> Run:
    run = bench.run_inline(bench.create(engine, values, preset=preset).id)
    assert run.status == "finished", run.error
    return run


def ways(bench: Workbench, run: Run, name: str) -> dict[str, dict[str, Any]]:
    """The words of each link to what it fills into which form."""
    engine = bench.catalog.engine(run.engine)
    found = live.file_uses(bench, engine, run, bench.record(run.id).files()).get(name, [])
    return {
        words: {"engine": address.parse(where).engine, **address.parse(where).filled}
        for words, where in found
    }


@pytest.fixture(scope="module")
def searched(bench):
    return finished(bench, "ttsnap", SMALL)


def test_a_search_writes_its_rewards_and_offers_them_to_the_replay_lab(bench, searched):
    (way,) = ways(bench, searched, "table").values()
    assert list(ways(bench, searched, "table")) == ["Replay it"]
    assert way["params"]["experiment"] == "replay"
    assert way["params"]["table"].endswith("/rewards.npz")
    again = finished(bench, "ttsnap", {**way["params"], "tries": 4})
    rows = {row[0]: row for row in bench.record(again.id).tables()["Contenders on held-out prompts"].rows}
    live_rows = {
        row[0]: row for row in bench.record(searched.id).tables()["Contenders on held-out prompts"].rows
    }
    for name in ("TTSnap", "Plain pruning", "Best of N", "Fewer steps"):
        assert rows[name][3] == pytest.approx(live_rows[name][3], abs=1e-5), (
            "the same seeds, draws and rewards"
        )


def test_one_prompt_is_no_table(bench):
    run = finished(bench, "ttsnap", {"finish": "never"}, preset="smoke")
    assert not any(file.name == lab_file.FIELD for file in bench.record(run.id).files())


def test_trained_weights_lead_to_a_search_that_uses_them(bench):
    run = finished(bench, "ttsnap", TRAIN)
    (way,) = ways(bench, run, "weights").values()
    assert list(ways(bench, run, "weights")) == ["Search with it"]
    assert (way["params"]["experiment"], way["params"]["noise_aware"]) == ("search", "upload")
    again = finished(bench, "ttsnap", {**way["params"], "bench_prompts": 0, "budget": 20})
    assert "no noise-aware reward" not in {alert.name for alert in bench.record(again.id).alerts()}


@pytest.mark.parametrize(("model", "offered"), [("embedded-g", True), ("closed-form", False)])
def test_noise_is_sent_only_where_it_fits(bench, model, offered):
    values = {"model": model, "iterations": 1, "compare": (), "transfer": "none", "seeds": 1}
    run = finished(bench, "reno", {**RENO.preset("smoke"), **values})
    found = ways(bench, run, "noise")
    assert ("Send to TTSnap" in found) is offered
    assert "Continue from it" in found
