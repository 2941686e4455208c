"""How the default cuts were chosen, on made-up scores whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engines.images.training import schedules
from engines.images.training.schedules import Tried
from engines.images.ttsnap.method.schedule import Schedule

PROMPTS, SEEDS, LEVELS = 12, 64, 15


def written(folder: Path) -> Path:
    """Plain scores that see more with every step, noise-aware ones that see as much everywhere: ahead at first, behind later."""
    rng = np.random.default_rng(0)
    final = rng.normal(size=(PROMPTS, SEEDS))
    blur = np.linspace(4.0, 0.2, LEVELS)
    plain = final[..., None] + blur * rng.normal(size=(PROMPTS, SEEDS, LEVELS))
    aware = final[..., None] + 1.2 * rng.normal(size=(PROMPTS, SEEDS, 13))
    np.savez(folder / "tuning-r2.npz", final=final, plain=plain, aware=aware)
    (folder / "figures.json").write_text(json.dumps({"used": {"r2": 12}}))
    return folder


def test_cuts_lie_where_the_noise_aware_reward_clearly_leads(tmp_path):
    lab, used = schedules.tuning_lab(written(tmp_path), "r2")
    steps = schedules.clear_steps(lab, used)
    assert steps == tuple(range(len(steps))), "the first ones"
    assert 0 < len(steps) < used, "not those at which the plain reward sees as much"
    found = schedules.searched(lab, steps, 40, 0)
    assert found
    assert all(set(schedule.steps) <= set(steps) for schedule in found)


def test_steps_from_the_border_on_are_scored_by_the_plain_reward(tmp_path):
    lab, used = schedules.tuning_lab(written(tmp_path), "r2")
    assert (lab.scores["plain"][..., used:] == lab.scores["noise-aware"][..., used:]).all()
    assert (lab.scores["plain"][..., :used] != lab.scores["noise-aware"][..., :used]).any()


def test_of_equally_good_schedules_the_rivals_favourite_is_taken():
    one, two, poor = (Schedule((step,), (0.5,)) for step in (0, 1, 2))
    tried = [
        Tried(one, (2.0, 2.01), (1.5, 1.5)),
        Tried(two, (2.0, 2.004), (1.8, 1.8)),
        Tried(poor, (1.9, 1.9), (1.9, 1.9)),
    ]
    assert [each.schedule for each in schedules.chosen(tried)] == [two, one]


def test_the_same_seed_looks_at_the_same_draws(tmp_path):
    lab, _ = schedules.tuning_lab(written(tmp_path), "r2")
    schedule = Schedule((2,), (0.5,))
    first, again = (schedules.looked_at(lab, schedule, 3) for _ in range(2))
    assert first == again
    assert max(first.aware) <= lab.final.max()
    assert "(2,)" in str(first)
