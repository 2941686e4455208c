"""Loading the embedded stack: small real models in native formats, always float32 on the CPU.

    stack = load_stack()                F: many steps, guidance 3
    stack = load_stack(one_step=True)   G: one step at t = 999, no guidance
    r1, r2 = load_r1(), load_r2()

Only safetensors are read. A missing or damaged folder is an `EmbeddedWeightsMissing` with one sentence; the
weight-free doubles of `doubles.py` need no files at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel, CLIPTokenizer

    from engines.images.rewards.blip_reward import BlipReward

WEIGHTS = Path(__file__).parent / "weights"
GUIDANCE = 3.0
STEPS = 20
ONE_STEP_FOLDER = "unet_one_step"


class EmbeddedWeightsMissing(FileNotFoundError):
    """The weights of an embedded model are not there; the message says which file and what to do."""


def _need(folder: Path, *files: str) -> None:
    for file in files:
        if not (folder / file).is_file():
            raise EmbeddedWeightsMissing(
                f"The embedded model's file {folder.name}/{file} is missing: reinstall the package, train it by "
                "engines/images/training/README.md, or name another model."
            )


@dataclass(frozen=True)
class Stack:
    """The parts of an embedded generator, frozen, in eval mode."""

    pipeline: StableDiffusionPipeline
    one_step: bool

    @property
    def steps(self) -> int:
        """Network calls of a picture."""
        return 1 if self.one_step else STEPS

    @property
    def guidance(self) -> float:
        """Guidance weight that it was measured with; 1 means none."""
        return 1.0 if self.one_step else GUIDANCE


def load_stack(*, one_step: bool = False, folder: Path = WEIGHTS) -> Stack:
    """F, or G with `one_step`, as a StableDiffusionPipeline in float32 on the CPU.

    Raises EmbeddedWeightsMissing."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    from engines.images.quiet import quiet

    root = folder / "stack"
    network = ONE_STEP_FOLDER if one_step else "unet"
    _need(
        root,
        "model_index.json",
        f"{network}/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    )
    common: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    extra: dict[str, Any] = {}
    if one_step:
        extra["unet"] = UNet2DConditionModel.from_pretrained(str(root), subfolder=network, **common)
    with quiet(notes=False):
        pipeline = StableDiffusionPipeline.from_pretrained(
            str(root), safety_checker=None, requires_safety_checker=False, **common, **extra
        )
    pipeline.set_progress_bar_config(disable=True)
    for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        module.float().eval().requires_grad_(False)
    return Stack(pipeline, one_step)


def load_r1(folder: Path = WEIGHTS) -> tuple[CLIPModel, CLIPTokenizer]:
    """R1, a CLIPModel, and its tokenizer; float32, frozen. Raises EmbeddedWeightsMissing."""
    import torch
    from transformers import CLIPModel, CLIPTokenizer

    root = folder / "r1"
    _need(root, "config.json", "model.safetensors", "tokenizer.json")
    model = CLIPModel.from_pretrained(
        str(root), dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    tokenizer = CLIPTokenizer.from_pretrained(str(root), local_files_only=True)
    return model.eval().requires_grad_(False), tokenizer


def load_r2(folder: Path = WEIGHTS) -> tuple[BlipReward, CLIPTokenizer]:
    """R2, a BlipReward, and its tokenizer (R1's); float32, frozen. Raises EmbeddedWeightsMissing."""
    from transformers import CLIPTokenizer

    from engines.images.rewards.blip_reward import BlipReward

    _need(folder, "r2/config.json", "r2/model.safetensors", "r1/tokenizer.json")
    model = BlipReward.from_pretrained(folder / "r2")
    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "r1"), local_files_only=True)
    return model.requires_grad_(False), tokenizer


def token_ids(tokenizer: CLIPTokenizer, prompts: list[str]) -> torch.Tensor:
    """Padded token numbers [N, 12] of prompts."""
    return tokenizer(
        prompts,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
