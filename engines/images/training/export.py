"""Stage 9: the checkpoints as fp16 safetensors in the native folders of diffusers and transformers.

weights/stack/   what StableDiffusionPipeline.from_pretrained runs: F; G's network lies beside it in
                 unet_one_step/ and shares everything else
weights/r1/      a CLIPModel with its tokenizer      weights/r2/   a BlipReward
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import nn

from engines.images.training.architecture import (
    make_r1,
    make_r2,
    make_scheduler,
    make_text_encoder,
    make_unet,
)
from engines.images.training.loop import weights
from engines.images.training.vae import final_vae
from engines.images.world.tokens import build_tokenizer


def loaded(module: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    """The module with those weights, in fp16."""
    module.load_state_dict(state)
    return module.half().eval()


def export_stack(source: Path, target: Path, one_step: str) -> None:
    """F, G, text encoder, autoencoder, tokenizer, scheduler. `one_step` names G's run."""
    loaded(make_unet(), weights(source, "f", "unet")).save_pretrained(target / "unet")
    loaded(make_unet(), weights(source, one_step, "unet")).save_pretrained(target / "unet_one_step")
    loaded(make_text_encoder(), weights(source, "f", "text")).save_pretrained(target / "text_encoder")
    vae = final_vae(source).half()
    vae.register_to_config(block_out_channels=[24, 24, 24, 24])
    vae.save_pretrained(target / "vae")
    make_scheduler().save_pretrained(target / "scheduler")
    build_tokenizer().save_pretrained(target / "tokenizer")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
    }
    (target / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def export_rewards(source: Path, target: Path, first: str, second: str) -> None:
    """R1 and R2 of those runs."""
    loaded(make_r1(), weights(source, first, "model")).save_pretrained(target / "r1")
    build_tokenizer().save_pretrained(target / "r1")
    two = make_r2()
    two.load_state_dict(weights(source, second, "model"))
    two.save_pretrained(target / "r2", torch.float16)


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description="Write the weights folders.")
    parser.add_argument("--folder", type=Path, default=Path("train-images"))
    parser.add_argument("--target", type=Path, default=Path(__file__).parents[1] / "weights")
    parser.add_argument("--one-step", default="g")
    parser.add_argument("--rewards", default="r1-second,r2-second")
    options = parser.parse_args()
    export_stack(options.folder, options.target / "stack", options.one_step)
    export_rewards(options.folder, options.target, *options.rewards.split(","))


if __name__ == "__main__":
    main()
