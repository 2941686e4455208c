"""The weight-free doubles behave as their closed forms say."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from engines.images.doubles import (
    NOISE,
    ClosedFormFlow,
    ClosedFormGenerator,
    TemplateReward,
    double_prompts,
)
from engines.images.world import check, check_many, draw_scenes, render, to_uint8
from engines.images.world.captions import caption_index, caption_of, relation_variants

PROMPT = "a red circle left of a blue square"


def noise(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((number, *NOISE), generator=torch.Generator().manual_seed(seed))


def test_generator_is_a_function_of_eighteen_directions():
    generator = ClosedFormGenerator()
    pull = generator.encode(PROMPT)
    eps = noise(3)
    gram = generator.directions @ generator.directions.T
    assert torch.allclose(gram, torch.eye(18), atol=1e-5)
    inside = (eps.flatten(1) @ generator.directions.T) @ generator.directions
    assert torch.allclose(
        generator.one_step(inside.view_as(eps), pull), generator.one_step(eps, pull), atol=1e-4
    )
    pictures = generator.one_step(eps, pull)
    assert pictures.shape == (3, 3, 64, 64)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert to_uint8(pictures.numpy()).std() > 10


def test_generator_draws_the_prompt_when_the_noise_says_so():
    generator = ClosedFormGenerator("S2")
    a = torch.zeros(2, 9)
    a[0, 0], a[1, 0] = -0.9, 0.9
    a[0, 3] = a[0, 6] = a[1, 5] = a[1, 7] = 3.0
    eps = (a.view(1, 18) @ generator.directions).view(1, *NOISE)
    picture = generator.one_step(eps, generator.encode(PROMPT))[0].numpy()
    assert check(picture, PROMPT).strict


def test_gradient_of_the_reward_reaches_the_noise():
    generator, reward = ClosedFormGenerator("S4"), TemplateReward(colors=3)
    eps = noise(4).requires_grad_()
    caption = reward.encode(PROMPT)
    score = reward.score(generator.one_step(eps, generator.encode(PROMPT)), caption)
    score.sum().backward()
    assert torch.isfinite(eps.grad).all()
    assert (eps.grad.flatten(1).norm(dim=1) > 0).all()
    moved = generator.one_step(eps.detach() + 0.2 * eps.grad / eps.grad.norm(), generator.encode(PROMPT))
    assert reward.score(moved, caption).sum() > score.sum()


def test_other_prompts_are_refused():
    assert len(double_prompts()) == 216
    with pytest.raises(KeyError, match="closed-form generator"):
        ClosedFormGenerator().encode("three circles")


def test_template_reward_reads_objects_and_relations():
    reward = TemplateReward()
    place = caption_index()[PROMPT]
    rng = np.random.default_rng(0)
    right = torch.from_numpy(render(draw_scenes(rng, np.full(40, place))))
    own = reward.score(right, caption_of(PROMPT))
    turned = reward.score(right, caption_of("a red circle right of a blue square"))
    swapped = reward.score(right, caption_of("a blue circle left of a red square"))
    assert (own > turned).float().mean() > 0.95
    assert (own > swapped).float().mean() > 0.95
    assert len(relation_variants(place)) == 7


def test_unclean_punishes_blur():
    reward = TemplateReward(unclean=60.0)
    sharp = torch.from_numpy(
        render(draw_scenes(np.random.default_rng(0), np.full(8, caption_index()[PROMPT])))
    )
    blurred = torch.nn.functional.avg_pool2d(sharp, 7, stride=1, padding=3, count_include_pad=False)
    assert (reward.dirt(blurred) > reward.dirt(sharp)).all()


def test_flow_denoises_exactly_at_both_ends():
    flow = ClosedFormFlow()
    data = flow.encode(PROMPT)
    x = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    first = flow.clean(x, 1.0, data)
    assert torch.allclose(first[0].flatten(), data.mean(0), atol=1e-4), "pure noise: the mean of the set"
    own = data[:2].view(2, 3, 64, 64)
    assert torch.allclose(flow.clean(own, 1e-3, data), own, atol=1e-3), "no noise: the picture itself"


def test_flow_samples_its_set():
    flow = ClosedFormFlow()
    data = flow.encode(PROMPT)
    x = torch.randn((40, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    times = flow.times()
    assert times[0] == 1
    assert times[-1] == 0
    assert times == sorted(times, reverse=True)
    for t, after in pairwise(times):
        x, clean = flow.step(x, t, after, data)
    assert torch.allclose(x, clean, atol=1e-4), "the last estimate is the sample"
    strict, _ = check_many(flow.decode(x).numpy(), [caption_of(PROMPT)] * len(x))
    assert 0.02 < strict.mean() < 0.6
