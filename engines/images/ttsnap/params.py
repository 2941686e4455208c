"""Parameters of the TTSnap experiments. `rules.py` says which go together. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import model_validator

from engines.contract import Params, Upload, Use, knob
from engines.images import choices, knobs, noise_file
from engines.images.ttsnap import cuts, lab_file, prompts, rules, weights_file
from engines.images.ttsnap.method.schedule import Prices, Schedule

SHIPPED, PLAIN_ONLY, UPLOADED = rules.SHIPPED, rules.PLAIN_ONLY, rules.UPLOADED
SEARCH, PRICE, SAMPLER, LAB, TRAIN = (
    "Search", "What things cost", "Sampler and rewards", "Replay lab", "Training",
)  # fmt: skip
HELD_SEEDS = 16
"""Seeds a held-out prompt in training."""
RewardName = Literal["r1", "r2", "hpsv2.1", "imagereward", "clip", "pickscore", "aesthetic"]


class TTSnapParams(Params):
    """What to draw, at what budget, with which cuts, scored by whom."""

    experiment: Literal["search", "train", "replay"] = knob(
        "search", title="Experiment",
        help="Search live; train the noise-aware reward; or replay stored rewards under any schedule and budget.",
        labels={"search": "Search", "train": "Train the reward", "replay": "Replay lab"},
    )  # fmt: skip
    prompt: str = knob(
        "two green triangles", title="Prompt", max_length=400, suggestions=choices.SUGGESTED_PROMPTS, phrases=choices.PROMPT_PHRASES,
        help="What to draw. The embedded model knows circles, squares and triangles in five colours, one to four, and where they stand.",
    )  # fmt: skip
    budget: float = knob(
        200, title="Budget", unit="calls", ge=20, le=4000, demo_max=300,
        help="Denoising calls that every contender may spend, 20 to 4,000, verifications included at their price; a guided call counts as one.",
    )  # fmt: skip
    prune_steps: tuple[int, ...] = knob(
        (), title="Prune after step", placeholder="auto", suggestions=("0, 5, 6", "2, 6, 11", "4, 6, 11", "6, 11"),
        help="Denoising steps, from 0, rising, before the last. Empty: 0, 5, 6, searched for embedded-f; else the paper's 2, 6, 11.",
    )  # fmt: skip
    keep: tuple[float, ...] = knob(
        (), title="Share kept", placeholder="auto", suggestions=("0.75, 0.65, 0.55", "0.4, 0.4, 0.5", "0.4, 0.5, 0.6", "0.5, 0.5"),
        help="Of the seeds in the race, one share for each cut, above 0 and at most 1. Empty: 0.75, 0.65, 0.55; else the paper's 0.4, 0.4, 0.5.",
    )  # fmt: skip
    rewards: tuple[RewardName, ...] = knob(
        ("r2",), title="Rewards", widget="choices", labels={name: choices.REWARD_TITLES[name] for name in get_args(RewardName)},
        help="Who judges. Several are combined by the sum of ranks. R1 and R2 read the embedded world, the others photographs.",
    )  # fmt: skip
    bench_prompts: int = knob(
        5, title="Prompts of the comparison", unit="prompts", ge=0, le=48, demo_max=6,
        help="Held-out prompts on which all contenders are compared after the search, 0 to 48 (embedded model).",
    )  # fmt: skip

    noise_aware: Literal["shipped", "upload", "none"] = knob(
        "shipped", title="Noise-aware reward", advanced=True, group=SEARCH,
        help="Weights that score estimates: those shipped for embedded-f, your own file, or none (pruning by the plain reward).",
        labels={"shipped": "Shipped", "upload": "My file", "none": "None"},
    )  # fmt: skip
    weights: Upload = knob(
        "", title="Noise-aware weights", advanced=True, group=SEARCH, widget="file", accept=weights_file.ACCEPT,
        help="A file that the training experiment wrote; refused where sampler, decoder or reward differ.",
        use=Use("Search with it", {"experiment": "search", "noise_aware": UPLOADED}),
    )  # fmt: skip
    noise: Upload = knob(
        "", title="First seeds from noise", advanced=True, group=SEARCH, widget="file", accept=noise_file.ACCEPT,
        help="Noise of a ReNO run, or your own array N x channels x height x width: they race as the first seeds on your prompt.",
    )  # fmt: skip
    combine: Literal["rank", "z"] = knob(
        "rank", title="Several rewards", advanced=True, group=SEARCH, help="Sum of ranks (the paper's) or of standardised scores.",
        labels={"rank": "Sum of ranks", "z": "Sum of z-scores"},
    )  # fmt: skip
    adaptive: bool = knob(
        False, title="Adaptive cut", advanced=True, group=SEARCH,
        help="Also drop seeds whose prediction can no longer win; saves calls, one reward only, not in the paper.",
    )  # fmt: skip
    z: float = knob(
        2.0, title="Margin of the adaptive cut", unit="residual standard deviations", ge=0, le=5, step=0.1, advanced=True,
        group=SEARCH, help="How unlikely a comeback must be, 0 to 5.",
    )  # fmt: skip
    finish: Literal["auto", "always", "never"] = knob(
        "auto", title="Finish what was cut", advanced=True, group=SEARCH, labels={"auto": "Embedded only", "always": "Always", "never": "Never"},
        help="Draw the cut seeds to their end too, outside the budget: only then can the other contenders be judged on your prompt.",
    )  # fmt: skip
    look_every: int = knob(
        2, title="Look between cuts", unit="steps", ge=0, le=10, advanced=True, group=SEARCH,
        help="Estimates of those in the race are decoded and scored for the board at every so many steps, outside the budget; 0: at cuts only.",
    )  # fmt: skip
    pool: int = knob(
        40, title="Seeds a prompt in the comparison", unit="seeds", ge=4, le=200, demo_max=64, advanced=True, group=SEARCH,
        help="Pool from which contenders draw, 4 to 200; the live search takes as many as its budget buys.",
    )  # fmt: skip
    draws: int = knob(
        40, title="Draws", ge=1, le=200, advanced=True, group=SEARCH,
        help="Random choices of seeds from the pool behind each point of reward against budget, 1 to 200.",
    )  # fmt: skip

    accounting: Literal["strict", "official"] = knob(
        "strict", title="Accounting", advanced=True, group=PRICE,
        help="Strict counts s + 1 calls up to step s; official follows the authors' code, which forgets one call of every seed that it prunes.",
        labels={"strict": "Strict", "official": "Official"},
    )  # fmt: skip
    verify_price: float = knob(
        0.12, title="Price of a verification", unit="calls", ge=0, le=20, step=0.01, advanced=True, group=PRICE,
        help="Decode and reward, 0 to 20. FLUX: 1.2 of 9.9 TFLOPs. The small decoder here costs about 2.5 calls in time: see the table.",
    )  # fmt: skip

    model: str = knob(
        choices.F, title="Model", own_machine_only=True, min_length=1, max_length=300, advanced=True, group=SAMPLER, suggestions=rules.MODELS,
        help="embedded-f, a published many-step model by name, a folder in diffusers' format, or a hub id.",
    )  # fmt: skip
    steps: int = knob(
        20, title="Denoising steps", unit="calls", ge=4, le=50, advanced=True, group=SAMPLER, help="T, 4 to 50."
    )  # fmt: skip
    guidance: float = knob(
        3.0, title="Guidance", ge=1, le=20, step=0.5, advanced=True, group=SAMPLER, help="1 (none) to 20; 3 for embedded-f."
    )  # fmt: skip
    at_once: int = knob(
        0, title="Seeds at once", ge=0, le=256, advanced=True, group=SAMPLER,
        help="Seeds in one call of the network, 0 to 256; 0 takes all.",
    )  # fmt: skip
    offload: knobs.Offload = knobs.offload(SAMPLER)
    tiny_decoder: str = knobs.tiny_decoder(
        SAMPLER,
        "Hub id or folder of an AutoencoderTiny that decodes the estimates; finished pictures get the full decoder.",
    )
    tiles: bool = knobs.tiles(SAMPLER)
    reward_sources: knobs.Sources = knobs.reward_sources(SAMPLER)

    table: Upload = knob(
        "", title="Stored rewards", advanced=True, group=LAB, widget="file", accept=lab_file.ACCEPT,
        help="npz or safetensors: final [prompt, seed] and scores [prompt, seed, step]; a Search over two prompts or more writes one. Empty: a pool is drawn.",
        use=Use("Replay it", {"experiment": "replay"}),
    )  # fmt: skip
    tries: int = knob(
        160, title="Schedules tried", ge=0, le=2000, advanced=True, group=LAB,
        help="Random schedules judged on half of the prompts; the best is tested on the other half. 0 to 2,000.",
    )  # fmt: skip

    form: Literal["heads", "levels", "conditioned"] = knob(
        "heads", title="Form", advanced=True, group=TRAIN,
        help="Last layers fitted in closed form (ours, R2 only); all weights, a checkpoint a level (the paper's); one model told the level (ours).",
        labels={"heads": "Last layers", "levels": "One model a level", "conditioned": "One model"},
    )  # fmt: skip
    train_levels: int = knob(
        15, title="Levels", unit="steps", ge=1, le=49, advanced=True, group=TRAIN,
        help="Estimates of steps 0 .. levels - 1 are learnt, 1 to 49; later steps keep the plain reward.",
    )  # fmt: skip
    train_prompts: int = knob(
        40, title="Training prompts", ge=2, le=10_000, demo_max=40, advanced=True, group=TRAIN,
        help="Of the embedded world 2 to 400; of a file up to 10,000 (the paper's: 5,000).",
    )  # fmt: skip
    train_texts: Upload = knob(
        "", title="Prompts to train on", advanced=True, group=TRAIN, widget="file", accept=prompts.ACCEPT,
        help="For full-size models: a text file, one prompt a line; some are held out.",
    )  # fmt: skip
    train_seeds: int = knob(
        6, title="Seeds a training prompt", ge=2, le=64, demo_max=8, advanced=True, group=TRAIN, help="2 to 64."
    )  # fmt: skip
    held_prompts: int = knob(
        8, title="Held-out prompts", ge=2, le=48, demo_max=8, advanced=True, group=TRAIN,
        help="Prompts never trained on that alignment is measured on, 2 to 48 with sixteen seeds each.",
    )  # fmt: skip
    order: Literal["clean-to-noisy", "reverse", "mixed", "independent"] = knob(
        "clean-to-noisy", title="Order of levels", advanced=True, group=TRAIN,
        help="The paper's curriculum goes from clean to noisy; the others are ablations. Independent: each level from the plain reward.",
        labels={"clean-to-noisy": "Clean to noisy", "reverse": "Noisy to clean", "mixed": "Shuffled", "independent": "Independent"},
    )  # fmt: skip
    epochs: int = knob(1, title="Epochs a level", ge=1, le=5, advanced=True, group=TRAIN, help="1 to 5.")
    batch: int = knob(
        32,
        title="Batch",
        unit="estimates",
        ge=2,
        le=256,
        advanced=True,
        group=TRAIN,
        help="2 to 256; the paper's is 100.",
    )
    rate: float = knob(
        3e-5, title="Learning rate", gt=0, le=1e-2, log=True, advanced=True, group=TRAIN,
        help="Above 0, at most .01; the paper's is 3e-6 for a far larger reward. With few trajectories 3e-4 unlearns. Not for last layers.",
    )  # fmt: skip
    least: float = knob(
        0.5, title="Decay inside a level", ge=0, le=1, step=0.05, advanced=True, group=TRAIN, help="Share of the rate at the end, 0 to 1."
    )  # fmt: skip
    replay: float = knob(
        0.25, title="Replay", ge=0, le=0.9, step=0.05, advanced=True, group=TRAIN,
        help="Share of a batch from levels learnt before, 0 to .9; one model only.",
    )  # fmt: skip
    pair_loss: float = knob(
        0.0, title="Pair loss", ge=0, le=1, step=0.05, advanced=True, group=TRAIN,
        help="Weight of the authors' optional ranking loss over two seeds of one prompt, 0 to 1.",
    )  # fmt: skip
    pair_tau: float = knob(
        0.5, title="Temperature of pairs", ge=0.05, le=1, step=0.05, advanced=True, group=TRAIN, help=".05 to 1."
    )  # fmt: skip

    @model_validator(mode="after")
    def _combinations(self) -> TTSnapParams:
        rules.check(self)
        return self

    @property
    def schedule(self) -> Schedule:
        """The cuts; what is empty is taken from those that suit the model."""
        return Schedule(*self.cut_at)

    @property
    def cut_at(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Steps and shares, not checked yet."""
        suited = cuts.suited(self.is_world, self.steps, len(self.rewards))
        return self.prune_steps or suited.steps, self.keep or suited.keep

    @property
    def has_own_cuts(self) -> bool:
        """Whether the reader chose cuts."""
        return bool(self.prune_steps or self.keep)

    @property
    def prices(self) -> Prices:
        """Costs in calls."""
        return Prices(1.0, self.verify_price, self.steps, self.accounting)

    @property
    def is_world(self) -> bool:
        """Whether pictures are scenes that the exact checker reads."""
        return choices.is_embedded(self.model)

    @property
    def decoder(self) -> str:
        """What decodes estimates: "full", or the reference of a tiny one."""
        return self.tiny_decoder or "full"

    @property
    def opens_models(self) -> bool:
        """Whether the experiment draws pictures; a replay of stored rewards does not."""
        return self.experiment != "replay" or not self.table

    @property
    def seeds_at_once(self) -> int:
        """Seeds of the largest batch, unless `at_once` says otherwise."""
        if self.experiment == "train":
            return max(self.train_seeds, HELD_SEEDS)
        return self.pool if self.experiment == "replay" else self.prices.seeds(self.schedule, self.budget)

    @property
    def finishes(self) -> bool:
        """Whether what was cut is drawn to its end too."""
        return self.is_world if self.finish == "auto" else self.finish == "always"
