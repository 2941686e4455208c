"""Models of a run, opened: generator, rewards, their noise-aware pupils, and the exact checker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.contract import Context
from engines.devices import torch_generator
from engines.images import choices, knobs, noise_file
from engines.images.generators.base import Generator
from engines.images.rewards.base import Features, Reward
from engines.images.ttsnap import brought_noise, weights_file
from engines.images.ttsnap.method.noise_aware import NoiseAware
from engines.images.ttsnap.method.search import DECODE_AT_ONCE, decode
from engines.images.ttsnap.params import PLAIN_ONLY, SHIPPED, UPLOADED, TTSnapParams

Floats = NDArray[np.float64]
PLAIN, AWARE = "plain", "noise-aware"
SCORES_AT_ONCE = 64


@dataclass
class Models:
    """Everything that a search needs. `aware` is empty where there is no noise-aware reward; `judge` are embedded rewards
    that were not chosen: they only watch."""

    params: TTSnapParams
    generator: Generator
    rewards: Mapping[str, Reward]
    aware: Mapping[str, NoiseAware] = field(default_factory=dict)
    judges: Mapping[str, Reward] = field(default_factory=dict)
    residuals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Of each noise-aware reward: standard deviation of the final reward given its prediction, by step."""
    note: str = ""
    """Why there is no noise-aware reward, if so."""
    memory: str = ""
    """What full-size models take, in words."""
    told: dict[str, Mapping[str, Features]] = field(default_factory=dict)
    """Prompts that were encoded before the rewards' text towers went."""
    given: torch.Tensor | None = None
    """Noises [K, C, H, W] that the reader brought: the first seeds of the race on the reader's own prompt."""

    @property
    def names(self) -> tuple[str, ...]:
        """Rewards in use, by title."""
        return tuple(choices.REWARD_TITLES[name] for name in self.rewards)

    def noise(self, number: int, seed: int, prompt: str) -> torch.Tensor:
        """Noise of the seeds 0 .. number - 1 of a prompt, unit Gaussian; more seeds leave the first as they are."""
        shape = self.generator.noise_shape
        stream = torch_generator(seed, "ttsnap noise", prompt)
        return torch.stack([torch.randn(shape, generator=stream) for _ in range(number)])

    def race_noise(self, number: int, seed: int) -> torch.Tensor:
        """Noise of the race on the reader's prompt: the noises given come first, as the seeds 0 .. K - 1."""
        noise = self.noise(number, seed, self.spelled(self.params.prompt))
        if self.given is not None:
            brought = self.given[:number]
            noise[: len(brought)] = brought
        return noise

    @property
    def is_tiny(self) -> bool:
        """Whether estimates are decoded by a tiny decoder."""
        return getattr(self.generator, "tiny", None) is not None

    def shown(self, clean: torch.Tensor, *, finished: bool) -> torch.Tensor:
        """Pictures [N, 3, H, W] of clean latents: estimates by the tiny decoder where there is one."""
        return decode(self.generator, clean, tiny=self.is_tiny and not finished)

    def reads(self, step: int) -> bool:
        """Whether a noise-aware reward scores the estimates of a step."""
        return any(step < pupil.levels for pupil in self.aware.values())

    def residual(self, step: int) -> float:
        """Standard deviation of the final reward given the prediction at a step, as training measured it (first reward);
        without bound where it is not known, so that nobody is dropped for it."""
        known = self.residuals.get(self.params.rewards[0], ())
        return float(known[step]) if step < len(known) else float("inf")

    def conditioning(self, prompt: str, number: int) -> Any:
        """The prompt, encoded once, for a number of seeds."""
        guided = self.params.guidance > 1 and type(self.generator).__name__ != "Flux"
        return self.generator.encode([self.spelled(prompt)], guided=guided).expand(number)

    def spelled(self, prompt: str) -> str:
        """The prompt as the model writes it."""
        return choices.plain_prompt(prompt) if self.params.is_world else prompt

    def features(self, prompt: str) -> Mapping[str, Features]:
        """The prompt, encoded once for each reward and judge."""
        if prompt in self.told:
            return self.told[prompt]
        both = {**self.rewards, **self.judges}
        return {name: reward.encode([self.spelled(prompt)]) for name, reward in both.items()}

    @torch.no_grad()
    def plain(self, pictures: torch.Tensor, features: Mapping[str, Features]) -> Floats:
        """Scores [R, N] by the plain rewards."""
        return self._stack(pictures, features, self.rewards)

    @torch.no_grad()
    def by_aware(
        self, pictures: torch.Tensor, features: Mapping[str, Features], step: int, plain: Floats
    ) -> Floats:
        """Scores [R, N] by the noise-aware rewards at a step; `plain` [R, N], which are known already, where there are
        none and at steps that keep the plain reward."""
        scores = plain.copy()
        taught = {name: pupil for name, pupil in self.aware.items() if step < pupil.levels}
        rows = [list(self.rewards).index(name) for name in taught]
        scores[rows] = self._stack(pictures, features, taught, step)
        return scores

    @torch.no_grad()
    def watched(self, pictures: torch.Tensor, features: Mapping[str, Features]) -> Floats:
        """Scores [J, N] by rewards that were not chosen."""
        return self._stack(pictures, features, self.judges)

    def _stack(
        self,
        pictures: torch.Tensor,
        features: Mapping[str, Features],
        scorers: Mapping[str, Any],
        step: int | None = None,
    ) -> Floats:
        rows = []
        level = () if step is None else (step,)
        for name, scorer in scorers.items():
            parts = []
            for some in pictures.split(SCORES_AT_ONCE):
                told = features[name].expand(len(some))
                parts.append(scorer.score(some, told, *level))
            rows.append(torch.cat(parts).double().cpu().numpy())
        return np.stack(rows) if rows else np.empty((0, len(pictures)))

    def strict(self, pictures: torch.Tensor, prompt: str) -> tuple[Floats, Floats]:
        """The exact checker on finished pictures of the embedded world: right (0 or 1) and share of demands met, [N]
        each; NaN for other models."""
        if not self.params.is_world:
            nothing = np.full(len(pictures), np.nan)
            return nothing, nothing
        from engines.images.world import caption_of, check_many

        caption = caption_of(self.spelled(prompt))
        right, soft = check_many(pictures.cpu().numpy(), [caption] * len(pictures))
        return right.astype(np.float64), soft


