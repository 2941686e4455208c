"""The three experiments end to end, small, and the figures of their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ttsnap_record import recorded

from engines.contract import Context, Refusal
from engines.events import Alert, Array, ClaimCheck, Event, File, Picture, Scalar, Table, Text
from engines.images.ttsnap import ENGINE, lab_file, report, weights_file
from engines.images.ttsnap.method.replay import Lab
from engines.validation import validate
from ui.figures import resolve
from ui.tabs.images.ttsnap import VIEW

SEARCH: dict[str, Any] = {**ENGINE.preset("smoke")}
TRAIN: dict[str, Any] = {
    "experiment": "train", "steps": 4, "train_levels": 2, "train_prompts": 2, "train_seeds": 2, "held_prompts": 2, "batch": 2,
    "prune_steps": (1,), "keep": (0.5,), "guidance": 2,
}  # fmt: skip
REPLAY: dict[str, Any] = {
    "experiment": "replay",
    "tries": 20,
    "draws": 6,
    "prune_steps": (2, 6, 11),
    "keep": (0.4, 0.4, 0.5),
}


def table(folder: Path) -> Path:
    """Stored rewards of six prompts, scores that see less at early steps."""
    rng = np.random.default_rng(0)
    final = rng.normal(size=(1, 6, 80))
    blur = np.array([2.0, 1.0, 0.3])
    scores = {
        name: final[..., None] + share * blur * rng.normal(size=(*final.shape, 3))
        for name, share in (("plain", 1.5), ("noise-aware", 0.4))
    }
    return lab_file.write(folder / "table.npz", Lab(final, scores, (2, 6, 11), 20))


def run(values: dict[str, Any], scratch: Path, seed: int = 0, **inputs: Path) -> list[Event]:
    params = validate(ENGINE.params, values)
    ENGINE.check(params, inputs)
    return list(ENGINE.run(params, Context("cpu", seed, scratch, inputs)))


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, list[Event]]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "search": run(SEARCH, folder),
        "train": run(TRAIN, folder),
        "replay": run(REPLAY, folder, table=table(folder)),
    }


def of(events: list[Event], kind: type, name: str) -> list[Any]:
    return [event for event in events if isinstance(event, kind) and event.name == name]  # type: ignore[attr-defined]


def test_a_search_spends_its_budget_and_no_more(told):
    params = validate(ENGINE.params, SEARCH)
    spent = [e.value for e in told["search"] if isinstance(e, Scalar) and e.name == "calls spent"]
    assert spent == sorted(spent)
    assert spent[-1] <= params.budget * 1.05
    assert spent[-1] > 0.7 * params.budget


def test_whoever_is_shown_is_followed_to_its_end(monkeypatch, tmp_path):
    """A seed that was among the best once, and is cut where others are better, is not left behind as one that stays."""
    monkeypatch.setattr(report, "SHOWN", 2)
    events = run({**SEARCH, "budget": 150}, tmp_path)
    kept = {
        (e.step, int(seed)): bool(row[1])
        for e in of(events, Array, "board scores")
        for seed, row in zip(e.axes[0].values, e.values, strict=True)
    }
    last = {e.name: e for e in events if isinstance(e, Picture) and e.name.startswith("In the race/")}
    assert len(last) > 2
    final = max(step for step, _ in kept)
    for name, picture in last.items():
        seed = int(name.rpartition(" ")[2])
        assert picture.step == max(step for step, raced in kept if raced == seed)
        is_in = kept[picture.step, seed]
        assert picture.caption.endswith("stays" if is_in else "cut")
        assert not is_in or picture.step == final


def test_every_contender_names_its_seeds_calls_and_winner(told):
    (found,) = of(told["search"], Table, "Contenders on this prompt")
    names = [row[0] for row in found.rows]
    assert {"Best of N", "Fewer steps", "Random pruning", "Oracle pruning", "Plain pruning"} <= set(names)
    rewards = {row[0]: row[found.columns.index("R2")] for row in found.rows}
    assert rewards["Oracle pruning"] >= max(
        rewards["Plain pruning"], rewards["Random pruning"], rewards["Best of N"]
    )


def test_the_live_winner_is_the_replayed_one(told):
    """The race and the replay of its tables must agree on who wins."""
    (scores,) = of(told["search"], Array, "finished scores")
    live = int(np.flatnonzero(scores.values[:, 1])[0])
    (found,) = of(told["search"], Table, "Contenders on this prompt")
    assert found.rows[0][found.columns.index("winner")] == live
    assert found.rows[0][found.columns.index("R2")] == pytest.approx(scores.values[live, 0])


def test_the_pool_is_drawn_to_the_end_and_nothing_is_missing(told):
    for event in of(told["search"], Array, "predicted and final"):
        assert np.isfinite(event.values).all()


def test_training_gives_a_file_that_a_search_takes_and_others_do_not(tmp_path, told):
    again = run({**TRAIN, "epochs": 2}, tmp_path)
    (file,) = of(again, File, "weights")
    own = {
        **SEARCH, "steps": 4, "guidance": 2, "prune_steps": (1,), "keep": (0.5,), "noise_aware": "upload", "bench_prompts": 0,
        "weights": "sha256:" + "0" * 64 + "/w.safetensors",
    }  # fmt: skip
    events = run(own, tmp_path, weights=file.path)
    assert any(isinstance(e, Scalar) and e.series == "TTSnap" and e.name == "final reward" for e in events)
    with pytest.raises(Refusal, match="guidance"):
        run({**own, "guidance": 3}, tmp_path, weights=file.path)
    about = weights_file.read_about(file.path)
    assert about["fingerprint"] not in (
        weights_file.read_about(weights_file.shipped("r2"))["fingerprint"],
        "",
    )


def test_replay_decides_and_finds(tmp_path, told):
    checks = {e.key: e for e in told["replay"] if isinstance(e, ClaimCheck)}
    assert checks["alignment"].holds
    assert checks["best_of_n"].holds
    assert checks["found_schedule"].holds is not None
    (omega,) = of(told["replay"], Table, "Relative increase")
    values = dict(omega.rows)
    assert values["TTSnap"] > values["Plain pruning"]
    with pytest.raises(Refusal, match="step 4 is not among the stored"):
        run({**REPLAY, "prune_steps": (4,), "keep": (0.5,)}, tmp_path, table=table(tmp_path))


def test_claims_in_every_experiment_are_declared(told):
    declared = {claim.key for claim in ENGINE.claims}
    for events in told.values():
        keys = [e.key for e in events if isinstance(e, ClaimCheck)]
        assert keys
        assert len(keys) == len(set(keys))
        assert set(keys) <= declared


@pytest.mark.parametrize("kind", ["search", "train", "replay"])
def test_every_figure_of_an_experiment_has_something_to_show(tmp_path, told, kind):
    values = {"search": SEARCH, "train": TRAIN, "replay": REPLAY}[kind]
    for share in (0.0, 0.5, 1.0):
        folder = tmp_path / str(share)
        folder.mkdir()
        record = recorded(folder, values, told[kind][: int(share * len(told[kind]))])
        for spec in VIEW.specs(values, record):
            figure = spec.build(record)
            json.dumps(figure, allow_nan=False)
            assert resolve(figure, "dark")["layout"]
            if share == 1.0:
                assert figure["data"], spec.key


def test_what_figures_read_is_told(told):
    named = {
        (kind, event.name)
        for events in told.values()
        for event in events
        for kind in ("series", "array")
        if isinstance(event, Scalar if kind == "series" else Array)
    }
    for spec in VIEW.figures:
        for pattern in spec.reads:
            assert tuple(pattern.split(":", 1)) in named, pattern


def test_alerts_and_pictures(told):
    assert of(told["search"], Picture, "The race/leader")
    assert [e for e in told["search"] if isinstance(e, Text) and e.name == "what was saved"]
    assert not [e for e in told["train"] if isinstance(e, Alert)]
