"""Pools drawn ahead in another thread: the same ledgers and the same progress; it stops when nobody waits, and its errors are
told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engines.contract import Context
from engines.events import Progress
from engines.images.ttsnap import ENGINE, pools
from engines.images.ttsnap.ledger import Ledger
from engines.images.ttsnap.opening import AWARE, Models, open_models
from engines.images.ttsnap.pools import Pool, Pools, collected
from engines.validation import validate

PROMPTS = ("two green triangles", "a red circle left of a blue square")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    values = {"steps": 20, "bench_prompts": 0}
    return open_models(validate(ENGINE.params, values), Context("cpu", 0, tmp_path_factory.mktemp("scratch")))


def some(models: Models) -> list[Pool]:
    return [
        Pool(p, models.noise(3, 0, p), steps, levels, "") for p in PROMPTS for steps, levels in ((20, (0, 5)), (10, ()))
    ]  # fmt: skip


def tick(note: str) -> Progress:
    return Progress(0, 1, note)


def test_ahead_or_not_the_ledgers_and_the_progress_are_the_same(models, monkeypatch):
    monkeypatch.setattr(pools, "AHEAD", 3)
    alone = list(Pools(models, some(models), None).ledgers(tick))
    with ThreadPoolExecutor(1) as lane, Pools(models, some(models), lane) as drawn:
        ahead = list(drawn.ledgers(tick))
    assert [type(item) for item in alone] == [type(item) for item in ahead]
    one, two = ([item for item in items if isinstance(item, Ledger)] for items in (alone, ahead))
    assert len(one) == 4
    for mine, other in zip(one, two, strict=True):
        assert np.array_equal(mine.final, other.final)
        assert np.array_equal(mine.scores[AWARE], other.scores[AWARE])
    assert np.isfinite(one[0].scores[AWARE]).all()
    assert len(alone) == 4 + 2 * (20 + 10), "a word after each call"


def test_whoever_leaves_early_is_not_waited_for(models, monkeypatch):
    monkeypatch.setattr(pools, "AHEAD", 2)
    monkeypatch.setattr(pools, "PATIENCE_S", 0.01)
    ended = threading.Event()
    with ThreadPoolExecutor(1) as lane:
        with Pools(models, some(models) * 50, lane) as drawn:
            work = drawn.ledgers(tick)
            for _ in range(3):
                next(work)
        lane.submit(ended.set).result(timeout=30)
    assert ended.is_set()


def test_what_goes_wrong_ahead_is_told_here(models, monkeypatch):
    def broken(*_):
        raise MemoryError("no room")
        yield

    monkeypatch.setattr(pools, "denoised", broken)
    with (
        ThreadPoolExecutor(1) as lane,
        Pools(models, some(models), lane) as drawn,
        pytest.raises(MemoryError, match="no room"),
    ):
        list(collected(drawn.ledgers(tick), 1))
