"""Training of noise-aware rewards: the curriculum, both forms, and the files that hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from engines.contract import Refusal
from engines.images.rewards.base import Features, Reward
from engines.images.ttsnap import weights_file
from engines.images.ttsnap.method.noise_aware import (
    NoiseAware,
    curriculum,
    init,
    inside_loss,
    pair_loss,
    step,
)


class Tokens(nn.Module):
    """Pixels as tokens of width 4, with the class embedding that picture towers have."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, 4), requires_grad=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1).view(len(pixels), -1, 4)


class Linear(nn.Module):
    """A score linear in the mean of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_model = nn.Module()
        self.vision_model.embeddings = Tokens()
        self.head = nn.Linear(4, 1, bias=True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.vision_model.embeddings(pixels).mean(1))[:, 0]


class LinearReward(Reward):
    name = "linear"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Linear().requires_grad_(False)

    @property
    def towers(self) -> tuple[nn.Module, ...]:
        return (self.model,)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.model,)

    def encode(self, prompts: Sequence[str]) -> Features:
        return Features({"none": torch.zeros(len(prompts), 1)})

    def score(self, pictures: torch.Tensor, features: Features) -> torch.Tensor:
        return self.model(pictures)


LEVELS = 4
NONE = Features({"none": torch.zeros(64, 1)})


def estimates(level: int) -> torch.Tensor:
    """Estimates whose tokens are a known linear map of the final picture's: every level can reach zero loss."""
    final = torch.rand((64, 3, 2, 2), generator=torch.Generator().manual_seed(3))
    return final * (1 - 0.15 * (LEVELS - 1 - level)) + 0.05 * (LEVELS - 1 - level)


def labels(reward: Reward) -> torch.Tensor:
    return reward.score(estimates(LEVELS - 1), NONE).detach()


def learn(pupil: NoiseAware, level: int, updates: int, rate: float = 0.02) -> list[float]:
    state, losses = init(pupil, level, updates=updates, rate=rate, decay=0.0), []
    for _ in range(updates):
        state, info = step(state, estimates(level), NONE, labels(pupil.reward))
        losses.append(info["loss"])
    return losses


def test_at_first_it_scores_as_the_plain_reward():
    reward = LinearReward()
    for form in ("levels", "conditioned"):
        pupil = NoiseAware(reward, LEVELS, form)
        for level in range(LEVELS):
            assert torch.equal(pupil.score(estimates(1), NONE, level), reward.score(estimates(1), NONE))


@pytest.mark.parametrize("form", ["levels", "conditioned"])
def test_every_level_of_a_linear_problem_reaches_zero_loss(form):
    reward = LinearReward()
    pupil = NoiseAware(reward, LEVELS, form)
    for level in curriculum(LEVELS):
        assert learn(pupil, level, 400)[-1] < 1e-4
    before = reward.score(estimates(0), NONE)
    after = pupil.score(estimates(0), NONE, 0)
    assert (after - labels(reward)).abs().mean() < 0.1 * (before - labels(reward)).abs().mean()


def test_order_is_clean_to_noisy_and_a_level_starts_from_the_one_before():
    assert list(curriculum(15)) == list(range(14, -1, -1))
    pupil = NoiseAware(LinearReward(), LEVELS, "levels")
    starts = {}
    for level in curriculum(LEVELS):
        starts[level] = {k: v.clone() for k, v in pupil.model.state_dict().items()}
        learn(pupil, level, 5)
    for level in range(LEVELS - 1):
        assert all(torch.equal(starts[level][k], v) for k, v in pupil.weights[level + 1].items())
        assert any(not torch.equal(pupil.weights[level][k], v) for k, v in pupil.weights[level + 1].items())
    plain = pupil.reward.model.state_dict()
    assert all(torch.equal(starts[LEVELS - 1][k], v) for k, v in plain.items()), (
        "the first starts from the reward"
    )


def test_levels_keep_their_own_weights_and_late_steps_the_plain_reward():
    pupil = NoiseAware(LinearReward(), LEVELS, "levels")
    for level in curriculum(LEVELS):
        learn(pupil, level, 50)
    late, early = (pupil.score(estimates(0), NONE, level) for level in (3, 0))
    assert not torch.equal(late, early)
    assert torch.equal(pupil.score(estimates(0), NONE, 3), late), "switching back restores them"
    assert torch.equal(pupil.score(estimates(0), NONE, LEVELS), pupil.reward.score(estimates(0), NONE))


def test_one_model_is_told_the_level_row_by_row():
    pupil = NoiseAware(LinearReward(), LEVELS, "conditioned")
    for level in curriculum(LEVELS):
        learn(pupil, level, 50)
    at = torch.arange(64) % LEVELS
    mixed = pupil.score(estimates(0), NONE, at)
    for level in range(LEVELS):
        own = pupil.score(estimates(0), NONE, level)
        assert torch.allclose(mixed[at == level], own[at == level])
    with pytest.raises(ValueError, match="conditioned form"):
        step(
            init(NoiseAware(LinearReward(), LEVELS, "levels"), 3, updates=1, rate=0.1),
            estimates(0),
            NONE,
            labels(pupil.reward),
            at,
        )


