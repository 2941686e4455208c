"""ReNO on models and rewards from folders, by the loading code of full-size ones: it climbs, it plans, it refuses."""

from functools import partial

import numpy as np
import pytest

from engines.contract import Context, Refusal
from engines.events import Alert, Picture, Scalar, Text
from engines.images import dry_run
from engines.images.footprint import Footprint
from engines.images.generators import loading as generators
from engines.images.reno.experiment import ENGINE
from engines.images.reno.objective import plan_memory
from engines.images.reno.params import RenoParams
from engines.validation import Refused, validate

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ONLY_CLIP = {
    "weight_hps": 0,
    "weight_imagereward": 0,
    "weight_pickscore": 0,
    "weight_clip": 0.1,
    "compare": (),
}


@pytest.fixture
def small(monkeypatch):
    """Pictures of 16 pixels, in the run and in its plan."""
    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(dry_run, "measure", partial(dry_run.measure, size=16))


@pytest.fixture
def clip_folder(tiny_clip, tmp_path):
    """A CLIP of random weights with its tokenizer, as `save_pretrained` writes them."""
    model, words = tiny_clip()
    folder = tmp_path / "clip"
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def speak(tmp_path, **changes):
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    params = RenoParams(**{"prompt": "a red circle", "transfer": "none", "seeds": 2, **ONLY_CLIP, **changes})
    ENGINE.check(params, {})
    return list(ENGINE.run(params, Context("cpu", 3, scratch, {})))


def curve(events, name):
    return np.array(
        [e.value for e in events if isinstance(e, Scalar) and (e.series, e.name) == ("ReNO", name)]
    )


@pytest.mark.parametrize("key", ["sd", "sdxl", "pixart", "flux"])
def test_the_reward_rises_on_a_clip_from_a_folder(key, small, tiny_folders, clip_folder, tmp_path):
    """Not the best so far, which cannot fall: the reward of the present noise, against 75 plain pictures of each seed."""
    events = speak(
        tmp_path, model=str(tiny_folders[key]), reward_sources=(f"clip={clip_folder}",), iterations=25, lr=2.0
    )
    rewards = curve(events, "reward")
    drawn = np.array(
        [
            e.value
            for e in events
            if isinstance(e, Scalar) and e.name == "best reward" and "est of" in e.series
        ]
    )
    assert len(rewards) == 25
    assert rewards[-5:].mean() > rewards[0] + 0.2
    assert rewards[-5:].mean() > drawn.max()
    (memory,) = (e.value for e in events if isinstance(e, Text) and e.name == "memory")
    assert memory.startswith("about ")
    assert "CLIP" in memory


def test_what_the_knobs_do_not_allow():
    def refused(**changes):
        with pytest.raises(Refused) as caught:
            validate(RenoParams, changes)
        return caught.value.errors[0].field, caught.value.errors[0].sentence

    full = {"model": "sd-turbo", "prompt": "a red dog"}
    for changes, field, words in (
        (
            {"tiny_decoder": "madebyollin/taesd"},
            "tiny_decoder",
            "model is embedded-g: its decoder is a tiny one already",
        ),
        (
            {"model": "closed-form", "tiny_decoder": "x/y", "transfer": "none"},
            "tiny_decoder",
            "for full-size models",
        ),
        ({"offload": "layers"}, "offload", "for full-size models"),
        ({"tiles": True}, "tiles", "smaller than a tile"),
        ({**full, "tiles": True, "tiny_decoder": "x/y"}, "tiles", "leave tiny_decoder empty"),
        ({**full, "offload": "layers"}, "offload", "Turn checkpointing on"),
        ({"reward_sources": ("clip=a/b",)}, "reward_sources", "which this run does not use"),
        ({**full, "weight_clip": 0, "reward_sources": ("clip=a/b",)}, "reward_sources", "does not use"),
        ({"model": "closed-form", "transfer": "embedded-f"}, "transfer", "whose noise fits no model"),
        ({**full, "model": "stabilityai/stable-diffusion-xl-base-1.0"}, "model", "draws in many steps"),
    ):
        found, sentence = refused(**changes)
        assert (found, words in sentence) == (field, True), sentence
    RenoParams(
        **full, offload="layers", checkpointing=True, reward_sources=("clip=openai/clip-vit-base-patch32",)
    )
    RenoParams(**full, weight_clip=0, watch=("clip",), reward_sources=("clip=a/b",))


