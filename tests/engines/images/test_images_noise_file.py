"""Noise files: what is written is read, and what is no noise is refused in a sentence."""

import numpy as np
import pytest
import torch

from engines.contract import Refusal
from engines.images.noise_file import count_noise, read_noise, write_noise

SHAPE = (2, 4, 4)


def test_written_is_read(tmp_path):
    noise, momentum = torch.randn(3, *SHAPE), torch.randn(3, *SHAPE)
    path = write_noise(tmp_path / "n.safetensors", {"noise": noise, "momentum": momentum}, {"model": "m"})
    found = read_noise(path, SHAPE)
    assert torch.equal(found["noise"], noise)
    assert torch.equal(found["momentum"], momentum)


def test_what_the_optimizer_knows_has_a_row_for_each_noise_and_its_own_numbers(tmp_path):
    noise = torch.randn(2, *SHAPE)
    numbers = torch.tensor([[1 / 3], [2 / 3]], dtype=torch.float64)
    path = write_noise(tmp_path / "n.safetensors", {"noise": noise, "start": noise, "numbers": numbers}, {})
    assert torch.equal(read_noise(path, SHAPE)["numbers"], numbers)


def test_numpy_files_and_single_noises(tmp_path):
    one = np.random.default_rng(0).standard_normal(SHAPE)
    np.save(tmp_path / "n.npy", one)
    assert read_noise(tmp_path / "n.npy", SHAPE)["noise"].shape == (1, *SHAPE)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"noise": torch.randn(1, 3, 4, 4)}, "must be of shape N x 2 x 4 x 4"),
        ({"noise": torch.zeros(1, *SHAPE)}, "must not be zero"),
        ({"noise": torch.full((1, *SHAPE), float("nan"))}, "not finite"),
        ({"other": torch.randn(1, *SHAPE)}, "no tensor named noise"),
        ({"noise": torch.randn(2, *SHAPE), "momentum": torch.randn(1, *SHAPE)}, "shape of noise"),
        (
            {"noise": torch.randn(2, *SHAPE), "best_noise": torch.zeros(2, *SHAPE)},
            "best_noise must not be zero",
        ),
        ({"noise": torch.randn(2, *SHAPE), "scale": torch.ones(3)}, "a row for each of 2 noises"),
        ({"noise": torch.randn(2, *SHAPE), "scale": torch.full((2,), float("inf"))}, "not finite"),
    ],
)
def test_what_is_no_noise_is_refused(tmp_path, tensors, words):
    path = write_noise(tmp_path / "n.safetensors", tensors, {})
    with pytest.raises(Refusal, match=words):
        read_noise(path, SHAPE)


def test_the_header_tells_how_many_and_of_what_shape(tmp_path):
    path = write_noise(tmp_path / "n.safetensors", {"noise": torch.randn(3, *SHAPE)}, {})
    np.save(tmp_path / "n.npy", np.ones(SHAPE))
    assert count_noise(path) == count_noise(path, wanted=SHAPE) == 3
    assert count_noise(tmp_path / "n.npy", wanted=SHAPE) == 1
    with pytest.raises(Refusal, match=r"of 8 x 8 x 8 numbers for this model; those of 'n.* have 2 x 4 x 4"):
        count_noise(path, wanted=(8, 8, 8))


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "n.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(Refusal, match="cannot be read"):
        read_noise(path, SHAPE)
