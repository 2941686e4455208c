"""The networks of the embedded stack, with fresh weights, in the classes of diffusers and transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engines.images.world.tokens import BOS, EOS, LENGTH, vocabulary

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPModel, CLIPTextModel

    from engines.images.rewards.blip_reward import BlipReward

LATENT = (8, 8, 8)
"""Channels, height, width of a latent; 512 numbers."""
TEXT_WIDTH = 64


def text_config(**changes: object) -> dict[str, object]:
    """Configuration of a CLIP text tower over the world's tokens."""
    config: dict[str, object] = {
        "vocab_size": len(vocabulary()),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "projection_dim": 64,
        "hidden_act": "gelu",
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": EOS,
    }
    config.update(changes)
    return config


def make_vae() -> AutoencoderTiny:
    """AutoencoderTiny: 64x64 RGB to a latent 8x8x8; scaling 1, so latents are used as they are."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        latent_channels=LATENT[0],
        encoder_block_out_channels=(24, 24, 24, 24),
        decoder_block_out_channels=(24, 24, 24, 24),
        num_encoder_blocks=(0, 1, 2, 2),
        num_decoder_blocks=(3, 2, 2, 1),
        act_fn="relu",
        upsample_fn="nearest",
        upsampling_scaling_factor=2,
        scaling_factor=1.0,
        latent_magnitude=3,
        latent_shift=0.5,
    )


def make_text_encoder() -> CLIPTextModel:
    """The text encoder of F and G."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**text_config()))


def make_unet(widths: tuple[int, int] = (64, 96)) -> UNet2DConditionModel:
    """The network of F and G: two levels (8x8 and 4x4), text attended to at the lower one."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT[1],
        in_channels=LATENT[0],
        out_channels=LATENT[0],
        block_out_channels=widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        use_linear_projection=True,
    )


def make_scheduler() -> EulerDiscreteScheduler:
    """v prediction with zero terminal signal, trailing spacing: one call at t=999 sees pure noise."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        steps_offset=1,  # has no part in trailing spacing; 0 makes the pipeline warn
    )


def alphas(scheduler: EulerDiscreteScheduler) -> tuple[torch.Tensor, torch.Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t) for t = 0..999, float32; the last pair is (0, 1) up to the
    2^-24 that diffusers puts in place of zero."""
    bar = scheduler.alphas_cumprod.to(torch.float64)
    return bar.sqrt().float(), (1 - bar).sqrt().float()


def make_r1() -> CLIPModel:
    """R1: a CLIP model of .45 M parameters, picture 64x64 in patches of 8."""
    from transformers import CLIPConfig, CLIPModel

    vision = {
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
        "hidden_act": "gelu",
        "projection_dim": 64,
    }
    return CLIPModel(CLIPConfig(text_config=text_config(), vision_config=vision, projection_dim=64))


def make_r2() -> BlipReward:
    """R2: ImageReward's shape with .68 M parameters; its picture tower has R1's sizes."""
    from engines.images.rewards.blip_reward import BlipReward

    shared = {"hidden_size": 96, "intermediate_size": 192, "num_attention_heads": 4, "hidden_act": "gelu"}
    vision = {"num_hidden_layers": 4, "image_size": 64, "patch_size": 8, **shared}
    text = {
        "vocab_size": len(vocabulary()),
        "num_hidden_layers": 3,
        "max_position_embeddings": LENGTH,
        "encoder_hidden_size": 96,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "sep_token_id": EOS,
        "pad_token_id": EOS,
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        **shared,
    }
    model = BlipReward(vision, text, (64, 16, 1))
    # The classes' default of .02 is for widths near 768. At 96 it leaves attention uniform: the words' roles then
    # took ten times as long (loss 10.0 after 300 steps, against .3).
    for module in model.text_encoder.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.1)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.3)
    return model


def attention_mask(ids: torch.Tensor) -> torch.Tensor:
    """1 for each token up to and with the first end token, 0 for padding. int64 like `ids` [N, L]."""
    ends = (ids == EOS).long()
    return ((ends.cumsum(-1) - ends) == 0).long()
