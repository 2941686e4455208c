"""What a user chooses for any image engine: a prompt, models, rewards. Checked without loading anything, then opened.

    check_prompt(params.prompt, params.model)          raises Refusal with the vocabulary, or says nothing
    generator = open_generator(params.model, device)   embedded name, known name, hub id, or folder
    rewards = open_rewards(("r1", "r2"), device)

Only the functions that open something import torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Phrases, Refusal

if TYPE_CHECKING:
    from engines.images.generators.base import Generator
    from engines.images.memory import Economy
    from engines.images.rewards.base import Reward

G, F = "embedded-g", "embedded-f"
"""The embedded models: one step without guidance, and twenty steps with guidance 3."""
ONE_STEP = ("sd-turbo", "sdxl-turbo", "pixart-dmd", "hyper-sd", "flux-schnell")
MANY_STEPS = ("sd-2-1", "sdxl", "realvisxl", "flux-dev")
"""Models known by name (`generators.loading.KNOWN`) that draw in one step, and those that need many."""

EMBEDDED_REWARDS = ("r1", "r2")
HUB_REWARDS = ("hpsv2.1", "imagereward", "clip", "pickscore", "aesthetic")
REWARD_TITLES = {
    "r1": "R1",
    "r2": "R2",
    "hpsv2.1": "HPSv2.1",
    "imagereward": "ImageReward",
    "clip": "CLIP",
    "pickscore": "PickScore",
    "aesthetic": "LAION aesthetic",
}
EMBEDDED_STD = {"r1": 5.2139, "r2": 2.0924}
"""Standard deviation of each embedded reward over plain pictures of G (weights/figures.json)."""

SUGGESTED_PROMPTS = (
    "a red circle left of a blue square",
    "two green triangles",
    "a yellow square above a purple circle",
    "a red triangle and a blue circle",
    "three purple circles",
    "a circle right of a triangle",
    "a green square below a yellow triangle",
    "four blue squares",
    "a purple circle",
    "a square and a triangle",
)
_SHAPES = ("circle", "square", "triangle")
PROMPT_PHRASES = Phrases(
    (
        "a {colour} {shape} {relation} a {other colour} {shape}",
        "a {colour} {shape} and a {other colour} {shape}",
        "a {shape} {relation} a {other shape}",
        "a {shape} and a {other shape}",
        "{number} {colour} {shapes}",
        "{number} {shapes}",
        "a {colour} {shape}",
        "a {shape}",
    ),
    {
        "number": ("two", "three", "four"),
        "colour": ("red", "green", "blue", "yellow", "purple"),
        "shape": _SHAPES,
        "shapes": tuple(f"{shape}s" for shape in _SHAPES),
        "relation": ("left of", "right of", "above", "below"),
    },
)
"""Every sentence that the embedded models know, and no other."""
"""Prompts of the embedded world, all kinds among them."""

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?$")


def is_embedded(model: str) -> bool:
    """Whether that model draws the embedded world only."""
    return model in (G, F)


def plain_prompt(prompt: str) -> str:
    """A prompt as the embedded world writes it: lower case, single spaces, no full stop at the end."""
    return " ".join(prompt.lower().split()).rstrip(".").rstrip()


def check_prompt(prompt: str, model: str, field: str = "prompt") -> None:
    """Refuse a prompt that the model cannot draw. The embedded models know 1,002 sentences, and the refusal lists
    their words and says how to name another model; other models take any text."""
    if not prompt.strip():
        raise Refusal(field, f"{field} must not be empty. Try {SUGGESTED_PROMPTS[0]!r}.")
    if not is_embedded(model):
        return
    from engines.images.world.prompts import explain_prompt

    explanation = explain_prompt(plain_prompt(prompt))
    if not explanation.ok:
        raise Refusal(
            field,
            f"{field} {prompt[:80]!r}: {explanation.sentence} For any other words name another model: set model to "
            f"{ONE_STEP[0]}, to a hub id, or to a folder in diffusers' format.",
        )


def check_model(
    model: str, field: str = "model", known: Sequence[str] = (G, F, *ONE_STEP, *MANY_STEPS)
) -> None:
    """Refuse what can be no model: `known` are the names that fit the engine; a folder needs a model_index.json."""
    if model in known:
        return
    if model in (G, F, *ONE_STEP, *MANY_STEPS):
        raise Refusal(
            field, f"{field} must be one of {', '.join(known)}, a folder or a hub id; got {model!r}."
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise Refusal(
                field, f"{field}: the folder {folder.name!r} holds no model_index.json of diffusers."
            )
        return
    if not _HUB_ID.match(model):
        raise Refusal(
            field,
            f"{field} must be one of {', '.join(known)}, a folder in diffusers' format, or a hub id such as "
            f"stabilityai/sd-turbo; got {model[:80]!r}.",
        )


def check_rewards(names: Sequence[str], model: str, field: str = "rewards") -> None:
    """Refuse rewards that cannot read the model's pictures: R1 and R2 know the embedded world and nothing else, and
    the published ones were made for photographs and paintings."""
    for name in names:
        if name not in REWARD_TITLES:
            raise Refusal(field, f"{field} must be some of {', '.join(REWARD_TITLES)}; got {name!r}.")
        if name in EMBEDDED_REWARDS and not is_embedded(model):
            raise Refusal(
                field,
                f"{field}: {REWARD_TITLES[name]} reads the embedded world only, and model is {model[:80]!r}. "
                f"Choose among {', '.join(HUB_REWARDS)}.",
            )


def plan_memory(
    model: str,
    rewards: Sequence[str],
    device: str,
    *,
    ways_out: Sequence[str],
    field: str = "model",
    **options: Any,
) -> str:
    """The memory that a run with these models takes, in words, from configurations alone: call it before anything is
    opened. `options` are those of `dry_run.measure` (batch, steps, guidance, gradients, economy, drops_text). Empty for
    the embedded models, which take 30 MB.

    Raises Refusal where the device has less free, with `ways_out`, and where a model cannot be had."""
    if is_embedded(model):
        return ""
    import torch

    from engines.images.dry_run import NotMeasured, measure
    from engines.images.footprint import free_bytes, require_fit
    from engines.images.generators.known import GeneratorMissing
    from engines.images.rewards.base import RewardMissing

    folder = Path(model).expanduser()
    where = str(folder) if folder.is_dir() else model
    dtype = torch.float32 if device == "cpu" else torch.float16
    try:
        with quiet():
            found = measure(where, tuple(dict.fromkeys(rewards)), dtype=dtype, device=device, **options)
    except NotMeasured as error:
        return str(error)
    except (GeneratorMissing, RewardMissing) as error:
        raise Refusal(field, f"{field}: {error}") from error
    require_fit(found, free_bytes(device), field=field, ways_out=tuple(ways_out))
    return found.sentence()


def open_generator(
    model: str, device: str, field: str = "model", economy: Economy | None = None
) -> Generator:
    """The generator of a reference: embedded models in float32 on the CPU, others on `device` in float16 (float32 on
    a CPU), with what `economy` says to need less memory. Raises Refusal with one sentence where it cannot be had."""
    import torch

    from engines.images.generators.loading import GeneratorMissing, load_generator

    folder = Path(model).expanduser()
    where = str(folder) if folder.is_dir() else model
    dtype = torch.float32 if device == "cpu" else torch.float16
    try:
        with quiet():
            generator = load_generator(where, device=device, dtype=dtype, economy=economy)
    except (GeneratorMissing, AttributeError) as error:
        raise Refusal(field, f"{field}: {error}") from error
    if is_embedded(model):
        # the decoder's convolutions of 24 channels take 30 to 40 % less time on a CPU in this order
        generator.vae.to(memory_format=torch.channels_last)
    return generator


def open_rewards(
    names: Sequence[str], device: str, field: str = "rewards", *, checkpointing: bool = False
) -> dict[str, Reward]:
    """Rewards by name, in the order given, with checkpointed towers where gradients shall need less memory. Raises Refusal with one sentence for the first that cannot be had."""
    import torch

    from engines.images.rewards.base import RewardMissing
    from engines.images.rewards.loading import load_reward

    dtype = torch.float32 if device == "cpu" else torch.float16
    found: dict[str, Reward] = {}
    for name in names:
        own = name in EMBEDDED_REWARDS
        try:
            with quiet():
                found[name] = load_reward(
                    name,
                    device="cpu" if own else device,
                    dtype=torch.float32 if own else dtype,
                    checkpointing=checkpointing and not own,
                )
        except RewardMissing as error:
            raise Refusal(field, f"{field}: {error} Set its weight to 0 to go on without it.") from error
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """transformers and diffusers draw bars on stderr while they load; a run's progress is an event instead."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    kinds = [kind for kind in (diffusers_logging, transformers_logging) if kind.is_progress_bar_enabled()]
    for kind in kinds:
        kind.disable_progress_bar()
    try:
        yield
    finally:
        for kind in kinds:
            kind.enable_progress_bar()
