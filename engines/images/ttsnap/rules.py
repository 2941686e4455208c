"""Which parameters go together, and cheap checks of uploads. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engines.contract import Refusal
from engines.images import choices, knobs
from engines.images.ttsnap import brought_noise, lab_file, prompts, weights_file

if TYPE_CHECKING:
    from engines.images.ttsnap.params import TTSnapParams

SHIPPED, PLAIN_ONLY, UPLOADED = "shipped", "none", "upload"
MODELS = (choices.F, *choices.MANY_STEPS)
MOST_OF_THE_WORLD = 400


def check(params: TTSnapParams) -> None:
    """Refuse combinations that cannot work, before anything is loaded."""
    choices.check_model(params.model, "model", MODELS)
    _check_schedule(params)
    if not params.rewards:
        raise Refusal("rewards", "rewards must name at least one reward.")
    if len(set(params.rewards)) != len(params.rewards):
        raise Refusal("rewards", "rewards must name each reward once.")
    if params.opens_models:
        knobs.check(params)
        choices.check_sources(params.reward_sources, params.rewards)
        choices.check_rewards(params.rewards, params.model, "rewards")
    if params.experiment == "search":
        choices.check_prompt(params.prompt, params.model, "prompt")
        _check_adaptive(params)
    if params.opens_models and params.experiment != "train":
        _check_noise_aware(params)
    is_drawn = params.experiment == "replay" and params.opens_models
    if is_drawn and (params.bench_prompts < 2 or not params.is_world):
        raise Refusal(
            "table",
            "table must hold stored rewards here: without a file, bench_prompts must be at least 2 of the embedded model.",
        )
    if params.experiment == "train":
        _check_training(params)


def _check_schedule(params: TTSnapParams) -> None:
    steps, keep = params.cut_at
    if len(steps) != len(keep):
        own = "" if params.prune_steps and params.keep else ", of which the empty field's suit the model"
        raise Refusal(
            "keep",
            f"keep must hold one share for each prune step; got {len(keep)} shares for {len(steps)} steps{own}.",
        )
    wrong = [share for share in keep if not 0 < share <= 1]
    if wrong:
        raise Refusal("keep", f"keep must hold shares above 0 and at most 1; got {wrong[0]:g}.")
    try:
        params.schedule.check(params.steps)
    except ValueError as error:
        raise Refusal(
            "prune_steps",
            f"prune_steps must rise, from 0 on and below {params.steps - 1} (the last of {params.steps} steps); got "
            f"{', '.join(map(str, steps))}.",
        ) from error


def _check_noise_aware(params: TTSnapParams) -> None:
    if params.noise_aware == UPLOADED and not params.weights:
        raise Refusal(
            "weights",
            "weights must hold a file when noise_aware is upload. Upload one, or choose shipped.",
        )
    if params.noise_aware == SHIPPED and params.is_world and (misfit := shipped_misfit(params)):
        raise Refusal(
            "noise_aware",
            f"noise_aware: the shipped weights were trained for embedded-f with 20 steps and guidance 3; got "
            f"{misfit}. Set noise_aware to none, or train your own (experiment train).",
        )


def _check_adaptive(params: TTSnapParams) -> None:
    if not params.adaptive:
        return
    if len(params.rewards) > 1:
        raise Refusal(
            "adaptive", "adaptive cuts need one reward; got several. Turn it off, or name one reward."
        )
    if params.noise_aware == PLAIN_ONLY:
        raise Refusal(
            "adaptive",
            "adaptive cuts need a noise-aware reward, and noise_aware is none. Turn adaptive off, or set noise_aware to "
            "shipped or upload.",
        )
    if params.noise_aware == SHIPPED and not params.is_world:
        raise Refusal(
            "adaptive",
            f"adaptive cuts need a noise-aware reward, and none comes with {params.model[:80]}. Turn adaptive off, or "
            "upload weights.",
        )


def _check_training(params: TTSnapParams) -> None:
    if params.is_world and params.train_texts:
        raise Refusal(
            prompts.FIELD,
            f"{prompts.FIELD} are for full-size models; {params.model} is taught sentences of its own world. Remove the file.",
        )
    if not params.is_world and not params.train_texts:
        raise Refusal(
            prompts.FIELD,
            f"{prompts.FIELD} must hold prompts, one a line, to train for {params.model[:80]}: upload a text file.",
        )
    if params.is_world and params.train_prompts > MOST_OF_THE_WORLD:
        raise Refusal(
            "train_prompts",
            f"train_prompts must be at most {MOST_OF_THE_WORLD} of the embedded world's sentences; got {params.train_prompts}.",
        )
    if "aesthetic" in params.rewards:
        raise Refusal(
            "rewards",
            "rewards must be one that reads the prompt too; the aesthetic reward cannot be taught here.",
        )
    if len(params.rewards) > 1:
        raise Refusal("rewards", "rewards must name one reward in training; train them one after the other.")
    if params.train_levels > params.steps - 1:
        raise Refusal(
            "train_levels",
            f"train_levels must be at most {params.steps - 1} for {params.steps} steps; got {params.train_levels}.",
        )
    if params.train_prompts * params.train_seeds < params.batch:
        raise Refusal(
            "batch",
            f"batch must be at most {params.train_prompts * params.train_seeds}, the number of trajectories; got "
            f"{params.batch}.",
        )
    if params.form == "conditioned" and params.order == "independent":
        raise Refusal(
            "order",
            "order must not be independent for one model, whose levels share their weights; set form to levels.",
        )
    if params.form != "conditioned" and params.order in ("reverse", "mixed"):
        raise Refusal(
            "order",
            f"order must be clean-to-noisy or independent unless one model learns all; got {params.order}.",
        )
    if params.form == "heads" and params.rewards[0] != "r2":
        raise Refusal(
            "form", f"form must be levels or conditioned for {choices.REWARD_TITLES[params.rewards[0]]}: only R2 ends in layers "
            "that can be fitted alone."
        )  # fmt: skip


def shipped_misfit(params: TTSnapParams) -> str:
    """What differs from the sampler that the shipped weights know, empty if nothing."""
    found = [
        f"{name} {value}"
        for name, value, wanted in (
            ("model", params.model, choices.F), ("steps", params.steps, 20), ("guidance", f"{params.guidance:g}", "3")
        )
        if value != wanted
    ]  # fmt: skip
    return ", ".join(found)


def check_inputs(params: TTSnapParams, inputs: Mapping[str, Path]) -> None:
    """Cheap checks before a run is recorded: the headers of uploaded files."""
    if brought_noise.FIELD in inputs and params.experiment == "search":
        brought_noise.check_header(inputs[brought_noise.FIELD], params.model)
    if (
        weights_file.FIELD in inputs
        and params.noise_aware == UPLOADED
        and params.opens_models
        and params.experiment != "train"
    ):
        about = weights_file.read_about(inputs[weights_file.FIELD])
        weights_file.check_settings(
            about, params.model, params.steps, params.guidance, params.rewards, params.decoder
        )
        if params.adaptive and params.experiment == "search" and not about.get("residual"):
            raise Refusal(
                "adaptive",
                "adaptive cuts need the residuals of the noise-aware reward, and weights holds none. Turn adaptive off, or "
                "train anew here.",
            )
    if prompts.FIELD in inputs and params.experiment == "train":
        prompts.require(prompts.read(inputs[prompts.FIELD]), params.train_prompts, params.held_prompts)
    if lab_file.FIELD in inputs and params.experiment == "replay":
        lab_file.check_header(inputs[lab_file.FIELD])
