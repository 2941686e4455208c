"""A reward that reads the clean estimate of a picture half-drawn (ttsnap.md 2.3; the authors' train_cur.py).

Self-distillation: the teacher is the plain reward of the finished picture, the pupil sees the estimate x0hat_s of the
same trajectory. The curriculum goes from clean to noisy estimates, each level from the weights of the one before.

    pupil = NoiseAware(reward, levels=15, form="conditioned")
    state = init(pupil, level=14, updates=100, rate=3e-4)
    state, info = step(state, pictures, features, labels)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from engines.images.rewards.base import Features, Reward

Form = Literal["levels", "conditioned"]
"""One checkpoint for each level (the paper's), or one model that is told the level (ours)."""


class NoiseAware(nn.Module):
    """A copy of a reward that scores estimates of the levels 0 .. `levels` - 1, at first exactly as the reward does.

    "levels": weights of its own for each level. "conditioned": one set of weights, and a vector for each level that is
    added to every token of the picture tower (zero at first). Later levels keep the plain reward, as in the paper.

    The text side of rewards in CLIP's shape stays as it is (its features are computed once a prompt); that of rewards
    in ImageReward's shape, which sees the picture, is trained along."""

    def __init__(self, reward: Reward, levels: int, form: Form, dtype: torch.dtype | None = None) -> None:
        """`dtype` of the copy, the reward's own unless said: train in float32 what scores in float16."""
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1; got {levels}.")
        self.reward, self.levels, self.form = reward, levels, form
        self.pupil: Any = copy.copy(reward)
        self.model: nn.Module = copy.deepcopy(_network(reward)).to(dtype)
        self.pupil.model = self.model
        self.model.requires_grad_(True)
        width = _tower(self.model).class_embedding.shape[-1]
        shift = torch.zeros(levels, width, device=self.device)
        self.shift = nn.Parameter(shift, requires_grad=form == "conditioned")
        self.weights: dict[int, dict[str, torch.Tensor]] = {}
        """Weights of each trained level ("levels" only)."""
        self._loaded: int | None = None
        self._now: torch.Tensor | None = None
        _tower(self.model).register_forward_hook(self._told)

    def _told(self, _: nn.Module, __: Any, tokens: torch.Tensor) -> torch.Tensor:
        return tokens if self._now is None else tokens + self.shift[self._now][:, None].to(tokens.dtype)

    @property
    def device(self) -> torch.device:
        """Where the copy is."""
        return next(self.model.parameters()).device

    def trainable(self) -> list[nn.Parameter]:
        """What training changes."""
        extra = [self.shift] if self.form == "conditioned" else []
        return [*self.model.parameters(), *extra]

    def score(self, pictures: torch.Tensor, features: Features, level: int | torch.Tensor) -> torch.Tensor:
        """Predicted reward of the finished pictures, [N], in the reward's own units.

        pictures float [N, 3, H, W] in 0..1: decoded estimates after `level` + 1 network calls; `features` of the
        reward's `encode`. `level` may be int64 [N] for the conditioned form. Gradients reach the pictures."""
        if isinstance(level, int):
            untaught = bool(self.weights) and self._cleaner(level) is None
            if level >= self.levels or untaught:
                return self.reward.score(pictures, features)
            self._load(level)
            level = torch.full((len(pictures),), level, device=pictures.device)
        self._now = level if self.form == "conditioned" else None
        try:
            return self.pupil.score(pictures, features)
        finally:
            self._now = None

    def _cleaner(self, level: int) -> int | None:
        """The nearest trained level that is at least as clean."""
        return min((at for at in self.weights if at >= level), default=None)

    def _load(self, level: int) -> None:
        """Weights of a level; one that was not trained uses those of the next cleaner one that was."""
        source = self._cleaner(level)
        if source is not None and source != self._loaded:
            self.model.load_state_dict(self.weights[source])
            self._loaded = source

    def begin(self, level: int, *, afresh: bool = False) -> None:
        """Get ready to train a level: from the weights of the next cleaner one ("levels"), or `afresh` from the plain
        reward, as if there were no other."""
        if self.form == "levels" and afresh:
            self.model.load_state_dict(_network(self.reward).state_dict())
        elif self.form == "levels":
            self._load(level + 1)
        self._loaded = level

    def keep(self, level: int) -> None:
        """Write down the weights that training of a level reached ("levels"), in main memory."""
        if self.form == "levels":
            self.weights[level] = {
                k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()
            }

    def tensors(self) -> dict[str, torch.Tensor]:
        """All trained weights by name: `model.<name>` and `shift`, or `<level>.<name>`."""
        if self.form == "conditioned":
            own = {f"model.{k}": v.detach() for k, v in self.model.state_dict().items()}
            return {**own, "shift": self.shift.detach()}
        return {f"{level}.{k}": v for level, state in self.weights.items() for k, v in state.items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take what `tensors` gave. Raises ValueError where names or shapes do not fit the reward."""
        known = self.model.state_dict()
        if self.form == "conditioned":
            self._fill({k.removeprefix("model."): v for k, v in tensors.items() if k != "shift"}, known)
            if "shift" not in tensors or tensors["shift"].shape != self.shift.shape:
                raise ValueError(f"the vectors of the {self.levels} levels are missing or of another shape.")
            self.shift.data = tensors["shift"].to(self.shift)
            return
        levels: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            level, _, key = name.partition(".")
            levels.setdefault(int(level), {})[key] = value
        for level, state in levels.items():
            self._fill(state, known)
            self.keep(level)
        self._loaded = None

    def _fill(self, state: Mapping[str, torch.Tensor], known: Mapping[str, torch.Tensor]) -> None:
        untrained = ("text_model.", "text_projection.")  # CLIP's text side: as the reward has it
        for name, value in known.items():
            if name not in state and name.startswith(untrained):
                continue
            if name not in state or state[name].shape != value.shape:
                raise ValueError(f"{name} is missing or of another shape.")
        self.model.load_state_dict({k: state.get(k, v).to(v) for k, v in known.items()})


def _network(reward: Reward) -> nn.Module:
    model = getattr(reward, "model", None)
    if not isinstance(model, nn.Module):
        raise TypeError(f"{type(reward).__name__} has no network to train.")
    return model


def _tower(model: nn.Module) -> Any:
    """The embeddings of the picture tower of a CLIPModel or a BlipReward."""
    return model.vision_model.embeddings  # type: ignore[union-attr]


@dataclass(frozen=True)
class Stage:
    """A level under training: the optimiser and how far it is. Built by `init`, moved by `step`."""

    pupil: NoiseAware
    level: int
    updates: int
    optimizer: torch.optim.Optimizer
    rate: float
    least: float
    clip: float
    done: int = 0


def curriculum(levels: int) -> Iterator[int]:
    """Levels in the order of training: from clean to noisy, `levels` - 1 .. 0."""
    return iter(range(levels - 1, -1, -1))


def init(
    pupil: NoiseAware,
    level: int,
    *,
    updates: int,
    rate: float,
    least: float = 0.5,
    clip: float = 5.0,
    decay: float = 0.01,
    afresh: bool = False,
) -> Stage:
    """Begin a level with a fresh AdamW (betas .9, .999, eps 1e-8). The rate falls linearly to `least` * `rate` over
    `updates` steps; gradients are clipped to norm `clip`. `afresh` starts from the plain reward (ablation of the
    curriculum), otherwise from the next cleaner level."""
    if not 0 <= level < pupil.levels:
        raise ValueError(f"level must be 0 to {pupil.levels - 1}; got {level}.")
    pupil.begin(level, afresh=afresh)
    optimizer = torch.optim.AdamW(
        pupil.trainable(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay
    )
    return Stage(pupil, level, updates, optimizer, rate, least, clip)


def step(
    state: Stage,
    pictures: torch.Tensor,
    features: Features,
    labels: torch.Tensor,
    levels: torch.Tensor | None = None,
    *,
    pair_scale: float = 0.0,
    pair_tau: float = 0.5,
) -> tuple[Stage, dict[str, float]]:
    """One update towards L = mean (r_theta(x0hat_s, p) - r*)^2.

    pictures [N, 3, H, W] in 0..1, labels [N]: the plain reward of the finished pictures. `levels` int64 [N] replaces
    the stage's own level row by row (replay, conditioned form only). `pair_scale` adds the authors' optional
    cross-entropy of predictions / `pair_tau` over neighbours (rows 2k and 2k + 1 of one prompt)."""
    progress = state.done / max(state.updates, 1)
    for group in state.optimizer.param_groups:
        group["lr"] = state.rate * (1 - (1 - state.least) * min(1.0, progress))
    told = levels if levels is not None else torch.full((len(pictures),), state.level)
    if state.pupil.form == "levels" and levels is not None and bool((levels != state.level).any()):
        raise ValueError("a model of its own for each level sees no other level: use the conditioned form.")
    predicted = state.pupil.score(pictures, features, told)
    loss = torch.nn.functional.mse_loss(predicted.float(), labels.float())
    total = loss
    if pair_scale > 0:
        total = total + pair_scale * pair_loss(predicted, labels, pair_tau)
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.pupil.trainable(), state.clip)
    if torch.isfinite(norm):
        state.optimizer.step()
    after = replace(state, done=state.done + 1)
    if after.done == after.updates:
        state.pupil.keep(state.level)
    return after, {"loss": float(loss.detach()), "gradient": float(norm), "rate": group["lr"]}


def inside_loss(
    predicted: torch.Tensor,
    labels: torch.Tensor,
    group: int,
    *,
    weights: torch.Tensor | None = None,
    between: float = 1.0,
) -> torch.Tensor:
    """Squared error of predictions [N] to labels [N], apart for inside and between groups of `group` neighbouring rows (seeds
    of one prompt at one step): a search only compares seeds of one prompt.

    The mean over rows of w (e - group's mean)^2 * group / (group - 1), which does not depend on the size of groups, plus
    `between` times the mean of w (group's mean of e)^2. `weights` w [N], one value a group; 1 without them. Ours; the
    paper's loss is `step`'s. Raises ValueError where rows do not fill groups of two or more."""
    if group < 2 or len(predicted) % group:
        raise ValueError(
            f"{len(predicted)} rows do not fill groups of {group}; a group has two rows or more."
        )
    error = (predicted.float() - labels.float()).view(-1, group)
    weight = torch.ones_like(error) if weights is None else weights.view(-1, group)
    middle = error.mean(1, keepdim=True)
    inside = (weight * (error - middle) ** 2).mean() * group / (group - 1)
    return inside + between * (weight * middle**2).mean()


def pair_loss(predicted: torch.Tensor, labels: torch.Tensor, tau: float) -> torch.Tensor:
    """Mean of -log softmax(predicted / tau) at the better one, over pairs of rows (2k, 2k + 1)."""
    n = len(predicted) // 2 * 2
    pairs, truth = predicted[:n].view(-1, 2) / tau, labels[:n].view(-1, 2)
    return torch.nn.functional.cross_entropy(pairs, truth.argmax(1))
