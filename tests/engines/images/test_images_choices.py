"""What a user may choose: sentences that say what is wrong, before anything is loaded."""

import subprocess
import sys

import pytest

from engines.contract import Refusal
from engines.images import choices


def refused(call, *args) -> str:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.sentence


def test_an_unknown_word_lists_the_vocabulary_and_names_the_way_out():
    said = refused(choices.check_prompt, "an astronaut", choices.G)
    for part in ("prompt", "astronaut", "circle, square, triangle", "left of", "set model to sd-turbo"):
        assert part in said
    choices.check_prompt("an astronaut", "sd-turbo")


@pytest.mark.parametrize("prompt", choices.SUGGESTED_PROMPTS)
def test_suggestions_can_be_drawn(prompt):
    choices.check_prompt(prompt, choices.F)


def test_case_spaces_and_a_full_stop_do_not_matter():
    choices.check_prompt("  A red circle  LEFT of a blue square. ", choices.G)
    assert choices.plain_prompt("Two  green Triangles.") == "two green triangles"


@pytest.mark.parametrize("prompt", ["", "  ", "a red circle left of a red circle", "five circles"])
def test_what_the_world_cannot_say(prompt):
    assert "prompt" in refused(choices.check_prompt, prompt, choices.G)


def test_models(tmp_path):
    for name in (choices.G, "sd-turbo", "stabilityai/sd-turbo"):
        choices.check_model(name)
    assert "must be one of" in refused(choices.check_model, "x y")
    for path in ("/nonexistent/x", "../x y", "~/nothing", "a/b/c"):
        said = refused(choices.check_model, path)
        assert "there is no folder" in said
        assert path in said
    assert "flux-dev" in refused(choices.check_model, "flux-dev", "model", (choices.G, *choices.ONE_STEP))
    said = refused(choices.check_model, str(tmp_path))
    assert "model_index.json" in said
    assert str(tmp_path) not in said
    (tmp_path / "model_index.json").write_text("{}")
    choices.check_model(str(tmp_path))


def test_what_does_not_fit_by_name_does_not_by_its_repository():
    one_step = (choices.G, *choices.ONE_STEP)
    for model in ("stabilityai/stable-diffusion-xl-base-1.0", "PixArt-alpha/PixArt-XL-2-1024-MS"):
        assert "draws in many steps" in refused(choices.check_model, model, "model", one_step)
        choices.check_model(model, "model", (choices.F, *choices.MANY_STEPS))
    choices.check_model("stabilityai/sdxl-turbo", "model", one_step)
    said = refused(choices.check_model, "stabilityai/sdxl-turbo", "model", (choices.F, *choices.MANY_STEPS))
    assert "here sdxl-turbo, draws in one step" in said


def test_where_rewards_are_read_from(tmp_path):
    given = (f"clip={tmp_path}", "pickscore = owner/name")
    used = ("clip", "pickscore", "hpsv2.1")
    assert choices.check_sources(given, used) == {"clip": str(tmp_path), "pickscore": "owner/name"}
    assert choices.check_sources((), ()) == {}
    for wrong, words in (
        ("clip", "must be written as reward=folder"),
        ("clip=", "must be written as reward=folder"),
        ("r1=/x", "must name some of hpsv2.1"),
        ("aesthetic=a/b", "which this run does not use"),
        ("clip=/nonexistent/x", "there is no file or folder '/nonexistent/x'"),
        ("clip=x y", "must be a folder, a weights file or a hub id"),
    ):
        assert words in refused(choices.check_sources, (wrong,), used)
    assert "once" in refused(choices.check_sources, ("clip=a/b", "clip=a/c"), used)


def test_rewards_must_be_able_to_read_the_pictures():
    choices.check_rewards(("r1", "r2"), choices.G)
    choices.check_rewards(("clip",), "sd-turbo")
    assert "embedded world only" in refused(choices.check_rewards, ("r1",), "sd-turbo")
    assert "must be some of" in refused(choices.check_rewards, ("beauty",), choices.G)


def test_names_are_those_of_the_loaders():
    from engines.images.generators.loading import EMBEDDED, KNOWN
    from engines.images.rewards.loading import NAMES

    assert (choices.G, choices.F) == EMBEDDED
    assert set(choices.ONE_STEP) == {name for name, known in KNOWN.items() if known.once is not None}
    assert set(choices.MANY_STEPS) == {name for name, known in KNOWN.items() if known.once is None}
    assert set(choices.REWARD_TITLES) <= set(NAMES)


def test_opening():
    assert choices.open_generator(choices.G, "cpu").noise_shape == (8, 8, 8)
    assert [r.name for r in choices.open_rewards(("r2", "r1"), "cpu").values()] == ["R2", "R1"]


def test_what_cannot_be_opened_is_a_refusal(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "NoSuchPipeline"}')
    assert "NoSuchPipeline" in refused(choices.open_generator, str(tmp_path), "cpu")


def test_checking_needs_no_torch():
    code = "import sys, engines.images.choices as c; c.check_prompt('a circle', c.G); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
