"""A stopped training goes on as if it had never stopped: weights, averages and both optimizers, bit for bit."""

import argparse
import json
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from engines.images.training import loop
from engines.images.training.loop import Average, Budget, flat_then_cosine, load, save, train
from engines.images.training.pieces import cut, finish, in_pieces, read

STEPS = 12


class Stop(Exception):
    pass


def run(folder, *, stop_at=None, save_every=4, steps=STEPS, minutes=1.0):
    """A generator that follows a second network with an optimizer of its own, as G's second stage; BatchNorm has buffers.

    `stop_at` raises in that step, so that what came after the last checkpoint is lost."""
    torch.manual_seed(0)
    net, fake = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    second = torch.optim.AdamW(fake.parameters(), lr=0.05)

    def step(number, progress):
        if number == stop_at:
            raise Stop
        x = torch.randn((8, 3), generator=torch.Generator().manual_seed(number))
        second.zero_grad()
        (fake(x) - x.sum(1, keepdim=True)).square().mean().backward()
        second.step()
        loss = (net(x) - fake(x).detach() * (1 + progress)).square().mean()
        loss.backward()
        return {"loss": float(loss.detach())}

    budget = Budget.of(argparse.Namespace(folder=folder, minutes=minutes, steps=steps), "toy")
    budget.due = lambda every_s=60.0: budget.step % save_every == 0
    average = {"net": Average(net, 0.9)}
    with suppress(Stop):
        train(
            budget, {"net": net, "fake": fake}, optimizer, step, average=average, others=[second],
            schedule=lambda p, n: flat_then_cosine(p, n, warm=3, flat=0.3, end=0.01),
        )  # fmt: skip
    return budget


