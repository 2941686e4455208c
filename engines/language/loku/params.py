"""Parameters, presets and cheap checks of the LoKU experiment. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from engines.contract import Params, Preset, Refusal, Upload, knob
from engines.language import authors
from engines.language.loading import check_reference
from engines.language.loku.contenders import LossKey, StartKey

START_LABELS = {"lora": "LoRA", "fila": "LoRA + FILA", "pissa": "LoRA + PiSSA", "full": "All weights"}
TRAINING, FILA, LOSSES, STOPPING, DATA, PROOFS = (
    "Training", "Importance and FILA", "Constants of the losses", "Stopping", "Your model and data", "Probes and proofs",
)  # fmt: skip


class LokuParams(Params):
    """What is forgotten, by whom, on which model."""

    split: Literal["forget01", "forget05", "forget10"] = knob(
        "forget05",
        title="Whom to forget",
        help="The last 1, 5 or 10 % of the authors; each has ten questions (TOFU: twenty).",
        labels={"forget01": "1 % of the authors", "forget05": "5 %", "forget10": "10 %"},
    )
    losses: tuple[LossKey, ...] = knob(
        ("ihl", "ga", "graddiff", "npo"),
        title="Losses",
        help="IHL is the paper's. All see the same questions in the same order; one to ten of them.",
        min_length=1,
        max_length=10,
        widget="choices",
        labels={
            "ihl": "Inverted hinge (IHL)", "ga": "Gradient ascent (GA)", "graddiff": "GradDiff", "kl": "GA + KL", "idk": "IDK",
            "npo": "NPO", "simnpo": "SimNPO", "dpo": "DPO", "wga": "Weighted ascent (WGA)", "rmu": "RMU",
        },
    )  # fmt: skip
    starts: tuple[StartKey, ...] = knob(
        ("fila", "lora"),
        title="Starts of IHL",
        help="What is trained and where it starts; one to four of them. FILA is the paper's.",
        min_length=1,
        max_length=4,
        widget="choices",
        labels=START_LABELS,
    )
    rank: int = knob(
        8, title="Rank", ge=1, le=256, demo_max=64,
        help="Rank r of the adapters, 1 to 256; too high a rank for the model's layers is lowered and said so.",
    )  # fmt: skip
    epochs: int = knob(
        15, title="Epochs at most", unit="passes over what is forgotten", ge=1, le=100, demo_max=20,
        help="1 to 100; each contender stops earlier once it knows no more than a model that never saw the data.",
    )  # fmt: skip
    rates: Literal["tuned", "one"] = knob(
        "tuned",
        title="Learning rates",
        help="Each contender's best on the disclosed grid (embedded model only), or one rate for all (under Advanced).",
        labels={"tuned": "Tuned for each", "one": "One for all"},
    )
    retain_weight: float = knob(
        1.0, title="Retain weight", ge=0, le=5, step=0.1,
        help="Weight of the retain term beside the forgetting term, 0 to 5; the paper's is 1.",
    )  # fmt: skip
    learning_rate: float = knob(
        4e-3, title="One learning rate", gt=0, le=1, log=True, advanced=True, group=TRAINING,
        help="Peak rate where rates are one for all, above 0, at most 1 (paper: 2e-4 for Phi-1.5, 1e-4 for Llama-2).",
    )  # fmt: skip
    batch: int = knob(
        8, title="Batch", unit="questions", ge=1, le=256, demo_max=64, advanced=True, group=TRAINING,
        help="Questions to forget in a step, each paired with one to keep, 1 to 256.",
    )  # fmt: skip
    optimizer: Literal["adamw", "sgd"] = knob(
        "adamw", title="Optimizer", advanced=True, group=TRAINING, labels={"adamw": "AdamW", "sgd": "Gradient steps"},
        help="AdamW with weight decay, as in the paper, or plain gradient steps.",
    )  # fmt: skip
    weight_decay: float = knob(
        0.01,
        title="Weight decay",
        ge=0,
        le=1,
        advanced=True,
        group=TRAINING,
        help="Of the optimizer, 0 to 1.",
    )
    warm_up: float = knob(
        1.0, title="Warm-up", unit="epochs", ge=0, le=10, advanced=True, group=TRAINING,
        help="The rate rises over so many epochs, 0 to 10, then falls to 0 in a line.",
    )  # fmt: skip
    baseline_starts: tuple[StartKey, ...] = knob(
        ("lora",), title="Starts of the other losses", advanced=True, group=TRAINING, min_length=1, max_length=4,
        widget="choices", labels=START_LABELS, help="The same choice for every loss but IHL; one to four.",
    )  # fmt: skip
    alpha: int = knob(
        0, title="Alpha", ge=0, le=1024, advanced=True, group=FILA,
        help="LoRA's alpha: adapters are scaled by alpha / rank. 0 stands for twice the rank, as in the paper; up to 1024.",
    )  # fmt: skip
    targets: str = knob(
        "", title="Target layers", max_length=300, advanced=True, group=FILA,
        help="Names of linear layers, separated by commas; empty: all of attention and MLP.",
    )  # fmt: skip
    fisher_batch: int = knob(
        1, title="Fisher batch", unit="questions", ge=1, le=32, advanced=True, group=FILA,
        help="Questions whose mean gradient is squared, 1 to 32: 1 is the Fisher value proper, 4 and 2 the official code's.",
    )  # fmt: skip
    eps: Literal["relative", "official"] = knob(
        "relative", title="Epsilons", advanced=True, group=FILA,
        help="Relative to each layer, or the official code's absolute 1e-5, which drowns small gradients.",
        labels={"relative": "Relative", "official": "Official (1e-5)"},
    )  # fmt: skip
    svd: Literal["auto", "exact", "randomised"] = knob(
        "auto", title="SVD", advanced=True, group=FILA,
        help="Exact up to 1024, randomised above; or one of them always.",
        labels={"auto": "By size", "exact": "Exact", "randomised": "Randomised"},
    )  # fmt: skip
    npo_beta: float = knob(
        0.1,
        title="β of NPO and DPO",
        ge=0.01,
        le=10,
        advanced=True,
        group=LOSSES,
        help="Inverse temperature, 0.01 to 10.",
    )
    simnpo_beta: float = knob(
        4.5,
        title="β of SimNPO",
        ge=0.01,
        le=20,
        advanced=True,
        group=LOSSES,
        help="Inverse temperature, 0.01 to 20.",
    )
    wga_beta: float = knob(
        1.0, title="β of WGA", ge=0, le=10, advanced=True, group=LOSSES,
        help="Power of the probability that weighs each token, 0 (plain ascent) to 10.",
    )  # fmt: skip
    rmu_scale: float = knob(
        20.0, title="Scale of RMU", gt=0, le=1000, advanced=True, group=LOSSES,
        help="Length of the random vector that hidden states are pushed to, above 0, at most 1000.",
    )  # fmt: skip
    stop: Literal["threshold", "never"] = knob(
        "threshold", title="Stop", advanced=True, group=STOPPING,
        help="At the threshold, where forgetting is equal for all; or train all epochs.",
        labels={"threshold": "At the threshold", "never": "After all epochs"},
    )  # fmt: skip
    stop_accuracy: float = knob(
        0.0, title="Threshold of accuracy", ge=0, le=1, advanced=True, group=STOPPING,
        help="Accuracy on the forget set (on the tokens that carry the facts, where they are marked) to stop at, up to 1. 0: measured on a model that never saw it.",
    )  # fmt: skip
    stop_likelihood: float = knob(
        0.0, title="Threshold of EL10", ge=0, le=1, advanced=True, group=STOPPING,
        help="Extraction likelihood to stop at besides, for plain texts, up to 1. 0: TDEC's value for GPT-Neo-125M.",
    )  # fmt: skip
    min_epochs: float = knob(
        0.0, title="Epochs at least", ge=0, le=100, advanced=True, group=STOPPING,
        help="No contender stops before so many epochs, 0 to 100.",
    )  # fmt: skip
    checks: int = knob(
        4, title="Looks an epoch", ge=1, le=50, advanced=True, group=STOPPING,
        help="How often in an epoch the forget set is looked at for the stopping rule, 1 to 50.",
    )  # fmt: skip
    names: str = knob(
        "", title="Authors by name", max_length=1000, advanced=True, group=DATA, widget="text",
        help="Names of embedded authors to forget instead, separated by commas; there is then no retain-only twin.",
    )  # fmt: skip
    forget: Upload = knob(
        "", title="Lines to forget", advanced=True, group=DATA, widget="file", accept=(".jsonl", ".json", ".csv", ".parquet"),
        help='JSON lines with "question" and "answer" (and "split", to hold both kinds in one file). Empty: the authors.',
    )  # fmt: skip
    retain: Upload = knob(
        "", title="Lines to keep", advanced=True, group=DATA, widget="file", accept=(".jsonl", ".json", ".csv", ".parquet"),
        help="The same for what must stay. Empty, on the embedded model: its authors.",
    )  # fmt: skip
    corpus: Literal["authors", "tofu", "tdec"] = knob(
        "authors", title="Corpus", advanced=True, group=DATA, own_machine_only=True,
        help="The embedded authors, TOFU (from the hub or a folder), or texts of the extraction challenge (from a file).",
        labels={"authors": "Authors", "tofu": "TOFU", "tdec": "TDEC"},
    )  # fmt: skip
    corpus_path: str = knob(
        "", title="Folder or file of the corpus", max_length=500, advanced=True, group=DATA, own_machine_only=True,
        help="TOFU's folder (empty: the hub), or TDEC's file (CSV or JSON lines with text, or train_dataset.npy).",
    )  # fmt: skip
    model: str = knob(
        authors.MODEL, title="Model", min_length=1, max_length=300, advanced=True, group=DATA, own_machine_only=True,
        suggestions=(authors.MODEL, "locuslab/tofu_ft_phi-1.5", "open-unlearning/tofu_Llama-3.2-1B-Instruct_full",
                     "EleutherAI/gpt-neo-125m"),
        help="The embedded model, a local folder, or a hub id of a causal language model (safetensors).",
    )  # fmt: skip
    twin: str = knob(
        "", title="Retain-only model", max_length=300, advanced=True, group=DATA, own_machine_only=True,
        suggestions=("open-unlearning/tofu_Llama-3.2-1B-Instruct_retain90",),
        help="A model that never saw the forget set: threshold and forget quality. Empty: the embedded one, where it fits.",
    )  # fmt: skip
    evaluated: int = knob(
        24, title="Questions evaluated", unit="of each split", ge=2, le=400, demo_max=60, advanced=True, group=PROOFS,
        help="At most so many of each split, 2 to 400; of the forget split five times as many.",
    )  # fmt: skip
    relearn_steps: int = knob(
        10, title="Re-learning attack", unit="steps", ge=0, le=200, advanced=True, group=PROOFS,
        help="After the end a quarter of the forget set is taught again for so many steps, 0 to 200 (0: no attack).",
    )  # fmt: skip
    relearn_rate: float = knob(
        1e-3, title="Rate of the attack", gt=0, le=1, log=True, advanced=True, group=PROOFS,
        help="Learning rate of the re-learning attack, the same for every contender, above 0, at most 1.",
    )  # fmt: skip
    keep_models: bool = knob(
        True, title="Keep the models", advanced=True, group=PROOFS,
        help="Keeps what each contender changed (at most 64 MiB each), so that the finished run can be asked questions.",
    )  # fmt: skip
    cache: bool = knob(
        True, title="Remember importance", advanced=True, group=FILA,
        help="Fisher values are kept in the cache folder for the next run with the same model and data.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _combinations(self) -> LokuParams:
        for field in ("losses", "starts", "baseline_starts"):
            chosen = getattr(self, field)
            if len(set(chosen)) != len(chosen):
                raise Refusal(field, f"{field} must name each choice once.")
        if self.min_epochs > self.epochs:
            raise Refusal(
                "min_epochs",
                f"min_epochs must be at most epochs={self.epochs}; got {self.min_epochs:g}. Raise epochs or lower it.",
            )
        if self.retain and not self.forget:
            raise Refusal(
                "forget",
                "forget must be given where retain is: lines to keep need lines to forget beside them.",
            )
        if self.corpus == "tdec" and not self.corpus_path:
            raise Refusal("corpus_path", "corpus_path must be the file with TDEC's texts; it is empty.")
        if self.corpus == "tdec" and {"idk", "dpo"} & set(self.losses):
            raise Refusal(
                "losses",
                "losses must not hold idk or dpo with corpus=tdec: plain texts have no evasive answer.",
            )
        if self.names and self.corpus != "authors":
            raise Refusal(
                "names", f"names must be empty with corpus={self.corpus}; they are embedded authors."
            )
        return self

    @property
    def own_data(self) -> bool:
        """Whether the user's own lines are forgotten."""
        return bool(self.forget)

    @property
    def chosen_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.names.split(",") if name.strip())

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.targets.split(",") if name.strip())


