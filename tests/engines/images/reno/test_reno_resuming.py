"""A run that goes on from another's noise file, and what a stopped run leaves behind."""

import numpy as np
import pytest
import torch

from engines.contract import Context, Refusal
from engines.events import Alert, ClaimCheck, File, Picture, Progress, Scalar
from engines.images import noise_file
from engines.images.reno.experiment import ENGINE
from engines.images.reno.objective import open_objective
from engines.images.reno.params import RenoParams
from engines.images.reno.report import pixels

SMALL = {"model": "closed-form", "lr": 5.0, "transfer": "none", "compare": (), "seeds": 2}
SHAPE = (3, 32, 32)


def speak(tmp_path, noise=None, **changes):
    """Events of a run and its noise file, under a name of its own."""
    scratch = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    scratch.mkdir()
    params, inputs = RenoParams(**{**SMALL, **changes}), {"noise": noise} if noise else {}
    ENGINE.check(params, inputs)
    events = list(ENGINE.run(params, Context("cpu", 1, scratch, inputs)))
    return events, scratch / "noise.safetensors"


def curve(events, series, name):
    return {e.step: e.value for e in events if isinstance(e, Scalar) and (e.series, e.name) == (series, name)}


def claims(events):
    return {e.key: e for e in events if isinstance(e, ClaimCheck)}


def picture(events, name, at=-1):
    return [e for e in events if isinstance(e, Picture) and e.name == name][at]


def alike(one, other):
    """The same picture, up to what the size of the batch changes."""
    return np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 5.0), ("adam", 0.05), ("lbfgs", 0.5)])
def test_two_iterations_and_two_more_are_the_same_four(tmp_path, optimizer, lr):
    """The same moves, the same best, and everything judged against the picture that the search began with."""
    chosen = {"optimizer": optimizer, "lr": lr}
    four, _ = speak(tmp_path, iterations=4, **chosen)
    _, kept = speak(tmp_path, iterations=2, **chosen)
    more, _ = speak(tmp_path, kept, iterations=2, **chosen)
    for name in ("reward", "best reward"):
        whole, rest = (curve(events, "ReNO", name) for events in (four, more))
        assert list(rest) == [2, 3], "its steps count on"
        assert list(rest.values()) == pytest.approx([whole[2], whole[3]], abs=1e-6), name
    assert claims(more)["rises"].baseline == pytest.approx(claims(four)["rises"].baseline, abs=1e-6)
    assert claims(more)["rises"].measured == pytest.approx(claims(four)["rises"].measured, abs=1e-6)
    assert curve(more, "Best of N", "best reward")[0] == curve(four, "Best of N", "best reward")[0]
    before = [picture(events, "Before and after/noise 1, before") for events in (four, more)]
    assert alike(*before)
    assert not [e for e in more if isinstance(e, Alert)]


def lost(tmp_path):
    """A run, and a noise file like its own whose last noise is far from the best: the one that it began with."""
    events, kept = speak(tmp_path, iterations=6)
    tensors = noise_file.read_noise(kept, SHAPE)
    tensors |= {"noise": tensors["start"], "momentum": torch.zeros_like(tensors["start"])}
    return events, noise_file.write_noise(tmp_path / "lost.safetensors", tensors, {})


def test_the_best_of_the_first_run_is_kept_and_shown(tmp_path):
    first, kept = lost(tmp_path)
    more, again = speak(tmp_path, kept, iterations=1)
    before, after = curve(first, "ReNO", "best reward"), curve(more, "ReNO", "best reward")
    assert after == {6: pytest.approx(before[5], abs=1e-5)}
    for noise in ("noise 1", "noise 2"):
        shown = picture(first, f"Before and after/{noise}")
        assert alike(picture(more, f"Before and after/{noise}"), shown)
        assert picture(more, f"Before and after/{noise}").caption == shown.caption
    tensors = [noise_file.read_noise(path, SHAPE) for path in (kept, again)]
    assert torch.equal(tensors[0]["best_noise"], tensors[1]["best_noise"])
    assert torch.equal(tensors[0]["start"], tensors[1]["start"])
    assert tensors[1]["passes"].tolist() == [21, 21], "three a look that moves"


def test_the_winner_itself_can_be_climbed_from(tmp_path):
    first, kept = lost(tmp_path)
    more, _ = speak(tmp_path, kept, iterations=2, lr=1.0, resume="best")
    strip = picture(more, "Every iteration/noise 2", 0)
    assert alike(strip, picture(first, "Before and after/noise 2"))
    assert strip.step == 6


