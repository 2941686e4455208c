"""Each supported class: same pictures as its own pipeline, gradients to the noise, pause and prune."""

import pytest
import torch

from engines.images.generators.base import Conditioning
from engines.images.generators.diffusion import TURBO, OneStep
from engines.images.generators.loading import KNOWN, GeneratorMissing, load_generator, wrap

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation:DeprecationWarning"
    ),  # inside diffusers' Euler
]
PROMPT = "a red circle left of a blue square"
CLASSES = ("sd", "sd-zsnr", "sdxl", "pixart", "flux", "flux-guided")


@pytest.fixture(scope="session")
def generators(tiny_folders):
    return {k: load_generator(str(v), size=16, local_files_only=True) for k, v in tiny_folders.items()}


def noise_for(generator, number=2, seed=0):
    return torch.randn((number, *generator.noise_shape), generator=torch.Generator().manual_seed(seed))


def by_pipeline(generator, key, noise, steps, guidance):
    """The plain pipeline's pictures for the same noise."""
    p = generator.pipeline
    common = {"num_inference_steps": steps, "output_type": "pt", "height": 16, "width": 16}
    if key.startswith("flux"):
        n, c, h, w = noise.shape
        packed = p._pack_latents(noise, n, c, h, w)
        return p(
            [PROMPT] * n, latents=packed, guidance_scale=guidance, max_sequence_length=256, **common
        ).images
    if key == "pixart":
        common["use_resolution_binning"] = False
        if steps == 1:
            common["timesteps"] = [400]
    return p([PROMPT] * len(noise), latents=noise, guidance_scale=guidance, **common).images


@pytest.mark.parametrize("key", CLASSES)
def test_one_step_equals_the_plain_pipeline(generators, key):
    generator = generators[key]
    noise = noise_for(generator)
    ours = generator.decode(generator.one_step(noise, generator.encode([PROMPT] * 2)))
    theirs = by_pipeline(generator, key, noise, 1, 0.0 if key in ("sdxl", "flux-guided") else 1.0)
    # zero terminal SNR: the pipeline works at a scale of 4096, where float32 keeps .0005
    assert torch.allclose(ours, theirs, atol=5e-3 if key == "sd-zsnr" else 1e-4)


