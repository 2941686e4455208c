"""Lists of prompts: what they come to by task, what they hand on, and what the reader is told meanwhile."""

import json
import re
import zipfile
from functools import partial

import numpy as np
import pytest
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, Array, ClaimCheck, Command, File, Picture, Progress, Scalar, Table, Text
from engines.images import choices
from engines.images.reno import geneval
from engines.images.reno.alerts import UNWATCHED
from engines.images.reno.by_task import by_task
from engines.images.reno.experiment import ENGINE
from engines.images.reno.finals import Final
from engines.images.reno.judging import Judged
from engines.images.reno.params import RenoParams

SMALL = {
    "experiment": "list", "model": "closed-form", "transfer": "none", "iterations": 2, "warm_start": 3, "compare": (), "seeds": 1,
    "per_task": 2,
}  # fmt: skip


def speak(tmp_path, inputs=None, **changes):
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    params = RenoParams(**{**SMALL, **changes})
    ENGINE.check(params, inputs or {})
    return list(ENGINE.run(params, Context("cpu", 1, scratch, inputs or {})))


def alerts(events, name):
    return [e for e in events if isinstance(e, Alert) and e.name == name]


# the transfer


def test_a_transfer_that_cannot_be_had_costs_nothing_else(tmp_path, monkeypatch):
    """One alert for all batches, and every other claim."""
    asked, original = [], choices.open_generator

    def missing(model, device, field="model", *more, **options):
        if field == "transfer":
            asked.append(model)
            raise Refusal("transfer", "transfer: it is not here.")
        return original(model, device, field, *more, **options)

    monkeypatch.setattr(choices, "open_generator", missing)
    path = tmp_path / "list.txt"
    path.write_text("a circle\ntwo red squares\n")
    events = speak(tmp_path, {"prompts": path}, model=choices.G, transfer=choices.F, at_once=1)
    (told,) = alerts(events, "transfer")
    assert told.message == "transfer: it is not here."
    assert asked == [choices.F]
    claims = {e.key for e in events if isinstance(e, ClaimCheck)}
    assert {"rises", "equal_iterations", "time_equal", "accuracy"} <= claims
    assert "transfer" not in claims
    last = [e for e in events if isinstance(e, Progress)][-1]
    assert last.done == last.total


def test_the_many_step_model_is_opened_once_for_all_batches(tmp_path, monkeypatch):
    opened, original = [], choices.open_generator

    def watched(model, *args, **options):
        opened.append(model)
        return original(model, *args, **options)

    monkeypatch.setattr(choices, "open_generator", watched)
    path = tmp_path / "list.txt"
    path.write_text("a circle\ntwo red squares\n")
    events = speak(tmp_path, {"prompts": path}, model=choices.G, transfer=choices.F, at_once=1)
    assert opened == [choices.G, choices.F]
    (claim,) = (e for e in events if isinstance(e, ClaimCheck) and e.key == "transfer")
    assert "over 2 pairs" in claim.detail


# what the reader is told


def test_a_list_tells_of_negative_weights_and_of_broken_gradients_once(tmp_path, monkeypatch):
    from engines.images.reno import objective

    original = objective.painter

    def breaks(*args):
        paint = original(*args)

        def broken(noise, chosen):
            factor = (
                torch.where(chosen == 1, torch.nan, 1.0) if noise.requires_grad else torch.ones(len(noise))
            )
            return paint(noise, chosen) * factor.view(-1, 1, 1, 1)

        return broken

    monkeypatch.setattr(objective, "painter", breaks)
    path = tmp_path / "list.txt"
    path.write_text("a circle\ntwo red squares\n")
    events = speak(tmp_path, {"prompts": path}, model=choices.G, weight_r2=-0.478, iterations=3)
    assert "R2 is made worse on purpose" in alerts(events, "negative weight")[0].message
    (told,) = alerts(events, "not finite")
    assert told.message.startswith("The gradient of noise 1 of 'two red squares' is not finite")


