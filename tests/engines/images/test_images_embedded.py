"""Loading the embedded stack: from a folder with fresh random weights, and from the shipped one where it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engines.images.embedded import (
    GUIDANCE,
    STEPS,
    WEIGHTS,
    EmbeddedWeightsMissing,
    load_r1,
    load_r2,
    load_stack,
    token_ids,
)
from engines.images.generators.loading import load_generator, wrap
from engines.images.rewards.clip import ClipReward
from engines.images.rewards.image_reward import ImageReward
from engines.images.world import caption_of, check_many, draw_scenes, render
from engines.images.world.captions import caption_index

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PROMPT = "a red circle left of a blue square"


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Path:
    """A weights folder with random weights, written by the export script's own functions."""
    from engines.images.training import export
    from engines.images.training.architecture import make_r1, make_r2, make_text_encoder, make_unet, make_vae
    from engines.images.training.loop import save

    torch.manual_seed(0)
    source, target = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("weights")
    two = make_r2()
    for (
        weight
    ) in two.vision_model.parameters():  # the default of .02 leaves no gradient after rounding to fp16
        torch.nn.init.normal_(weight, std=0.15)
    modules = {
        "f": {"unet": make_unet(), "text": make_text_encoder()},
        "g": {"unet": make_unet()},
        "r1": {"model": make_r1()},
        "r2": {"model": two},
    }
    for run, parts in modules.items():
        state = {name: module.state_dict() for name, module in parts.items()}
        save(source / f"{run}.pt", {"modules": state, "average": {}})
    save(source / "vae-final.pt", make_vae().state_dict())
    export.export_stack(source, target / "stack", "g")
    export.export_rewards(source, target, "r1", "r2")
    return target


def test_the_folder_runs_in_the_plain_pipeline_and_in_our_loop(fresh):
    noise = torch.randn((2, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    for one_step in (False, True):
        stack = load_stack(one_step=one_step, folder=fresh)
        assert stack.pipeline.unet.dtype == stack.pipeline.vae.dtype == torch.float32
        steps = 1 if one_step else 3
        assert stack.steps == (1 if one_step else 20)
        theirs = stack.pipeline(
            [PROMPT] * 2,
            latents=noise,
            num_inference_steps=steps,
            guidance_scale=stack.guidance,
            output_type="pt",
        ).images
        generator = wrap(stack.pipeline)
        assert generator.noise_shape == (8, 8, 8)
        conditioning = generator.encode([PROMPT] * 2, guided=not one_step)
        if one_step:
            latents = generator.one_step(noise, conditioning)
        else:
            latents = generator.sample(noise, conditioning, steps=steps, guidance=stack.guidance)
        ours = generator.decode(latents)
        assert ours.shape == (2, 3, 64, 64)
        # the pipeline works at a scale of 4096 in its first step
        assert (ours - theirs).abs().max() < 0.03
        assert (ours - theirs).abs().mean() < 2e-3


def test_f_and_g_differ_only_in_their_network(fresh):
    f, g = load_stack(folder=fresh).pipeline, load_stack(one_step=True, folder=fresh).pipeline
    for name in ("vae", "text_encoder"):
        pairs = zip(getattr(f, name).parameters(), getattr(g, name).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(f.unet.parameters(), g.unet.parameters(), strict=True))
    assert not any(p.requires_grad for p in f.unet.parameters())


def test_rewards_load_as_float32_and_score(fresh):
    pictures = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(2)).requires_grad_()
    one, tokenizer = load_r1(fresh)
    two, _ = load_r2(fresh)
    for reward in (
        ClipReward("R1", one, tokenizer),
        ImageReward("R2", two, tokenizer, length=12, mean=0.0, std=1.0),
    ):
        assert next(reward.model.parameters()).dtype == torch.float32
        score = reward.score(pictures, reward.encode([PROMPT, "three squares"]))
        (gradient,) = torch.autograd.grad(score.sum(), pictures)
        assert gradient.abs().sum() > 0
    assert token_ids(tokenizer, [PROMPT]).shape == (1, 12)


def test_a_missing_file_is_named(fresh, tmp_path):
    for load in (load_stack, load_r1, load_r2):
        with pytest.raises(EmbeddedWeightsMissing, match="is missing: reinstall the package"):
            load(folder=tmp_path)


def test_the_shipped_weights_are_small_safetensors_in_half_precision():
    from safetensors import safe_open

    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 20e6
    assert not [p for p in files if p.suffix in (".pt", ".bin", ".pkl", ".ckpt")]
    for path in WEIGHTS.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {str(file.get_slice(k).get_dtype()) for k in file.keys()} <= {"F16", "I64"}  # noqa: SIM118


def test_the_shipped_folder_in_the_plain_pipeline_draws_the_embedded_models_picture():
    """Nothing of ours between the folder and the picture: whoever has diffusers can draw it."""
    from diffusers import StableDiffusionPipeline

    plain = StableDiffusionPipeline.from_pretrained(WEIGHTS / "stack", dtype=torch.float32)
    plain.set_progress_bar_config(disable=True)
    noise = torch.randn((2, 8, 8, 8), generator=torch.Generator().manual_seed(4))
    common = {"latents": noise, "num_inference_steps": STEPS, "guidance_scale": GUIDANCE}
    theirs = plain([PROMPT] * 2, output_type="pt", **common).images
    generator = load_generator("embedded-f")
    told = generator.encode([PROMPT] * 2, guided=True)
    ours = generator.decode(generator.sample(noise, told, steps=STEPS, guidance=GUIDANCE))
    # the pipeline works at a scale of 4096 in its first step
    assert (ours - theirs).abs().max() < 0.03
    assert (ours - theirs).abs().mean() < 2e-3
    strict, _ = check_many(theirs.numpy(), [caption_of(PROMPT)] * 2)
    assert strict.any(), "and it is the picture that was asked for"


def test_the_shipped_models_do_what_the_card_says():
    """A small draw with wide margins; the full measurement is training/evaluate.py."""
    prompts = [PROMPT, "a green triangle above a red square", "a blue circle", "two yellow squares"] * 5
    captions = [caption_of(p) for p in prompts]
    generator = wrap(load_stack(one_step=True).pipeline)
    noise = torch.randn((20, 8, 8, 8), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        pictures = generator.decode(generator.one_step(noise, generator.encode(prompts)))
    strict, soft = check_many(pictures.numpy(), captions)
    assert strict.sum() >= 5
    assert soft.mean() > 0.5


def test_the_shipped_rewards_read_relations():
    wrong = PROMPT.replace("left", "right")
    scenes = draw_scenes(np.random.default_rng(0), np.full(24, caption_index()[PROMPT]))
    pictures = torch.from_numpy(render(scenes))
    one, tokenizer = load_r1()
    two, _ = load_r2()
    for reward in (
        ClipReward("R1", one, tokenizer),
        ImageReward("R2", two, tokenizer, length=12, mean=0.0, std=1.0),
    ):
        with torch.no_grad():
            own = reward.score(pictures, reward.encode([PROMPT] * 24))
            other = reward.score(pictures, reward.encode([wrong] * 24))
        assert (own > other).float().mean() > 0.8
