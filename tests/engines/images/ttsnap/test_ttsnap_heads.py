"""Last layers fitted in closed form: against least squares, and as weights of a pupil."""

from __future__ import annotations

import numpy as np
import torch

from engines.images.rewards.loading import load_reward
from engines.images.ttsnap import weights_file
from engines.images.ttsnap.method.heads import Head, fit, has_head, head_of, install, ridge, states
from engines.images.ttsnap.method.noise_aware import NoiseAware

RNG = np.random.default_rng(0)


def problem(noise: float = 0.0):
    """Labels linear in the states, plus what differs between prompts and does not matter."""
    h = RNG.normal(size=(20, 12, 6))
    true = np.arange(1.0, 7.0)
    labels = h @ true + 10 * RNG.normal(size=(20, 1)) + noise * RNG.normal(size=(20, 12))
    return h, labels, true


def test_ridge_equals_least_squares_and_its_start_at_the_ends():
    h, labels, true = problem(noise=0.5)
    start = Head(np.zeros(6), 0.0)
    x = (h - h.mean(1, keepdims=True)).reshape(-1, 6)
    y = (labels - labels.mean(1, keepdims=True)).ravel()
    wanted = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.allclose(ridge(h, labels, start, 0.0).weight, wanted, atol=1e-5)
    assert np.allclose(ridge(h, labels, Head(true, 0.0), 1e9).weight, true, atol=1e-6)


def test_differences_between_prompts_do_not_matter():
    h, labels, _ = problem(noise=0.5)
    start = Head(np.zeros(6), 0.0)
    moved = labels + np.arange(20)[:, None]
    assert np.allclose(ridge(h, labels, start, 0.1).weight, ridge(h, moved, start, 0.1).weight)


def test_cross_validation_trusts_the_data_only_where_it_may():
    h, labels, true = problem()
    found, strength = fit(h, labels, Head(np.zeros(6), 0.0), np.random.default_rng(1))
    assert strength <= 0.01
    assert np.allclose(found.weight, true, atol=0.05)
    _, careful = fit(h, RNG.normal(size=labels.shape), Head(np.zeros(6), 0.0), np.random.default_rng(1))
    assert careful >= 1


def test_a_pupil_scores_by_its_heads_and_the_file_keeps_them(tmp_path):
    reward = load_reward("r2")
    assert has_head(reward)
    features = reward.encode(["a red circle", "two green triangles"])
    pictures = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        h = states(reward, pictures, features).double().numpy()
        own = head_of(reward)
        assert np.allclose(h @ own.weight + own.bias, reward.score(pictures, features).numpy(), atol=1e-4)
    pupil = NoiseAware(reward, 5, "levels")
    heads = {level: Head(RNG.normal(size=h.shape[1]), float(level)) for level in (4, 2)}
    for level, head in heads.items():
        install(pupil, level, head)
    path = weights_file.write(
        tmp_path / "w.safetensors", pupil,
        {"model": "m", "steps": 20, "guidance": 3.0, "reward": "r2", "fingerprint": "x"},
    )  # fmt: skip
    assert path.stat().st_size < 100_000, "only what changed is written"
    for scorer in (pupil, weights_file.read(path, reward)):
        with torch.no_grad():
            for asked, source in ((4, 4), (3, 4), (2, 2), (1, 2), (0, 2)):
                wanted = h @ heads[source].weight + heads[source].bias
                assert np.allclose(scorer.score(pictures, features, asked).numpy(), wanted, atol=1e-3)
            assert torch.equal(scorer.score(pictures, features, 5), reward.score(pictures, features))


def test_a_level_without_cleaner_weights_keeps_the_plain_reward():
    reward = load_reward("r2")
    pupil = NoiseAware(reward, 5, "levels")
    install(pupil, 1, Head(RNG.normal(size=96), 0.0))
    features, pictures = reward.encode(["a red circle"]), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(pupil.score(pictures, features, 3), reward.score(pictures, features))
        assert not torch.equal(pupil.score(pictures, features, 0), reward.score(pictures, features))
