"""What a user chooses for any image engine: a prompt, models, rewards. Checked without loading anything, then opened.

    check_prompt(params.prompt, params.model)          raises Refusal with the vocabulary, or says nothing
    generator = open_generator(params.model, device)   embedded name, known name, hub id, or folder
    rewards = open_rewards(("r1", "r2"), device)

Only the functions that open something import torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Phrases, Refusal
from engines.images.generators.known import EMBEDDED, KNOWN, recipe_of
from engines.images.quiet import quiet
from engines.images.reasons import looks_local

if TYPE_CHECKING:
    import torch

    from engines.images.footprint import Footprint
    from engines.images.generators.base import Generator
    from engines.images.memory import Economy
    from engines.images.rewards.base import Reward

G, F = EMBEDDED
"""The embedded models: one step without guidance, and twenty steps with guidance 3."""
ONE_STEP = tuple(name for name, known in KNOWN.items() if known.once is not None)
MANY_STEPS = tuple(name for name, known in KNOWN.items() if known.once is None)
"""Models known by name that draw in one step, and those that need many."""

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
"""Prompts of the embedded world, all kinds among them."""
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
    """Refuse what can be no model: `known` are the names that fit the engine; what does not fit by its name does not by
    its repository either; a folder needs a model_index.json."""
    if model in known:
        return
    listed = ", ".join(known)
    if model in (G, F, *ONE_STEP, *MANY_STEPS):
        raise Refusal(field, f"{field} must be one of {listed}, a folder or a hub id; got {model!r}.")
    if looks_local(model):
        folder = Path(model).expanduser()
        if not folder.is_dir():
            raise Refusal(
                field,
                f"{field}: there is no folder {model[:80]!r} on this machine. Name a folder in diffusers' format, a hub "
                f"id, or one of {listed}.",
            )
        if not (folder / "model_index.json").is_file():
            raise Refusal(
                field, f"{field}: the folder {folder.name!r} holds no model_index.json of diffusers."
            )
        return
    if not _HUB_ID.match(model):
        raise Refusal(
            field,
            f"{field} must be one of {listed}, a folder in diffusers' format, or a hub id such as "
            f"stabilityai/sd-turbo; got {model[:80]!r}.",
        )
    _check_repository(model, field, known)


def _check_repository(model: str, field: str, known: Sequence[str]) -> None:
    recipe = recipe_of(model)
    if recipe is None:
        return
    names = [name for name, value in KNOWN.items() if value is recipe]
    fits = any(name in known for name in names)
    if not names:  # the base of a known model, which draws in many steps
        fits = any(name in MANY_STEPS for name in known)
    if not fits:
        way = "in many steps" if recipe.once is None else "in one step"
        named = f", here {names[0]}," if names else ""
        raise Refusal(
            field,
            f"{field}: {model}{named} draws {way}, which does not fit here. Choose one of {', '.join(known)}, a folder or "
            "another hub id.",
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


def check_sources(
    given: Sequence[str], used: Collection[str], field: str = "reward_sources"
) -> dict[str, str]:
    """Where rewards are read from in place of the published repositories: "clip=/models/clip" and so on, by name.

    Refuses what can be no source, and one for a reward that is not `used`: it would do nothing."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, source = (part.strip() for part in text.partition("="))
        if not (name and equals and source):
            raise Refusal(
                field,
                f"{field} must be written as reward=folder or reward=hub id, as in clip=openai/clip-vit-base-patch32; got "
                f"{text[:80]!r}.",
            )
        if name not in HUB_REWARDS:
            raise Refusal(field, f"{field} must name some of {', '.join(HUB_REWARDS)}; got {name[:40]!r}.")
        if name in found:
            raise Refusal(field, f"{field} must name {REWARD_TITLES[name]} once.")
        if name not in used:
            raise Refusal(
                field,
                f"{field} names {REWARD_TITLES[name]}, which this run does not use. Use it, or take it out of {field}.",
            )
        if looks_local(source) and not Path(source).expanduser().exists():
            raise Refusal(field, f"{field}: there is no file or folder {source[:80]!r} on this machine.")
        if not looks_local(source) and not _HUB_ID.match(source):
            raise Refusal(
                field,
                f"{field}: {REWARD_TITLES[name]} must be a folder, a weights file or a hub id; got {source[:80]!r}.",
            )
        found[name] = str(Path(source).expanduser()) if looks_local(source) else source
    return found


def dtype_of(model: str, device: str) -> torch.dtype:
    """Float32 on a CPU and for the embedded models. On a GPU that of the recipe; without one bfloat16 for FLUX, which overflows in float16 on some
    machines, and float16 for everything else."""
    import torch

    if device.startswith("cpu") or is_embedded(model):
        return torch.float32
    recipe = recipe_of(model)
    if recipe is not None:
        return getattr(torch, recipe.dtype)  # type: ignore[no-any-return]
    from engines.images.generators.known import GeneratorMissing
    from engines.images.generators.parts import parts_of

    try:
        is_flux = parts_of(_where(model)).pipeline == "FluxPipeline"
    except (OSError, ValueError, GeneratorMissing):
        return torch.float16  # the loading says what is wrong
    return torch.bfloat16 if is_flux else torch.float16


