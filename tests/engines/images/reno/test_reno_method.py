"""ReNO's formulas and loop against closed forms, torch's own optimizers, and the official trainer's logic written out."""

import math

import pytest
import torch

from engines.images.reno.method import (
    Settings,
    begin_best,
    init,
    norm_band,
    norm_gradient,
    norm_penalty,
    shape_penalty,
    state_of,
    step,
    tensors_of,
    typical_norm,
)

SHAPE = (2, 4, 4)
D = math.prod(SHAPE)


def noise_of(n=3, seed=0, shape=SHAPE):
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


class Toy:
    """A smooth generator and two rewards: pictures are squashed mixtures of the noise, rewards are two directions."""

    def __init__(self, seed=1):
        g = torch.Generator().manual_seed(seed)
        self.mix = torch.randn((D, 3 * 4 * 4), generator=g) / math.sqrt(D)
        self.wanted = torch.randn((2, 3 * 4 * 4), generator=g)
        self.calls = 0

    def __call__(self, noise, rows):
        self.calls += 1
        pictures = torch.sigmoid(noise.flatten(1) @ self.mix)
        return pictures.view(-1, 3, 4, 4), pictures @ self.wanted.T


WEIGHTS = torch.tensor([0.7, 0.2])


def climb(noise, n=12, settings=None, evaluate=None, weights=WEIGHTS):
    settings, evaluate = settings or Settings(lr=1.0), evaluate or Toy()
    state, infos = init(noise), []
    for _ in range(n):
        state, info = step(state, evaluate, weights, settings)
        infos.append(info)
    return state, infos


# the regulariser


def test_penalty_is_the_log_density_of_the_norm():
    """Value of section 11 at d = 16,384 and norm 128, in float64."""
    noise = torch.zeros(1, 16384, dtype=torch.float64)
    noise[0, 0] = 128
    assert 0.01 * float(norm_penalty(noise)) == pytest.approx(0.01 * (8192 - 16383 * math.log(128)), abs=1e-9)
    assert 0.01 * float(norm_penalty(noise)) == pytest.approx(-712.98, abs=0.01)


def test_its_gradient_in_closed_form_and_where_it_vanishes():
    noise = noise_of().double().requires_grad_()
    (by_autograd,) = torch.autograd.grad(norm_penalty(noise).sum(), noise)
    assert torch.allclose(by_autograd, norm_gradient(noise.detach()), atol=1e-12)
    at_rest = noise.detach() / noise.detach().flatten(1).norm(dim=1).view(-1, 1, 1, 1) * typical_norm(D)
    assert norm_gradient(at_rest).abs().max() < 1e-12


def test_band_holds_the_known_moments():
    assert typical_norm(3072) == pytest.approx(55.4166, abs=1e-4)
    assert typical_norm(16384) == pytest.approx(127.9961, abs=1e-4)
    low, high = norm_band(3072, 1.0)
    assert (low + high) / 2 == pytest.approx(55.4211, abs=1e-4)
    assert (high - low) / 2 == pytest.approx(0.7071, abs=1e-4)


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_alone_it_brings_any_noise_to_the_typical_norm(share):
    noise = noise_of(1) * share
    nothing = torch.zeros(2)
    state, _ = climb(noise, 400, Settings(lr=5.0, momentum=0.0, regularise=0.05, clip=0.1), weights=nothing)
    assert float(state.noise.norm()) == pytest.approx(typical_norm(D), abs=1e-3)


def test_shape_terms_are_small_for_white_noise_and_grow_for_structure():
    white = noise_of(200, shape=(4, 8, 8))
    typical = shape_penalty(white)
    # four statistics a channel, each half of a squared standard normal; the two products lose 1/8 of their entries
    assert float(typical.mean()) == pytest.approx(4 * (0.5 + 0.5 + 2 * 0.5 * 64 / 56), rel=0.15)
    rows = torch.randn((50, 4, 8, 1), generator=torch.Generator().manual_seed(1)).expand(-1, -1, -1, 8)
    assert float(shape_penalty(rows).min()) > float(typical.max())
    assert float(shape_penalty(white + 1).min()) > float(typical.max())


# the step


def test_clipped_gradient_and_length_of_the_first_move():
    noise = noise_of()
    settings = Settings(lr=5.0, clip=0.1)
    state, info = step(init(noise), Toy(), WEIGHTS * 100, settings)
    assert (info.gradient_norm > 1).all()
    moved = (state.noise - noise).flatten(1).norm(dim=1)
    assert torch.allclose(moved, torch.full((3,), 5 * 0.1 * 1.9), atol=1e-4)
    assert torch.allclose(state.momentum.flatten(1).norm(dim=1), torch.full((3,), 0.1), atol=1e-5)


