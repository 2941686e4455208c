"""Memory: the figure before a run against what a run really takes, and what each economy does."""

from functools import partial

import pytest
import torch
from torch import nn

from engines.contract import Refusal
from engines.images import dry_run
from engines.images.dry_run import by_dtype, largest_block, measure
from engines.images.footprint import FACTOR, Footprint, free_bytes, require_fit, size
from engines.images.generators.loading import GeneratorMissing, economise, load_generator
from engines.images.memory import Economy, tile_decoder, weights_bytes
from engines.images.rewards.loading import load_reward

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
PROMPT = "a red circle left of a blue square"
CLASSES = ("sd", "sdxl", "pixart", "flux")


def load(folder, **options):
    return load_generator(str(folder), size=16, local_files_only=True, **options)


def noise_for(generator, number=2):
    return torch.randn((number, *generator.noise_shape), generator=torch.Generator().manual_seed(0))


def iterate(generator, rewards, conditioning, features, noise):
    """One iteration as an engine makes it; gradient of the noise."""
    noise = noise.clone().requires_grad_()
    pictures = generator.decode(generator.one_step(noise, conditioning), tiny=generator.tiny is not None)
    total = pictures.mean()
    for reward, known in zip(rewards, features, strict=True):
        total = total + reward.score(pictures, known).sum()
    total.backward()
    return noise.grad