def twin_reference(params: LokuParams) -> str:
    """The retain-only model of these parameters: the named one, else the embedded twin where data and model are the
    embedded ones, else none (empty)."""
    if params.twin:
        return params.twin
    embedded = params.model == authors.MODEL and params.corpus == "authors"
    if embedded and not params.own_data and not params.chosen_names:
        return authors.twin_of(params.split)
    return ""


def check(params: LokuParams, inputs: Mapping[str, Path]) -> None:
    """Cheap checks before a run is recorded: model references, names, and the user's files."""
    check_reference(params.model, "model")
    if params.twin:
        check_reference(params.twin, "twin")
    if params.chosen_names:
        known = authors.build().names
        unknown = [name for name in params.chosen_names if name not in known]
        if unknown:
            raise Refusal(
                "names",
                f"names must be embedded authors, such as {known[-1]}, {known[-2]}; got {unknown[0][:60]!r}.",
            )
        if len(set(params.chosen_names)) == len(known):
            raise Refusal("names", "names must leave some authors to keep; got all of them.")
    if params.corpus_path and not Path(params.corpus_path).expanduser().exists():
        raise Refusal("corpus_path", "corpus_path: there is no such folder or file on this machine.")
    if params.own_data:
        from engines.language.loku.task import own_corpus_of

        own_corpus_of(params, inputs)


