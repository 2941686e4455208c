"""The memory of a stage of TTSnap, planned and measured: few pictures in the decoder at a time, all of them kept and judged."""

import pytest
import torch
from test_images_memory import PROMPT, load, measured_peak, noise_for

from engines.images.dry_run import measure
from engines.images.footprint import FACTOR
from engines.images.generators.loading import load_generator
from engines.images.rewards.clip import ClipReward
from engines.images.ttsnap.method import search
from engines.images.ttsnap.method.schedule import Schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SEEDS = 40


def stage(generator, guidance, at_once, reward):
    """A first stage of one call, as the search makes it: its largest sum of live bytes."""
    guided = guidance > 1 and generator.calls(guidance) > 1
    encoded = generator.encode([PROMPT], guided=guided)
    features = reward.encode([PROMPT]).expand(SEEDS)

    def judge(pictures, *_):
        with torch.no_grad():
            return reward.score(pictures, features)[None].double().numpy()

    def run():
        told = encoded.expand(SEEDS)
        race = search.init(generator, noise_for(generator, SEEDS), told, steps=4, guidance=guidance)
        search.step(race, generator, Schedule((0,), (0.5,)), judge, at_once=at_once)

    return measured_peak(run)


def planned(source, guidance, at_once, **options):
    return measure(
        source, batch=at_once or SEEDS, pictures=SEEDS, gradients=False, guidance=guidance, **options
    ).work


@pytest.mark.parametrize(
    ("key", "at_once", "guidance"), [("sd", 0, 3.0), ("sdxl", 4, 3.0), ("pixart", 0, 3.0), ("flux", 0, 3.5)]
)
def test_the_figure_is_what_a_stage_takes(key, at_once, guidance, tiny_folders, tiny_clip):
    real = stage(load(tiny_folders[key]), guidance, at_once, ClipReward("CLIP", *tiny_clip()))
    common = {"size": 16, "local_files_only": True, "decode_at_once": search.DECODE_AT_ONCE}
    assert real / FACTOR < planned(str(tiny_folders[key]), guidance, at_once, **common) < real * FACTOR


def test_the_decoder_counts_with_the_pictures_that_it_takes_at_a_time(tiny_clip):
    """The embedded models' decoder needs more than their network, as that of full-size models."""
    real = stage(load_generator("embedded-f"), 3.0, 0, ClipReward("CLIP", *tiny_clip()))
    few = planned("embedded-f", 3.0, 0, decode_at_once=search.DECODE_AT_ONCE)
    assert real / FACTOR < few < real * FACTOR
    assert planned("embedded-f", 3.0, 0) > 2 * few, "all at once"
    assert planned("embedded-f", 3.0, 4, decode_at_once=search.DECODE_AT_ONCE) < few