def measured_peak(call):
    """Largest sum of live bytes that torch's own allocator reports during `call()`."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


def test_the_figure_is_what_the_embedded_run_takes():
    economy = Economy(checkpointing=True)
    planned = measure("embedded-g", ("r1", "r2"), batch=3, economy=economy)
    generator = load_generator("embedded-g", economy=economy)
    rewards = [load_reward(name, checkpointing=True) for name in ("r1", "r2")]
    conditioning = generator.encode([PROMPT]).expand(3)
    features = [reward.encode([PROMPT]).expand(3) for reward in rewards]
    real = measured_peak(lambda: iterate(generator, rewards, conditioning, features, noise_for(generator, 3)))
    assert real / FACTOR < planned.work < real * FACTOR
    assert planned.weights["network"] == weights_bytes(generator.network)
    assert planned.weights["decoder"] == weights_bytes(generator.vae)
    assert planned.weights["text_encoder"] == weights_bytes(generator.pipeline.text_encoder)
    assert planned.weights["R1"] == weights_bytes(rewards[0].model)
    # buffers of position numbers are not weights
    assert planned.elements == {"float32": sum(4 * p.numel() for m in (generator.network, generator.vae,
        generator.pipeline.text_encoder, rewards[0].model, rewards[1].model) for p in m.parameters())}  # fmt: skip


@pytest.mark.parametrize("key", CLASSES)
def test_the_figure_is_what_a_run_of_each_class_takes(key, tiny_folders):
    planned = measure(str(tiny_folders[key]), batch=2, size=16, local_files_only=True)
    generator = load(tiny_folders[key])
    conditioning = generator.encode([PROMPT] * 2)
    real = measured_peak(lambda: iterate(generator, [], conditioning, [], noise_for(generator)))
    assert real / FACTOR < planned.work < real * FACTOR
    assert planned.weights["network"] == weights_bytes(generator.network)
    assert sum(v for n, v in planned.weights.items() if n.startswith("text_")) == weights_bytes(
        *generator.encoders.values()
    )


def test_the_figure_follows_batch_dtype_and_economies(tiny_folders):
    folder = str(tiny_folders["sd"])
    common = {"size": 16, "local_files_only": True}
    one, four = (measure(folder, batch=n, **common) for n in (1, 4))
    assert 3 < four.work / one.work < 4.01
    half = measure(folder, dtype=torch.float16, device="cuda", **common)
    assert 2 * half.weights["network"] == one.weights["network"]
    assert list(half.elements) == ["float16"]
    assert half.fixed > 0
    assert measure(folder, batch=4, economy=Economy(checkpointing=True), **common).work < 0.9 * four.work
    leaving = measure(folder, economy=Economy(encoders_leave=True), **common)
    assert leaving.visiting == {"text_encoder": one.weights["text_encoder"]}
    assert leaving.total < one.total
    assert (
        measure(folder, economy=Economy(streaming=True), **common).weights["network"] < one.weights["network"]
    )
    assert measure(folder, batch=4, gradients=False, guidance=3.0, **common).work < four.work / 2
    assert measure(folder, steps=3, **common).work > 1.5 * one.work
    assert torch.get_default_dtype() == torch.float32


def test_text_that_goes_is_there_only_while_prompts_are_encoded():
    stays = measure("embedded-g", ("r1", "r2"))
    goes = measure("embedded-g", ("r1", "r2"), drops_text=True)
    reward = load_reward("r1")
    text = weights_bytes(reward.model.text_model, reward.model.text_projection)
    assert goes.visiting == {"text_encoder": stays.weights["text_encoder"], "R1's text": text}
    assert goes.weights["R1"] == stays.weights["R1"] - text
    assert goes.weights["R2"] == stays.weights["R2"], "its text looks at the picture"


def test_what_fake_tensors_do_not_know_is_said(monkeypatch):
    def odd(*_):
        raise NotImplementedError("aten::odd has no such kernel")

    monkeypatch.setattr(dry_run, "_with_gradients", odd)
    with pytest.raises(dry_run.NotMeasured, match="memory of embedded-g could not be computed"):
        measure("embedded-g")


def test_sdxl_keeps_its_own_decoder_in_float32(tiny_folders):
    """It overflows in half precision, as its configuration says (force_upcast)."""
    folder = str(tiny_folders["sdxl"])
    common = {"size": 16, "local_files_only": True}
    full = measure(folder, **common)
    half = measure(folder, dtype=torch.float16, device="cuda", **common)
    assert half.weights["decoder"] == full.weights["decoder"]
    assert 2 * half.weights["network"] == full.weights["network"]
    from diffusers import DiffusionPipeline

    from engines.images.generators.loading import wrap

    generator = wrap(DiffusionPipeline.from_pretrained(folder, dtype=torch.float16))
    assert (generator.dtype, generator.vae.dtype) == (torch.float16, torch.float32)
    latents = torch.zeros((1, *generator.noise_shape), dtype=torch.float16)
    assert generator.decode(latents).dtype == torch.float32, "latents are taken in the decoder's own dtype"


def test_what_does_not_fit_is_refused_in_a_sentence():
    footprint = Footprint(
        {"network": 5 << 30, "R1": 1 << 20}, work=4 << 30, batch=8, visiting={"t5": 9 << 30}
    )
    assert footprint.total == (5 << 30) + (1 << 20) + (9 << 30)
    require_fit(footprint, footprint.total)
    with pytest.raises(Refusal) as caught:
        require_fit(footprint, 8 << 30, field="generator", ways_out=("fewer seeds", "checkpointing"))
    assert caught.value.field == "generator"
    assert caught.value.sentence == (
        "generator needs about 14.0 GB: while prompts are encoded 14.0 GB (t5 9.0 GB, and the weights that stay), afterwards "
        "9.0 GB (network 5.0 GB, R1 1 MB, one iteration of 8 pictures 4.0 GB); 8.0 GB are free. Choose fewer seeds or "
        "checkpointing."
    )
    assert [size(n) for n in (3 << 19, 1023 << 20, 350 << 20)] == ["1.5 MB", "1023 MB", "350 MB"]
    assert 0 < free_bytes("cpu") < 1 << 50


@pytest.mark.parametrize("visiting", [{}, {"t5": 700 << 20, "clip": 130 << 20}])
def test_the_figures_of_the_sentence_add_up(visiting):
    """Each moment is the sum of what is listed for it, and the total the larger of the two."""
    footprint = Footprint(
        {"network": 300 << 20, "decoder": 160 << 20},
        work=440 << 20,
        batch=1,
        visiting=visiting,
        fixed=600 << 20,
    )
    said = footprint.sentence()
    listed = [300, 160, 440, 600]
    if not visiting:
        assert footprint.total == sum(listed) << 20
        assert said == (
            "about 1.5 GB: network 300 MB, decoder 160 MB, one iteration of 1 picture 440 MB, CUDA itself 600 MB"
        )
        return
    assert footprint.encoding == (300 + 160 + 600 + 700 + 130) << 20
    assert footprint.iterating == sum(listed) << 20
    assert said == (
        "about 1.8 GB: while prompts are encoded 1.8 GB (t5 700 MB, clip 130 MB, and the weights that stay), afterwards 1.5 GB "
        "(network 300 MB, decoder 160 MB, one iteration of 1 picture 440 MB, CUDA itself 600 MB)"
    )
    beside = footprint.beside("the first model", {"network": 1 << 30})
    assert beside.total == footprint.total + (1 << 30)
    assert "the first model 1.0 GB" in beside.sentence()


def test_what_cannot_be_measured_is_said_in_a_sentence(tmp_path, tiny_folders):
    from engines.images.rewards.base import RewardMissing

    with pytest.raises(
        GeneratorMissing, match=r'"/.*nothing" could not be read: there is no such file or folder'
    ):
        measure(str(tmp_path / "nothing"), local_files_only=True)
    with pytest.raises(RewardMissing, match="is not a reward"):
        measure(str(tiny_folders["sd"]), ("beauty",), size=16)


@pytest.mark.parametrize("key", ["sd", "flux"])
def test_economies_change_no_gradient(key, tiny_folders):
    plain = load(tiny_folders[key])
    noise = noise_for(plain)
    expected = iterate(plain, [], plain.encode([PROMPT] * 2), [], noise)
    for economy in (
        Economy(streaming=True),
        Economy(streaming=True, checkpointing=True, encoders_leave=True),
    ):
        generator = load(tiny_folders[key], economy=economy)
        grad = iterate(generator, [], generator.encode([PROMPT] * 2), [], noise)
        assert torch.allclose(grad, expected, atol=1e-6), economy


BLOCKS = {
    "sd": (
        "down_blocks.0.resnets.0",
        "down_blocks.1.attentions.0.transformer_blocks.0",
        "up_blocks.0.resnets.1",
    ),
    "sdxl": (
        "down_blocks.0.resnets.0",
        "down_blocks.1.attentions.0.transformer_blocks.0",
        "up_blocks.0.resnets.1",
    ),
    "pixart": ("transformer_blocks.0",),
    "flux": ("transformer_blocks.0", "single_transformer_blocks.0"),
}


@pytest.mark.parametrize("key", CLASSES)
def test_diffusers_checkpoints_in_eval_mode_and_changes_no_gradient(key, tiny_folders):
    plain = load(tiny_folders[key])
    expected = iterate(plain, [], plain.encode([PROMPT] * 2), [], noise_for(plain))
    generator = load(tiny_folders[key], economy=Economy(checkpointing=True))
    assert not generator.network.training
    calls = []
    for name in BLOCKS[key]:
        block = generator.network.get_submodule(name)
        block.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    generator.vae.decoder.up_blocks[0].resnets[0].register_forward_pre_hook(
        lambda *_: calls.append("decoder")
    )
    found = iterate(generator, [], generator.encode([PROMPT] * 2), [], noise_for(generator))
    expected_calls = sorted([*BLOCKS[key], "decoder"] * 2)
    assert sorted(calls) == expected_calls, "each runs again in the backward pass"
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_streamed_network_is_on_the_device_only_while_it_works(tiny_folders):
    generator = load(tiny_folders["sd"], economy=Economy(streaming=True))
    assert {p.device.type for p in generator.network.parameters()} == {"meta"}
    seen = set()
    layer = generator.network.down_blocks[0].resnets[0].conv1
    inner = layer._old_forward
    layer._old_forward = lambda x: (seen.add(layer.weight.device.type), inner(x))[1]
    generator.one_step(noise_for(generator), generator.encode([PROMPT] * 2))
    assert seen == {"cpu"}


def test_dropped_encoders_cannot_encode(tiny_folders):
    generator = load(tiny_folders["flux"])
    conditioning = generator.encode([PROMPT])
    generator.drop_encoders()
    assert generator.encoders == {}
    assert generator.one_step(noise_for(generator, 1), conditioning).shape == (1, *generator.noise_shape)
    with pytest.raises(ValueError, match="encode all prompts before drop_encoders"):
        generator.encode([PROMPT])


def tiny_decoder(folder, channels=4):
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1), latent_channels=channels,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_tiny_decoder_from_a_folder(tmp_path, tiny_folders):
    economy = Economy(tiny=str(tiny_decoder(tmp_path / "taesd")))
    generator = load(tiny_folders["sd"], economy=economy)
    grad = iterate(generator, [], generator.encode([PROMPT] * 2), [], noise_for(generator))
    assert grad.abs().sum() > 0
    planned = measure(str(tiny_folders["sd"]), size=16, economy=economy, local_files_only=True)
    assert planned.weights["decoder"] == weights_bytes(generator.tiny)
    with pytest.raises(
        GeneratorMissing, match=r'The tiny decoder ".*" could not be loaded: there is no such'
    ):
        load(tiny_folders["sd"], economy=Economy(tiny=str(tmp_path / "none")))
    with pytest.raises(ValueError, match="choose tiles or a tiny decoder"):
        economise(generator, Economy(tiny="x", tiles=True))
    wide = Economy(tiny=str(tiny_decoder(tmp_path / "taef1", channels=16)))
    for call in (partial(load, tiny_folders["sd"]), partial(measure, str(tiny_folders["sd"]), size=16)):
        with pytest.raises(GeneratorMissing, match="reads latents of 16 channels, and the model's have 4"):
            call(economy=wide)


@pytest.mark.parametrize(
    "economy",
    [
        Economy(tiny="madebyollin/taesd"),
        Economy(streaming=True),
        Economy(encoders_leave=True),
        Economy(tiles=True),
    ],
)
def test_what_would_do_nothing_to_an_embedded_model_is_refused(economy):
    for call in (load_generator, measure):
        with pytest.raises(GeneratorMissing, match="embedded-g cannot be made smaller like that"):
            call("embedded-g", economy=economy)


def test_tiles_carry_exact_gradients(tiny_folders):
    """Of the tiled picture, which is another one: the untiled gradient differs."""
    generator = load(tiny_folders["sd"])
    latents = torch.randn((1, 4, 12, 12), generator=torch.Generator().manual_seed(1))
    target = torch.randn((1, 3, 24, 24), generator=torch.Generator().manual_seed(2))
    vae = generator.vae.double()

    def gradient_and_slope():
        x = latents.double().clone().requires_grad_()
        (generator.decode(x * 0.1) * target).sum().backward()
        step = torch.zeros_like(x)
        step[0, 1, 5, 6] = 1e-5
        with torch.no_grad():
            ends = [(generator.decode((x + sign * step) * 0.1) * target).sum() for sign in (1, -1)]
        return x.grad, float((ends[0] - ends[1]) / 2e-5)

    whole, _ = gradient_and_slope()
    vae.tile_latent_min_size, vae.tile_sample_min_size = 8, 16
    tile_decoder(vae)
    tiled, slope = gradient_and_slope()
    assert float(tiled[0, 1, 5, 6]) == pytest.approx(slope, rel=1e-4)
    assert not torch.allclose(tiled, whole, atol=1e-3)
    with pytest.raises(ValueError, match="Linear cannot decode in tiles"):
        tile_decoder(nn.Linear(1, 1))


def test_counting_weights():
    layer = nn.Linear(10, 20)
    assert weights_bytes(layer, None) == 4 * 220
    assert weights_bytes(nn.ModuleList([layer, layer])) == 4 * 220
    assert by_dtype(layer, nn.Linear(1, 1).half()) == {"float32": 880, "float16": 4}
    network = nn.Module()
    network.first, network.blocks = nn.Linear(1, 1), nn.ModuleList([nn.Linear(2, 2), nn.Linear(3, 3)])
    assert largest_block(network) == 4 * (2 + 12)


def test_half_precision_is_refused_on_the_cpu(tiny_folders):
    with pytest.raises(ValueError, match="dtype must be float32 on the CPU; got bfloat16"):
        load(tiny_folders["sd"], dtype=torch.bfloat16)
