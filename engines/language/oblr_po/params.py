"""Parameters, presets and cheap checks of the OBLR-PO experiments. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from engines.contract import Params, Preset, Refusal, Upload, knob
from engines.language import char_policy
from engines.language.rl_models import check_reference
from engines.language.verifiers import BUILT_IN, check_reward

Experiment = Literal["training", "audit", "bandit", "all"]
ArmKey = Literal[
    "oblr_po", "ob_only", "snr_only", "matched", "rloo", "grpo", "reinforce",
    "group_mean", "remax", "reinforce_pp", "opo", "shrinkage",
]  # fmt: skip
DEFAULT_ARMS = ("oblr_po", "rloo", "grpo", "reinforce", "ob_only", "snr_only", "matched")
ADAPTIVE_ARMS = ("oblr_po", "snr_only")
AUDITS, MODEL, RULE, NUMBERS = "Variance audit", "Model and reward", "Rule", "Size of the run"


class OblrPoParams(Params):
    """What to run, on which policy, against whom."""

    experiment: Experiment = knob(
        "training",
        title="Experiment",
        help="Train the policy, audit variances at fixed parameters, the closed-form bandit, or all three.",
        labels={
            "training": "Training",
            "audit": "Variance audit",
            "bandit": "Bandit, closed form",
            "all": "All three",
        },
    )
    steps: int = knob(
        60, title="Steps", unit="updates", ge=1, le=2000, demo_max=120,
        help="Optimizer steps of each contender, 1 to 2000; every step draws prompts x responses anew.",
    )  # fmt: skip
    prompts: int = knob(
        8, title="Prompts a step", unit="prompts", ge=1, le=64, demo_max=16,
        help="N, 1 to 64. The signal-to-noise ratio is measured between prompts: 8 or more see it well.",
    )  # fmt: skip
    group: int = knob(
        16, title="Responses a prompt", unit="responses", ge=1, le=64, demo_max=32,
        help="G, the group size, 1 to 64. The estimated optimal baseline pays off from about 8.",
    )  # fmt: skip
    difficulty: Literal["easy", "medium", "hard"] = knob(
        "medium",
        title="Task",
        help="Additions with operands up to 9, 19 or 29; the policy has never seen operands above 19.",
        labels={"easy": "Sums up to 9 + 9", "medium": "Sums up to 19 + 19", "hard": "Sums up to 29 + 29"},
    )
    rates: Literal["tuned", "one"] = knob(
        "tuned",
        title="Learning rates",
        help="Each contender's best on the disclosed grid, or one rate for all (below, under Advanced).",
        labels={"tuned": "Tuned for each", "one": "One for all"},
    )
    arms: tuple[ArmKey, ...] = knob(
        DEFAULT_ARMS,
        title="Contenders",
        help="Same initial policy, same prompts, same seeds for all; one to twelve of them.",
        min_length=1,
        max_length=12,
        widget="choices",
        labels={
            "oblr_po": "OBLR-PO", "ob_only": "Optimal baseline only", "snr_only": "SNR rate only",
            "matched": "Fixed at OBLR-PO's mean rate", "rloo": "RLOO", "grpo": "GRPO", "reinforce": "REINFORCE",
            "group_mean": "Group mean (Dr. GRPO)", "remax": "ReMax", "reinforce_pp": "REINFORCE++",
            "opo": "OPO (length)", "shrinkage": "Shrinkage",
        },
    )  # fmt: skip
    learning_rate: float = knob(
        2e-4, title="One learning rate", gt=0, le=1.0, log=True, advanced=True, group=RULE,
        help="Used where rates are one for all: fixed for most, the largest for adaptive contenders; above 0, at most 1.",
    )  # fmt: skip
    weights: Literal["exact", "head", "logit", "length"] = knob(
        "exact", title="Gradient norms", advanced=True, group=RULE,
        help="Exact (one backward pass, any size that trains), or forward-only stand-ins, whose correlation is shown; "
        "with the output head the signal-to-noise ratio is the head's too.",
        labels={"exact": "Exact", "head": "Output head only", "logit": "Logit proxy", "length": "Response length"},
    )  # fmt: skip
    shrink: float = knob(
        0.0, title="Shrink the baseline", ge=0, le=1, step=0.05, advanced=True, group=RULE,
        help="0 (the method) to 1: draws each prompt's baseline to the batch's mean reward; 0.5 helps small groups.",
    )  # fmt: skip
    beta: float = knob(
        0.9, title="Memory of the SNR", ge=0, le=0.99, step=0.01, advanced=True, group=RULE,
        help="Share of the old running mean kept at each step, 0 to 0.99.",
    )  # fmt: skip
    floor: float = knob(
        0.1, title="Smallest share of the rate", ge=0, le=0.5, step=0.01, advanced=True, group=RULE,
        help="The rate never falls below this share of the largest, 0 to 0.5, so that training cannot freeze.",
    )  # fmt: skip
    start_share: float = knob(
        0.25, title="Share at the start", ge=0, le=1, step=0.05, advanced=True, group=RULE,
        help="Share of signal in the gradient that is assumed before the first batch, 0 to 1.",
    )  # fmt: skip
    optimizer: Literal["adamw", "sgd"] = knob(
        "adamw", title="Optimizer", advanced=True, group=RULE,
        help="AdamW as practised, or plain gradient steps as in the theory (then choose one rate, about 1e-3).",
        labels={"adamw": "AdamW", "sgd": "Gradient steps"},
    )  # fmt: skip
    kl: float = knob(
        0.0, title="KL to the initial policy", ge=0, le=0.1, step=0.005, advanced=True, group=RULE,
        help="Coefficient of the penalty in the reward, 0 to 0.1; the theory is for 0.",
    )  # fmt: skip
    entropy_bonus: float = knob(
        0.0, title="Entropy bonus", ge=0, le=0.1, step=0.005, advanced=True, group=RULE,
        help="Coefficient of the bonus in the reward, 0 to 0.1; the theory is for 0.",
    )  # fmt: skip
    audits: int = knob(
        3, title="Checkpoints audited", ge=0, le=10, demo_max=3, unit="checkpoints", advanced=True, group=AUDITS,
        help="How many checkpoints of OBLR-PO's policy are audited, first and last included, 0 to 10.",
    )  # fmt: skip
    audit_prompts: int = knob(
        12, title="Prompts audited", unit="prompts", ge=3, le=64, demo_max=16, advanced=True, group=AUDITS,
        help="Prompts of the population that stands for the policy, 3 to 64.",
    )  # fmt: skip
    audit_responses: int = knob(
        64, title="Responses audited", unit="responses a prompt", ge=4, le=256, demo_max=64, advanced=True, group=AUDITS,
        help="Responses to each prompt in that population, 4 to 256; the work grows with its square.",
    )  # fmt: skip
    audit_trials: int = knob(
        400, title="Resampled batches", unit="batches", ge=20, le=20000, demo_max=2000, advanced=True, group=AUDITS,
        help="Batches drawn from the population for each group size, 20 to 20,000; intervals shrink with their root.",
    )  # fmt: skip
    bandit_draws: int = knob(
        40000, title="Bandit estimates", unit="draws", ge=100, le=1_000_000, demo_max=100_000, advanced=True, group=NUMBERS,
        help="Gradient estimates drawn for each line of the bandit's table, 100 to a million.",
    )  # fmt: skip
    eval_every: int = knob(
        5, title="Steps between evaluations", unit="updates", ge=1, le=1000, advanced=True, group=NUMBERS,
        help="Held-out accuracy is measured every so many steps, 1 to 1000.",
    )  # fmt: skip
    model: str = knob(
        char_policy.EMBEDDED, title="Policy", own_machine_only=True, min_length=1, max_length=300, advanced=True, group=MODEL,
        suggestions=(char_policy.EMBEDDED, "Qwen/Qwen3-0.6B-Base", "Qwen/Qwen3-4B-Base", "Qwen/Qwen3-8B-Base"),
        help="The embedded policy, a local folder, or a hub id of a causal language model (safetensors).",
    )  # fmt: skip
    lora_rank: int = knob(
        0, title="Adapter rank", ge=0, le=256, advanced=True, group=MODEL,
        help="0 trains all parameters; 1 to 256 freezes the model and trains LoRA adapters of that rank.",
    )  # fmt: skip
    reward: str = knob(
        "exact", title="Reward", own_machine_only=True, min_length=1, max_length=200, advanced=True, group=MODEL, suggestions=tuple(BUILT_IN),
        help="exact, number, math-verify, or your own function(prompt, response, answer) as module:function.",
    )  # fmt: skip
    problems: Upload = knob(
        "", title="Your problems", advanced=True, group=MODEL, widget="file", accept=(".jsonl", ".json"),
        help='JSON lines, each with "prompt" and "answer"; every fifth is held out. Empty: the additions.',
    )  # fmt: skip
    max_new_tokens: int = knob(
        4, title="Longest response", unit="tokens", ge=1, le=4096, demo_max=16, advanced=True, group=MODEL,
        help="Responses that have not ended by then get reward 0; 1 to 4096 (at most 8 for the embedded policy).",
    )  # fmt: skip

    @model_validator(mode="after")
    def _combinations(self) -> OblrPoParams:
        if len(set(self.arms)) != len(self.arms):
            raise Refusal("arms", "arms must name each contender once.")
        needs_group = [key for key in self.arms if key != "reinforce"]
        if self.group == 1 and needs_group and self.experiment != "bandit":
            raise Refusal(
                "group",
                f"group must be at least 2 for {needs_group[0]}; got 1. Use reinforce (batch mean) alone.",
            )
        adaptive = [key for key in self.arms if key in ADAPTIVE_ARMS]
        if self.prompts == 1 and adaptive:
            raise Refusal(
                "prompts",
                f"prompts must be at least 2 for the adaptive rate of {adaptive[0]}; got 1: no SNR from one prompt.",
            )
        if self.prompts < 3 and "shrinkage" in self.arms:
            raise Refusal(
                "prompts", f"prompts must be at least 3 for the shrinkage baseline; got {self.prompts}."
            )
        if "matched" in self.arms and "oblr_po" not in self.arms:
            raise Refusal(
                "arms",
                "arms has the control at OBLR-PO's mean rate but not oblr_po, whose rate it needs; add it.",
            )
        if self.model == char_policy.EMBEDDED and self.max_new_tokens > 8:
            raise Refusal(
                "max_new_tokens",
                f"max_new_tokens must be at most 8 for the embedded policy; got {self.max_new_tokens}.",
            )
        return self


def check(params: OblrPoParams, inputs: Mapping[str, Path]) -> None:
    """Cheap checks before a run is recorded: names of model and reward, and the uploaded problems.

    A hosted demo must refuse `model` and `reward` other than their defaults before it comes here: `reward` may name
    code to run and `model` a folder of the server (both are marked "own_machine_only" in the schema)."""
    check_reference(params.model, "model")
    check_reward(params.reward, "reward")
    if "problems" in inputs:
        from engines.language.rl_tasks import read_problems

        train, _ = read_problems(inputs["problems"], "problems")
        if params.model == char_policy.EMBEDDED:
            unknown = sorted({c for p in train for c in p.prompt if c not in char_policy.ALPHABET})
            if unknown:
                raise Refusal(
                    "problems",
                    f"problems use the character {unknown[0]!r}, which the embedded policy does not know; "
                    "choose another model.",
                )


PRESETS = {
    "smoke": Preset(
        "Smoke", "Everything once, in about a second.",
        {"experiment": "all", "steps": 2, "prompts": 3, "group": 4, "arms": ("oblr_po", "rloo", "ob_only", "matched"),
         "audits": 1, "audit_prompts": 3, "audit_responses": 8, "audit_trials": 20, "bandit_draws": 500, "eval_every": 2},
    ),
    "default": Preset("Training", "Seven contenders on two-digit sums, with three audits on the way.", {}),
    "bandit": Preset("Bandit", "The theory in closed form: two arms and ten, in a second.", {"experiment": "bandit"}),
    "audit": Preset(
        "Variance audit", "All estimators at fixed parameters, three checkpoints, narrow intervals.",
        {"experiment": "audit", "arms": ("oblr_po",), "steps": 40, "audit_trials": 2000},
    ),
    "paper": Preset(
        "Paper's scale", "A Qwen3 base model with adapters on your own problems; for one large GPU.",
        {"model": "Qwen/Qwen3-4B-Base", "lora_rank": 32, "reward": "number", "rates": "one", "learning_rate": 5e-6,
         "prompts": 32, "group": 8, "steps": 500, "eval_every": 20, "max_new_tokens": 512, "audits": 0,
         "arms": ("oblr_po", "rloo", "grpo")},
    ),
}  # fmt: skip

REPRODUCE = {"experiment": "all", "steps": 80, "audit_trials": 1000}
