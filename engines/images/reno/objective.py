"""From parameters to what the method needs: pictures and rewards of noise, for one prompt or many.

Prompts are encoded once, for the generator and for each reward; an iteration only looks at them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from engines.devices import torch_generator
from engines.images import choices, knobs
from engines.images.generators.base import Conditioning, Generator
from engines.images.generators.known import recipe_of
from engines.images.memory import Economy
from engines.images.reno.method import Evaluate
from engines.images.reno.params import CLOSED_FORM, RenoParams

ENCODED_AT_ONCE = 64
Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""`score(pictures [n, 3, H, W], prompts [n])`: rewards [n]; the second argument numbers the prompts."""
Paint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""`paint(noise [n, C, H, W], prompts [n])`: pictures [n, 3, H, W] in 0..1."""


@dataclass(frozen=True)
class Objective:
    """The models of a run, bound to its prompts. `rewards` are optimised (those of weight 0 are not among them),
    `watched` are only looked at; both by title."""

    prompts: tuple[str, ...]
    noise_shape: tuple[int, int, int]
    device: torch.device
    paint: Paint
    rewards: dict[str, Score]
    watched: dict[str, Score]
    weights: tuple[float, ...]

    def evaluate(self, prompt_of: torch.Tensor) -> Evaluate:
        """What `method.step` calls, for noises whose prompts are numbered by `prompt_of` [N]."""

        def evaluate(noise: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            chosen = prompt_of[rows]
            pictures = self.paint(noise, chosen)
            return pictures, torch.stack([score(pictures, chosen) for score in self.rewards.values()], dim=1)

        return evaluate

    def draw(self, seed: int, place: int, number: int) -> torch.Tensor:
        """Unit noise [C, H, W]: candidate `number` of the `place`-th picture of a run with that seed; number 0 is its
        plain picture's. Drawn on the CPU, so that it depends on no device."""
        generator = torch_generator(seed, "noise", place, number)
        return torch.randn(self.noise_shape, generator=generator).to(self.device)


def open_objective(params: RenoParams, prompts: Sequence[str], device: str) -> Objective:
    """Load generator and rewards and encode the prompts. Raises Refusal with a sentence for what cannot be had."""
    weights = {name: value for name, value in params.weights().items() if value}
    if params.model == CLOSED_FORM:
        return _closed_form(prompts, weights)
    generator = choices.open_generator(params.model, device, economy=economy_of(params))
    own = choices.is_embedded(params.model)
    said = tuple(choices.plain_prompt(prompt) for prompt in prompts) if own else tuple(prompts)
    watched = [name for name in (params.weights() if own else params.watch) if name not in weights]
    rewards = choices.open_rewards(
        (*weights, *watched),
        device,
        "watch",
        sources=choices.check_sources(params.reward_sources, params.rewards_read),
        checkpointing=params.checkpointing,
    )
    scores: dict[str, Score] = {}
    for name, reward in rewards.items():
        features = encoded(reward, said)
        reward.drop_text()
        scores[choices.REWARD_TITLES[name]] = lambda pictures, chosen, reward=reward, features=features: (
            reward.score(pictures, features.take(chosen))
        )
    looked = {choices.REWARD_TITLES[name]: scores[choices.REWARD_TITLES[name]] for name in watched}
    if own:
        looked["Template"] = template_score(said)
    return Objective(
        said,
        generator.noise_shape,
        torch.device(getattr(generator, "device", "cpu")),
        painter(generator, encoded(generator, said), params.steps),
        {choices.REWARD_TITLES[name]: scores[choices.REWARD_TITLES[name]] for name in weights},
        looked,
        tuple(weights.values()),
    )


