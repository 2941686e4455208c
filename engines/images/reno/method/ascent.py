"""ReNO's loop, batched over noises (section 2.4 of the notes; the official trainer's logic).

    state = init(noise)
    for i in range(n):
        state, info = step(state, evaluate, weights, settings, move=i < n - 1)
    state.best_pictures, state.best_noise

The i-th step looks at the picture of the noise at hand, keeps it if its reward sum is the best so far, and moves on.
The last look need not move, hence `move`. Every noise has its own clipping, its own best and its own step size: what
a noise does depends on no other in the batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from engines.images.reno.method.regulariser import norm_penalty, shape_penalty

Evaluate = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""`evaluate(noise [n, ...], rows [n])`: pictures [n, 3, H, W] in 0..1 and rewards [n, K]; gradients reach the noise.
`rows` says which noises of the whole batch these are (each may have a prompt of its own)."""
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
PASSES = 3
"""Forward passes that one evaluation with its gradient costs, in the paper's count."""


@dataclass(frozen=True)
class Settings:
    """The paper's hyper-parameters. Rates fit noise of 4 x 64 x 64; lr times clip should be about .004 of its norm."""

    lr: float = 5.0
    momentum: float = 0.9
    nesterov: bool = True
    clip: float = 0.1
    """Largest L2 norm of a noise's gradient; 0 switches clipping off."""
    regularise: float = 0.01
    shape: float = 0.0
    """Weight of `shape_penalty`, an extension."""
    optimizer: Literal["sgd", "adam", "lbfgs"] = "sgd"
    at_once: int = 0
    """Noises in one call of the models; 0 takes all. It bounds memory and changes nothing else."""


@dataclass(frozen=True)
class State:
    """Where the ascent stands. All tensors have the batch first, float32.

    `noise` is the point reached, `momentum` its velocity (kept so that a run can go on later), `best_*` what the
    selection rule has kept, `scale` each noise's share of the learning rate (halved after a gradient that is not
    finite)."""

    noise: torch.Tensor
    momentum: torch.Tensor
    scale: torch.Tensor
    iteration: int
    best: torch.Tensor
    best_at: torch.Tensor
    best_noise: torch.Tensor
    best_pictures: torch.Tensor | None = None
    best_rewards: torch.Tensor | None = None
    second: torch.Tensor | None = None
    """Adam's running mean of squares."""
    age: int = 0
    """Moves since momentum and mean of squares were empty: what Adam corrects its bias by."""
    curvature: tuple[dict[str, Any], ...] = field(default=())
    """L-BFGS's memory, one for each noise; empty where it has none yet."""

    def take(self, rows: torch.Tensor) -> State:
        """The noises of those rows (successive halving)."""

        def cut(value: torch.Tensor | None) -> torch.Tensor | None:
            return None if value is None else value[rows]

        picked = {k: cut(getattr(self, k)) for k in ("best_pictures", "best_rewards", "second")}
        plain = {
            k: getattr(self, k)[rows] for k in ("noise", "momentum", "scale", "best", "best_at", "best_noise")
        }
        kept = tuple(self.curvature[i] for i in rows.tolist()) if self.curvature else ()
        return replace(self, curvature=kept, **plain, **picked)


@dataclass(frozen=True)
class Info:
    """What one step saw, before it moved. Tensors [N] unless said otherwise.

    `gradient_norm` is that of the whole objective before clipping (NaN where the step did not move); `skipped` marks
    noises whose gradient was not finite."""

    pictures: torch.Tensor
    rewards: torch.Tensor
    """[N, K], unweighted."""
    total: torch.Tensor
    norm: torch.Tensor
    gradient_norm: torch.Tensor
    is_best: torch.Tensor
    skipped: torch.Tensor
    passes: torch.Tensor
    """What the step cost, in forward passes; a backward pass counts as two."""


def init(noise: torch.Tensor, momentum: torch.Tensor | None = None) -> State:
    """Start from noise [N, C, H, W]; `momentum` goes on where an earlier run stopped.

    Raises ValueError for noise that is zero or not finite."""
    noise = noise.detach().float()
    if not torch.isfinite(noise).all() or bool((noise.flatten(1).norm(dim=1) == 0).any()):
        raise ValueError(
            "noise must be finite and not zero: the regulariser takes the logarithm of its norm."
        )
    n = len(noise)
    start = torch.zeros_like(noise) if momentum is None else momentum.detach().float()
    return State(
        noise=noise,
        momentum=start,
        scale=noise.new_ones(n),
        iteration=0,
        best=noise.new_full((n,), -torch.inf),
        best_at=torch.zeros(n, dtype=torch.long, device=noise.device),
        best_noise=noise,
    )


