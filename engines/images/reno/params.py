"""Parameters, presets and cheap checks of the ReNO experiments. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from engines.contract import Params, Preset, Refusal, Upload, knob
from engines.images import choices, knobs, noise_file
from engines.images.reno import prompt_files

CLOSED_FORM = "closed-form"
"""The weight-free stand-in for G, with a template detector as its reward."""
AUTO, NONE = "auto", "none"
Compared = Literal["warm", "ablations", "no_clip", "zero_order", "halving"]
REWARDS, ASCENT, EXTENSIONS, MODEL, LIST = (
    "Published rewards", "Ascent", "Extensions", "Models and start", "Prompt list",
)  # fmt: skip
EMBEDDED_RATE, PAPER_RATE, HYPER_SD_RATE, ADAM_RATE, LBFGS_RATE = 8.0, 5.0, 10.0, 0.4, 1.0
"""Automatic learning rates: the embedded model's was chosen by benchmarks/reno_rates.py, Hyper-SD's and the others' are the
paper's. Adam and L-BFGS have rates of their own, which fit noise of any size."""
WEIGHT_FIELDS = {
    "r1": "weight_r1", "r2": "weight_r2", "hpsv2.1": "weight_hps", "imagereward": "weight_imagereward", "clip": "weight_clip",
    "pickscore": "weight_pickscore", "aesthetic": "weight_aesthetic",
}  # fmt: skip
"""The parameter that holds each reward's weight."""
MODELS = (choices.G, CLOSED_FORM, *choices.ONE_STEP)


def _weight(reward: str, default: float, top: float, words: str, **more: object) -> float:
    title = f"Weight of {choices.REWARD_TITLES[reward]}"
    rule = f"{-top:g} to {top:g}; 0 leaves it out, below 0 makes it worse on purpose."
    return knob(default, title=title, help=f"{words} {rule}", ge=-top, le=top, **more)  # type: ignore[arg-type,no-any-return]