def test_rate_decays_linearly_inside_a_level_and_the_reward_stays_frozen():
    pupil = NoiseAware(LinearReward(), LEVELS, "conditioned")
    frozen = {k: v.clone() for k, v in pupil.reward.model.state_dict().items()}
    state, rates = init(pupil, 3, updates=4, rate=1.0, least=0.5), []
    for _ in range(4):
        state, info = step(state, estimates(3), NONE, labels(pupil.reward))
        rates.append(info["rate"])
    assert rates == [1.0, 0.875, 0.75, 0.625]
    assert all(torch.equal(v, frozen[k]) for k, v in pupil.reward.model.state_dict().items())


def test_pair_loss_prefers_the_right_order():
    truth = torch.tensor([1.0, 0.0, 0.0, 2.0])
    right = pair_loss(truth, truth, 0.5)
    assert right < pair_loss(-truth, truth, 0.5)
    assert pair_loss(torch.zeros(4), truth, 0.5) == pytest.approx(np.log(2))


ABOUT = {
    "model": "embedded-f",
    "steps": 20,
    "guidance": 3.0,
    "reward": "r2",
    "decoder": "full",
    "fingerprint": "ab" * 16,
}


@pytest.mark.parametrize("form", ["levels", "conditioned"])
def test_a_file_gives_the_same_scores_back(tmp_path, form):
    reward = LinearReward()
    pupil = NoiseAware(reward, LEVELS, form)
    for level in curriculum(LEVELS):
        learn(pupil, level, 20)
    path = weights_file.write(tmp_path / "w.safetensors", pupil, ABOUT)
    again = weights_file.read(path, reward)
    for level in range(LEVELS + 1):
        assert torch.equal(again.score(estimates(1), NONE, level), pupil.score(estimates(1), NONE, level))
    assert weights_file.read_about(path)["form"] == form


def test_what_does_not_fit_is_refused(tmp_path):
    reward = LinearReward()
    pupil = NoiseAware(reward, LEVELS, "conditioned")
    path = weights_file.write(tmp_path / "w.safetensors", pupil, ABOUT)
    about = weights_file.read_about(path)
    weights_file.check_settings(about, "embedded-f", 20, 3.0, ("r2",))
    weights_file.check_fingerprint(about, "ab" * 16)
    for settings, word in (
        (("embedded-f", 10, 3.0, ("r2",)), "steps 20"),
        (("embedded-f", 20, 4.0, ("r2",)), "guidance 3"),
        (("sdxl", 20, 3.0, ("r2",)), "model embedded-f"),
        (("embedded-f", 20, 3.0, ("r1",)), "reward r2"),
    ):
        with pytest.raises(Refusal, match=word):
            weights_file.check_settings(about, *settings)
    with pytest.raises(Refusal, match=r"full decoder, .* tiny decoder madebyollin/taesd\. Empty"):
        weights_file.check_settings(about, "embedded-f", 20, 3.0, ("r2",), "madebyollin/taesd")
    with pytest.raises(Refusal, match="fingerprint"):
        weights_file.check_fingerprint(about, "cd" * 16)
    (tmp_path / "x.safetensors").write_bytes(b"no such thing")
    with pytest.raises(Refusal, match="no file of noise-aware weights"):
        weights_file.read_about(tmp_path / "x.safetensors")


def test_fingerprint_sees_sampler_guidance_and_weights():
    from engines.images.choices import F, open_generator
    from engines.images.rewards.loading import load_reward

    generator, reward = open_generator(F, "cpu"), load_reward("r2")
    own = weights_file.fingerprint(generator, reward, steps=20, guidance=3.0)
    assert own == weights_file.fingerprint(generator, reward, steps=20, guidance=3.0)
    assert own != weights_file.fingerprint(generator, reward, steps=10, guidance=3.0)
    assert own != weights_file.fingerprint(generator, reward, steps=20, guidance=2.0)
    with torch.no_grad():
        reward.model.mlp[0].bias += 1
    assert own != weights_file.fingerprint(generator, reward, steps=20, guidance=3.0)


def test_inside_loss_against_the_slow_obvious_version():
    generator = torch.Generator().manual_seed(1)
    predicted, labels, weights = (torch.rand(12, generator=generator) for _ in range(3))
    weights = weights.view(3, 4)[:, :1].expand(3, 4).reshape(-1)
    inside, between = 0.0, 0.0
    for k in range(3):
        error = (predicted - labels)[4 * k : 4 * k + 4]
        w = float(weights[4 * k])
        inside += w * float(error.var(unbiased=True)) / 3
        between += w * float(error.mean()) ** 2 / 3
    loss = inside_loss(predicted, labels, 4, weights=weights, between=0.3)
    assert float(loss) == pytest.approx(inside + 0.3 * between, rel=1e-5)


def test_inside_loss_does_not_see_a_shift_of_a_group_and_is_about_ranks_inside_it():
    labels = torch.tensor([1.0, 2.0, 7.0, 9.0])
    shifted = labels + torch.tensor([5.0, 5.0, -3.0, -3.0])
    assert float(inside_loss(shifted, labels, 2, between=0.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(inside_loss(shifted, labels, 2, between=1.0)) == pytest.approx((25 + 9) / 2)


@pytest.mark.parametrize("group", [1, 5])
def test_inside_loss_wants_whole_groups(group: int):
    with pytest.raises(ValueError, match="groups of"):
        inside_loss(torch.zeros(12), torch.zeros(12), group)