def test_more_iterations_asked_of_a_list_are_answered(tmp_path):
    run = ENGINE.run(RenoParams(**SMALL), Context("cpu", 1, tmp_path))
    next(run)
    events = [run.send(Command("do", "more")), *run]
    (told,) = alerts(events, "unknown request")
    assert "is for one prompt" in told.message
    assert (
        len([e for e in events if isinstance(e, Scalar) and (e.series, e.name) == ("ReNO", "best reward")])
        == 2
    )


# by task


def finals_of(rewards):
    n = len(rewards)
    judged = Judged(None, None, np.empty((n, 0)), ("",) * n)
    return Final(np.array(rewards, dtype=float), np.empty((n, 0)), judged, 1, np.zeros(n))


def test_rewards_by_task_have_their_error_over_prompts(tmp_path):
    """Two pictures of a prompt are one draw: prompts of means 1, 3 and 5 have the error 2 / sqrt(3)."""
    found = {"ReNO": finals_of([0.0, 2.0, 3.0, 3.0, 5.0, 5.0, 9.0, 9.0])}
    events = list(by_task(found, ["a"] * 6 + ["b"] * 2, [0, 0, 1, 1, 2, 2, 3, 3]))
    (table,) = (e for e in events if isinstance(e, Table))
    assert table.name == "Reward by task"
    assert table.columns == ("contender", "a (6)", "b (2)", "all (8)")
    assert table.rows[0][:3] == ["ReNO", "3.000 ± 1.155", "9.000"], "one prompt has no error"
    arrays = {e.name: e.values for e in events if isinstance(e, Array)}
    assert arrays["reward by task high"][0, 0] == pytest.approx(3 + 2 / 3**0.5)
    assert arrays["reward by task low"][0, 0] == pytest.approx(3 - 2 / 3**0.5)
    assert np.isnan(arrays["reward by task low"][0, 1])


def test_a_full_size_list_says_what_it_cannot_tell(tmp_path, tiny_folders, tiny_clip, monkeypatch, measured):
    from engines.images.generators import loading as generators
    from engines.images.rewards import loading
    from engines.images.rewards.clip import ClipReward

    monkeypatch.setattr(generators, "load_generator", partial(generators.load_generator, size=16))
    monkeypatch.setattr(
        loading, "load_reward", lambda name, **_: ClipReward(name, *tiny_clip(), is_scaled=False)
    )
    measured(1)
    path = tmp_path / "list.txt"
    path.write_text("a red dog\na blue cat\n")
    events = speak(tmp_path, {"prompts": path}, model=str(tiny_folders["sd"]))
    assert any(isinstance(e, Text) and e.value == UNWATCHED for e in events)
    assert alerts(events, "slow here")
    (table,) = (e for e in events if isinstance(e, Table) and e.name == "Reward by task")
    assert all(re.fullmatch(r"-?\d+\.\d{3} ± \d+\.\d{3}", cell) for row in table.rows for cell in row[1:])


# many prompts


def test_a_benchmark_fits_a_list(tmp_path):
    """GenEval has about a hundred prompts a task, T2I-CompBench 300."""
    lines = [{"tag": tag, "prompt": f"a {tag} {k}"} for tag in ("colors", "position") for k in range(300)]
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    from engines.images.reno import prompt_files

    params = RenoParams(experiment="list", model="sd-turbo", per_task=300)
    assert len(prompt_files.chosen(params, {"prompts": path}, 0)) == 600
    assert RenoParams.model_fields["per_task"].json_schema_extra["demo_max"] == 2


