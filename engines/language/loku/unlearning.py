"""The loop as a state machine: an `Unlearner` over any model with trainable parameters, one optimizer step at a time.

Spec sections 2.3 and 2.6: every question to forget is paired with one to keep, drawn uniformly at each access; AdamW,
one epoch of warm-up, then a linear fall to 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from engines.devices import numpy_generator
from engines.language.loku.baselines import LossKey, LossSettings, Pair, terms
from engines.language.prompts import collate

if TYPE_CHECKING:
    from engines.language.prompts import Encoded

OptimizerKey = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class Settings:
    """How a contender is trained.

    loss: which; lr: peak rate; epochs: over the forget set, at most; batch: questions to forget a step
    retain_weight: of the retain term; warm_up: epochs; clip: largest length of the gradient (TOFU's trainer: 1)"""

    loss: LossKey = "ihl"
    lr: float = 1e-3
    epochs: int = 10
    batch: int = 8
    retain_weight: float = 1.0
    optimizer: OptimizerKey = "adamw"
    weight_decay: float = 0.01
    warm_up: float = 1.0
    clip: float = 1.0
    constants: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True)
class Questions:
    """Tokens of what is forgotten and kept; `refusals` are the forget questions with evasive answers (may be empty)."""

    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    refusals: Sequence[Encoded] = ()


@dataclass(frozen=True)
class StepInfo:
    """One optimizer step: `seen` holds IHL, p target, p runner-up, forget loss, and retain CE (the retain term) where the
    loss has one; rate is the learning rate used; epoch counts in fractions."""

    step: int
    epoch: float
    rate: float
    gradient_norm: float
    seen: Mapping[str, float]


class Diverged(ArithmeticError):
    """A loss or gradient was not finite. The model holds its last good state."""


class Unlearner:
    """Trains what is trainable in `model`, in place, one step at a time.

    `original` is a frozen copy of the model before unlearning, for losses that compare with it. Everything random
    (order of the forget set, pairing) comes from `seed`, and is the same for every contender of that seed.
    Raises ValueError for an empty forget or retain set and for a model without trainable parameters."""

    def __init__(
        self,
        model: nn.Module,
        questions: Questions,
        settings: Settings,
        *,
        pad: int,
        seed: int,
        original: nn.Module | None = None,
    ) -> None:
        if not questions.forget or not questions.retain:
            raise ValueError("unlearning needs questions to forget and questions to keep")
        self.model, self.questions, self.settings = model, questions, settings
        self.original, self.pad, self.seed = original, pad, seed
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("the model has no trainable parameter")
        self.optimizer = self._optimizer()
        self.taken = 0
        self.saved_bytes = 0
        """What the first step held for its backward pass: activations and logits, parameters apart."""
        self._order: list[int] = []

    @property
    def steps_an_epoch(self) -> int:
        return -(-len(self.questions.forget) // self.settings.batch)

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.steps_an_epoch * self.settings.epochs

    @property
    def trainable(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters)

    def rate(self, step: int) -> float:
        """Learning rate of a step (from 1): up over the warm-up epochs, then linearly to 0 after the last one."""
        warm = max(1, round(self.settings.warm_up * self.steps_an_epoch))
        if step <= warm:
            return self.settings.lr * step / warm
        return self.settings.lr * max(0.0, (self.steps + 1 - step) / max(1, self.steps + 1 - warm))

    def step(self) -> StepInfo:
        """The next optimizer step. Raises `Diverged` before anything not finite reaches the parameters."""
        step, s = self.taken + 1, self.settings
        with self._counting(wanted=self.taken == 0):
            found = terms(s.loss, self.model, self._pair(step), s.constants, self.original)
        loss = found.forget if found.retain is None else found.forget + s.retain_weight * found.retain
        seen = {**found.seen, "forget loss": float(found.forget.detach())}
        if found.retain is not None:
            seen["retain CE"] = float(found.retain.detach())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.parameters, s.clip))
        if not np.isfinite(float(loss.detach())) or not np.isfinite(norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise Diverged(
                f"the loss was not finite at step {step} with the learning rate {self.rate(step):.3g}"
            )
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.taken = step
        return StepInfo(step, step / self.steps_an_epoch, rate, norm, seen)

    @contextmanager
    def _counting(self, *, wanted: bool) -> Iterator[None]:
        """Adds up the storages that autograd saves, each once."""
        if not wanted:
            yield
            return
        weights = {p.untyped_storage().data_ptr() for p in self.model.parameters()}
        held: dict[int, tuple[int, Tensor]] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if (
                storage.data_ptr() not in weights
            ):  # the tensor is kept: its address is not used again meanwhile
                held[storage.data_ptr()] = (storage.nbytes(), tensor.detach())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
        self.saved_bytes = sum(size for size, _ in held.values())

    def _pair(self, step: int) -> Pair:
        epoch, place = divmod(step - 1, self.steps_an_epoch)
        if place == 0 or not self._order:
            shuffled = numpy_generator(self.seed, "forget order", epoch).permutation(
                len(self.questions.forget)
            )
            self._order = [int(i) for i in shuffled]
        chosen = self._order[place * self.settings.batch : (place + 1) * self.settings.batch]
        draw = numpy_generator(self.seed, "retain pairing", step)
        kept = draw.integers(len(self.questions.retain), size=len(chosen))
        device = self.parameters[0].device
        refusals = self.questions.refusals
        return Pair(
            collate([self.questions.forget[i] for i in chosen], self.pad, device),
            collate([self.questions.retain[int(i)] for i in kept], self.pad, device),
            collate([refusals[i] for i in chosen], self.pad, device) if refusals else None,
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        s = self.settings
        if s.optimizer == "sgd":
            return torch.optim.SGD(self.parameters, lr=s.lr, weight_decay=s.weight_decay)
        return torch.optim.AdamW(self.parameters, lr=s.lr, weight_decay=s.weight_decay)