def same(one, other):
    """Whether two checkpoints hold the same numbers; what was spent of the processor is no part of it."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one if k != "spent_s")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture
def whole(tmp_path):
    """The checkpoint of a run that was never stopped."""
    (tmp_path / "whole").mkdir()
    assert run(tmp_path / "whole").step == STEPS
    return load(tmp_path / "whole" / "toy.pt")


@pytest.mark.parametrize("stop_at", [5, 8, 11])
def test_a_stopped_run_ends_with_the_same_weights(stop_at, whole, tmp_path):
    run(tmp_path, stop_at=stop_at)
    assert load(tmp_path / "toy.pt")["step"] == stop_at - stop_at % 4
    run(tmp_path)
    assert same(load(tmp_path / "toy.pt"), whole)


@pytest.mark.parametrize("lost", ["optimizers", "second", "average", "buffers"])
def test_whatever_a_checkpoint_forgot_would_show(lost, whole, tmp_path):
    """The test above can tell: each part of the state matters to the end."""
    run(tmp_path, stop_at=9)
    state = load(tmp_path / "toy.pt")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    run(fresh, stop_at=1, save_every=1)
    blank = load(fresh / "toy.pt")
    if lost == "second":
        state["optimizers"][1] = blank["optimizers"][1]
    elif lost == "buffers":
        for name in ("1.running_mean", "1.running_var"):
            state["modules"]["net"][name] = blank["modules"]["net"][name]
    else:
        state[lost] = blank[lost]
    save(tmp_path / "toy.pt", state)
    run(tmp_path)
    assert not same(load(tmp_path / "toy.pt"), whole)


def test_a_finished_run_is_left_as_it_is(whole, tmp_path):
    again = run(tmp_path / "whole")
    assert again.step == STEPS
    assert same(load(tmp_path / "whole" / "toy.pt"), whole)
    lines = (tmp_path / "whole" / "toy.log").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "end" in line] == [STEPS, STEPS]
    with pytest.raises(FileNotFoundError, match="run the earlier stage first"):
        load(tmp_path / "other.pt")


def test_by_minutes_it_ends_with_the_time(tmp_path, monkeypatch):
    now = loop.time.process_time()
    clock = (now + 10 * k for k in range(1000))
    monkeypatch.setattr(loop.time, "process_time", lambda: next(clock))
    budget = run(tmp_path, steps=0, minutes=1.0)
    assert budget.progress == 1
    assert budget.step in (6, 7), "ten seconds a step"


def test_data_are_drawn_piece_by_piece(tmp_path, monkeypatch):
    made = []

    def build(first, end):
        made.append((first, end))
        return {"rows": np.arange(first, end), "square": np.arange(first, end) ** 2}

    planned = cut(10, 4, build)
    monkeypatch.setattr(loop.time, "process_time", lambda: 31.0 * len(made))
    folder, log = tmp_path / "x.pieces", tmp_path / "x.log"
    with pytest.raises(SystemExit, match="2 of 3 pieces: run it again to go on"):
        in_pieces(folder, log, planned, minutes=1.0)
    assert made == [(0, 4), (4, 8)]
    (folder / "000008.99.partial.npz").write_bytes(b"half of a piece")
    paths = in_pieces(folder, log, planned, minutes=1.0)
    assert made == [(0, 4), (4, 8), (8, 10)]
    finish(tmp_path / "x.npz", read(paths), folder)
    assert not folder.exists()
    stored = np.load(tmp_path / "x.npz")
    assert stored["rows"].tolist() == list(range(10))
    assert stored["square"].tolist() == [k * k for k in range(10)]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1] | {"clock": "", "minute": 0} == {
        "minute": 0,
        "piece": "000008",
        "done": 3,
        "of": 3,
        "clock": "",
    }


@pytest.fixture
def checkpoints(tmp_path):
    """A training folder in which every model has random weights."""
    from engines.images.training.architecture import make_r1, make_r2, make_text_encoder, make_unet, make_vae

    torch.manual_seed(0)
    runs = {
        "f": {"unet": make_unet(), "text": make_text_encoder()},
        "g": {"unet": make_unet()},
        "r1": {"model": make_r1()},
        "r2": {"model": make_r2()},
    }
    for run, modules in runs.items():
        state = {name: module.state_dict() for name, module in modules.items()}
        save(tmp_path / f"{run}.pt", {"modules": state, "average": {}})
    save(tmp_path / "vae-final.pt", make_vae().state_dict())
    return tmp_path


def test_latents_and_pairs_do_not_depend_on_the_sittings(checkpoints):
    from engines.images.training import encode, pairs

    for draw, name, options in (
        (encode.draw, "latents", {"scenes": 500, "piece": 250}),
        (pairs.draw, "pairs", {"number": 120}),
    ):
        draw(checkpoints, 0, float("inf"), **options)
        target = checkpoints / f"{name}.npz"
        first = dict(np.load(target))
        target.unlink()
        with pytest.raises(SystemExit, match="1 of 2 pieces"):
            draw(checkpoints, 0, 0.0, **options)
        assert not target.exists()
        draw(checkpoints, 0, 0.0, **options)
        again = dict(np.load(target))
        assert first.keys() == again.keys()
        assert all(np.array_equal(first[key], again[key]) for key in first)
    latents = np.load(checkpoints / "latents.npz")
    assert latents["latents"].shape == (1000, 8, 8, 8)
    assert (np.diff(latents["captions"]) >= 0).all()


def test_pictures_for_the_second_stage(checkpoints, monkeypatch):
    import sys

    from engines.images.training import pairs, pictures, samples

    pairs.draw(checkpoints, 0, float("inf"), number=12)
    for words in ("pairs --number 6", "g --number 5", "f --number 4", "search --number 3 --best-of 4"):
        argv = ["pictures", "--folder", str(checkpoints), "--source", *words.split()]
        monkeypatch.setattr(sys, "argv", argv)
        pictures.main()
    pool = checkpoints / "pool"
    assert sorted(p.name for p in pool.iterdir()) == ["f-20.npz", "g-20.npz", "pairs-20.npz", "search-20.npz"]
    assert len(samples.Pool.read(pool / "pairs-20.npz")) == 6, "the first of the pairs"
    assert (
        np.load(pool / "pairs-20.npz")["places"] == np.load(checkpoints / "pairs.npz")["captions"][:6]
    ).all()
    assert 3 <= len(samples.Pool.read(pool / "search-20.npz")) <= 9
    assert "pictures-g-20.log" in [p.name for p in checkpoints.glob("*.log")]