def _where(model: str) -> str:
    folder = Path(model).expanduser()
    return str(folder) if folder.is_dir() else model


@dataclass(frozen=True)
class Successor:
    """A model that draws from the noise at the end of a run, beside the first one and its rewards. `options` as of
    `dry_run.measure`."""

    model: str
    field: str
    options: Mapping[str, Any]


def plan_memory(
    model: str,
    rewards: Sequence[str],
    device: str,
    *,
    ways_out: Sequence[str],
    field: str = "model",
    sources: Mapping[str, str] | None = None,
    successor: Successor | None = None,
    **options: Any,
) -> str:
    """The memory that a run with these models takes, in words, from configurations alone: call it before anything is
    opened. `options` are those of `dry_run.measure` (batch, steps, guidance, gradients, economy, drops_text). Empty for
    the embedded models, which take 30 MB.

    Raises Refusal where the device has less free, with `ways_out`, where a model cannot be had, and where the successor
    takes noise of another shape."""
    if is_embedded(model) and (successor is None or is_embedded(successor.model)):
        return ""
    from engines.images.dry_run import NotMeasured
    from engines.images.footprint import free_bytes, require_fit, size

    try:
        found = measured(model, rewards, device, field=field, sources=sources, **options)
        require_fit(found, free_bytes(device), field=field, ways_out=tuple(ways_out))
        if successor is None:
            return found.sentence()
        then = measured(
            successor.model, (), device, field=successor.field, gradients=False, **successor.options
        )
    except NotMeasured as error:
        return str(error)
    check_shapes(successor.field, successor.model, then.noise_shape, found.noise_shape)
    then = then.beside("the first model", {} if is_embedded(model) else found.weights)
    require_fit(then, free_bytes(device), field=successor.field, ways_out=("none", "a smaller model"))
    return f"{found.sentence()}; {successor.model} at the end, beside it, {size(then.total)}"


def check_shapes(field: str, model: str, shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    """Refuse a model that takes noise of another shape than the given one."""
    if shape != given:
        words = (" x ".join(map(str, one)) for one in (shape, given))
        raise Refusal(
            field,
            f"{field}: {model} takes noise of {next(words)}, not of {next(words)}. Choose another, or none.",
        )


def measured(
    model: str,
    rewards: Sequence[str],
    device: str,
    *,
    field: str = "model",
    sources: Mapping[str, str] | None = None,
    **options: Any,
) -> Footprint:
    """The footprint of `dry_run.measure` in the dtype of the device. Raises Refusal where a model cannot be had, and
    NotMeasured."""
    from engines.images.dry_run import measure
    from engines.images.generators.known import GeneratorMissing
    from engines.images.rewards.base import RewardMissing

    names = tuple(dict.fromkeys(rewards))
    at = tuple((sources or {}).get(name, "") for name in names)
    try:
        with quiet():
            return measure(
                _where(model),
                names,
                reward_sources=at,
                dtype=dtype_of(model, device),
                device=device,
                **options,
            )
    except (GeneratorMissing, RewardMissing) as error:
        raise Refusal(field, f"{field}: {error}") from error


def open_generator(
    model: str, device: str, field: str = "model", economy: Economy | None = None
) -> Generator:
    """The generator of a reference: embedded models in float32 on the CPU, others on `device` in `dtype_of` it, with
    what `economy` says to need less memory. Raises Refusal with one sentence where it cannot be had."""
    from engines.images.generators.loading import GeneratorMissing, load_generator

    try:
        with quiet():
            return load_generator(
                _where(model), device=device, dtype=dtype_of(model, device), economy=economy
            )
    except GeneratorMissing as error:
        raise Refusal(field, f"{field}: {error}") from error


def open_rewards(
    names: Sequence[str],
    device: str,
    field: str = "rewards",
    *,
    sources: Mapping[str, str] | None = None,
    checkpointing: bool = False,
) -> dict[str, Reward]:
    """Rewards by name, in the order given, from the folders and hub ids of `sources` where it has them, with
    checkpointed towers where gradients shall need less memory. Raises Refusal with one sentence for the first that
    cannot be had."""
    import torch

    from engines.images.rewards.base import RewardMissing
    from engines.images.rewards.loading import load_reward

    dtype = torch.float32 if device.startswith("cpu") else torch.float16
    found: dict[str, Reward] = {}
    for name in names:
        own = name in EMBEDDED_REWARDS
        try:
            with quiet():
                found[name] = load_reward(
                    name,
                    source=(sources or {}).get(name, ""),
                    device="cpu" if own else device,
                    dtype=torch.float32 if own else dtype,
                    checkpointing=checkpointing and not own,
                )
        except RewardMissing as error:
            raise Refusal(field, f"{field}: {error} Set its weight to 0 to go on without it.") from error
    return found
