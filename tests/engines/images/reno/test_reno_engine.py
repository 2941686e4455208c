"""The experiment: what it refuses, what it says, how it is continued, and full-size models by the same code."""

import json
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, Array, ClaimCheck, Command, Picture, Progress, Scalar, Table, Text
from engines.images import choices
from engines.images.reno import prompt_files
from engines.images.reno.contest import settings_of
from engines.images.reno.experiment import ENGINE
from engines.images.reno.objective import open_objective
from engines.images.reno.params import RenoParams
from engines.validation import Refused, validate

SMALL = {
    "model": "closed-form",
    "lr": 5.0,
    "transfer": "none",
    "iterations": 4,
    "warm_start": 3,
    "compare": (),
}


def speak(tmp_path, seed=1, inputs=None, **changes):
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    params = RenoParams(**{**SMALL, **changes})
    ENGINE.check(params, inputs or {})
    return list(ENGINE.run(params, Context("cpu", seed, scratch, inputs or {})))


def curve(events, series, name):
    return [e.value for e in events if isinstance(e, Scalar) and (e.series, e.name) == (series, name)]


def refused(**changes) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        validate(RenoParams, changes)
    return caught.value.errors[0].field, caught.value.errors[0].sentence


# refusals


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"prompt": "an astronaut"}, "prompt", "circle, square, triangle"),
        ({"prompt": "an astronaut"}, "prompt", "set model to sd-turbo"),
        ({"prompt": "a red circle left of a red circle"}, "prompt", "same colour"),
        ({"prompt": "two circles", "model": "closed-form"}, "prompt", "closed-form"),
        ({"weight_r1": 0, "weight_r2": 0}, "weight_r1", "every weight"),
        ({"model": "flux-dev"}, "model", "must be one of"),
        ({"transfer": "sd-turbo"}, "transfer", "must be one of"),
        ({"iterations": 3, "warm_start": 12}, "warm_start", "at most 6"),
        ({"experiment": "list", "noise": "sha256:" + "0" * 64 + "/n.npy"}, "noise", "starts one prompt"),
        ({"compare": ("warm", "warm")}, "compare", "once"),
        ({"model": "closed-form", "steps": 2}, "steps", "must be 1"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(changes, field, words):
    found, sentence = refused(**changes)
    assert found == field
    assert words in sentence


def test_any_words_go_with_another_model():
    assert RenoParams(prompt="an astronaut", model="sd-turbo").weights() == {
        "hpsv2.1": 5.0, "imagereward": 1.0, "clip": 0.01, "pickscore": 0.05, "aesthetic": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, 8.0),
        ({"model": "closed-form"}, 5.0),
        ({"model": "sd-turbo"}, 5.0),
        ({"model": "hyper-sd"}, 10.0),
        ({"model": "hyper-sd", "lr": 8.0}, 8.0),
        ({"optimizer": "adam"}, 0.4),
        ({"optimizer": "lbfgs", "model": "sd-turbo"}, 1.0),
        ({"lr": 8.0, "optimizer": "adam"}, 8.0),
    ],
)
def test_the_rate_follows_the_model_where_it_is_left_alone(changes, rate):
    params = RenoParams(**changes)
    assert params.rate == rate
    assert settings_of(params).lr == rate
    assert RenoParams(**params.model_dump()) == params


def test_the_rate_that_is_used_is_said(tmp_path):
    said = [
        e.value
        for e in speak(tmp_path, lr=0, iterations=1)
        if isinstance(e, Text) and e.name == "learning rate"
    ]
    assert said == ["5, automatic for closed-form."]
    assert not [e for e in speak(tmp_path, iterations=1) if isinstance(e, Text) and e.name == "learning rate"]


def test_the_paper_preset_is_the_papers_setting():
    params = RenoParams(**ENGINE.preset("paper"))
    assert (params.rate, params.seeds, params.iterations, params.compare) == (5.0, 1, 50, ())


# one prompt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return speak(tmp_path_factory.mktemp("whole"), compare=("warm", "ablations", "zero_order"))


def test_the_best_never_falls_and_starts_at_the_plain_picture(whole):
    best, now = curve(whole, "ReNO", "best reward"), curve(whole, "ReNO", "reward")
    assert best == sorted(best)
    assert best[0] == now[0] == pytest.approx(curve(whole, "Best of N", "best reward")[0], abs=1e-5)


def test_every_iteration_is_a_picture_and_the_first_is_before(whole):
    pictures = [e for e in whole if isinstance(e, Picture)]
    strip = [e.step for e in pictures if e.name == "Every iteration/noise 2"]
    assert strip == [0, 1, 2, 3]
    before = next(e for e in pictures if e.name == "Before and after/noise 1, before")
    first = next(e for e in pictures if e.name == "Every iteration/noise 1")
    assert np.array_equal(before.pixels, first.pixels)
    assert {e.name for e in pictures} >= {
        "Contenders/ReNO",
        "Contenders/Best of N = 4",
        "Contenders/Best of N = 12",
    }


