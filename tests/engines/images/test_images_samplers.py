"""Folders as they are found: schedulers of other classes, keys left to a default, other spacings. Always what diffusers' own
Euler makes of the folder's scheduler."""

import json
import shutil

import pytest
import torch

from engines.images.generators.loading import load_generator

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PROMPT = "a red circle left of a blue square"


def with_scheduler(folder, target, scheduler, *, without=(), **changes):
    """A copy of the folder with another scheduler in it, whose file lacks some keys."""
    copied = shutil.copytree(folder, target)
    scheduler.save_pretrained(copied / "scheduler")
    path = copied / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in without}))
    index = copied / "model_index.json"
    named = json.loads(index.read_text()) | {"scheduler": ["diffusers", type(scheduler).__name__]}
    index.write_text(json.dumps(named))
    return copied


def by_euler(folder, noise, steps, guidance=2.0, **call):
    """The folder's pipeline with its scheduler exchanged in the way that diffusers documents."""
    from diffusers import DiffusionPipeline, EulerDiscreteScheduler

    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, safety_checker=None)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    shown = pipeline(
        [PROMPT] * len(noise), latents=noise, num_inference_steps=steps, guidance_scale=guidance, height=16, width=16,
        output_type="pt", **call,
    ).images  # fmt: skip
    return shown, pipeline.scheduler


def sampled(folder, steps, guidance=2.0):
    """Noise, its scale at the start, and the pictures of our own loop."""
    generator = load_generator(str(folder), size=16, local_files_only=True)
    noise = torch.randn((2, *generator.noise_shape), generator=torch.Generator().manual_seed(3))
    conditioning = generator.encode([PROMPT] * 2, guided=guidance > 1)
    state = generator.start(noise, conditioning, steps=steps, guidance=guidance)
    sigma = state.levels[0].sigma
    scale = float((state.latents / noise).mean()) * (1 + sigma * sigma) ** 0.5
    return (
        noise,
        scale,
        generator.decode(generator.sample(noise, conditioning, steps=steps, guidance=guidance)),
    )


def check(folder, steps=6, **call):
    noise, scale, ours = sampled(folder, steps)
    theirs, euler = by_euler(folder, noise, steps, **call)
    euler.set_timesteps(steps)
    assert scale == pytest.approx(float(euler.init_noise_sigma), rel=1e-6)
    assert torch.allclose(ours, theirs, atol=1e-3)
    return euler


COMMON = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def test_a_spacing_that_the_folder_leaves_to_its_class(tiny_folders, tmp_path):
    """PNDM without the key, as most folders of Stable Diffusion 1: PNDM would take "leading", Euler takes "linspace"."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(skip_prk_steps=True, **COMMON)
    folder = with_scheduler(tiny_folders["sd"], tmp_path / "pndm", scheduler, without=("timestep_spacing",))
    euler = check(folder)
    assert euler.config.timestep_spacing == "linspace"
    said = PNDMScheduler(skip_prk_steps=True, timestep_spacing="leading", **COMMON)
    assert (
        check(with_scheduler(tiny_folders["sd"], tmp_path / "said", said)).config.timestep_spacing
        == "leading"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"timestep_spacing": "leading"},
        {"timestep_spacing": "leading", "use_karras_sigmas": True},
        {"timestep_spacing": "trailing", "use_karras_sigmas": True},
    ],
    ids=["leading", "leading Karras", "trailing Karras"],
)
def test_spacings_of_sdxl_bases(tiny_folders, tmp_path, changes):
    from diffusers import EulerDiscreteScheduler

    check(
        with_scheduler(tiny_folders["sdxl"], tmp_path / "sdxl", EulerDiscreteScheduler(**COMMON, **changes))
    )


def test_many_steps_of_pixart(tiny_folders, tmp_path):
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    for folder in (
        tiny_folders["pixart"],
        with_scheduler(tiny_folders["pixart"], tmp_path / "dpm", scheduler),
    ):
        check(folder, use_resolution_binning=False)


def test_one_step_of_an_ancestral_sampler(tiny_folders, tmp_path):
    """SDXL-Turbo's folder: its last step adds no noise, so its own scheduler gives the picture of ours."""
    from diffusers import DiffusionPipeline, EulerAncestralDiscreteScheduler

    scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="trailing", **COMMON)
    folder = with_scheduler(tiny_folders["sdxl"], tmp_path / "turbo", scheduler)
    generator = load_generator(str(folder), size=16, local_files_only=True)
    noise = torch.randn((2, *generator.noise_shape), generator=torch.Generator().manual_seed(4))
    ours = generator.decode(generator.one_step(noise, generator.encode([PROMPT] * 2)))
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert type(pipeline.scheduler) is EulerAncestralDiscreteScheduler
    theirs = pipeline(
        [PROMPT] * 2,
        latents=noise,
        num_inference_steps=1,
        guidance_scale=0.0,
        height=16,
        width=16,
        output_type="pt",
    ).images
    assert torch.allclose(ours, theirs, atol=1e-4)
    check(folder)