def test_claims_of_equal_cost_are_not_decided_where_only_reno_went_on(tmp_path):
    everybody = {"compare": ("warm", "ablations"), "warm_start": 3}
    _, kept = speak(tmp_path, iterations=8)
    found = claims(speak(tmp_path, kept, iterations=2, **everybody)[0])
    for key in ("equal_iterations", "time_equal", "norm"):
        assert found[key].holds is None, key
        assert found[key].detail.startswith("Not decided")
    assert "looked at 6 noises, and ReNO had 10 iterations" in found["equal_iterations"].detail
    assert found["time_warm_reward"].holds is not None
    longer = claims(speak(tmp_path, kept, iterations=4)[0])
    assert longer["equal_iterations"].holds is not None, "twelve looks suffice for twelve iterations"


def test_older_files_and_bare_arrays_still_go_on(tmp_path):
    _, kept = speak(tmp_path, iterations=2)
    tensors = noise_file.read_noise(kept, SHAPE)
    old = {name: tensors[name] for name in ("noise", "momentum", "best_noise")}
    path = noise_file.write_noise(tmp_path / "old.safetensors", old, {})
    events, _ = speak(tmp_path, path, iterations=2)
    whole, _ = speak(tmp_path, iterations=4)
    rest = list(curve(whole, "ReNO", "reward").values())[2:]
    assert list(curve(events, "ReNO", "reward").values()) == pytest.approx(rest)
    np.save(tmp_path / "bare.npy", tensors["noise"].numpy())
    for choice in ("last", "best"):
        bare, _ = speak(tmp_path, tmp_path / "bare.npy", iterations=2, resume=choice)
        assert curve(bare, "ReNO", "reward")[0] == pytest.approx(rest[0])
        assert curve(bare, "Best of N", "best reward")[0] == pytest.approx(rest[0], abs=1e-5)


def test_another_optimizer_is_told_that_it_begins_anew(tmp_path):
    _, kept = speak(tmp_path, iterations=2)
    events, _ = speak(tmp_path, kept, iterations=1, optimizer="adam", lr=0.05)
    assert any(isinstance(e, Alert) and e.name == "noise file" for e in events)


def test_tensors_that_fit_no_optimizer_are_refused(tmp_path):
    _, kept = speak(tmp_path, iterations=2)
    tensors = {**noise_file.read_noise(kept, SHAPE), "age": torch.zeros(2, 2)}
    path = noise_file.write_noise(tmp_path / "crooked.safetensors", tensors, {})
    with pytest.raises(Refusal, match="the tensor age must have the shape"):
        speak(tmp_path, path)
    with pytest.raises(Refusal, match="seeds must be at most 2"):
        speak(tmp_path, kept, seeds=3)


@pytest.mark.parametrize("iterations", [1, 4, 9])
def test_a_stopped_run_leaves_the_noise_of_the_pictures_that_it_showed(tmp_path, iterations):
    params = RenoParams(**{**SMALL, "iterations": 50})
    shown, live = {}, []
    run = ENGINE.run(params, Context("cpu", 1, tmp_path))
    for event in run:
        if isinstance(event, Progress) and event.done == iterations + 1:
            break  # the first event after an iteration, where a wish to stop is heard
        if isinstance(event, Picture) and event.name.startswith("Before and after/"):
            shown[event.name] = event.pixels
        live += [event.live] if isinstance(event, File) else []
    run.close()
    assert all(live)
    tensors = noise_file.read_noise(tmp_path / "noise.safetensors", SHAPE)
    assert tensors["iteration"].tolist() == [iterations] * 2
    paint = open_objective(params, (params.prompt,), "cpu").paint
    with torch.no_grad():
        for name, words in (("start", ", before"), ("best_noise", "")):
            drawn = paint(tensors[name], torch.zeros(2, dtype=torch.long))
            for row in range(2):
                same = np.abs(
                    pixels(drawn[row]).astype(int) - shown[f"Before and after/noise {row + 1}{words}"]
                )
                assert same.max() <= 1, name


def test_a_run_that_failed_leaves_its_noise_too(tmp_path, monkeypatch):
    from engines.images.reno.contest import Contest

    advance = Contest.advance

    def breaks(self, i):
        if i == 3:
            raise MemoryError
        advance(self, i)

    monkeypatch.setattr(Contest, "advance", breaks)
    with pytest.raises(MemoryError):
        list(ENGINE.run(RenoParams(**{**SMALL, "iterations": 9}), Context("cpu", 1, tmp_path)))
    assert noise_file.read_noise(tmp_path / "noise.safetensors", SHAPE)["iteration"].tolist() == [3, 3]