def open_models(params: TTSnapParams, context: Context, *, aware: bool = True) -> Models:
    """Open what the parameters name. Raises Refusal with one sentence, for want of memory and for noise of another shape
    before anything is loaded."""
    economy = knobs.economy_of(params)
    sources = choices.check_sources(params.reward_sources, params.rewards)
    spare = () if params.offload == "layers" else ("offload = layers",)
    seeds = params.seeds_at_once
    one_prompt = params.experiment == "search" and not params.is_world
    memory = choices.plan_memory(
        params.model,
        params.rewards,
        context.device,
        ways_out=("at_once = 1", *spare, "fewer rewards", "a smaller model"),
        batch=min(params.at_once or seeds, seeds),
        pictures=seeds,
        decode_at_once=DECODE_AT_ONCE,
        score_at_once=SCORES_AT_ONCE,
        gradients=False,
        guidance=params.guidance,
        sources=sources,
        economy=replace(economy, tiny=""),  # the full decoder is there for the finished pictures
        drops_text=one_prompt,
    )
    brought = context.inputs.get(brought_noise.FIELD) if params.experiment == "search" else None
    if brought is not None and brought_noise.shape_of(params.model) is None:
        brought_noise.check_hub(brought, params.model)
    generator = choices.open_generator(params.model, context.device, economy=economy)
    rewards = choices.open_rewards(params.rewards, context.device, sources=sources)
    judges: dict[str, Reward] = {}
    if params.is_world:
        judges = choices.open_rewards(
            [n for n in choices.EMBEDDED_REWARDS if n not in params.rewards], context.device
        )
    models = Models(params, generator, rewards, judges=judges, memory=memory)
    if brought is not None:
        tensors = noise_file.read_noise(brought, generator.noise_shape)
        models.given = tensors.get("best_noise", tensors["noise"])  # of a ReNO run, the noise that it found
    if aware:
        _add_pupils(models, context.inputs)
    if one_prompt:
        models.told[params.prompt] = models.features(params.prompt)
        for reward in rewards.values():
            reward.drop_text()
    return models


def _add_pupils(models: Models, inputs: Mapping[str, Path]) -> None:
    """Open the noise-aware rewards, or note why there are none. Raises Refusal where a file does not fit."""
    params = models.params
    if params.noise_aware == PLAIN_ONLY:
        models.note = "The noise-aware reward is switched off: cuts follow the plain reward."
        return
    if params.noise_aware == SHIPPED and not params.is_world:
        models.note = f"No noise-aware weights come with {params.model}: cuts follow the plain reward. Upload your own to use them."
        return
    paths, field = {name: weights_file.shipped(name) for name in params.rewards}, "noise_aware"
    if params.noise_aware == UPLOADED:
        paths, field = {params.rewards[0]: inputs[weights_file.FIELD]}, weights_file.FIELD
    missing = [choices.REWARD_TITLES[name] for name, path in paths.items() if not path.is_file()]
    if missing:
        models.note = (
            f"No noise-aware weights come with the package for {missing[0]}: cuts follow the plain reward."
        )
        return
    pupils, residuals = {}, {}
    for name, path in paths.items():
        about = weights_file.read_about(path, field)
        digest = weights_file.fingerprint(
            models.generator, models.rewards[name], steps=params.steps, guidance=params.guidance
        )
        weights_file.check_fingerprint(about, digest, field)
        pupils[name] = weights_file.read(path, models.rewards[name], field)
        residuals[name] = about.get("residual", ())
    models.aware, models.residuals = pupils, residuals