def test_offload_and_tiles_reach_the_models(small, tiny_folders, clip_folder, tmp_path):
    """Every economy at once draws the same first picture but for the tiles' seams, and climbs."""
    common = {"model": str(tiny_folders["sd"]), "reward_sources": (f"clip={clip_folder}",), "iterations": 2}
    plain = speak(tmp_path, offload="none", **common)
    spared = speak(tmp_path, offload="layers", checkpointing=True, tiles=True, **common)
    first, second = (
        [e.pixels for e in events if isinstance(e, Picture) and e.name.endswith("before")]
        for events in (plain, spared)
    )
    assert np.array_equal(first[0], second[0]), "pictures of 16 pixels are one tile"
    figures = [
        next(e.value for e in events if isinstance(e, Text) and e.name == "memory")
        for events in (plain, spared)
    ]
    assert "while prompts are encoded" in figures[1]
    assert "while prompts are encoded" in figures[0], "the rewards' text towers go in any case"
    assert figures[0] != figures[1]


def answer(monkeypatch, **footprints):
    """Stands in for the measurement, by model."""
    asked = []

    def measure(source, *_, **options):
        asked.append((source, options))
        return footprints[source.replace("-", "_")]

    monkeypatch.setattr(dry_run, "measure", measure)
    return asked


def test_the_many_step_model_is_planned_beside_the_first(monkeypatch):
    from engines.images import footprint

    gigabyte = 1 << 30
    first = Footprint({"network": 3 * gigabyte}, 6 * gigabyte, 1, noise_shape=(4, 64, 64))
    last = Footprint({"network": 5 * gigabyte}, 2 * gigabyte, 4, noise_shape=(4, 64, 64))
    asked = answer(
        monkeypatch, sd_turbo=first, sd_2_1=last, sdxl=Footprint({}, 1, 1, noise_shape=(4, 128, 128))
    )
    params = RenoParams(model="sd-turbo", transfer="sd-2-1", prompt="a red dog", seeds=2, compare=())
    monkeypatch.setattr(footprint, "free_bytes", lambda _: 10 * gigabyte)
    assert plan_memory(params, 2, "cpu").endswith("; sd-2-1 at the end, beside it, 10.0 GB")
    (_, options) = asked[1]
    assert (options["batch"], options["gradients"], options["guidance"]) == (4, False, 7.5)
    monkeypatch.setattr(footprint, "free_bytes", lambda _: 10 * gigabyte - 1)
    with pytest.raises(
        Refusal, match=r"transfer needs about 10.0 GB: .*the first model 3.0 GB.* Choose none or a smaller"
    ):
        plan_memory(params, 2, "cpu")
    wide = params.model_copy(update={"transfer": "sdxl"})
    with pytest.raises(Refusal, match="transfer: sdxl takes noise of 4 x 128 x 128, not of 4 x 64 x 64"):
        plan_memory(wide, 2, "cpu")


def test_noise_of_another_shape_is_refused_before_anything_is_loaded(monkeypatch, tiny_folders, tmp_path):
    """The embedded model's noise has eight channels of 8x8."""
    monkeypatch.setattr(generators, "load_generator", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(Refusal, match=r"transfer: .* takes noise of 4 x 8 x 8, not of 8 x 8 x 8"):
        list(
            ENGINE.run(
                RenoParams(transfer=str(tiny_folders["sd"]), iterations=2, compare=()),
                Context("cpu", 0, tmp_path, {}),
            )
        )


def test_the_noise_is_handed_on_in_the_portions_that_were_asked_for(
    small, tiny_folders, clip_folder, tmp_path, monkeypatch
):
    from engines.images.generators.base import Generator

    sizes = []
    sample = Generator.sample

    def counted(self, noise, *args, **options):
        sizes.append(len(noise))
        return sample(self, noise, *args, **options | {"steps": 2})

    monkeypatch.setattr(Generator, "sample", counted)
    events = speak(
        tmp_path, model=str(tiny_folders["sd"]), reward_sources=(f"clip={clip_folder}",), iterations=2, at_once=1,
        transfer=str(tiny_folders["sd-zsnr"]),
    )  # fmt: skip
    assert sizes == [1] * 4, "plain and found noise of two seeds"
    assert not [e for e in events if isinstance(e, Alert) and e.name == "transfer"]
