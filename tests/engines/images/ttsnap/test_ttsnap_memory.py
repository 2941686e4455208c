"""Full-size models: their memory is asked for before they are loaded, and a search runs through the same code."""

from __future__ import annotations

from functools import partial

import pytest

from engines.contract import Context, Refusal
from engines.events import Picture, Text
from engines.images.generators import loading as generators
from engines.images.rewards import loading
from engines.images.rewards.clip import ClipReward
from engines.images.ttsnap import ENGINE
from engines.validation import validate

FULL = {"steps": 4, "budget": 20, "prune_steps": (1,), "keep": (0.5,), "rewards": ("clip",), "noise_aware": "none",
        "bench_prompts": 0, "prompt": "a red dog"}  # fmt: skip


def test_what_does_not_fit_is_refused_before_it_is_loaded(measured, tiny_folders, tmp_path):
    measured(1 << 50)
    params = validate(ENGINE.params, {**FULL, "model": str(tiny_folders["sd"])})
    with pytest.raises(Refusal, match=r"model needs about .* or a smaller model"):
        list(ENGINE.run(params, Context("cpu", 0, tmp_path)))


def test_the_figure_is_told_and_asked_for_all_seeds_at_once(
    monkeypatch, tiny_folders, tmp_path, tiny_clip, measured
):
    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    asked = measured(10 << 20)
    params = validate(ENGINE.params, {**FULL, "model": str(tiny_folders["sd"])})
    events = list(ENGINE.run(params, Context("cpu", 0, tmp_path)))
    assert any(isinstance(e, Text) and e.name == "memory" and "10 MB" in e.value for e in events)
    assert [one["batch"] for one in asked] == [params.prices.seeds(params.schedule, params.budget)]
    assert not asked[0]["gradients"]
    assert any(isinstance(e, Picture) for e in events)


def test_a_stage_is_planned_as_it_is_drawn_and_text_towers_go(
    monkeypatch, tiny_folders, tmp_path, tiny_clip, measured
):
    """All seeds are kept, few are in the network and the decoder at a time; the one prompt is encoded at the start."""
    from engines.images.ttsnap.method.search import DECODE_AT_ONCE
    from engines.images.ttsnap.opening import open_models

    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    model, words = tiny_clip()
    model.save_pretrained(tmp_path / "clip")
    words.save_pretrained(tmp_path / "clip")
    asked = measured(10 << 20)
    given = {
        **FULL, "model": str(tiny_folders["sd"]), "reward_sources": (f"clip={tmp_path / 'clip'}",), "at_once": 2,
        "offload": "layers", "tiles": True,
    }  # fmt: skip
    params = validate(ENGINE.params, given)
    models = open_models(params, Context("cpu", 0, tmp_path))
    seeds = params.prices.seeds(params.schedule, params.budget)
    (one,) = asked
    assert (one["batch"], one["pictures"], one["decode_at_once"]) == (2, seeds, DECODE_AT_ONCE)
    assert one["drops_text"]
    assert one["reward_sources"] == (str(tmp_path / "clip"),)
    assert (one["economy"].encoders_leave, one["economy"].streaming, one["economy"].tiles) == (
        True,
        True,
        True,
    )
    assert {p.device.type for p in models.generator.network.parameters()} == {"meta"}, (
        "its layers visit in turn"
    )
    assert models.rewards["clip"].model.text_model is None
    assert set(models.features(params.prompt)) == {"clip"}
    assert any(isinstance(e, Picture) for e in ENGINE.run(params, Context("cpu", 0, tmp_path)))