@pytest.mark.parametrize("key", ["sd", "sd-zsnr", "sdxl", "flux", "flux-guided"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_many_steps_equal_the_plain_pipeline(generators, key, guidance):
    generator = generators[key]
    noise = noise_for(generator, seed=1)
    guided = guidance > 1 and not key.startswith("flux")
    state = generator.start(noise, generator.encode([PROMPT] * 2, guided=guided), steps=4, guidance=guidance)
    while not state.is_done:
        state = generator.advance(state)
    assert torch.allclose(state.clean, state.latents, atol=1e-5), "the last estimate is the sample"
    theirs = by_pipeline(generator, key, noise, 4, guidance)
    assert torch.allclose(generator.decode(state.clean), theirs, atol=1e-2 if key == "sd-zsnr" else 1e-3)


@pytest.mark.parametrize("key", CLASSES)
def test_gradients_reach_the_noise_and_only_it(generators, key):
    generator = generators[key]
    noise = noise_for(generator).requires_grad_()
    latents = generator.one_step(noise, generator.encode([PROMPT] * 2))
    generator.decode(latents * 0.05).square().mean().backward()
    assert torch.isfinite(noise.grad).all()
    assert noise.grad.abs().sum() > 0
    assert all(p.grad is None for p in generator.network.parameters())


@pytest.mark.parametrize("key", ["sd", "flux"])
def test_gradients_pass_several_steps_where_they_are_wanted(generators, key):
    generator = generators[key]
    noise = noise_for(generator).requires_grad_()
    state = generator.start(noise, generator.encode([PROMPT] * 2), steps=2, guidance=1.0)
    plain = generator.advance(state)
    assert not plain.clean.requires_grad
    while not state.is_done:
        state = generator.advance_with_gradients(state)
    assert torch.equal(generator.advance(plain).clean, state.clean)
    (gradient,) = torch.autograd.grad(state.clean.square().sum(), noise)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("key", ["sd", "sdxl", "flux"])
def test_pausing_and_pruning_changes_nothing_for_the_survivors(generators, key):
    generator = generators[key]
    conditioning = generator.encode([PROMPT], guided=key != "flux").expand(4)
    noise = noise_for(generator, 4, seed=2)
    whole = generator.sample(noise, conditioning, steps=4, guidance=2.0)
    state = generator.advance(generator.start(noise, conditioning, steps=4, guidance=2.0))
    state = generator.advance(state).take(torch.tensor([3, 1]))
    while not state.is_done:
        state = generator.advance(state)
    assert torch.allclose(state.clean, whole[[3, 1]], atol=1e-4)
    with pytest.raises(ValueError, match="done after 4 steps"):
        generator.advance(state)


def test_zero_terminal_snr_sees_pure_noise(generators):
    generator = generators["sd-zsnr"]
    noise = noise_for(generator)
    conditioning = generator.encode([PROMPT] * 2)
    v = generator.call(noise, torch.full((2,), 999), conditioning)
    assert torch.allclose(generator.one_step(noise, conditioning), -v, atol=2e-3), (
        "alpha is 2^-12 there, not quite zero"
    )


def test_sigma_of_the_turbo_recipe(generators):
    bar = float(generators["sd"].alpha_bar[TURBO.time])
    assert ((1 - bar) / bar) ** 0.5 == pytest.approx(14.6146, abs=1e-3)
    assert generators["sd"].levels(1)[0].time == 999
    assert generators["sd"].levels(1)[0].sigma == pytest.approx(14.6146, abs=1e-3)


def test_leading_spacing_would_return_noise(tiny_folders):
    """Why one step is made in closed form: with "leading" the pipeline's only step is t = 0 or 1."""
    from diffusers import EulerDiscreteScheduler

    config = EulerDiscreteScheduler.load_config(str(tiny_folders["sd"]), subfolder="scheduler")
    leading = EulerDiscreteScheduler.from_config(config, timestep_spacing="leading", steps_offset=0)
    leading.set_timesteps(1)
    assert float(leading.timesteps[0]) == 0
    assert float(leading.sigmas[0]) < 0.05


def test_one_step_does_not_mind_the_folders_spacing(generators, tiny_folders, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_folders["sd"], tmp_path / "leading")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace("trailing", "leading"))
    leading = load_generator(str(folder), size=16, local_files_only=True)
    trailing = generators["sd"]
    noise = noise_for(trailing)
    ours, theirs = (g.one_step(noise, g.encode([PROMPT] * 2)) for g in (leading, trailing))
    assert leading.scheduler.config.timestep_spacing == "leading"
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("key", CLASSES)
def test_no_state_of_a_scheduler_leaks_between_iterations(generators, key):
    """A pipeline's scheduler counts its steps on; ours is asked for its numbers only."""
    generator = generators[key]
    noise, conditioning = noise_for(generator), generator.encode([PROMPT] * 2)
    before = dict(vars(generator.pipeline.scheduler))
    first = generator.one_step(noise, conditioning)
    generator.start(noise, conditioning, steps=3, guidance=1.0)
    assert torch.equal(generator.one_step(noise, conditioning), first)
    after = vars(generator.pipeline.scheduler)
    assert before.keys() == after.keys()
    assert all(after[name] is value for name, value in before.items())


@pytest.mark.parametrize("key", CLASSES)
def test_prompts_are_encoded_once_without_gradients_and_everything_is_frozen(generators, key):
    generator = generators[key]
    tensors = generator.encode([PROMPT]).tensors.values()
    assert not any(t.requires_grad for t in tensors)
    modules = [generator.network, generator.vae, *generator.encoders.values()]
    assert not any(p.requires_grad for module in modules for p in module.parameters())
    assert not any(module.training for module in modules)
    assert generator.calls(3.0) == (1 if key.startswith("flux") else 2)
    assert generator.calls(1.0) == 1


def test_nothing_but_the_model_works_in_the_loop(generators):
    assert generators["sd"].pipeline.safety_checker is None
    assert generators["sdxl"].pipeline.watermark is None


def test_a_folder_in_half_precision_is_read_in_float32(tiny_folders, tmp_path):
    """Both libraries would otherwise take the dtype that the folder was saved in."""
    from diffusers import DiffusionPipeline

    DiffusionPipeline.from_pretrained(tiny_folders["flux"], dtype=torch.float16).save_pretrained(tmp_path)
    generator = load_generator(str(tmp_path), size=16, local_files_only=True)
    modules = [generator.network, generator.vae, *generator.encoders.values()]
    assert {p.dtype for module in modules for p in module.parameters()} == {torch.float32}


def test_a_tiny_decoder_replaces_the_full_one(generators):
    from diffusers import AutoencoderTiny

    generator = generators["sd"]
    latents = noise_for(generator)
    with pytest.raises(ValueError, match="no tiny decoder"):
        generator.decode(latents, tiny=True)
    torch.manual_seed(0)
    generator.tiny = AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    )
    try:
        assert generator.decode(latents, tiny=True).shape == (2, 3, 16, 16)
    finally:
        generator.tiny = None


def test_guidance_needs_the_empty_prompt(generators):
    generator = generators["sd"]
    plain = generator.encode([PROMPT] * 2)
    state = generator.start(noise_for(generator), plain, steps=2, guidance=3.0)
    with pytest.raises(ValueError, match="guided=True"):
        generator.advance(state)
    with pytest.raises(ValueError, match="one prompt"):
        plain.expand(3)
    assert len(Conditioning({"x": torch.zeros(3, 2)}).take(torch.tensor([0, 0]))) == 2


def test_a_class_that_is_not_supported_is_named():
    class OtherPipeline:
        pass

    with pytest.raises(GeneratorMissing, match="OtherPipeline is not supported"):
        wrap(OtherPipeline())


@pytest.mark.parametrize("name", ["embedded-f", "embedded-g"])
def test_embedded_models_load_by_name_or_say_what_is_missing(name, monkeypatch, tmp_path):
    from engines.images import embedded

    assert load_generator(name).noise_shape == (8, 8, 8)
    monkeypatch.setattr(embedded.load_stack, "__kwdefaults__", {"one_step": False, "folder": tmp_path})
    with pytest.raises(GeneratorMissing, match="is missing: reinstall"):
        load_generator(name)


def test_the_papers_models_are_known():
    assert {"sd-turbo", "sdxl-turbo", "pixart-dmd", "hyper-sd", "flux-schnell", "flux-dev"} <= set(KNOWN)
    assert KNOWN["pixart-dmd"].once == OneStep(400, False)
    assert KNOWN["hyper-sd"].once == OneStep(800, False)
    assert KNOWN["flux-dev"].guidance == 3.5