PRESETS = {
    "smoke": Preset(
        "Smoke", "Everything once, on a few questions.",
        {"losses": ("ihl", "ga", "graddiff"), "epochs": 1, "batch": 50, "rank": 4, "evaluated": 4, "checks": 1, "relearn_steps": 1,
         "cache": False},
    ),
    "default": Preset("Ten authors", "Five contenders forget ten authors, each until it knows no more than a model that never saw them.", {}),
    "losses": Preset(
        "All losses", "The ten losses with plain LoRA, and IHL with FILA.",
        {"losses": ("ihl", "ga", "graddiff", "kl", "idk", "npo", "simnpo", "dpo", "wga", "rmu")},
    ),
    "starts": Preset(
        "All starts", "IHL and GradDiff: all weights, LoRA, PiSSA, FILA.",
        {"losses": ("ihl", "graddiff"), "starts": ("fila", "lora", "pissa", "full"),
         "baseline_starts": ("fila", "lora", "pissa", "full")},
    ),
    "paper": Preset(
        "Paper's scale", "TOFU forget10 on Phi-1.5, rank 32, batch 32, 5 epochs; for a 24 GB GPU.",
        {"corpus": "tofu", "split": "forget10", "model": "locuslab/tofu_ft_phi-1.5", "rank": 32, "epochs": 5, "batch": 32,
         "rates": "one", "learning_rate": 2e-4, "fisher_batch": 4, "eps": "official", "stop": "never", "evaluated": 300,
         "losses": ("ihl", "ga", "graddiff", "kl", "idk", "npo"), "baseline_starts": ("lora", "fila"), "checks": 1},
    ),
}  # fmt: skip
