"""The training step of OBLR-PO and of the estimators that it is compared with, for any causal language model.

Spec section 2.6. One forward pass and one backward pass a batch: the tape of `per_sample_norms` gives the weights w,
then the advantages, then the gradient, whose group norms give the signal-to-noise ratio.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.language import rl_rollouts
from engines.language.char_policy import Problem
from engines.language.oblr_po.method import estimators, snr
from engines.language.per_sample_norms import Tape, record, squared_length
from engines.language.per_sample_norms_proxies import (
    correlation,
    head_errors,
    head_groups,
    head_input,
    head_norm,
    logit_proxy,
)
from engines.language.rl_models import Policy
from engines.language.verifiers import Reward

Matrix = NDArray[np.float64]
NEEDS_WEIGHTS = ("optimal", "optimal in-group")
PROXY_EVERY = 10
"""Steps between two checks of a stand-in against the exact norm."""


@dataclass(frozen=True)
class Settings:
    """What distinguishes the arms of a comparison.

    `estimator`: a name of `estimators.BY_REWARD`, "ReMax", "OPO", "optimal" (leave-one-out) or "optimal in-group".
    `adaptive`: learning rate = rate * rho from the signal-to-noise ratio; else fixed at `rate`.
    `weights`: exact, head, logit, length. `start` is rho_0, `floor` rho_min. `kl` and `entropy` are coefficients of
    reward shaping, r - kl (log pi - log pi_0) - entropy log pi, both 0 in the method."""

    estimator: str = "optimal"
    adaptive: bool = True
    rate: float = 1e-4
    weights: str = "exact"
    shrink: float = 0.0
    beta: float = 0.9
    floor: float = 0.1
    start: float | None = 0.25
    optimizer: str = "adamw"
    kl: float = 0.0
    entropy: float = 0.0
    temperature: float = 1.0
    max_new_tokens: int = 4
    rows_at_once: int = 256


@dataclass(frozen=True)
class StepInfo:
    """What one step saw; matrices are (N, G). `proxy` is the correlation of a stand-in weight with the exact one on
    the first rows (every tenth step; else NaN, as where weights are exact or not used); `seconds` by part."""

    problems: list[Problem]
    rollout: rl_rollouts.Rollout
    rewards: Matrix
    weights: Matrix
    advantages: Matrix
    measured: snr.Measured
    state: snr.SnrState
    rho: float
    rate: float
    entropy: float
    proxy: float
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def silent_groups(self) -> float:
        """Share of groups whose responses all have the same reward: no signal in them."""
        spread = np.nanmax(self.rewards, 1, initial=-np.inf) - np.nanmin(self.rewards, 1, initial=np.inf)
        return float((~(spread > 0)).mean())


class Trainer:
    """One policy under training. `step` is one on-policy batch and at most one optimizer step."""

    def __init__(self, policy: Policy, reward: Reward, settings: Settings) -> None:
        self.policy, self.reward, self.settings = policy, reward, settings
        self.state = snr.SnrState()
        self.steps = 0
        self._frozen: nn.Module | None = None
        if settings.kl > 0 and not policy.adapters:
            self._frozen = policy.copy().model
        trained = [p for p in policy.model.parameters() if p.requires_grad]
        kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        self.optimizer = kinds[settings.optimizer](trained, lr=settings.rate, weight_decay=0.0)

    def step(self, problems: list[Problem], group: int, generator: torch.Generator) -> StepInfo:
        """Sample `group` responses to each problem, score them, and move the parameters.

        A batch whose advantages are all zero moves nothing and leaves the running means as they are."""
        clock = _Clock()
        rollout, rewards = self.sample(problems, group, generator)
        clock.lap("sampling")
        greedy = self._greedy_rewards(problems) if self.settings.estimator == "ReMax" else None
        rewards_used = self._shaped(rollout, rewards)
        work = _Work(np.zeros_like(rewards), np.zeros_like(rewards))
        rows = max(1, self.settings.rows_at_once // group) * group
        for start in range(0, rewards.size, rows):
            chunk = self._head_chunk if self.settings.weights == "head" else self._chunk
            chunk(rollout, rewards_used, greedy, slice(start, min(start + rows, rewards.size)), work, clock)
        measured = (
            snr.measure(work.group_norms * len(problems) ** 2, work.squared_norm())
            if len(problems) > 1
            else (snr.Measured(float("nan"), float("nan"), work.squared_norm()))
        )
        rho, rate = self._move(measured, work.gradients)
        clock.lap("update")
        self.steps += 1
        return StepInfo(
            problems,
            rollout,
            rewards,
            work.weights,
            work.advantages,
            measured,
            self.state,
            rho,
            rate,
            work.entropy / rewards.size,
            work.proxy,
            clock.seconds,
        )

    def sample(
        self, problems: list[Problem], group: int, generator: torch.Generator
    ) -> tuple[rl_rollouts.Rollout, Matrix]:
        """(rollout of N * G rows, rewards (N, G) with NaN for what cannot be scored)."""
        repeated = [p for p in problems for _ in range(group)]
        rollout = rl_rollouts.sample(
            self.policy.model,
            self.policy.tokenizer,
            [p.prompt for p in repeated],
            max_new_tokens=self.settings.max_new_tokens,
            generator=generator,
            temperature=self.settings.temperature,
        )
        found = [
            self.reward(p.prompt, r, p.answer) if done else 0.0
            for p, r, done in zip(repeated, rollout.responses, rollout.ended, strict=True)
        ]
        values = np.array([np.nan if v is None else v for v in found], dtype=np.float64)
        return rollout, values.reshape(len(problems), group)

    def _greedy_rewards(self, problems: list[Problem]) -> Matrix:
        out = rl_rollouts.sample(
            self.policy.model,
            self.policy.tokenizer,
            [p.prompt for p in problems],
            greedy=True,
            max_new_tokens=self.settings.max_new_tokens,
            generator=torch.Generator(),
        )
        found = [self.reward(p.prompt, r, p.answer) for p, r in zip(problems, out.responses, strict=True)]
        return np.array([0.0 if v is None else v for v in found])

    def _shaped(self, rollout: rl_rollouts.Rollout, rewards: Matrix) -> Matrix:
        s = self.settings
        if s.kl == 0 and s.entropy == 0:
            return rewards
        with torch.no_grad():
            own = self._row_log_probs(self.policy.model, rollout)[0]
            shaped = s.entropy * own
            if s.kl > 0:
                with self.policy.reference(self._frozen) as reference:
                    shaped = shaped + s.kl * (own - self._row_log_probs(reference, rollout)[0])
        return rewards - shaped.double().cpu().numpy().reshape(rewards.shape)

    def _row_log_probs(self, model: nn.Module, rollout: rl_rollouts.Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """(log pi of each response (B,), logits (B, T-1, V), response mask (B, T-1))."""
        tokens, logits = rl_rollouts.token_log_probs(model, rollout, self.settings.temperature)
        mask = rollout.response[:, 1:]
        return (tokens * mask).sum(1), logits, mask

    def _chunk(
        self,
        rollout: rl_rollouts.Rollout,
        rewards: Matrix,
        greedy: Matrix | None,
        rows: slice,
        work: _Work,
        clock: _Clock,
    ) -> None:
        """Weights, advantages and gradient of some whole groups, added to `work`."""
        part, group = rollout.rows(rows.start, rows.stop), rewards.shape[1]
        groups = slice(rows.start // group, rows.stop // group)
        with record(self.policy.model) as tape:
            log_probs, logits, mask = self._row_log_probs(self.policy.model, part)
        work.entropy += rl_rollouts.entropy(logits, mask) * len(log_probs)
        clock.lap("scoring")
        tape.differentiate(log_probs.sum())
        clock.lap("backward")
        work.weights[groups] = self._weights(tape, part, logits.detach(), mask, work).reshape(-1, group)
        work.advantages[groups] = self.advantages(rewards, work.weights, greedy, rollout.lengths)[groups]
        clock.lap("norms")
        coefficients = torch.as_tensor(
            work.advantages[groups].ravel() / rewards.size, device=log_probs.device
        )
        work.add(tape, coefficients.to(log_probs.dtype), groups)
        clock.lap("backward")

    def _weights(
        self,
        tape: Tape,
        part: rl_rollouts.Rollout,
        logits: Tensor,
        mask: Tensor,
        work: _Work,
    ) -> Matrix:
        source, chosen = self.settings.weights, part.ids[:, 1:]
        if self.settings.estimator not in NEEDS_WEIGHTS:
            return np.ones(len(mask))
        if source == "exact":
            return tape.squared_norms().double().cpu().numpy()
        if source == "logit":
            found = logit_proxy(logits, chosen, mask).double().cpu().numpy()
        else:
            found = part.lengths.astype(np.float64)
        if np.isnan(work.proxy) and self.steps % PROXY_EVERY == 0:
            work.proxy = correlation(found[:64], tape.first_rows(64).squared_norms().double().cpu().numpy())
        return found

    def _head_chunk(
        self,
        rollout: rl_rollouts.Rollout,
        rewards: Matrix,
        greedy: Matrix | None,
        rows: slice,
        work: _Work,
        clock: _Clock,
    ) -> None:
        """The same from the output head alone: weights and signal-to-noise ratio are those of the head's gradient,
        which a forward pass gives; the parameters move by the whole gradient. A departure for speed, off by
        default: every tenth step says how well the head's norms follow the exact ones."""
        part, group = rollout.rows(rows.start, rows.stop), rewards.shape[1]
        groups = slice(rows.start // group, rows.stop // group)
        model = self.policy.model
        with head_input(model) as head:
            log_probs, logits, mask = self._row_log_probs(model, part)
        work.entropy += rl_rollouts.entropy(logits.detach(), mask) * len(log_probs)
        clock.lap("scoring")
        hidden = head[0][:, :-1]
        errors = head_errors(logits.detach(), part.ids[:, 1:], mask)
        if self.settings.estimator in NEEDS_WEIGHTS:
            found = head_norm(errors, hidden).double().cpu().numpy()
            if np.isnan(work.proxy) and self.steps % PROXY_EVERY == 0:
                work.proxy = correlation(found[:64], self._exact(part.rows(0, min(64, len(found)))))
            work.weights[groups] = found.reshape(-1, group)
        else:
            work.weights[groups] = 1.0
        work.advantages[groups] = self.advantages(rewards, work.weights, greedy, rollout.lengths)[groups]
        scaled = torch.as_tensor(work.advantages[groups].ravel() / rewards.size, device=log_probs.device)
        scaled = scaled.to(log_probs.dtype)
        work.add_head(head_groups(errors, hidden, scaled, groups.stop - groups.start), groups)
        clock.lap("norms")
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        found_gradients = torch.autograd.grad(scaled @ log_probs, list(trained.values()), allow_unused=True)
        work.add_gradients({n: g for n, g in zip(trained, found_gradients, strict=True) if g is not None})
        clock.lap("backward")

    def _exact(self, part: rl_rollouts.Rollout) -> NDArray[np.float64]:
        """(B,) exact squared gradient norms of some rows."""
        with record(self.policy.model) as tape:
            log_probs = self._row_log_probs(self.policy.model, part)[0]
        tape.differentiate(log_probs.sum())
        return tape.squared_norms().double().cpu().numpy()

    def advantages(
        self, rewards: Matrix, weights: Matrix, greedy: Matrix | None, lengths: NDArray[np.int64]
    ) -> Matrix:
        """(N, G) advantages of this arm's estimator."""
        name = self.settings.estimator
        if name == "optimal":
            return estimators.optimal_loo(rewards, weights, self.settings.shrink)
        if name == "optimal in-group":
            return estimators.optimal_in_group(rewards, weights)
        if name == "OPO":
            return estimators.opo(rewards, lengths.reshape(rewards.shape).astype(np.float64))
        if name == "ReMax":
            assert greedy is not None
            return estimators.remax(rewards, greedy)
        return estimators.BY_REWARD[name](rewards)

    def _move(self, measured: snr.Measured, gradients: dict[str, Tensor]) -> tuple[float, float]:
        """(rho, learning rate used): one optimizer step up the gradient, none where there is no signal."""
        s = self.settings
        if np.isfinite(measured.variance):
            self.state = snr.update(self.state, measured, s.beta, s.start)
        rho = snr.rate_share(self.state, s.floor)
        rate = s.rate * rho if s.adaptive else s.rate
        if not measured.has_signal:
            return rho, 0.0
        parameters = dict(self.policy.model.named_parameters())
        for name, gradient in gradients.items():
            parameters[name].grad = gradient.neg_().to(parameters[name].dtype)
        for part in self.optimizer.param_groups:
            part["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return rho, rate


class _Work:
    """Sums over the chunks of one batch."""

    def __init__(self, weights: Matrix, advantages: Matrix) -> None:
        self.weights, self.advantages = weights, advantages
        self.group_norms = np.zeros(len(weights))
        self.gradients: dict[str, Tensor] = {}
        self.head: Tensor | None = None
        self.entropy, self.proxy = 0.0, float("nan")

    def add(self, tape: Tape, coefficients: Tensor, groups: slice) -> None:
        """Add the gradient of sum_b c_b log pi_b, and note each group's norm."""
        combined = tape.combine(coefficients, groups.stop - groups.start)
        self.group_norms[groups] = combined.group_squared_norms.double().cpu().numpy()
        self.add_gradients(combined.gradients)

    def add_gradients(self, found: dict[str, Tensor]) -> None:
        """Add one chunk's gradient."""
        for name, gradient in found.items():
            self.gradients[name] = self.gradients[name] + gradient if name in self.gradients else gradient

    def add_head(self, each: Tensor, groups: slice) -> None:
        """Add the head's gradient of each group: the signal-to-noise ratio is measured on it alone."""
        self.group_norms[groups] = each.flatten(1).square().sum(1).double().cpu().numpy()
        self.head = each.sum(0) if self.head is None else self.head + each.sum(0)

    def squared_norm(self) -> float:
        """||g||^2, of the head alone where that is what was measured."""
        if self.head is not None:
            return float(self.head.double().square().sum())
        return squared_length(self.gradients) if self.gradients else 0.0


class _Clock:
    """Seconds by part of the step, each lap added to its part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now