def official(noise, n, evaluate, lr, momentum=0.9, clip=0.1, optimizer="sgd", offset=3.0):
    """The trainer's loop for one noise: losses are constants less rewards, torch's optimizer and clipping, and a best
    that the regulariser has no say in."""
    leaf = torch.nn.Parameter(noise.clone()[None])
    if optimizer == "sgd":
        optim = torch.optim.SGD([leaf], lr=lr, momentum=momentum, nesterov=True)
    else:
        optim = torch.optim.Adam([leaf], lr=lr, eps=1e-2)
    best, best_noise, best_at, path = math.inf, None, -1, []
    for i in range(n):
        optim.zero_grad()
        _, rewards = evaluate(leaf, torch.tensor([0]))
        loss = sum(float(w) * (offset - r) for w, r in zip(WEIGHTS, rewards[0], strict=True))
        path.append(leaf.detach().clone())
        if float(loss.detach()) < best:
            best, best_noise, best_at = float(loss.detach()), leaf.detach().clone(), i
        if i < n - 1:
            square = leaf.square().sum()
            (loss + 0.01 * (square / 2 - (D - 1) * 0.5 * torch.log(square))).backward()
            torch.nn.utils.clip_grad_norm_([leaf], clip)
            optim.step()
    return torch.cat(path), best, best_noise, best_at


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 2.0), ("adam", 0.05)])
def test_trajectory_and_selection_are_those_of_the_official_loop(optimizer, lr):
    """Every noise of the batch goes as if it were alone in the official trainer."""
    noise = noise_of(4)
    state, infos = climb(noise, 15, Settings(lr=lr, optimizer=optimizer))
    for row in range(4):
        path, best, best_noise, best_at = official(noise[row], 15, Toy(), lr, optimizer=optimizer)
        norms = torch.stack([info.norm[row] for info in infos])
        assert torch.allclose(norms, path.flatten(1).norm(dim=1), atol=1e-4)
        assert float(state.best[row]) == pytest.approx(3.0 * float(WEIGHTS.sum()) - best, abs=1e-4)
        assert int(state.best_at[row]) == best_at
        assert torch.allclose(state.best_noise[row], best_noise[0], atol=1e-4)


def test_lbfgs_is_torchs():
    noise = noise_of(2)
    state, _ = climb(noise, 3, Settings(lr=0.5, optimizer="lbfgs"))
    toy = Toy()
    for row in range(2):
        leaf = torch.nn.Parameter(noise[row : row + 1].clone())
        optim = torch.optim.LBFGS([leaf], lr=0.5, max_iter=10, history_size=3, line_search_fn="strong_wolfe")

        def closure(leaf=leaf, optim=optim):
            optim.zero_grad()
            loss = 0.01 * norm_penalty(leaf).sum() - (WEIGHTS * toy(leaf, None)[1]).sum()
            loss.backward()
            return loss

        for _ in range(3):
            optim.step(closure)
        assert torch.allclose(state.noise[row], leaf.detach()[0], atol=1e-4)


def test_without_nesterov_it_is_plain_momentum():
    noise = noise_of(1)
    state, _ = climb(noise, 2, Settings(lr=1.0, nesterov=False, regularise=0.0, clip=0.0))
    leaf = torch.nn.Parameter(noise.clone())
    optim = torch.optim.SGD([leaf], lr=1.0, momentum=0.9)
    for _ in range(2):
        optim.zero_grad()
        (-(WEIGHTS * Toy()(leaf, None)[1]).sum()).backward()
        optim.step()
    assert torch.allclose(state.noise, leaf.detach(), atol=1e-5)


def test_the_result_is_never_worse_than_the_start_and_the_best_only_rises():
    state, infos = climb(noise_of(5), 20, Settings(lr=30.0))
    totals = torch.stack([info.total for info in infos])
    assert (state.best >= totals[0]).all()
    assert torch.equal(state.best, totals.max(0).values)
    assert torch.equal(state.best_at, totals.argmax(0))


def test_a_rate_of_nothing_gives_a_flat_curve_and_keeps_the_first():
    state, infos = climb(noise_of(2), 5, Settings(lr=0.0))
    assert all(torch.equal(info.total, infos[0].total) for info in infos)
    assert state.best_at.tolist() == [0, 0]


def test_linear_generator_goes_along_the_rewards_direction_to_the_known_norm():
    """reward <u, A eps>: the stationary norm r solves lambda (r - (d - 1) / r) = ||A^T u||; the clip leaves it there."""
    direction = noise_of(1, seed=5).flatten()
    direction = direction / direction.norm() * 0.02

    def evaluate(noise, rows):
        return noise[:, :1].expand(-1, 3, -1, -1), (noise.flatten(1) @ direction)[:, None]

    settings = Settings(lr=20.0, momentum=0.5, regularise=0.01, clip=0.1)
    state, _ = climb(noise_of(1), 1500, settings, evaluate, torch.tensor([1.0]))
    found = state.noise.flatten()
    r = (0.02 + math.sqrt(0.02**2 + 4 * 0.01**2 * (D - 1))) / (2 * 0.01)
    assert float(found.norm()) == pytest.approx(r, rel=1e-3)
    assert float(torch.cosine_similarity(found, direction, dim=0)) == pytest.approx(1, abs=1e-3)


# the batch