def step(
    state: State,
    evaluate: Evaluate,
    weights: torch.Tensor,
    settings: Settings,
    *,
    strength: torch.Tensor | None = None,
    move: bool = True,
) -> tuple[State, Info]:
    """Look, keep, move. `weights` are lambda_k, [K] or [N, K]; larger rewards are better. `strength` [N] scales the
    penalties of each noise (0 in the ablation without them; None is 1 for all).

    Cost: one forward pass of generator and rewards, and one backward pass where it moves (L-BFGS: up to about 12)."""
    weights = weights.expand(len(state.noise), -1)
    strength = state.noise.new_ones(len(state.noise)) if strength is None else strength

    def loss_of(leaf: torch.Tensor, rewards: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        # a sum over the batch: no noise enters another's term, so each gets the gradient of its own loss
        loss = -(weights[rows] * rewards.float()).sum(1)
        return (loss + strength[rows] * penalty(leaf, settings)).sum()

    if move and settings.optimizer != "lbfgs":
        pictures, rewards, gradient = _value_and_gradient(state.noise, evaluate, loss_of, settings)
    else:
        pictures, rewards = values(state.noise, evaluate, settings.at_once)
        gradient = None
    # the selection rule: the reward sum without the regulariser, and the first of equals
    total = (weights * rewards).sum(1)
    is_best = total > state.best
    kept = _keep(state, is_best, total, pictures, rewards)
    norm = state.noise.flatten(1).norm(dim=1)
    if not move:
        nan = torch.full_like(norm, torch.nan)
        still = torch.zeros_like(is_best)
        info = Info(pictures, rewards, total, norm, nan, is_best, still, torch.ones_like(norm))
        return replace(kept, iteration=state.iteration + 1), info
    if gradient is None:
        moved, size, skipped, passes = _lbfgs(kept, evaluate, loss_of, settings)
    else:
        moved, size, skipped = _first_order(kept, gradient, settings)
        passes = torch.full_like(norm, PASSES)
    moved = replace(moved, iteration=state.iteration + 1, age=state.age + 1)
    return moved, Info(pictures, rewards, total, norm, size, is_best, skipped, passes)


def _keep(
    state: State, is_best: torch.Tensor, total: torch.Tensor, pictures: torch.Tensor, rewards: torch.Tensor
) -> State:
    """The state with the better pictures in place of the former best."""

    def choose(new: torch.Tensor, old: torch.Tensor | None) -> torch.Tensor:
        return new if old is None else torch.where(is_best.view(-1, *[1] * (new.ndim - 1)), new, old)

    return replace(
        state,
        best=choose(total, state.best),
        best_at=choose(torch.full_like(state.best_at, state.iteration), state.best_at),
        best_noise=choose(state.noise, state.best_noise),
        best_pictures=choose(pictures, state.best_pictures),
        best_rewards=choose(rewards, state.best_rewards),
    )


def _parts(n: int, at_once: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    return torch.arange(n, device=device).split(at_once or n)


@torch.no_grad()
def values(noise: torch.Tensor, evaluate: Evaluate, at_once: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and rewards [N, K] of noises, without gradients."""
    found = [evaluate(noise[rows], rows) for rows in _parts(len(noise), at_once, noise.device)]
    return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found]).float()


def penalty(noise: torch.Tensor, settings: Settings) -> torch.Tensor:
    """What is added to the loss for the noise's own sake, [N]."""
    total = noise.new_zeros(len(noise))
    if settings.regularise:
        total = total + settings.regularise * norm_penalty(noise)
    if settings.shape:
        total = total + settings.shape * shape_penalty(noise)
    return total


def _value_and_gradient(
    noise: torch.Tensor, evaluate: Evaluate, loss_of: Loss, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures, rewards, and the gradient of the loss -sum_k lambda_k C_k + penalties for each noise."""
    pictures, rewards, gradients = [], [], []
    for rows in _parts(len(noise), settings.at_once, noise.device):
        with torch.enable_grad():
            leaf = noise[rows].detach().requires_grad_()
            seen, scored = evaluate(leaf, rows)
            (gradient,) = torch.autograd.grad(loss_of(leaf, scored, rows), leaf)
        pictures.append(seen.detach())
        rewards.append(scored.detach().float())
        gradients.append(gradient)
    return torch.cat(pictures), torch.cat(rewards), torch.cat(gradients)


def _first_order(
    state: State, gradient: torch.Tensor, settings: Settings
) -> tuple[State, torch.Tensor, torch.Tensor]:
    """SGD with Nesterov momentum, or Adam, on the clipped gradient. Answers state, gradient norms, what was skipped."""
    shape = (-1, *[1] * (gradient.ndim - 1))
    size = gradient.flatten(1).norm(dim=1)
    skipped = ~torch.isfinite(size)
    g = torch.where(skipped.view(shape), torch.zeros_like(gradient), gradient)
    if settings.clip:
        # g min(1, clip / (||g|| + 1e-6)), for each noise alone
        share = (settings.clip / (torch.where(skipped, torch.ones_like(size), size) + 1e-6)).clamp(max=1)
        g = g * share.view(shape)
    mu, lr = settings.momentum, (settings.lr * state.scale).view(shape)
    if settings.optimizer == "adam":
        # Adam with betas (.9, .999) and eps 1e-2; `momentum` holds the first moment
        t = state.age + 1
        first = 0.9 * state.momentum + 0.1 * g
        old = torch.zeros_like(g) if state.second is None else state.second
        second = 0.999 * old + 0.001 * g.square()
        change = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-2)
        buffer = first
    else:
        # torch.optim.SGD: buf = mu buf + g (the first buf is g), eps -= lr (g + mu buf), or lr buf without Nesterov
        buffer = mu * state.momentum + g
        second = None
        change = g + mu * buffer if settings.nesterov else buffer
    stay = skipped.view(shape)
    moved = replace(
        state,
        noise=torch.where(stay, state.noise, state.noise - lr * change),
        momentum=torch.where(stay, state.momentum, buffer),
        second=second if second is None or state.second is None else torch.where(stay, state.second, second),
        scale=torch.where(skipped, state.scale / 2, state.scale),
    )
    return moved, size, skipped


def _lbfgs(
    state: State, evaluate: Evaluate, loss_of: Loss, settings: Settings
) -> tuple[State, torch.Tensor, torch.Tensor, torch.Tensor]:
    """torch's L-BFGS (10 inner iterations, history 3, strong Wolfe), without clipping, one for each noise. Answers
    state, gradient norms, what was skipped, and the forward passes that it took."""
    memories = state.curvature or ({},) * len(state.noise)
    noises, sizes, grown, calls = [], [], [], []
    for i in range(len(state.noise)):
        row = torch.tensor([i], device=state.noise.device)
        leaf = state.noise[i : i + 1].detach().clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [leaf],
            lr=settings.lr * float(state.scale[i]),
            max_iter=10,
            history_size=3,
            line_search_fn="strong_wolfe",
        )
        optimizer.state[leaf].update(copy.deepcopy(memories[i]))
        norms: list[float] = []

        def closure(
            leaf: torch.Tensor = leaf,
            row: torch.Tensor = row,
            optimizer: torch.optim.Optimizer = optimizer,
            norms: list[float] = norms,
        ) -> torch.Tensor:
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = loss_of(leaf, evaluate(leaf, row)[1], row)
            loss.backward()
            norms.append(float(leaf.grad.norm()) if leaf.grad is not None else float("nan"))
            return loss

        optimizer.step(closure)
        noises.append(leaf.detach())
        sizes.append(norms[0])
        calls.append(len(norms))
        grown.append(copy.deepcopy(dict(optimizer.state[leaf])))
    noise = torch.cat(noises)
    size = torch.tensor(sizes, device=noise.device)
    skipped = ~torch.isfinite(noise.flatten(1)).all(1) | ~torch.isfinite(size)
    stay = skipped.view(-1, *[1] * (noise.ndim - 1))
    moved = replace(
        state,
        noise=torch.where(stay, state.noise, noise),
        scale=torch.where(skipped, state.scale / 2, state.scale),
        # what a skipped noise has just learnt is broken: it keeps what it knew, and so do the others
        curvature=tuple(
            old if left else new for old, new, left in zip(memories, grown, skipped.tolist(), strict=True)
        ),
    )
    # one look before the inner steps, and an evaluation with gradient for each of theirs
    return moved, size, skipped, 1.0 + PASSES * torch.tensor(calls, device=noise.device, dtype=size.dtype)