def encoded(model: Any, prompts: Sequence[str], **options: Any) -> Any:
    """What `model.encode` answers for all prompts, asked for some at a time: a benchmark's hundreds would not fit
    through a text encoder at once."""
    parts = [
        model.encode(prompts[at : at + ENCODED_AT_ONCE], **options)
        for at in range(0, len(prompts), ENCODED_AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[Any]) -> Any:
    """Conditionings or features of several lists of prompts as one."""
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
    if getattr(parts[0], "negative", None) is None:
        return type(parts[0])(tensors)
    return type(parts[0])(tensors, _joined([part.negative for part in parts]))


def painter(generator: Generator, conditioning: Conditioning, steps: int) -> Paint:
    """Pictures in one step, or in `steps` that all carry gradients."""

    is_tiny = getattr(generator, "tiny", None) is not None

    def paint(noise: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        told = conditioning.take(chosen)
        if steps == 1:
            return generator.decode(generator.one_step(noise, told), tiny=is_tiny)
        state = generator.start(noise, told, steps=steps, guidance=1.0)
        while not state.is_done:
            state = generator.advance_with_gradients(state)
        assert state.clean is not None
        return generator.decode(state.clean, tiny=is_tiny)

    return paint


def template_score(prompts: Sequence[str], unclean: float = 25.0) -> Score:
    """A hand-made detector of coloured shapes that nobody optimises here, less what blur and mixed colours cost it."""
    from engines.images.doubles import TemplateReward

    reward = TemplateReward(unclean)
    captions = [reward.encode(prompt) for prompt in prompts]

    def score(pictures: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        places = chosen.tolist()
        if len(set(places)) == 1:
            return reward.score(pictures, captions[places[0]])
        return torch.cat([reward.score(pictures[i : i + 1], captions[p]) for i, p in enumerate(places)])

    return score


def _closed_form(prompts: Sequence[str], weights: dict[str, float]) -> Objective:
    from engines.images.doubles import NOISE, ClosedFormGenerator

    said = tuple(choices.plain_prompt(prompt) for prompt in prompts)
    generator = ClosedFormGenerator()
    pulls = [generator.encode(prompt) for prompt in said]

    def paint(noise: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        places = chosen.tolist()
        if len(set(places)) == 1:
            return generator.one_step(noise, pulls[places[0]])
        return torch.cat([generator.one_step(noise[i : i + 1], pulls[p]) for i, p in enumerate(places)])

    rewards = {"Template": template_score(said, unclean=0.0)}
    watched = {"Template less blur": template_score(said)}
    return Objective(said, NOISE, torch.device("cpu"), paint, rewards, watched, tuple(weights.values()))


def economy_of(params: RenoParams) -> Economy:
    """What is done to need less memory."""
    return knobs.economy_of(params, checkpointing=params.checkpointing)


def successor_of(params: RenoParams, rows: int) -> choices.Successor | None:
    """The many-step model at the end, which draws `rows` pictures from the plain and as many from the found noise."""
    model = params.transfer_model
    if not model:
        return None
    options = {
        "batch": params.at_once or 2 * rows,
        "guidance": recipe(model)[1],
        "economy": transfer_economy(params),
    }
    return choices.Successor(model, "transfer", options)


def transfer_economy(params: RenoParams) -> Economy:
    """As that of the first model, with the model's own decoder and nothing for gradients."""
    spared = replace(economy_of(params), checkpointing=False, tiny="")
    return Economy() if choices.is_embedded(params.transfer_model) else spared


def plan_memory(params: RenoParams, rows: int, device: str) -> str:
    """The memory of a contest with so many rows, in words, from configurations alone; empty where it is 30 MB.

    Raises Refusal where it does not fit, where a configuration cannot be had, or where the many-step model takes noise of
    another shape."""
    if params.model == CLOSED_FORM:
        return ""
    ways = ["a smaller model"]
    if not params.tiny_decoder:
        ways.insert(0, "a tiny decoder")
    if not params.checkpointing:
        ways.insert(0, "gradient checkpointing")
    if params.at_once != 1:
        ways.insert(0, "fewer pictures at once")
    return choices.plan_memory(
        params.model,
        params.rewards_read,
        device,
        ways_out=ways,
        sources=choices.check_sources(params.reward_sources, params.rewards_read),
        successor=successor_of(params, rows),
        batch=params.at_once or rows,
        steps=params.steps,
        economy=economy_of(params),
        drops_text=not params.is_world,
    )


def recipe(name: str) -> tuple[int, float]:
    """Steps and guidance that a many-step model was measured with; 50 and 7.5 for one that is not known."""
    from engines.images.embedded import GUIDANCE, STEPS

    if name == choices.F:
        return STEPS, GUIDANCE
    known = recipe_of(name)
    return (known.steps, known.guidance) if known else (50, 7.5)
