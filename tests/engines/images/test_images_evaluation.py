"""The figures of the embedded stack: their intervals, and that the card says what was measured."""

import json
from itertools import combinations

import numpy as np
import pytest

from engines.images.embedded import WEIGHTS
from engines.images.training.card import card
from engines.images.training.evaluate import auc, chances
from engines.images.training.intervals import of_share, of_statistic, over_tasks


def test_the_card_is_written_from_the_figures():
    figures = json.loads((WEIGHTS / "figures.json").read_text())
    assert (WEIGHTS / "README.md").read_text() == card(figures)
    assert figures["F"]["a task"] >= 100
    assert figures["seed"] != 2026, "was seen before the last stages of the rewards were chosen"


def test_a_share_is_a_whole_number_of_captions():
    figures = json.loads((WEIGHTS / "figures.json").read_text())
    for name in ("F", "F held out", "G", "G held out"):
        row = figures[name]
        for task, (low, high) in row["interval"].items():
            assert low <= row[task] <= high
            if task not in ("strict", "soft"):
                hits = row[task] * row["a task"]
                assert hits == pytest.approx(round(hits), abs=0.0006 * row["a task"])


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_best_of_n_is_expected_over_all_choices(n):
    strict = np.array([1, 0, 1, 1, 0, 0.0])  # by falling reward
    chosen = [strict[min(rows)] for rows in combinations(range(6), n)]
    assert chances(6, n) @ strict == pytest.approx(np.mean(chosen))
    assert chances(6, n).sum() == pytest.approx(1)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    shares, tasks = np.array([0.2, 0.9]), np.repeat(["a", "b"], 60)
    inside = [0, 0]
    for _ in range(400):
        hits = rng.random(120) < np.repeat(shares, 60)
        for k, (ends, truth) in enumerate(((over_tasks(hits, tasks)[1], 0.55), (of_share(hits[:60]), 0.2))):
            inside[k] += ends[0] <= truth <= ends[1]
    assert min(inside) > 0.92 * 400
    assert over_tasks(np.array([1, 1, 0, 0.0]), np.array(["a", "b", "a", "b"]))[0] == 0.5


def test_intervals_of_a_statistic_lie_around_it():
    rng = np.random.default_rng(1)
    right = np.arange(300) % 2 == 0
    score = right + rng.normal(size=300)
    found = auc(score, right)
    low, high = of_statistic(lambda rows: auc(score[rows], right[rows]), 300, seed=0)
    assert low < found < high
    assert 0.05 < high - low < 0.2
