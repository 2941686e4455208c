"""What the parameters refuse, in one sentence that names the field; stored rewards as files."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from engines.contract import Refusal
from engines.images.ttsnap import lab_file
from engines.images.ttsnap.method.replay import Lab
from engines.images.ttsnap.params import TTSnapParams
from engines.validation import Refused, validate


def sentence(field: str, **values) -> str:
    with pytest.raises(Refused) as caught:
        validate(TTSnapParams, values)
    return next(error.sentence for error in caught.value.errors if error.field == field)


@pytest.mark.parametrize(
    ("field", "values", "word"),
    [
        ("prune_steps", {"prune_steps": (6, 2, 11)}, "6, 2, 11"),
        ("prune_steps", {"prune_steps": (2, 6, 19)}, "below 19"),
        ("keep", {"keep": (0.4, 0.0, 0.5)}, "got 0"),
        ("keep", {"keep": (0.4, 1.2, 0.5)}, "1.2"),
        ("keep", {"keep": (0.4, 0.5)}, "2 shares for 3 steps"),
        ("prompt", {"prompt": "an astronaut"}, "astronaut"),
        ("prompt", {"prompt": " "}, "must not be empty"),
        ("rewards", {"rewards": ("hpsv2.1",), "model": "embedded-f", "prompt": ""}, ""),
        ("rewards", {"rewards": ()}, "at least one"),
        ("rewards", {"rewards": ("r1", "r1")}, "once"),
        ("rewards", {"model": "sdxl", "prompt": "a dog"}, "embedded world only"),
        ("adaptive", {"adaptive": True, "rewards": ("r1", "r2")}, "one reward"),
        ("adaptive", {"adaptive": True, "noise_aware": "none"}, "noise_aware is none"),
        (
            "adaptive",
            {"adaptive": True, "model": "sdxl", "prompt": "a dog", "rewards": ("clip",)},
            "none comes with sdxl",
        ),
        ("keep", {"prune_steps": (4,)}, "3 shares for 1 steps"),
        ("tiny_decoder", {"tiny_decoder": "madebyollin/taesd"}, "is for full-size models"),
        ("reward_sources", {"reward_sources": ("clip=a/b",)}, "does not use"),
        ("weights", {"noise_aware": "upload"}, "Upload one"),
        ("weights", {"noise_aware": "upload", "experiment": "replay"}, "Upload one"),
        ("noise_aware", {"steps": 10, "experiment": "replay"}, "steps 10"),
        ("table", {"experiment": "replay", "bench_prompts": 1}, "bench_prompts must be at least 2"),
        ("noise_aware", {"steps": 25}, "steps 25"),
        ("noise_aware", {"guidance": 5}, "guidance 5"),
        ("train_levels", {"experiment": "train", "train_levels": 20}, "at most 19"),
        ("batch", {"experiment": "train", "train_prompts": 2, "train_seeds": 2, "batch": 64}, "at most 4"),
        ("order", {"experiment": "train", "form": "levels", "order": "mixed"}, "clean-to-noisy"),
        (
            "order",
            {"experiment": "train", "form": "conditioned", "order": "independent"},
            "share their weights",
        ),
    ],
)
def test_refusals(field, values, word):
    if not word:
        with pytest.raises(Refused):
            validate(TTSnapParams, values)
        return
    assert word in sentence(field, **values)


def test_without_noise_aware_any_sampler_is_fine():
    params = validate(TTSnapParams, {"steps": 30, "guidance": 5, "noise_aware": "none"})
    assert params.prices.total == 30


def test_cuts_suit_the_model_where_they_are_left_open():
    def cuts(**values):
        schedule = validate(TTSnapParams, values).schedule
        return schedule.steps, schedule.keep

    full = {"model": "sdxl", "prompt": "a dog"}
    assert cuts() == ((0, 5, 6), (0.75, 0.65, 0.55))
    assert cuts(**full, rewards=("clip",)) == ((2, 6, 11), (0.4, 0.4, 0.5))
    assert cuts(**full, rewards=("clip", "pickscore")) == ((4, 6, 11), (0.4, 0.5, 0.6))
    assert cuts(**full, rewards=("clip",), steps=40) == ((4, 12, 23), (0.4, 0.4, 0.5))
    assert cuts(steps=5, noise_aware="none") == ((0, 1), (0.75, 0.3575)), "cuts that meet become one"
    assert cuts(keep=(0.3, 0.4, 0.4)) == ((0, 5, 6), (0.3, 0.4, 0.4))
    assert cuts(prune_steps=(1, 6, 8)) == ((1, 6, 8), (0.75, 0.65, 0.55))


def test_a_stored_table_needs_no_models():
    models = {"noise_aware": "upload", "bench_prompts": 0, "model": "sdxl", "steps": 30}
    stored = {"experiment": "replay", "table": "sha256:" + "0" * 64 + "/r.npz"}
    assert validate(TTSnapParams, {**stored, **models}).experiment == "replay"
    with pytest.raises(Refused):
        validate(TTSnapParams, {**stored, **models, "table": ""})
    with pytest.raises(Refused):
        validate(TTSnapParams, {**models, "experiment": "search"})


def lab() -> Lab:
    rng = np.random.default_rng(0)
    final = rng.normal(size=(1, 3, 6))
    scores = {"plain": rng.normal(size=(1, 3, 6, 2)), "noise-aware": rng.normal(size=(1, 3, 6, 2))}
    return Lab(final, scores, (2, 6), 20)


def test_stored_rewards_come_back(tmp_path):
    path = lab_file.write(tmp_path / "r.npz", lab())
    again = lab_file.read(path).lab
    assert again.levels == (2, 6)
    assert again.total == 20
    assert set(again.scores) == {"plain", "noise-aware"}
    assert np.allclose(again.final, lab().final, atol=1e-6)


def test_a_users_own_arrays(tmp_path):
    rng = np.random.default_rng(1)
    final, scores = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(4, 9, 20)).astype(np.float32)
    save_file({"final": final, "scores": scores, "noise_aware": scores}, tmp_path / "r.safetensors")
    found = lab_file.read(tmp_path / "r.safetensors").lab
    assert found.levels == tuple(range(20))
    assert found.total == 20
    assert set(found.scores) == {"plain", "noise-aware"}


def test_the_same_seeds_with_fewer_steps_are_stored_beside(tmp_path):
    few = Lab(lab().final + 1, {}, (), 10)
    again = lab_file.read(lab_file.write(tmp_path / "r.npz", lab(), few))
    assert again.fewer is not None
    assert again.fewer.total == 10
    assert np.allclose(again.fewer.final, few.final, atol=1e-6)
    assert lab_file.read(lab_file.write(tmp_path / "s.npz", lab())).fewer is None


def test_what_holds_no_numbers_is_left_alone(tmp_path):
    np.savez(tmp_path / "r.npz", **GOOD, prompts=np.array(["a circle", "a square", "a triangle"]))
    assert set(lab_file.read(tmp_path / "r.npz").lab.scores) == {"plain"}


GOOD = {"final": np.zeros((3, 6)), "scores": np.zeros((3, 6, 2))}


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({**GOOD, "levels": np.array([np.nan, 1])}, "levels must hold whole numbers"),
        ({**GOOD, "levels": np.array([0.5, 1])}, "whole numbers up to 10,000; got 0.5"),
        ({**GOOD, "levels": np.array(["a", "b"])}, "levels must hold real numbers; got <U1"),
        ({**GOOD, "total": np.array([])}, "total must be one number; got 0"),
        ({**GOOD, "total": np.array(np.inf)}, "got inf"),
        ({**GOOD, "scores": np.zeros((3, 6, 0))}, "no step at all"),
        ({**GOOD, "final": np.array(["x"])}, "final must hold real numbers"),
        ({**GOOD, "final": np.zeros(3)}, r"shape \(3,\); wanted \[prompt, seed\]"),
        ({"final": np.zeros((3, 6)), "scores": np.array(["x"])}, "arrays with numbers are final"),
        ({"final": np.zeros((0, 3, 6)), "scores": np.zeros((0, 3, 6, 2))}, "at least 2 prompts"),
        ({**GOOD, "fewer_final": np.zeros((3, 6))}, "fewer_total must be above 0"),
        ({**GOOD, "fewer_final": np.zeros((3, 5)), "fewer_total": np.array(1)}, "shape of final"),
        ({"scores": np.zeros((3, 6, 2))}, "It needs final"),
        ({"final": np.zeros((3, 6)), "scores": np.zeros((3, 5, 2))}, "shape"),
        ({"final": np.full((3, 6), np.nan), "scores": np.zeros((3, 6, 2))}, "not finite"),
        ({"final": np.zeros((1, 6)), "scores": np.zeros((1, 6, 2))}, "at least 2 prompts"),
        ({"final": np.zeros((3, 6)), "scores": np.zeros((3, 6, 2)), "levels": np.array([4, 2])}, "rising"),
        ({"final": np.zeros((3, 6)), "scores": np.zeros((3, 6, 2)), "total": np.array(1)}, "above the last"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, arrays, word):
    np.savez(tmp_path / "r.npz", **arrays)
    with pytest.raises(Refusal, match=word):
        lab_file.read(tmp_path / "r.npz")


def test_no_table_at_all(tmp_path):
    (tmp_path / "r.npz").write_bytes(b"nothing")
    with pytest.raises(Refusal, match="cannot be read"):
        lab_file.check_header(tmp_path / "r.npz")
