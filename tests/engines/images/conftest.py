"""Tiny random models of each supported class, saved to folders and read back by the real loading code."""

from __future__ import annotations

from pathlib import Path

import pytest


def clip_text(width: int = 16, projection: bool = False, seed: int = 0):
    """A CLIP text tower over the world's tokens."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from engines.images.world.tokens import BOS, EOS, vocabulary

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary()),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=width,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=EOS,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def t5():
    """A T5 encoder and tokenizer over a few pieces."""
    import torch
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    torch.manual_seed(3)
    letters = [(f"▁{c}", -2.0) for c in "abcdefghijklmnopqrstuvwxyz"]
    letters += [(c, -3.0) for c in "abcdefghijklmnopqrstuvwxyz"]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0), *letters]
    tokenizer = T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=300)
    config = T5Config(
        vocab_size=len(vocab),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
    )
    return T5EncoderModel(config), tokenizer


def kl_vae(channels: int = 4, seed: int = 1, **changes):
    """An AutoencoderKL with two levels: factor 2."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=16,
        **changes,
    )


def unet(width: int = 16, channels: int = 4, seed: int = 2, **changes):
    """A UNet with two levels on 8x8 latents."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=4,
        **changes,
    )


def euler(prediction: str = "epsilon", **changes):
    """Euler with trailing spacing, as the turbo models need it."""
    from diffusers import EulerDiscreteScheduler

    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    return EulerDiscreteScheduler(
        prediction_type=prediction, **{"timestep_spacing": "trailing", **common, **changes}
    )


def save_sd(folder: Path, prediction: str = "epsilon", **scheduler) -> Path:
    """A StableDiffusionPipeline folder."""
    from diffusers import StableDiffusionPipeline

    from engines.images.world.tokens import build_tokenizer

    pipeline = StableDiffusionPipeline(
        vae=kl_vae(),
        text_encoder=clip_text(),
        tokenizer=build_tokenizer(),
        unet=unet(),
        scheduler=euler(prediction, **scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def save_sdxl(folder: Path) -> Path:
    """A StableDiffusionXLPipeline folder."""
    from diffusers import StableDiffusionXLPipeline

    from engines.images.world.tokens import build_tokenizer

    network = unet(
        width=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 16,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=kl_vae(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(projection=True, seed=5),
        tokenizer=build_tokenizer(),
        tokenizer_2=build_tokenizer(),
        unet=network,
        scheduler=euler(),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def save_pixart(folder: Path) -> Path:
    """A PixArtAlphaPipeline folder."""
    import torch
    from diffusers import DDPMScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    encoder, tokenizer = t5()
    torch.manual_seed(4)
    network = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        cross_attention_dim=16,
        caption_channels=16,
        in_channels=4,
        out_channels=8,
    )
    pipeline = PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=kl_vae(),
        transformer=network,
        scheduler=DDPMScheduler(beta_start=0.0001, beta_end=0.02, clip_sample=False),
    )
    pipeline.save_pretrained(folder)
    return folder


def save_flux(folder: Path, guided: bool = False) -> Path:
    """A FluxPipeline folder."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    from engines.images.world.tokens import build_tokenizer

    encoder, tokenizer = t5()
    torch.manual_seed(6)
    network = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guided,
    )
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=kl_vae(4, scaling_factor=1.5, shift_factor=0.2, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(),
        tokenizer=build_tokenizer(),
        text_encoder_2=encoder,
        tokenizer_2=tokenizer,
        transformer=network,
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory) -> dict[str, Path]:
    """A folder of each class."""
    root = tmp_path_factory.mktemp("tiny")
    return {
        "sd": save_sd(root / "sd"),
        "sd-zsnr": save_sd(root / "zsnr", "v_prediction", rescale_betas_zero_snr=True),
        "sdxl": save_sdxl(root / "sdxl"),
        "pixart": save_pixart(root / "pixart"),
        "flux": save_flux(root / "flux"),
        "flux-guided": save_flux(root / "flux-guided", guided=True),
    }


def build_clip():
    """A random CLIPModel, always the same, and the world's tokenizer."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from engines.images.world.tokens import BOS, EOS, build_tokenizer, vocabulary

    torch.manual_seed(0)
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **common,
        "vocab_size": len(vocabulary()),
        "max_position_embeddings": 12,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    model = CLIPModel(
        CLIPConfig(
            text_config=text, vision_config={**common, "image_size": 16, "patch_size": 8}, projection_dim=16
        )
    )
    return model, build_tokenizer()


@pytest.fixture
def tiny_clip():
    """Builds a new one at each call: a reward may drop its text tower."""
    return build_clip


@pytest.fixture
def measured(monkeypatch):
    """Stands in for the memory measurement, whose own tests are in test_images_memory.py: `measured(bytes)` makes it
    answer so much, and gives the list of what it is asked."""
    from engines.images import dry_run
    from engines.images.footprint import Footprint

    def answer(total):
        asked = []
        monkeypatch.setattr(
            dry_run,
            "measure",
            lambda *_, **options: asked.append(options) or Footprint({"network": total}, 0, 1),
        )
        return asked

    return answer