def test_hundreds_of_prompts_are_encoded_some_at_a_time(monkeypatch):
    from engines.images.reno import objective

    generator = choices.open_generator(choices.F, "cpu")
    prompts = ["a circle", "two red squares", "a blue triangle", "three circles", "a square"]
    whole = generator.encode(prompts, guided=True)
    monkeypatch.setattr(objective, "ENCODED_AT_ONCE", 2)
    parts = objective.encoded(generator, prompts, guided=True)
    for name, tensor in whole.tensors.items():
        assert torch.allclose(parts.tensors[name], tensor, atol=1e-5)
        assert torch.allclose(parts.negative.tensors[name], whole.negative.tensors[name], atol=1e-5)


# pictures for GenEval's own detector


@pytest.fixture
def metadata(tmp_path):
    """A file in GenEval's format whose prompts the embedded world knows."""
    rows = [
        {"tag": "single_object", "include": [{"class": "circle", "count": 1}], "prompt": "a circle"},
        {"tag": "counting", "include": [{"class": "square", "count": 2}], "prompt": "two squares"},
        {"tag": "counting", "include": [{"class": "circle", "count": 3}], "prompt": "three circles"},
    ]
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path, rows


def test_the_pictures_of_geneval_stand_in_its_folders(tmp_path, metadata):
    """Layout of generation/diffusers_generate.py, as evaluation/evaluate_images.py reads it; two batches."""
    path, rows = metadata
    events = speak(tmp_path, {"prompts": path}, model=choices.G, seeds=2, per_task=300, at_once=4)
    files = {e.name: e for e in events if isinstance(e, File)}
    assert set(files) == {"GenEval, ReNO", "GenEval, Plain picture"}
    shown = next(e for e in events if isinstance(e, Picture) and e.name.endswith("/4"))
    for name, file in files.items():
        assert file.live, "what a later batch adds is kept"
        with zipfile.ZipFile(file.path) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == len(set(archive.namelist()))
            folders = {entry.split("/")[0] for entry in archive.namelist()}
            assert folders == {"00000", "00001", "00002"}
            assert all(folder.isdigit() for folder in folders)
            for place, row in enumerate(rows):
                assert json.loads(archive.read(f"{place:05}/metadata.jsonl")) == row
                samples = [n for n in archive.namelist() if n.startswith(f"{place:05}/samples/")]
                assert [re.match(r"\d+\.png", n.rsplit("/", 1)[1]) is not None for n in samples] == [
                    True,
                    True,
                ]
            from PIL import Image

            with archive.open("00001/samples/0001.png") as held:
                drawn = np.asarray(Image.open(held))
        width = drawn.shape[1]
        tile = 2 if name == "GenEval, ReNO" else 0  # plain, best of N, ReNO, with gaps of two pixels
        assert np.array_equal(drawn, shown.pixels[:, tile * (width + 2) : tile * (width + 2) + width])


def test_some_of_the_prompts_keep_their_numbers(tmp_path, metadata):
    path, rows = metadata
    events = speak(tmp_path, {"prompts": path}, model=choices.G, per_task=1)
    file = next(e for e in events if isinstance(e, File) and e.name == "GenEval, ReNO")
    with zipfile.ZipFile(file.path) as archive:
        found = [n for n in archive.namelist() if n.endswith("metadata.jsonl")]
        assert len(found) == 2
        for entry in found:
            assert json.loads(archive.read(entry)) == rows[int(entry.split("/")[0])]


def test_the_zips_are_bounded_and_say_so(tmp_path, metadata, monkeypatch):
    monkeypatch.setattr(geneval, "MAX_BYTES", 1000)
    events = speak(tmp_path, {"prompts": metadata[0]}, model=choices.G, per_task=300, at_once=1)
    (told,) = alerts(events, "GenEval pictures")
    assert "later pictures are measured, but not in them" in told.message
    for file in {e.path for e in events if isinstance(e, File)}:
        with zipfile.ZipFile(file) as archive:
            assert 0 < len(archive.namelist()) < 6


def test_other_lists_write_no_zip(tmp_path):
    assert not [e for e in speak(tmp_path) if isinstance(e, File)]
