"""What an iteration costs each contender, and which claims of equal cost can be decided."""

import numpy as np
import pytest
import torch

from engines.contract import Context
from engines.events import ClaimCheck, Scalar
from engines.images.reno.contest import HALVED, RENO, WARM, Contest
from engines.images.reno.experiment import ENGINE
from engines.images.reno.method import PASSES, Settings, init, step
from engines.images.reno.objective import open_objective
from engines.images.reno.params import RenoParams

SMALL = {
    "model": "closed-form",
    "lr": 5.0,
    "transfer": "none",
    "iterations": 8,
    "warm_start": 3,
    "compare": (),
    "seeds": 2,
}


def speak(tmp_path, **changes):
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    return list(ENGINE.run(RenoParams(**{**SMALL, **changes}), Context("cpu", 1, scratch)))


def curve(events, series, name):
    return [e.value for e in events if isinstance(e, Scalar) and (e.series, e.name) == (series, name)]


def claims(events):
    return {e.key: e for e in events if isinstance(e, ClaimCheck)}


def test_an_iteration_of_sgd_is_three_passes_and_says_nothing_of_them(tmp_path):
    noise = torch.randn(2, 3, 4, 4)
    weights = torch.ones(1)

    def evaluate(noise, rows):
        return noise, noise.flatten(1).sum(1, keepdim=True)

    _, moved = step(init(noise), evaluate, weights, Settings())
    _, looked = step(init(noise), evaluate, weights, Settings(), move=False)
    assert moved.passes.tolist() == [PASSES] * 2
    assert looked.passes.tolist() == [1, 1]
    everybody = ("warm", "ablations", "zero_order")
    assert not [e for e in speak(tmp_path, compare=everybody) if isinstance(e, Scalar) and e.name == "passes"]


def test_lbfgs_is_charged_for_every_inner_evaluation(tmp_path, monkeypatch):
    params = RenoParams(**{**SMALL, "optimizer": "lbfgs", "lr": 0.5})
    objective = open_objective(params, (params.prompt,), "cpu")
    contest = Contest(objective, params, torch.zeros(2, dtype=torch.long), [0, 1], 1)
    counted, original = [], contest.reno.evaluate

    def evaluate(noise, rows):
        counted.append((len(noise), noise.requires_grad))
        return original(noise, rows)

    contest.reno.evaluate = evaluate
    contest.reno.advance()
    looks = sum(n for n, carries in counted if not carries)
    climbs = sum(n for n, carries in counted if carries)
    assert climbs > 2
    assert contest.reno.arms[0].passes == (looks + PASSES * climbs) / 2
    events = speak(tmp_path, optimizer="lbfgs", lr=0.5, iterations=3, compare=("warm",))
    passes = curve(events, RENO, "passes")
    assert len(passes) == 3
    assert passes[0] > PASSES
    assert (np.diff(passes) > 0).all()
    assert curve(events, WARM, "passes")[0] > 3 + PASSES, "its pool of three counts too"
    found = claims(events)["equal_iterations"]
    assert found.holds is None
    assert "L-BFGS makes up to ten inner steps" in found.detail


def test_halving_pays_for_the_noises_that_it_drops_and_shows_the_best_of_each_picture(tmp_path):
    events = speak(tmp_path, compare=("halving",), halvings=1)
    # two noises a picture for two iterations, then one for four, then it has spent what one noise takes in eight
    assert curve(events, HALVED, "passes") == [6, 12, 15, 18, 21, 24, 24, 24]
    params = RenoParams(**{**SMALL, "compare": ("halving",)})
    objective = open_objective(params, (params.prompt,), "cpu")
    contest = Contest(objective, params, torch.zeros(2, dtype=torch.long), [0, 1], 1)
    contest.advance(0)
    state = contest.halved.state
    best = torch.maximum(state.best[:2], state.best[2:])
    assert curve(events, HALVED, "best reward")[0] == pytest.approx(float(best.mean()))
    assert float(best.mean()) > float(state.best.mean())
    shown = curve(events, HALVED, "best reward")
    assert shown == sorted(shown), "what is dropped was the worse"


def test_halving_costs_the_same_in_a_list(tmp_path):
    events = speak(tmp_path, experiment="list", per_task=2, compare=("halving",), halvings=1)
    assert curve(events, HALVED, "passes") == [6, 12, 15, 18, 21, 24, 24, 24]
    shown = curve(events, HALVED, "best reward")
    assert shown == sorted(shown)


def test_one_iteration_decides_nothing(tmp_path):
    found = claims(speak(tmp_path, iterations=1, model="embedded-g", transfer="auto", compare=("ablations",)))
    assert {"rises", "accuracy", "equal_iterations", "time_equal", "transfer"} <= set(found)
    for one in found.values():
        assert one.holds is None
        assert one.detail == "Not decided: the only iteration is the plain picture."


def test_lbfgs_of_one_noise_forgets_nothing_when_another_breaks():
    noise = torch.randn((2, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    settings, weights = Settings(lr=0.5, optimizer="lbfgs"), torch.ones(1)

    def evaluate(noise, rows):
        return noise[:, :1].expand(-1, 3, -1, -1), -(noise.flatten(1) - 1).pow(4).sum(1, keepdim=True) / 50

    def breaks(noise, rows):
        pictures, rewards = evaluate(noise, rows)
        return pictures, rewards * torch.where(rows == 1, torch.nan, 1.0)[:, None]

    state, _ = step(init(noise), evaluate, weights, settings)
    known = state.curvature
    broken, info = step(state, breaks, weights, settings)
    assert info.skipped.tolist() == [False, True]
    assert broken.scale.tolist() == [1.0, 0.5]
    assert torch.equal(broken.noise[1], state.noise[1])
    assert broken.curvature[0]["n_iter"] > known[0]["n_iter"]
    assert broken.curvature[1]["n_iter"] == known[1]["n_iter"]
    alone, _ = step(state, evaluate, weights, settings)
    assert torch.equal(broken.noise[0], alone.noise[0])
