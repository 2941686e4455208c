"""Noise of a ReNO run races as the first seeds."""

from __future__ import annotations

import pytest
import torch

from engines.contract import Context, Refusal
from engines.images import noise_file
from engines.images.ttsnap import ENGINE
from engines.images.ttsnap.opening import open_models
from engines.validation import validate

SHAPE = (8, 8, 8)
"""Of the embedded models' noise."""


def opened(tmp_path, tensors):
    path = noise_file.write_noise(tmp_path / "noise.safetensors", tensors, {"model": "embedded-g"})
    params = validate(ENGINE.params, ENGINE.preset("smoke"))
    inputs = {"noise": path}
    ENGINE.check(params, inputs)
    return open_models(params, Context("cpu", 3, tmp_path, inputs), aware=False)


def test_what_reno_found_comes_first_and_the_rest_stays(tmp_path):
    torch.manual_seed(0)
    start, found = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    models = opened(tmp_path, {"noise": start, "best_noise": found})
    drawn = models.noise(5, 3, models.spelled(models.params.prompt))
    race = models.race_noise(5, 3)
    assert torch.equal(race[:2], found)
    assert torch.equal(race[2:], drawn[2:])
    assert torch.equal(models.race_noise(1, 3), found[:1])


def test_noise_of_another_shape_is_refused(tmp_path):
    with pytest.raises(Refusal, match="noise must be of shape"):
        opened(tmp_path, {"noise": torch.randn(2, 4, 9, 9)})