def test_claims_tables_and_arrays_are_there(whole):
    claims = {e.key: e for e in whole if isinstance(e, ClaimCheck)}
    assert {"rises", "equal_iterations", "time_equal", "accuracy", "time_warm", "norm"} <= set(claims)
    assert claims["rises"].measured >= claims["rises"].baseline
    assert {e.name for e in whole if isinstance(e, Table)} >= {
        "Where they ended",
        "Verdicts of the exact checker",
    }
    names = {e.name for e in whole if isinstance(e, Array)}
    assert {"noise histogram", "noise autocorrelation", "typical norm", "difference, noise 1"} <= names
    verdicts = next(e for e in whole if isinstance(e, Table) and e.name.startswith("Verdicts"))
    assert {row[-1] for row in verdicts.rows} <= {"right", "wrong"}


def test_fifty_more_on_request(tmp_path):
    run = ENGINE.run(RenoParams(**{**SMALL, "iterations": 2, "seeds": 1}), Context("cpu", 1, tmp_path))
    events, asked = [next(run)], False
    for _ in range(100_000):
        is_first = isinstance(events[-1], Progress) and events[-1].done == 1 and not asked
        asked = asked or is_first
        try:
            events.append(run.send(Command("do", "more") if is_first else None))
        except StopIteration:
            break
    assert len(curve(events, "ReNO", "best reward")) == 52
    assert events[-1].done == events[-1].total == 53


def test_an_unknown_request_is_told(tmp_path):
    run = ENGINE.run(RenoParams(**{**SMALL, "iterations": 3, "seeds": 1}), Context("cpu", 1, tmp_path))
    next(run)
    events = [run.send(Command("do", "sing")), *run]
    assert any(isinstance(e, Alert) and "sing" in e.message for e in events)


def test_negative_weights_make_it_worse_and_say_so(tmp_path):
    events = speak(tmp_path, model=choices.G, weight_r2=-0.478, weight_r1=0, iterations=4, seeds=1, lr=3.0)
    assert any(isinstance(e, Alert) and "worse on purpose" in e.message for e in events)
    assert max(curve(events, "R2", "gain")) > 0, "the weighted gain rises, so R2 itself falls"
    assert curve(events, "ReNO", "not optimised: R1")


# the embedded model


def test_iteration_zero_is_the_plain_pictures_own(tmp_path):
    """The same bits as without gradients, and the pipeline's picture for the same noise."""
    params = RenoParams()
    objective = open_objective(params, (params.prompt,), "cpu")
    noise = torch.stack([objective.draw(7, k, 0) for k in range(2)])
    rows = torch.zeros(2, dtype=torch.long)
    carried, _ = objective.evaluate(rows)(noise.clone().requires_grad_(), torch.arange(2))
    with torch.no_grad():
        plain = objective.paint(noise, rows)
    assert torch.equal(carried.detach(), plain)
    pipeline = choices.open_generator(choices.G, "cpu").pipeline
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setenv("PYTHONWARNINGS", "ignore")
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            theirs = pipeline(
                [params.prompt] * 2,
                latents=noise,
                num_inference_steps=1,
                guidance_scale=0.0,
                output_type="pt",
            ).images
    assert torch.allclose(plain, theirs, atol=5e-3)


def test_texts_are_encoded_once(monkeypatch):
    from engines.images.rewards.clip import ClipReward

    calls = []
    original = ClipReward.encode
    monkeypatch.setattr(
        ClipReward, "encode", lambda self, prompts: calls.append(prompts) or original(self, prompts)
    )
    objective = open_objective(RenoParams(), ("a circle", "two squares"), "cpu")
    rows = torch.tensor([1, 0])
    noise = torch.stack([objective.draw(0, k, 0) for k in range(2)])
    evaluate = objective.evaluate(rows)
    first, again = (evaluate(noise, torch.arange(2))[1] for _ in range(2))
    assert len(calls) == 1
    assert torch.equal(first, again)
    apart = open_objective(RenoParams(), ("two squares",), "cpu").evaluate(torch.zeros(1, dtype=torch.long))
    assert torch.allclose(apart(noise[:1], torch.arange(1))[1], first[:1], atol=1e-4)


def test_an_embedded_run_rises_and_hands_its_noise_on(tmp_path):
    events = speak(
        tmp_path, model=choices.G, transfer="auto", lr=3.0, iterations=5, seeds=1, compare=("ablations",)
    )
    claims = {e.key: e for e in events if isinstance(e, ClaimCheck)}
    assert claims["rises"].holds
    assert claims["transfer"].measured is not None
    assert {"ReNO without R1", "ReNO without R2"} <= {e.series for e in events if isinstance(e, Scalar)}
    assert any(isinstance(e, Picture) and e.name.startswith("The same noise") for e in events)


