"""What a run of one prompt warns of."""

from functools import partial

import pytest
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, ClaimCheck, File, Picture, Text
from engines.images import choices, noise_file
from engines.images.reno import objective
from engines.images.reno.alerts import UNWATCHED
from engines.images.reno.experiment import ENGINE
from engines.images.reno.params import RenoParams

SMALL = {"model": choices.G, "transfer": "none", "compare": (), "iterations": 4, "warm_start": 3, "seeds": 2}


def speak(tmp_path, **changes):
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    return list(ENGINE.run(RenoParams(**{**SMALL, **changes}), Context("cpu", 3, scratch)))


def alerts(events, name):
    return [e for e in events if isinstance(e, Alert) and e.name == name]


def text(events, name):
    return [e.value for e in events if isinstance(e, Text) and e.name == name]


def test_rewards_that_are_fooled_are_told(tmp_path):
    """With weights below zero the reward sum rises as the pictures get worse: the checker does not follow."""
    events = speak(tmp_path, prompt="two green triangles", weight_r1=-0.192, weight_r2=-0.478, iterations=8)
    assert (
        "R1 and R2 are made worse on purpose: their weights are negative"
        in alerts(events, "negative weight")[0].message
    )
    told = alerts(events, "reward hacking")
    assert told
    assert "the reward rose from" in told[0].message
    assert "while the share of demands met fell from" in told[0].message
    assert text(events, "reward hacking") == [
        "The rewards rose where the exact checker did not follow: see the alert."
    ]


def test_an_honest_climb_is_told_as_well(tmp_path):
    events = speak(tmp_path, prompt="a circle", seeds=1)
    assert not alerts(events, "reward hacking")
    assert text(events, "reward hacking") == ["The exact checker never fell while the rewards rose."]


def test_a_gradient_that_breaks_is_told_and_left_out(tmp_path, monkeypatch):
    original = objective.painter

    def breaks(*args):
        paint = original(*args)

        def broken(noise, chosen):
            factor = torch.ones(len(noise))
            if noise.requires_grad:
                factor[1] = torch.nan
            return paint(noise, chosen) * factor.view(-1, 1, 1, 1)

        return broken

    monkeypatch.setattr(objective, "painter", breaks)
    events = speak(tmp_path, iterations=2)
    told = alerts(events, "not finite")
    assert [(one.step, one.message.split(" is")[0]) for one in told] == [
        (0, "The gradient of noise 2"),
        (1, "The gradient of noise 2"),
    ]
    file = [e for e in events if isinstance(e, File)][-1]
    assert noise_file.read_noise(file.path, (8, 8, 8))["scale"].tolist() == [1.0, 0.25]


@pytest.fixture
def full_size(tiny_folders, tiny_clip, monkeypatch, measured):
    """A tiny random model of a published class, and rewards for it."""
    from engines.images.generators import loading as generators
    from engines.images.rewards import loading
    from engines.images.rewards.clip import ClipReward

    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    measured(1)
    return {"model": str(tiny_folders["sd"]), "prompt": "a red dog", "iterations": 2}


def test_a_full_size_model_on_a_cpu_is_slow_and_unwatched(tmp_path, full_size):
    events = speak(tmp_path, **full_size)
    assert "five iterations show the idea" in alerts(events, "slow here")[0].message
    assert text(events, "reward hacking") == [UNWATCHED]
    watched = speak(tmp_path, **full_size, watch=("aesthetic",))
    assert UNWATCHED not in text(watched, "reward hacking")
    assert not alerts(speak(tmp_path), "slow here")


def test_a_transfer_that_cannot_be_had_costs_nothing_else(tmp_path, monkeypatch):
    original = choices.open_generator

    def missing(model, device, field="model", *more, **options):
        if field == "transfer":
            raise Refusal("transfer", "transfer: it is not here.")
        return original(model, device, field, *more, **options)

    monkeypatch.setattr(choices, "open_generator", missing)
    events = speak(tmp_path, transfer="embedded-f", iterations=2)
    (told,) = alerts(events, "transfer")
    assert told.message == "transfer: it is not here."
    assert {"rises", "time_equal"} <= {e.key for e in events if isinstance(e, ClaimCheck)}
    assert not [e for e in events if isinstance(e, Picture) and e.name.startswith("The same noise")]
