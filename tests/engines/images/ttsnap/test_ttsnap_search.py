"""The staged search on a generator whose estimates are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from engines.images.generators.base import Conditioning, Generator, Level, Sampling
from engines.images.ttsnap.method.schedule import PAPER_SINGLE, Prices, Schedule
from engines.images.ttsnap.method.search import advance_to, call, decode, init, next_cut, step


class Flow(Generator):
    """Flow matching with the exact velocity v = eps - x0, x0 = tanh(eps): x0hat is x0 at every step. `blur` adds what an
    early estimate gets wrong."""

    noise_shape = (3, 4, 4)
    calls = 0

    def __init__(self, blur: float = 0.0) -> None:
        self.blur = blur

    def encode(self, prompts: Sequence[str], *, guided: bool = False) -> Conditioning:
        return Conditioning({"embeds": torch.zeros(len(prompts), 1)})

    def one_step(self, noise: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        return torch.tanh(noise)

    def start(
        self, noise: torch.Tensor, conditioning: Conditioning, *, steps: int, guidance: float
    ) -> Sampling:
        levels = tuple(Level(1 - k / steps, 1 - k / steps) for k in range(steps + 1))
        eps = Conditioning({"eps": noise})
        return Sampling(noise, eps, guidance, levels)

    def advance_with_gradients(self, sampling: Sampling) -> Sampling:
        Flow.calls += len(sampling.latents)
        sigma, after = (sampling.levels[sampling.index + k].sigma for k in (0, 1))
        eps = sampling.conditioning.tensors["eps"]
        v = eps - torch.tanh(eps)
        clean = sampling.latents - sigma * v
        shown = clean + self.blur * after * eps.flip(-1)
        return replace(
            sampling, latents=sampling.latents + (after - sigma) * v, clean=shown, index=sampling.index + 1
        )

    def decode(self, latents: torch.Tensor, *, tiny: bool = False) -> torch.Tensor:
        return (latents / 2 + 0.5).clamp(0, 1)


def noise(number: int = 32) -> torch.Tensor:
    return torch.randn((number, 3, 4, 4), generator=torch.Generator().manual_seed(1))


def brightness(pictures: torch.Tensor, seeds: np.ndarray, at: int) -> np.ndarray:
    """The reward: mean brightness."""
    return pictures.mean((1, 2, 3)).double().numpy()[None]


def begin(generator: Generator, number: int = 32):
    return init(generator, noise(number), generator.encode(["x"]).expand(number), steps=20, guidance=1.0)


def run(generator: Generator, schedule: Schedule, number: int = 32, **more):
    race, stages = begin(generator, number), []
    while not race.is_done:
        race, stage = step(race, generator, schedule, brightness, **more)
        stages.append(stage)
    return race, stages


def test_exact_velocity_gives_the_sample_at_every_step():
    generator = Flow()
    race = begin(generator, 4)
    for _ in range(20):
        race = call(race, generator)
        assert torch.allclose(race.sampling.clean, torch.tanh(noise(4)), atol=1e-5)
    assert torch.allclose(race.sampling.latents, race.sampling.clean, atol=1e-5), (
        "x0hat of the last step is the sample"
    )


def test_stages_counts_and_calls():
    Flow.calls = 0
    race, stages = run(Flow(), PAPER_SINGLE)
    assert [s.step for s in stages] == [2, 6, 11, 19]
    assert [len(s.seeds) for s in stages] == [32, 13, 5, 2]
    assert race.calls == Flow.calls == 32 * 3 + 13 * 4 + 5 * 5 + 2 * 8
    prices = Prices(1.0, 0.12, 20)
    assert prices.spent([len(s.seeds) for s in stages], PAPER_SINGLE) == pytest.approx(
        race.calls + 0.12 * race.verified
    )


def test_with_perfect_estimates_the_best_seed_wins():
    race, stages = run(Flow(), PAPER_SINGLE)
    best = int(decode(Flow(), torch.tanh(noise())).mean((1, 2, 3)).argmax())
    assert int(race.seeds[stages[-1].kept][0]) == best


def test_without_cuts_it_is_best_of_n_and_keeping_all_changes_nothing():
    blurred = Flow(blur=2.0)
    _, whole = run(blurred, Schedule())
    _, kept = run(blurred, Schedule((3, 9), (1.0, 1.0)))
    assert len(whole) == 1
    assert np.array_equal(whole[-1].scores, kept[-1].scores)
    assert np.array_equal(whole[-1].kept, kept[-1].kept)


def test_survivors_and_resumed_seeds_end_as_if_never_touched():
    generator = Flow(blur=2.0)
    race, _ = run(generator, PAPER_SINGLE)
    alone = advance_to(generator, begin(generator).sampling, 19).clean
    assert torch.allclose(race.sampling.clean, alone[torch.from_numpy(race.seeds)], atol=1e-5)
    for seeds, aside in race.out:
        assert torch.allclose(
            advance_to(generator, aside, 19).clean, alone[torch.from_numpy(seeds)], atol=1e-5
        )
    everybody = np.sort(np.concatenate([race.seeds, *(seeds for seeds, _ in race.out)]))
    assert np.array_equal(everybody, np.arange(32))


def test_watching_call_by_call_and_in_parts_changes_nothing():
    generator = Flow(blur=2.0)
    race, stages = begin(generator), []
    while not race.is_done:
        while race.sampling.index < next_cut(race, PAPER_SINGLE):
            race = call(race, generator)
        race, stage = step(race, generator, PAPER_SINGLE, brightness, at_once=5)
        stages.append(stage)
    other, plain = run(generator, PAPER_SINGLE)
    assert race.calls == other.calls
    assert [s.seeds.tolist() for s in stages] == [s.seeds.tolist() for s in plain]


def test_the_adaptive_cut_never_keeps_more_and_saves_calls():
    generator = Flow(blur=0.5)
    fixed, _ = run(generator, PAPER_SINGLE)
    adaptive, _ = run(generator, PAPER_SINGLE, residual=lambda s: 0.01, z=1.0)
    generous, _ = run(generator, PAPER_SINGLE, residual=lambda s: 100.0)
    assert adaptive.calls < fixed.calls
    assert generous.calls == fixed.calls


def test_random_cuts_follow_their_generator():
    one, _ = run(Flow(), PAPER_SINGLE, rng=np.random.default_rng(1))
    two, _ = run(Flow(), PAPER_SINGLE, rng=np.random.default_rng(1))
    other, _ = run(Flow(), PAPER_SINGLE, rng=np.random.default_rng(2))
    assert np.array_equal(one.seeds, two.seeds)
    assert not np.array_equal(one.seeds, other.seeds)


def test_pictures_are_eight_bit():
    pictures = decode(Flow(), torch.tanh(noise(3)))
    assert torch.equal(pictures, (pictures * 255).round() / 255)


def test_a_number_for_each_noise():
    with pytest.raises(ValueError, match="a number for each noise"):
        init(Flow(), noise(3), Flow().encode(["x"]).expand(3), steps=4, guidance=1.0, seeds=[0])