class RenoParams(Params):
    """What to draw, how to search, against whom."""

    experiment: Literal["prompt", "list"] = knob(
        "prompt",
        title="Experiment",
        help="Watch one prompt, or measure the accuracy on a list of prompts.",
        labels={"prompt": "One prompt", "list": "A list"},
    )
    prompt: str = knob(
        choices.SUGGESTED_PROMPTS[0], title="Prompt", max_length=400, suggestions=choices.SUGGESTED_PROMPTS, phrases=choices.PROMPT_PHRASES,
        help="What to draw. The embedded model knows circles, squares and triangles in five colours, one to four, and where they stand.",
    )  # fmt: skip
    iterations: int = knob(
        50, title="Iterations", unit="steps", ge=1, le=500, demo_max=100,
        help="Steps on the noise, 1 to 500; 1 is the plain picture. Best-of-N looks at as many pictures, then at three times as many.",
    )  # fmt: skip
    seeds: int = knob(
        2, title="Seeds", unit="pictures a prompt", ge=1, le=16, demo_max=4,
        help="Noises that are optimised side by side, 1 to 16.",
    )  # fmt: skip
    weight_r1: float = _weight(
        "r1", 0.192, 2, "λ, embedded world only; 0.192 is one over its standard deviation.", step=0.001
    )
    weight_r2: float = _weight(
        "r2", 0.478, 2, "λ, embedded world only; 0.478 is one over its standard deviation.", step=0.001
    )
    compare: tuple[Compared, ...] = knob(
        ("warm", "ablations", "zero_order"),
        title="Beside ReNO and best-of-N",
        help="Each has the same noises and as many iterations.",
        widget="choices",
        labels={
            "warm": "ReNO from the best of a few",
            "ablations": "No regulariser; one reward left out",
            "no_clip": "No clipping",
            "zero_order": "Search without gradients",
            "halving": "ReNO, half the noises dropped",
        },
    )

    weight_hps: float = _weight(
        "hpsv2.1", 5.0, 50, "λ, not for the embedded world.", advanced=True, group=REWARDS
    )
    weight_imagereward: float = _weight(
        "imagereward", 1.0, 10, "λ, not for the embedded world.", advanced=True, group=REWARDS
    )
    weight_clip: float = _weight(
        "clip", 0.01, 0.1, "λ, not for the embedded world.", advanced=True, group=REWARDS, step=0.001
    )
    weight_pickscore: float = _weight(
        "pickscore", 0.05, 0.5, "λ, not for the embedded world.", advanced=True, group=REWARDS, step=0.001
    )
    weight_aesthetic: float = _weight(
        "aesthetic",
        0.0,
        1,
        "λ, not for the embedded world; off in the paper.",
        advanced=True,
        group=REWARDS,
        step=0.01,
    )
    watch: tuple[Literal["hpsv2.1", "imagereward", "clip", "pickscore", "aesthetic"], ...] = knob(
        (), title="Watched, not optimised", advanced=True, group=REWARDS, widget="choices", labels={name: choices.REWARD_TITLES[name] for name in choices.HUB_REWARDS},
        help="Rewards of weight 0 that are scored all the same, to see whether the optimised ones are being fooled.",
    )  # fmt: skip

    reward_sources: knobs.Sources = knobs.reward_sources(REWARDS)

    lr: float = knob(
        0.0, title="Learning rate", ge=0, le=50, step=0.1, widget="number", advanced=True, group=ASCENT,
        help="0 to 50. 0 follows the model: 8 for the embedded one, 10 for Hyper-SD, the paper's 5 for others; with Adam 0.4, with L-BFGS 1.",
    )  # fmt: skip
    momentum: float = knob(
        0.9, title="Momentum", ge=0, le=0.99, step=0.01, advanced=True, group=ASCENT, help="0 to 0.99."
    )
    nesterov: bool = knob(
        True, title="Nesterov", advanced=True, group=ASCENT, help="Look ahead along the momentum."
    )
    clip: float = knob(
        0.1, title="Gradient clip", gt=0, le=10, log=True, advanced=True, group=ASCENT,
        help="Largest norm of a noise's gradient, above 0, at most 10. It is nearly always reached, so only directions count.",
    )  # fmt: skip
    regularise: float = knob(
        0.01, title="Regulariser", ge=0, le=0.1, step=0.001, advanced=True, group=ASCENT,
        help="Weight of the term that keeps the noise's norm typical, 0 to 0.1.",
    )  # fmt: skip
    optimizer: Literal["sgd", "adam", "lbfgs"] = knob(
        "sgd", title="Optimizer", advanced=True, group=ASCENT,
        help="The paper's is SGD with momentum. L-BFGS makes up to ten inner steps an iteration, without clipping.",
        labels={"sgd": "SGD", "adam": "Adam", "lbfgs": "L-BFGS"},
    )  # fmt: skip
    steps: int = knob(
        1, title="Sampling steps", ge=1, le=4, advanced=True, group=ASCENT,
        help="Network calls a picture, 1 to 4; all of them are differentiated.",
    )  # fmt: skip

    warm_start: int = knob(
        12, title="Pool of the warm start", unit="pictures", ge=3, le=150, advanced=True, group=EXTENSIONS,
        help="The warm start looks at so many fresh noises, 3 to 150, and goes on from the best; three count as an iteration.",
    )  # fmt: skip
    warm_rate: float = knob(
        0.375, title="Rate of the warm start", unit="of the learning rate", gt=0, le=4, advanced=True, group=EXTENSIONS,
        help="Above 0, at most 4. What starts from the best of a pool needs a shorter way: 3 of 8 was chosen for the embedded model.",
    )  # fmt: skip
    halvings: int = knob(
        1, title="Halvings", ge=1, le=3, advanced=True, group=EXTENSIONS,
        help="With dropping: starts 2, 4 or 8 noises a seed and drops the worse half so many times, at the cost of one run.",
    )  # fmt: skip
    shape: float = knob(
        0.0, title="Noise-shape terms", ge=0, le=1, step=0.01, advanced=True, group=EXTENSIONS,
        help="Weight of terms on channel means, variances and neighbours' correlation, 0 to 1; not in the paper.",
    )  # fmt: skip

    model: str = knob(
        choices.G, title="One-step model", own_machine_only=True, demo_allowed=(choices.G, CLOSED_FORM), min_length=1, max_length=300, advanced=True, group=MODEL, suggestions=MODELS,
        help="embedded-g, closed-form (no weights), a published model by name, a folder in diffusers' format, or a hub id. The preset "
        "Paper's scale has the paper's whole setting.",
    )  # fmt: skip
    transfer: str = knob(
        AUTO, title="Noise handed to", own_machine_only=True, demo_allowed=(AUTO, NONE, choices.F), min_length=1, max_length=300, advanced=True, group=MODEL,
        suggestions=(AUTO, NONE, choices.F, *choices.MANY_STEPS),
        help="A many-step model that draws from the found noise at the end; auto is embedded-f for embedded-g and none for others.",
    )  # fmt: skip
    noise: Upload = knob(
        "", title="Start from noise", advanced=True, group=MODEL, widget="file", accept=noise_file.ACCEPT,
        help="The noise file of another run, or your own array N x channels x height x width.",
    )  # fmt: skip
    resume: Literal["last", "best"] = knob(
        "last", title="Go on from", advanced=True, group=MODEL, labels={"last": "The last noise, with momentum", "best": "The best noise"},
        help="Of a run's noise file: where it stopped, as if it had never stopped, or the noise of its best picture, to climb from anew.",
    )  # fmt: skip
    at_once: int = knob(
        0, title="Pictures at once", ge=0, le=256, advanced=True, group=MODEL,
        help="Pictures in one call of the models, 0 to 256; 0 takes all seeds (of full-size models, of one contender at a time). Fewer need less memory.",
    )  # fmt: skip
    checkpointing: bool = knob(
        False, title="Gradient checkpointing", advanced=True, group=MODEL,
        help="Less memory for about a third more time; for full-size models.",
    )  # fmt: skip
    offload: knobs.Offload = knobs.offload(MODEL, ". The latter needs checkpointing")
    tiny_decoder: str = knobs.tiny_decoder(
        MODEL,
        "Hub id or folder of an AutoencoderTiny that decodes in place of the full decoder: several times cheaper, a slightly other picture.",
    )
    tiles: bool = knobs.tiles(MODEL)

    per_task: int = knob(
        2, title="Prompts a task", ge=1, le=300, demo_max=2, advanced=True, group=LIST,
        help="Of each of the seven tasks of the embedded world, or of each task of a prompt file, 1 to 300; 300 takes all of GenEval and T2I-CompBench.",
    )  # fmt: skip
    prompts: Upload = knob(
        "", title="Prompt file", advanced=True, group=LIST, widget="file", accept=prompt_files.ACCEPT,
        help="GenEval's evaluation_metadata.jsonl, a T2I-CompBench text file, or one prompt a line. Empty: the embedded world's own.",
    )  # fmt: skip
    folder: str = knob(
        "", title="Prompt folder", own_machine_only=True, max_length=300, advanced=True, group=LIST,
        help="GenEval's prompts, T2I-CompBench's examples/dataset, or any folder of such files, a task each, on the machine that runs.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _combinations(self) -> RenoParams:
        choices.check_model(self.model, "model", MODELS)
        if self.transfer not in (AUTO, NONE):
            choices.check_model(self.transfer, "transfer", (choices.F, *choices.MANY_STEPS))
        if self.experiment == "prompt":
            check_prompt(self.prompt, self.model, "prompt")
        knobs.check(self, checkpointing=self.checkpointing)
        if not any(self.weights().values()):
            names = " and ".join(choices.REWARD_TITLES.get(name, name) for name in self.weights())
            field = "weight_r1" if choices.is_embedded(self.model) else "weight_hps"
            raise Refusal(
                field,
                f"{field}: every weight ({names}) is 0, so only the regulariser would move the noise. Raise one.",
            )
        choices.check_sources(self.reward_sources, self.rewards_read)
        if len(set(self.compare)) != len(self.compare):
            raise Refusal("compare", "compare must name each contender once.")
        if "warm" in self.compare and self.iterations > 1 and self.warm_start > 3 * (self.iterations - 1):
            most = 3 * (self.iterations - 1)
            raise Refusal(
                "warm_start",
                f"warm_start must be at most {most} for {self.iterations} iterations (three pictures cost one); got "
                f"{self.warm_start}. Lower it, or raise iterations.",
            )
        if self.model == CLOSED_FORM and self.steps > 1:
            raise Refusal("steps", f"steps must be 1 for the closed-form generator; got {self.steps}.")
        if self.model == CLOSED_FORM and self.transfer_model:
            raise Refusal(
                "transfer",
                f"transfer must be none for the closed-form generator, whose noise fits no model; got {self.transfer!r}.",
            )
        if self.experiment == "list" and self.noise:
            raise Refusal(
                "noise",
                "noise starts one prompt, and experiment is a list. Remove the file, or choose one prompt.",
            )
        if self.prompts and self.folder:
            raise Refusal("folder", "folder and prompts were both given; keep one of them.")
        return self

    def weights(self) -> dict[str, float]:
        """lambda_k of the rewards that can read the model's pictures, by name."""
        if self.model == CLOSED_FORM:
            return {"template": 1.0}
        own = choices.is_embedded(self.model)
        names = choices.EMBEDDED_REWARDS if own else choices.HUB_REWARDS
        return {name: float(getattr(self, WEIGHT_FIELDS[name])) for name in names}

    @property
    def rate(self) -> float:
        """The learning rate that is used: `lr`, or what suits model and optimizer where it is 0."""
        if self.lr:
            return self.lr
        if self.optimizer != "sgd":
            return ADAM_RATE if self.optimizer == "adam" else LBFGS_RATE
        if choices.is_embedded(self.model):
            return EMBEDDED_RATE
        return HYPER_SD_RATE if self.model == "hyper-sd" else PAPER_RATE

    @property
    def rewards_read(self) -> tuple[str, ...]:
        """Published rewards that the run opens: those with a weight, then those that only watch."""
        if self.is_world:
            return ()
        return tuple(
            dict.fromkeys([*(name for name, weight in self.weights().items() if weight), *self.watch])
        )

    @property
    def is_world(self) -> bool:
        """Whether pictures are scenes that the exact checker reads."""
        return choices.is_embedded(self.model) or self.model == CLOSED_FORM

    @property
    def transfer_model(self) -> str:
        """The many-step model at the end, empty for none."""
        if self.transfer == AUTO:
            return choices.F if choices.is_embedded(self.model) else ""
        return "" if self.transfer == NONE else self.transfer


def check_prompt(prompt: str, model: str, field: str) -> None:
    """Refuse a prompt that the model cannot draw, in one sentence."""
    if model != CLOSED_FORM:
        choices.check_prompt(prompt, model, field)
        return
    choices.check_prompt(prompt, choices.G, field)
    from engines.images.world.captions import caption_of

    caption = caption_of(choices.plain_prompt(prompt))
    if caption.task != "full" or any(item.color >= 3 for item in caption.items):
        raise Refusal(
            field,
            f'{field} must be two red, green or blue objects with a relation for the closed-form generator, as "a red '
            f'circle left of a blue square"; got {prompt[:80]!r}.',
        )


_SHAPES = {choices.G: (8, 8, 8), CLOSED_FORM: (3, 32, 32)}
"""Shapes of a noise that are known without loading a model."""


def check(params: RenoParams, inputs: Mapping[str, Path]) -> None:
    """Cheap checks before a run is recorded: uploaded noise and prompts, and the folder."""
    if "noise" in inputs:
        count = noise_file.count_noise(inputs["noise"], wanted=_SHAPES.get(params.model))
        if count < params.seeds:
            raise Refusal("seeds", f"seeds must be at most {count}, which noise holds; got {params.seeds}.")
    if params.experiment == "list":
        prompt_files.chosen(params, inputs, 0)


PRESETS = {
    "smoke": Preset(
        "Smoke", "Two seeds for three steps, everything once.",
        {"iterations": 3, "warm_start": 3, "transfer": NONE, "model": CLOSED_FORM,
         "compare": ("warm", "ablations", "zero_order", "halving")},
    ),
    "default": Preset("One prompt", "Two noises climb for 50 steps, beside best-of-N and what each part of the method is good for.", {}),
    "list": Preset(
        "Accuracy by task", "Two prompts of each of seven tasks, judged by the exact checker; about a minute and a half.",
        {"experiment": "list", "compare": ("warm",), "transfer": NONE},
    ),
    "closed-form": Preset(
        "No weights", "A closed-form generator whose noise has 18 directions that matter; the same code.",
        {"model": CLOSED_FORM, "warm_rate": 1.0, "transfer": NONE},
    ),
    "paper": Preset(
        "Paper's scale", "SD-Turbo at 512 pixels with four published rewards; for one GPU of 16 GB or more.",
        {"model": "sd-turbo", "seeds": 1, "prompt": "a red dog and a green cat", "compare": (), "checkpointing": True,
         "at_once": 1},
    ),
}  # fmt: skip

REPRODUCE = {"experiment": "list", "per_task": 2, "seeds": 2, "compare": ("warm", "ablations")}
