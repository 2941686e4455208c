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
        ("weights", {"noise_aware": "upload"}, "Upload one"),
        ("noise_aware", {"steps": 25}, "steps 25"),
        ("noise_aware", {"guidance": 5}, "guidance 5"),
        ("train_levels", {"experiment": "train", "train_levels": 20}, "at most 19"),
        ("batch", {"experiment": "train", "train_prompts": 2, "train_seeds": 2, "batch": 64}, "at most 4"),
        ("order", {"experiment": "train", "form": "levels", "order": "mixed"}, "clean-to-noisy"),
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


def lab() -> Lab:
    rng = np.random.default_rng(0)
    final = rng.normal(size=(1, 3, 6))
    scores = {"plain": rng.normal(size=(1, 3, 6, 2)), "noise-aware": rng.normal(size=(1, 3, 6, 2))}
    return Lab(final, scores, (2, 6), 20)


def test_stored_rewards_come_back(tmp_path):
    path = lab_file.write(tmp_path / "r.npz", lab())
    again = lab_file.read(path)
    assert again.levels == (2, 6)
    assert again.total == 20
    assert set(again.scores) == {"plain", "noise-aware"}
    assert np.allclose(again.final, lab().final, atol=1e-6)


def test_a_users_own_arrays(tmp_path):
    rng = np.random.default_rng(1)
    final, scores = rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=(4, 9, 20)).astype(np.float32)
    save_file({"final": final, "scores": scores, "noise_aware": scores}, tmp_path / "r.safetensors")
    found = lab_file.read(tmp_path / "r.safetensors")
    assert found.levels == tuple(range(20))
    assert found.total == 20
    assert set(found.scores) == {"plain", "noise-aware"}


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
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