# full-size models by the same code, tiny and random


@pytest.mark.parametrize("key", ["sd", "sdxl", "pixart", "flux"])
def test_published_classes_are_optimised_through_the_same_code(
    key, tiny_folders, tiny_clip, monkeypatch, tmp_path, measured
):
    from engines.images.generators import loading as generators
    from engines.images.rewards import loading
    from engines.images.rewards.clip import ClipReward

    small = partial(generators.load_generator, size=16)
    monkeypatch.setattr(generators, "load_generator", small)
    given = []

    def reward(name, **options):
        given.append(options["checkpointing"])
        return ClipReward(name, *tiny_clip(), is_scaled=False)

    monkeypatch.setattr(loading, "load_reward", reward)
    asked = measured(10 << 20)
    events = speak(
        tmp_path, model=str(tiny_folders[key]), prompt="a red dog", iterations=3, seeds=2, at_once=1, watch=("clip",),
        weight_clip=0, checkpointing=key == "sd", steps=2 if key == "sd" else 1,
    )  # fmt: skip
    best = curve(events, "ReNO", "best reward")
    assert len(best) == 3
    assert given == [key == "sd"] * 4
    assert asked[0]["batch"] == 1
    assert any(isinstance(e, Text) and e.name == "memory" and "10 MB" in e.value for e in events)
    assert curve(events, "ReNO", "not optimised: CLIP")
    accuracy = next(e for e in events if isinstance(e, ClaimCheck) and e.key == "accuracy")
    assert accuracy.holds is None
    assert "checker" in accuracy.detail


def test_what_does_not_fit_is_refused_before_it_is_loaded(monkeypatch, tiny_folders, tmp_path, measured):
    measured(1 << 50)
    with pytest.raises(Refusal, match=r"model needs about .* Choose fewer pictures at once or"):
        speak(tmp_path, model=str(tiny_folders["sd"]), prompt="a red dog")


def test_one_contenders_batch_is_measured_and_what_cannot_be_measured_is_said(monkeypatch, measured):
    from engines.images import dry_run
    from engines.images.reno.objective import plan_memory

    full = RenoParams(
        model="sd-turbo", prompt="a red dog", seeds=3, compare=("ablations", "halving"), halvings=2
    )
    asked = measured(1)
    plan_memory(full, 3, "cpu")
    plan_memory(full.model_copy(update={"compare": ("halving",)}), 3, "cpu")
    plan_memory(full.model_copy(update={"compare": ()}), 3, "cpu")
    assert [one["batch"] for one in asked] == [3, 3, 3], (
        "what stands beside ReNO goes through a contender at a time"
    )
    assert asked[0]["drops_text"]

    def fails(*_, **__):
        raise dry_run.NotMeasured("The memory of it could not be computed.")

    monkeypatch.setattr(dry_run, "measure", fails)
    assert plan_memory(full, 3, "cpu") == "The memory of it could not be computed."


def test_a_reward_that_cannot_be_had_says_so(monkeypatch, tiny_folders, tmp_path, measured):
    from engines.images.rewards import loading
    from engines.images.rewards.base import RewardMissing

    def missing(name, **_):
        raise RewardMissing(f'The reward "{name}" could not be loaded (no network).')

    monkeypatch.setattr(loading, "load_reward", missing)
    measured(1)
    with pytest.raises(Refusal, match=r"hpsv2\.1.*weight to 0"):
        speak(tmp_path, model=str(tiny_folders["sd"]), prompt="a red dog")


def test_what_stands_beside_reno_costs_a_full_size_model_no_more_memory(
    tiny_folders, tiny_clip, monkeypatch, tmp_path, measured
):
    from engines.images.generators import diffusion
    from engines.images.generators import loading as generators
    from engines.images.rewards import loading
    from engines.images.rewards.clip import ClipReward

    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    measured(1)
    sizes, one_step = [], diffusion.DiffusionGenerator.one_step

    def seen(self, noise, told):
        sizes.append((len(noise), noise.requires_grad))
        return one_step(self, noise, told)

    monkeypatch.setattr(diffusion.DiffusionGenerator, "one_step", seen)
    speak(
        tmp_path, model=str(tiny_folders["sd"]), prompt="a red dog", iterations=2, warm_start=3, seeds=2,
        compare=("ablations", "halving", "zero_order"),
    )  # fmt: skip
    assert {size for size, _ in sizes} == {2}
    assert sum(carries for _, carries in sizes) == 2 * (1 + 5) + 3, (
        "ReNO, five ablations, four noises then two"
    )


# lists