def test_no_noise_knows_of_the_others():
    """A noise with enormous gradients beside it changes nothing: clipping is for each alone."""
    noise = noise_of(3)
    weights = torch.stack([WEIGHTS, WEIGHTS * 1e3, WEIGHTS])
    together, _ = climb(noise, 8, weights=weights)
    for row in (0, 2):
        alone, _ = climb(noise[row : row + 1], 8)
        assert torch.allclose(together.noise[row], alone.noise[0], atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2])
def test_fewer_at_once_gives_the_same(at_once):
    whole, _ = climb(noise_of(3), 6)
    parts, _ = climb(noise_of(3), 6, Settings(lr=1.0, at_once=at_once))
    assert torch.allclose(whole.noise, parts.noise, atol=1e-6)


def test_strength_switches_the_penalty_off_for_one_noise():
    state, evaluate, settings = init(noise_of(2)), Toy(), Settings(lr=1.0, regularise=0.1, clip=0.0)
    moved, _ = step(state, evaluate, WEIGHTS, settings, strength=torch.tensor([0.0, 1.0]))
    free, _ = step(state, evaluate, WEIGHTS, Settings(lr=1.0, regularise=0.0, clip=0.0))
    assert torch.allclose(moved.noise[0], free.noise[0], atol=1e-6)
    assert not torch.allclose(moved.noise[1], free.noise[1], atol=1e-3)


def test_a_gradient_that_is_not_finite_is_left_out_and_halves_that_rate():
    noise = noise_of(2)

    class Broken(Toy):
        def __call__(self, leaf, rows):
            pictures, rewards = super().__call__(leaf, rows)
            bad = torch.tensor([[float("nan")], [1.0]])
            return pictures, rewards * bad

    state, info = step(init(noise), Broken(), WEIGHTS, Settings(lr=1.0))
    assert info.skipped.tolist() == [True, False]
    assert torch.equal(state.noise[0], noise[0])
    assert state.scale.tolist() == [0.5, 1.0]
    assert not torch.equal(state.noise[1], noise[1])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_going_on_later_is_as_going_on_at_once(optimizer):
    """From nothing but tensors: the same moves, and the same best."""
    settings = Settings(lr=0.05, optimizer=optimizer)
    whole, _ = climb(noise_of(2), 6, settings)
    half, _ = climb(noise_of(2), 3, settings)
    state, knows = state_of(tensors_of(half), settings)
    assert knows
    state = begin_best(state, half.best_noise, Toy(), WEIGHTS)
    assert torch.allclose(state.best, half.best, atol=1e-5)
    for _ in range(3):
        state, _ = step(state, Toy(), WEIGHTS, settings)
    assert torch.equal(state.noise, whole.noise)
    assert torch.allclose(state.best, whole.best, atol=1e-5)
    assert torch.equal(state.best_at, whole.best_at)
    assert state.iteration == 6


def test_another_optimizer_finds_nothing_that_it_knows():
    half, _ = climb(noise_of(2), 3, Settings(lr=0.05, optimizer="adam"))
    for optimizer in ("sgd", "lbfgs"):
        state, knows = state_of(tensors_of(half), Settings(optimizer=optimizer))
        assert not knows
        assert not state.momentum.any()
        assert state.age == 0
        assert state.iteration == 3
    with pytest.raises(ValueError, match="curvature must have the shape"):
        state_of({**tensors_of(half), "curvature": torch.zeros(2, 1)}, Settings())


def test_a_best_that_was_found_before_is_kept_until_it_is_beaten():
    far, _ = climb(noise_of(2), 20)
    state = begin_best(init(noise_of(2, seed=9)), far.best_noise, Toy(), WEIGHTS)
    state, info = step(state, Toy(), WEIGHTS, Settings(lr=1.0))
    assert not info.is_best.any()
    assert torch.equal(state.best_noise, far.best_noise)


def test_survivors_of_a_halving_go_on_as_before():
    half, _ = climb(noise_of(4), 3, Settings(lr=0.05, optimizer="adam"))
    whole, _ = climb(noise_of(4), 6, Settings(lr=0.05, optimizer="adam"))
    state = half.take(torch.tensor([3, 1]))
    for _ in range(3):
        state, _ = step(state, Toy(), WEIGHTS, Settings(lr=0.05, optimizer="adam"))
    assert torch.allclose(state.noise, whole.noise[[3, 1]], atol=1e-6)
    assert torch.equal(state.best_at, whole.best_at[[3, 1]])


def test_looking_without_moving_makes_no_backward_pass():
    state, info = step(init(noise_of(2)), Toy(), WEIGHTS, Settings(), move=False)
    assert torch.equal(state.noise, noise_of(2))
    assert info.gradient_norm.isnan().all()
    assert state.best_pictures is not None
    assert not info.pictures.requires_grad


@pytest.mark.parametrize("bad", [torch.zeros(1, *SHAPE), torch.full((1, *SHAPE), math.nan)])
def test_zero_or_broken_noise_is_refused(bad):
    with pytest.raises(ValueError, match="finite and not zero"):
        init(bad)
