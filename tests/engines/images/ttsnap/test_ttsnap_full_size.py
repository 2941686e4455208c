"""Searches with full-size models, on tiny folders of their classes: what they draw, what they say, what they refuse."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engines.contract import Context, Refusal
from engines.events import Alert, Array, ClaimCheck, Event, Scalar, Table, Text
from engines.images import noise_file
from engines.images.generators import loading as generators
from engines.images.generators.diffusion import DiffusionGenerator
from engines.images.rewards import loading
from engines.images.rewards.clip import ClipReward
from engines.images.ttsnap import ENGINE, brought_noise
from engines.validation import validate

FULL: dict[str, Any] = {
    "steps": 10, "budget": 60, "rewards": ("clip",), "noise_aware": "none", "bench_prompts": 0, "prompt": "a red dog",
}  # fmt: skip


@pytest.fixture
def search(monkeypatch, tiny_folders, tmp_path, tiny_clip, measured):
    """Runs a search on the tiny Stable Diffusion folder; `search.made` are the seeds of each call of its network."""
    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    measured(10 << 20)
    advance = DiffusionGenerator.advance_with_gradients
    made: list[int] = []

    def counted(self, sampling):
        made.append(len(sampling.latents))
        return advance(self, sampling)

    monkeypatch.setattr(DiffusionGenerator, "advance_with_gradients", counted)

    def run(values: dict[str, Any], **inputs) -> list[Event]:
        made.clear()
        params = validate(ENGINE.params, {**FULL, "model": str(tiny_folders["sd"]), **values})
        ENGINE.check(params, inputs)
        return list(ENGINE.run(params, Context("cpu", 0, tmp_path, inputs)))

    run.made = made
    return run


def names(events: list[Event], kind: type) -> list[str]:
    return [e.name for e in events if isinstance(e, kind)]  # type: ignore[attr-defined]


def test_a_search_makes_the_calls_of_its_budget_and_one_more_to_count_what_a_call_costs(search):
    events = search({})
    spent = [e.value for e in events if isinstance(e, Scalar) and e.name == "calls spent"][-1]
    assert sum(search.made) - 1 <= spent <= FULL["budget"]
    (table,) = [e for e in events if isinstance(e, Table) and e.name == "Contenders on this prompt"]
    assert [row[0] for row in table.rows] == ["Plain pruning"]
    assert table.rows[0][2] == pytest.approx(spent)
    assert "contenders" in names(events, Text)
    assert {e.holds for e in events if isinstance(e, ClaimCheck)} == {None}
    (finished,) = [e for e in events if isinstance(e, Array) and e.name == "finished"]
    (stage,) = [e for e in events if isinstance(e, Array) and e.name == "board" and e.step == 9]
    assert list(finished.axes[0].values) == list(stage.axes[0].values), "only who ended is shown as finished"


def test_what_was_cut_is_finished_where_that_is_asked_for(search):
    events = search({"finish": "always"})
    (table,) = [e for e in events if isinstance(e, Table) and e.name == "Contenders on this prompt"]
    assert "Best of N" in [row[0] for row in table.rows]
    assert sum(search.made) > 2 * FULL["budget"]


def test_the_embedded_world_can_leave_it(tmp_path):
    params = validate(ENGINE.params, {**ENGINE.preset("smoke"), "finish": "never", "bench_prompts": 0})
    events = list(ENGINE.run(params, Context("cpu", 0, tmp_path)))
    (table,) = [e for e in events if isinstance(e, Table) and e.name == "Contenders on this prompt"]
    assert [row[0] for row in table.rows] == ["TTSnap"]


@pytest.mark.parametrize(
    ("cuts", "warned"),
    [((), []), (((0, 4), (0.5, 0.5)), [0]), (((2, 5), (0.2, 0.5)), []), (((0, 4), (1.0, 0.5)), [])],
)
def test_a_cut_before_estimates_say_anything_is_told(search, cuts, warned):
    """Of ten steps 0 says nothing: the paper's 2 of 20 are 1 of 10, which does."""
    values = dict(zip(("prune_steps", "keep"), cuts, strict=True)) if cuts else {}
    alerts = [e for e in search(values) if isinstance(e, Alert) and e.name == "early cut"]
    assert [e.step for e in alerts] == warned
    assert all("the plain reward" in e.message and "before step 1." in e.message for e in alerts)


def test_the_shipped_reward_may_cut_early_but_not_hard(tmp_path):
    def warned(share: float) -> bool:
        values = {
            **ENGINE.preset("smoke"),
            "prune_steps": (0,),
            "keep": (share,),
            "bench_prompts": 0,
            "finish": "never",
        }
        events = ENGINE.run(validate(ENGINE.params, values), Context("cpu", 0, tmp_path))
        return any(isinstance(e, Alert) and e.name == "early cut" for e in events)

    assert not warned(0.6)
    assert warned(0.3)


def test_a_tiny_decoder_decodes_estimates_and_the_full_one_what_is_finished(search, tmp_path, monkeypatch):
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    small = AutoencoderTiny(**channels, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1))
    small.save_pretrained(tmp_path / "tiny")
    asked: list[bool] = []
    decode = DiffusionGenerator.decode

    def watched(self, latents, *, tiny=False):
        asked.append(tiny)
        return decode(self, latents, tiny=tiny)

    monkeypatch.setattr(DiffusionGenerator, "decode", watched)
    search({"tiny_decoder": str(tmp_path / "tiny"), "look_every": 0})
    # the cuts, then the end, then what a look costs is counted
    assert [key for key, _ in groupby(asked)] == [True, False, True]


# noise of another model


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart", "flux"])
def test_the_shape_of_a_folders_noise_is_told_without_loading_it(tiny_folders, kind):
    generator = generators.load_generator(str(tiny_folders[kind]))
    assert brought_noise.shape_of(str(tiny_folders[kind])) == generator.noise_shape


@pytest.mark.parametrize(
    ("model", "shape"),
    [("embedded-f", (8, 8, 8)), ("sdxl", (4, 64, 64)), ("flux-dev", (16, 64, 64)), ("some/model", None)],
)
def test_the_shape_of_a_models_noise_by_name(model, shape):
    assert brought_noise.shape_of(model) == shape


def test_noise_of_another_model_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    save_file({"noise": torch.randn(2, 3, 32, 32)}, tmp_path / "noise.safetensors")
    monkeypatch.setattr(generators, "load_generator", lambda *_, **__: pytest.fail("a model was loaded"))
    params = validate(ENGINE.params, {})
    with pytest.raises(Refusal, match="N x 8 x 8 x 8 for embedded-f; got 2 x 3 x 32 x 32"):
        ENGINE.check(params, {"noise": tmp_path / "noise.safetensors"})


def test_noise_for_a_model_of_the_hub_is_measured_by_its_configurations(tmp_path, tiny_folders, monkeypatch):
    from engines.images.generators import parts

    path = noise_file.write_noise(tmp_path / "noise.safetensors", {"noise": torch.randn(2, 3, 32, 32)}, {})
    found = parts.parts_of(str(tiny_folders["sd"]))
    monkeypatch.setattr(parts, "parts_of", lambda *_: found)
    with pytest.raises(Refusal, match="N x 4 x 8 x 8 for some/model"):
        brought_noise.check_hub(path, "some/model")
