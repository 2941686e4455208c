"""Training for full-size models on tiny folders of their classes, a reader's own prompts, and independent levels."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from engines.contract import Context, Refusal
from engines.events import Event, File, Scalar, Text
from engines.images.generators import loading as generators
from engines.images.rewards import loading
from engines.images.rewards.clip import ClipReward
from engines.images.ttsnap import ENGINE, prompts, trajectories, weights_file
from engines.images.ttsnap.method.noise_aware import NoiseAware
from engines.images.ttsnap.trajectories import fitted, require_room
from engines.validation import Refused, validate

UPLOAD = "sha256:" + "0" * 64
FULL: dict[str, Any] = {
    "experiment": "train", "steps": 4, "rewards": ("clip",), "prompt": "a red dog", "train_levels": 2, "train_prompts": 3,
    "train_seeds": 2, "held_prompts": 2, "batch": 2, "form": "conditioned", "train_texts": f"{UPLOAD}/prompts.txt",
}  # fmt: skip


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a dog\n\na cat\na dog\na red house\na boat\n  two cars  \n", encoding="utf-8")
    return path


@pytest.fixture
def experiment(monkeypatch, tiny_folders, tmp_path, tiny_clip, measured):
    """Runs an experiment on the tiny Stable Diffusion folder."""
    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    asked = measured(10 << 20)

    def run(values: dict[str, Any], **inputs) -> list[Event]:
        params = validate(ENGINE.params, {"model": str(tiny_folders["sd"]), **values})
        ENGINE.check(params, inputs)
        return list(ENGINE.run(params, Context("cpu", 0, tmp_path, inputs)))

    run.asked = asked
    return run


@pytest.mark.parametrize("form", ["conditioned", "levels"])
def test_a_full_size_model_teaches_a_reward_that_its_search_then_uses(experiment, texts, form):
    events = experiment({**FULL, "form": form}, train_texts=texts)
    (file,) = [e for e in events if isinstance(e, File)]
    (memory,) = [e for e in events if isinstance(e, Text) and e.name == "memory"]
    assert "for the pupil's weights, gradients and the optimiser" in memory.value
    assert ("checkpoints" in memory.value) is (form == "levels")
    assert experiment.asked[0]["batch"] == 16, "held-out prompts have the largest batches"
    search = {
        "steps": 4, "rewards": ("clip",), "prompt": "a red dog", "budget": 20, "bench_prompts": 0, "prune_steps": (1,), "keep": (0.5,),
        "noise_aware": "upload", "weights": f"{UPLOAD}/w.safetensors",
    }  # fmt: skip
    found = experiment(search, weights=file.path)
    assert any(isinstance(e, Scalar) and (e.series, e.name) == ("TTSnap", "final reward") for e in found)


def test_prompts_are_different_and_some_are_held_out(texts):
    found = prompts.read(texts)
    assert found == ["a dog", "a cat", "a red house", "a boat", "two cars"]
    taught, held = prompts.dealt(found, 0, 3, 2)
    assert sorted([*taught, *held]) == sorted(found)
    assert prompts.dealt(found, 0, 3, 2) == (taught, held)


def test_lists_that_do_not_do(texts, tmp_path):
    with pytest.raises(Refusal, match=r"at least 6 different prompts .* got 5"):
        prompts.require(prompts.read(texts), 4, 2)
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refusal, match="not text in UTF-8"):
        prompts.read(tmp_path / "x.txt")
    (tmp_path / "y.txt").write_text("a dog\n" + "x" * 401)
    with pytest.raises(Refusal, match=r"line 2 of 'y\.txt'"):
        prompts.read(tmp_path / "y.txt")


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("train_texts", {"model": "sdxl", "train_texts": ""}, "one a line, to train for sdxl"),
        ("train_texts", {"model": "embedded-f", "rewards": ("r2",), "prompt": "a circle"}, "its own world"),
        (
            "train_prompts",
            {"model": "embedded-f", "train_texts": "", "rewards": ("r2",), "train_prompts": 500},
            "at most 400",
        ),
        ("rewards", {"model": "sdxl", "rewards": ("aesthetic",)}, "reads the prompt too"),
    ],
)
def test_settings_that_do_not_do(field, values, words):
    with pytest.raises(Refused) as caught:
        validate(ENGINE.params, {**FULL, **values})
    assert words in next(error.sentence for error in caught.value.errors if error.field == field)


def test_there_must_be_room_for_the_optimiser_and_for_what_is_stored(monkeypatch, tiny_clip):
    params = validate(ENGINE.params, {**FULL, "model": "sdxl"})
    pupil = NoiseAware(ClipReward("clip", *tiny_clip()), 2, "conditioned")
    monkeypatch.setattr(trajectories, "memory_bytes", lambda: 1 << 40)
    monkeypatch.setattr(trajectories, "free_bytes", lambda _: 1000)
    with pytest.raises(Refusal, match=r"rewards: training clip takes .* where"):
        require_room(params, pupil, "cuda")
    monkeypatch.setattr(trajectories, "memory_bytes", lambda: 1000)
    with pytest.raises(Refusal, match="train_prompts: the trajectories take"):
        require_room(params, pupil, "cuda")


def test_pictures_are_stored_no_larger_than_the_reward_looks():
    from engines.images.rewards.base import preprocess

    pictures = torch.rand((2, 3, 40, 60), generator=torch.Generator().manual_seed(0))
    small = fitted(pictures, 16)
    assert small.shape == (2, 3, 16, 24)
    assert torch.allclose(preprocess(small, 16), preprocess(pictures, 16), atol=0.2), (
        "only what overshoots 0..1 is cut"
    )
    assert fitted(pictures, 40) is pictures


def test_a_reward_in_half_precision_is_taught_in_full(tiny_clip, tmp_path):
    model, tokenizer = tiny_clip()
    reward = ClipReward("clip", model.half(), tokenizer)
    pupil = NoiseAware(reward, 2, "conditioned", torch.float32)
    assert {p.dtype for p in pupil.trainable()} == {torch.float32}
    about = {"model": "m", "steps": 4, "guidance": 3.0, "reward": "clip", "fingerprint": "f"}
    path = weights_file.write(tmp_path / "w.safetensors", pupil, about)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        assert list(file.keys()) == ["shift"], "what equals the reward is left out"
    again = weights_file.read(path, reward)
    assert next(again.model.parameters()).dtype == torch.float16, "a search scores as the reward does"


@pytest.mark.parametrize("form", ["levels", "heads"])
def test_independent_levels_start_from_the_plain_reward(tmp_path, monkeypatch, form):
    starts: dict[int, list[torch.Tensor]] = {}
    begin = NoiseAware.begin

    def watched(self, level, *, afresh=False):
        begin(self, level, afresh=afresh)
        starts.setdefault(level, [v.clone() for v in self.model.state_dict().values()])

    monkeypatch.setattr(NoiseAware, "begin", watched)
    values = {
        "experiment": "train", "steps": 4, "guidance": 2, "train_levels": 2, "train_prompts": 2, "train_seeds": 2, "held_prompts": 2,
        "batch": 2, "form": form, "rate": 1e-3,
    }  # fmt: skip
    plain = [*loading.load_reward("r2").model.state_dict().values()]
    for order, is_plain in (("independent", True), ("clean-to-noisy", False)):
        starts.clear()
        list(ENGINE.run(validate(ENGINE.params, {**values, "order": order}), Context("cpu", 0, tmp_path)))
        assert all(torch.equal(a, b) for a, b in zip(starts[0], plain, strict=True)) is is_plain
