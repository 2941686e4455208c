"""The adaptive cut: live and replayed it is one rule, and what the run tells is the race's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.contract import Context
from engines.events import Array, ClaimCheck, Event, Picture, Scalar, Table
from engines.images.ttsnap import ENGINE
from engines.images.ttsnap.contenders import Adaptive, contenders
from engines.images.ttsnap.method.replay import Lab, replay
from engines.images.ttsnap.method.schedule import Prices, Schedule
from engines.images.ttsnap.opening import AWARE, PLAIN
from engines.validation import validate

CUTS = Schedule((2, 6, 11), (0.4, 0.4, 0.5))
VALUES: dict[str, Any] = {
    **ENGINE.preset("smoke"), "prune_steps": (4, 6), "keep": (0.8, 0.8), "budget": 80, "adaptive": True, "z": 0.3, "bench_prompts": 2,
}  # fmt: skip


def lab(prompts: int = 6, seeds: int = 30) -> Lab:
    rng = np.random.default_rng(0)
    final = rng.normal(size=(1, prompts, seeds))
    scores = {name: final[..., None] + rng.normal(size=(1, prompts, seeds, 3)) for name in (PLAIN, AWARE)}
    return Lab(final, scores, CUTS.steps, 20)


def by_hand(data: Lab, prompt: int, seeds: np.ndarray, residual: float, z: float) -> tuple[int, list[int]]:
    """The winner and the counts of one race, one seed at a time."""
    counts = [len(seeds)]
    for place, share in enumerate(CUTS.keep):
        told = data.scores[AWARE][0, prompt, seeds, place]
        order = np.argsort(-told, kind="stable")[: max(1, round(len(seeds) * share))]
        stays = [i for i in sorted(order) if told[i] + z * residual >= told.max()]
        seeds = seeds[stays]
        counts.append(len(seeds))
    return int(seeds[np.argmax(data.final[0, prompt, seeds])]), counts


@pytest.mark.parametrize(("residual", "z"), [(1.0, 1.0), (0.2, 0.5), (np.inf, 2.0), (1.0, 0.0)])
def test_a_replay_drops_who_can_no_longer_win(residual, z):
    data = lab()
    found = replay(
        data, AWARE, CUTS, 30, draws=1, rng=np.random.default_rng(1), residual=lambda _: residual, z=z
    )
    races = [by_hand(data, p, np.arange(30), residual, z) for p in range(6)]
    assert found.winner[0].tolist() == [winner for winner, _ in races]
    assert found.counts == pytest.approx(np.mean([counts for _, counts in races], axis=0))


def test_without_a_bound_it_is_the_schedule():
    fixed = replay(lab(), AWARE, CUTS, 20, draws=5, rng=np.random.default_rng(2))
    loose = replay(
        lab(), AWARE, CUTS, 20, draws=5, rng=np.random.default_rng(2), residual=lambda _: float("inf")
    )
    assert np.array_equal(fixed.winner, loose.winner)
    assert fixed.counts == loose.counts == (20, 8, 3, 2)


def test_the_method_stands_beside_itself_with_fixed_cuts():
    names = [c.name for c in contenders(lab(), CUTS, Prices(1, 0.1, 20), None, Adaptive(lambda _: 1.0, 2.0))]
    assert names[:3] == ["TTSnap", "TTSnap, fixed cuts", "Plain pruning"]


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> list[Event]:
    params = validate(ENGINE.params, VALUES)
    return list(ENGINE.run(params, Context("cpu", 0, tmp_path_factory.mktemp("run"))))


def one(told: list[Event], kind: type, name: str) -> Any:
    return next(e for e in told if isinstance(e, kind) and e.name == name)  # type: ignore[attr-defined]


def test_the_row_of_the_method_is_the_race(told):
    table = one(told, Table, "Contenders on this prompt")
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    spent = [e.value for e in told if isinstance(e, Scalar) and e.name == "calls spent"][-1]
    winner = int(np.flatnonzero(one(told, Array, "finished scores").values[:, 1])[0])
    assert rows["TTSnap"]["calls"] == pytest.approx(spent)
    assert rows["TTSnap"]["winner"] == winner
    assert rows["TTSnap"]["calls"] < rows["TTSnap, fixed cuts"]["calls"]
    assert rows["TTSnap"]["seeds"] == rows["TTSnap, fixed cuts"]["seeds"]
    pictures = [e.name for e in told if isinstance(e, Picture)]
    assert {"Winners/TTSnap", "Winners/TTSnap, fixed cuts"} <= {*pictures}
    final = next(e for e in told if isinstance(e, Scalar) and (e.series, e.name) == ENGINE.headline)
    assert final.value == rows["TTSnap"]["R2"]


def test_the_funnel_counts_the_seeds_that_raced(told):
    seeds = [e.value for e in told if isinstance(e, Scalar) and e.name == "seeds in the race"]
    assert seeds != list(validate(ENGINE.params, VALUES).schedule.survivors(int(seeds[0])))
    made = one(told, Array, "compute").values[1]
    assert made.tolist() == [n * c for n, c in zip(seeds, (5, 2, 13), strict=True)]


def test_held_out_prompts_are_raced_the_same_way(told):
    table = one(told, Table, "Contenders on held-out prompts")
    calls = {row[0]: row[2] for row in table.rows}
    assert calls["TTSnap"] < calls["TTSnap, fixed cuts"]
    assert any(isinstance(e, ClaimCheck) and e.key == "reward" for e in told)