def test_a_list_is_judged_by_task(tmp_path):
    events = speak(tmp_path, experiment="list", per_task=3, seeds=2, compare=("warm", "ablations"))
    table = [e for e in events if isinstance(e, Table) and e.name == "Right by task"][-1]
    assert table.columns == ("contender", "full (6)", "all (6)")
    low, high = (
        [e for e in events if isinstance(e, Array) and e.name == f"accuracy {k}"][-1] for k in ("low", "high")
    )
    middle = [e for e in events if isinstance(e, Array) and e.name == "accuracy"][-1]
    assert ((low.values <= middle.values + 1e-9) & (middle.values <= high.values + 1e-9)).all()
    assert {e.key for e in events if isinstance(e, ClaimCheck)} >= {
        "rises",
        "time_equal",
        "time_warm",
        "norm",
    }
    best = curve(events, "ReNO", "best reward")
    assert best == sorted(best)
    assert len(best) == 4


def test_genevals_and_compbenchs_files(tmp_path):
    rows = [
        {"tag": "two_object", "prompt": "a bench and a bear"},
        {"tag": "counting", "prompt": "two clocks"},
    ]
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [(one.task, one.prompt) for one in prompt_files.read(path, "prompts")] == [
        ("two_object", "a bench and a bear"), ("counting", "two clocks"),
    ]  # fmt: skip
    text = tmp_path / "color_val.txt"
    text.write_bytes("\ufeffa green bench and a red car\r\n\r\na blue cup\textra\r\n".encode())
    listed = prompt_files.read(text, "prompts")
    assert [(one.task, one.prompt) for one in listed] == [
        ("color_val", "a green bench and a red car"),
        ("color_val", "a blue cup"),
    ]


def test_a_folder_of_geneval_gives_each_prompt_once_and_no_names(tmp_path):
    (tmp_path / "object_names.txt").write_text("person\nbicycle\n")
    (tmp_path / "generation_prompts.txt").write_text("two clocks\n")
    (tmp_path / "evaluation_metadata.jsonl").write_text(
        '{"tag": "counting", "prompt": "two clocks", "include": []}\n'
    )
    (listed,) = prompt_files.read_folder(tmp_path, "folder")
    assert (listed.task, listed.prompt) == ("counting", "two clocks")
    assert json.loads(listed.metadata)["include"] == []


def test_a_folder_of_compbench_gives_its_test_prompts(tmp_path):
    for name in (
        "color",
        "color_train",
        "color_val",
        "color_val_seen",
        "complex_val_action",
        "shape_val",
        "new_objects",
    ):
        (tmp_path / f"{name}.txt").write_text(f"a prompt of {name}\n")
    listed = prompt_files.read_folder(tmp_path, "folder")
    assert [(one.task, one.place) for one in listed] == [("color_val", 0), ("shape_val", 1)]
    for path in tmp_path.glob("*_val.txt"):
        path.unlink()
    assert len(prompt_files.read_folder(tmp_path, "folder")) == 4, "any other folder is read whole"


def test_a_folder_of_words_alone_holds_no_prompt(tmp_path):
    (tmp_path / "object_names.txt").write_text("person\n")
    with pytest.raises(Refusal, match="holds no"):
        prompt_files.read_folder(tmp_path, "folder")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.jsonl", '{"tag": "a"}', "line 1 of 'x.jsonl'"),
        ("x.jsonl", '{"prompt": "a dog"}\n{"prompt": null}', "line 2"),
        ("x.jsonl", '{"prompt": " "}', "line 1"),
        ("x.jsonl", '{"prompt": 3}', "line 1"),
        ("x.txt", "a dog\n\twhat\n", "line 2 of 'x.txt'"),
        ("x.jsonl", "no json", "line 1"),
        ("x.jsonl", "[1]", "line 1"),
        ("x.txt", "\n\n", "holds no prompt"),
    ],
)
def test_broken_prompt_files_are_refused(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Refusal, match=words):
        prompt_files.read(path, "prompts")


def test_prompts_that_the_model_cannot_draw_are_refused_before_the_run(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a circle\nan astronaut\n")
    with pytest.raises(Refusal, match="astronaut"):
        ENGINE.check(RenoParams(experiment="list"), {"prompts": path})
    with pytest.raises(Refusal, match="only the embedded world"):
        ENGINE.check(RenoParams(experiment="list", model="sd-turbo"), {})
    with pytest.raises(Refusal, match="must be a folder"):
        ENGINE.check(RenoParams(experiment="list", folder=str(tmp_path / "nowhere")), {})


def test_noise_of_another_kind_is_refused_before_the_run(tmp_path):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(struct.pack("<Q", 3) + b"{}x")
    with pytest.raises(Refusal, match="cannot be read"):
        ENGINE.check(RenoParams(), {"noise": Path(path)})
