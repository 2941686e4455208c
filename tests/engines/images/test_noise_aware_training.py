"""Which sentences the noise-aware rewards learn from, and what a batch is made of."""

import numpy as np
import torch

from engines.images.rewards.base import Features
from engines.images.training.noise_aware import GROUP, LEARNT, OTHER, SENTENCES, Lessons, false_sentences
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
    others = [np.array([2]), np.array([0, 2]), np.array([], dtype=np.int64)]
    nothing = torch.zeros(50, 1)
    features = Features({"none": torch.zeros(3, 1)})
    lessons = Lessons(nothing, nothing, nothing[:, 0], first, number, features, others)
    rng = np.random.default_rng(0)
    drawn, steps_seen, share = np.zeros(3), set(), []
    for _ in range(200):
        rows, read, steps, is_other = (t.numpy().reshape(SENTENCES, GROUP) for t in lessons.batch(rng))
        own = owner[rows]
        for table in (own, read, steps):
            assert (table == table[:, :1]).all()
        assert ((read != own) == is_other).all()
        assert all(r in others[o] for o, r in zip(own[:, 0], read[:, 0], strict=True) if r != o)
        assert all(len(set(row)) == GROUP for row in rows), "no seed twice in a group"
        drawn += np.bincount(own[:, 0], minlength=3)
        share += list(is_other[own[:, 0] != 2, 0])
        steps_seen |= set(steps.flat)
    assert np.allclose(drawn / drawn.sum(), number / 50, atol=0.03)
    assert abs(np.mean(share) - OTHER) < 0.05
    assert steps_seen == set(range(LEARNT))


def test_false_sentences_are_near_taught_and_never_true_of_the_same_thing():
    prompts = parts(0)["training"]
    found = false_sentences(prompts)
    own = prompts.index("a red circle left of a blue square")
    near = {prompts[i] for i in found[own]}
    assert "a blue square right of a red circle" not in near, "the same in other words"
    assert near
    held = set(parts(0)["held"])
    assert not any(prompts[i] in held for some in found for i in some)
