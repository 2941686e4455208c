"""Which sentences the noise-aware rewards learn from, and what a batch is made of."""

import numpy as np
import torch

from engines.images.rewards.base import Features
from engines.images.training.noise_aware import GROUP, LEARNT, SENTENCES, Lessons
from engines.images.training.trajectories import FEW, MANY, SEEDS, chunks, parts
from engines.images.ttsnap import figures
from engines.images.world import all_captions, caption_of


def test_every_sentence_is_in_one_part():
    dealt = parts(0)
    every = [p for part in dealt.values() for p in part]
    assert sorted(every) == sorted(c.text for c in all_captions())
    assert {k: len(v) for k, v in dealt.items()} == {"held": 48, "tuning": 24, "training": 930}


def test_the_page_compares_on_sentences_that_were_held():
    assert list(figures.held()) == parts(0)["held"]


def test_chunks_cover_a_part_once_and_rare_tasks_get_more_seeds():
    dealt = parts(0)
    for part in ("held", "tuning", "training"):
        found = chunks(dealt[part], part)
        assert sorted(p for _, some, _ in found for p in some) == sorted(dealt[part])
        assert len({name for name, _, _ in found}) == len(found)
    seeds = {caption_of(p).task: n for _, some, n in chunks(dealt["training"], "training") for p in some}
    assert seeds["full"] == seeds["attr"] == FEW
    assert seeds["count"] == seeds["position"] == MANY
    assert {n for _, _, n in chunks(dealt["tuning"], "tuning")} == {SEEDS["tuning"]}


def test_a_batch_is_made_of_groups_of_one_sentence_at_one_step():
    number = np.array([8, 12, 30])
    first = np.array([0, 8, 20])
    owner = np.repeat(np.arange(3), number)
    lessons = Lessons(
        torch.zeros(50, 1), torch.zeros(50), first, number, Features({"none": torch.zeros(3, 1)})
    )
    rng = np.random.default_rng(0)
    seen, steps_seen = np.zeros(3), set()
    for _ in range(200):
        rows, sentences, steps = (t.numpy().reshape(SENTENCES, GROUP) for t in lessons.batch(rng))
        assert (owner[rows] == sentences).all()
        assert (sentences == sentences[:, :1]).all()
        assert (steps == steps[:, :1]).all()
        assert all(len(set(row)) == GROUP for row in rows), "no seed twice in a group"
        seen += np.bincount(sentences[:, 0], minlength=3)
        steps_seen |= set(steps.flat)
    assert np.allclose(seen / seen.sum(), number / 50, atol=0.03)
    assert steps_seen == set(range(LEARNT))
