"""The parts of the training scripts that can be wrong without a long run."""

import numpy as np
import pytest
import torch

from engines.images.training import r1, r2, samples
from engines.images.training.architecture import alphas, attention_mask, make_r1, make_r2, make_scheduler
from engines.images.training.f import EACH, GROUPS, deal
from engines.images.training.loop import flat_then_cosine
from engines.images.training.semantics import (
    FEATURES,
    feature_table,
    patch_labels,
    patch_roles,
    prefix_table,
    scene_features,
    token_table,
)
from engines.images.world import all_captions, draw_scenes
from engines.images.world.captions import caption_index

INDEX = caption_index()


def test_a_relation_and_its_converse_mean_the_same():
    table = feature_table()
    a, b = (INDEX[t] for t in ("a circle left of a square", "a square right of a circle"))
    c = INDEX["a circle right of a square"]
    assert (table[a] == table[b]).all()
    assert (table[a] != table[c]).any()
    assert (table[INDEX["a circle and a square"]] == table[INDEX["a square and a circle"]]).all()
    assert len(np.unique(table, axis=0)) == 1002 - 3 - 90 - 12 - 360, "only sentences of one meaning coincide"


def test_features_of_a_scene_are_those_of_its_true_captions():
    truth = np.zeros((1, 1002), dtype=bool)
    truth[0, [0, 5]] = True
    expected = np.maximum(feature_table()[0], feature_table()[5])
    assert (scene_features(truth)[0] == expected).all()


def test_prefix_and_token_targets():
    place = INDEX["a red circle left of a blue square"]
    target, known = prefix_table()
    assert known[place].tolist() == [False] * 3 + [True] * 9
    assert (target[place, 8] == feature_table()[place]).all()
    assert (target[place, 3] != target[place, 4]).any(), "the role is known from the relation word on"
    words, said = token_table()
    assert said[place].tolist() == [True] * 4 + [False, False] + [True] * 3 + [False] * 3
    assert (words[place, 1] != words[place, 6]).any()
    above = INDEX["a red circle above a blue square"]
    assert said[above].tolist() == [True] * 4 + [False] + [True] * 3 + [False] * 4
    assert target.shape[-1] == words.shape[-1] == FEATURES


def test_patches_show_their_object():
    scenes = draw_scenes(np.random.default_rng(0), np.full(6, INDEX["a red circle left of a blue square"]))
    shape, color, offset = patch_labels(scenes)
    assert set(np.unique(shape)) == {0, 1, 3}
    assert set(np.unique(color)) == {0, 2, 5}
    assert np.abs(offset).max() < 3
    roles, there = patch_roles(scenes)
    red_circle_left = 8 + 3 * 0 + 0
    on_circle = there & (shape == 0)
    assert roles[on_circle][:, red_circle_left].all()
    assert not roles[there & (shape == 1)][:, red_circle_left].any()


def test_dealt_noise_is_the_same_noise_closer_to_its_pictures():
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn((GROUPS * EACH, 8, 8, 8), generator=generator) for _ in range(2))
    dealt = deal(latents, noise)
    for k in range(GROUPS):
        part = slice(k * EACH, (k + 1) * EACH)
        assert torch.equal(dealt[part].sum(0).sort().values, dealt[part].sum(0).sort().values)
        assert torch.allclose(dealt[part].sum(0), noise[part].sum(0), atol=1e-5), "permuted inside the group"
    assert (dealt * latents).sum() > (noise * latents).sum()


def test_v_prediction_at_the_ends():
    a, s = alphas(make_scheduler())
    assert a[999] < 1e-3
    assert s[999] == pytest.approx(1.0)
    assert torch.allclose(a**2 + s**2, torch.ones(1000), atol=1e-6)


def test_contrast_ignores_other_true_captions():
    logits = torch.tensor([[1.0, 9.0, 0.0]])
    truth = torch.tensor([[True, True, False]])
    own = torch.tensor([0])
    expected = -torch.log_softmax(torch.tensor([1.0, 0.0]), 0)[0]
    assert r1.contrast(logits, truth, own) == pytest.approx(float(expected))
    assert r1.contrast(logits, ~truth, own) == 0, "a picture without a true caption teaches nothing here"


@pytest.mark.parametrize("which", [1, 2])
def test_the_rewards_losses_are_finite_and_reach_all_weights(which):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    batch = samples.renders(rng, 6)
    assert batch.truth[np.arange(6), batch.places].all()
    if which == 1:
        model, heads = make_r1(), r1.Heads()
        loss, _ = r1.loss_of(model, heads, rng, batch, 1.0)
    else:
        model, heads = make_r2(), r2.Heads()
        loss, _ = r2.loss_of(model, heads, rng, batch, 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.vision_model.encoder.parameters())


def test_r2_starts_from_r1s_picture_tower():
    one, two = make_r1(), make_r2()
    two.vision_model.load_state_dict(r2.from_r1(one.state_dict()))
    a = one.vision_model.encoder.layers[2].self_attn
    b = two.vision_model.encoder.layers[2].self_attn
    assert torch.equal(b.qkv.weight, torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]))


def test_attention_ends_with_the_first_end_token():
    assert attention_mask(torch.tensor([[0, 5, 1, 1]])).tolist() == [[1, 1, 1, 0]]


def test_stored_pictures_are_labelled_for_every_caption(tmp_path):
    rng = np.random.default_rng(1)
    batch = samples.renders(rng, 12)
    pictures = batch.pictures.clone()
    pictures[3, :, 20:44, 20:44] = 0.5
    np.savez(tmp_path / "a.npz", pictures=samples.as_bytes(pictures), places=batch.places)
    pool = samples.Pool.read(tmp_path / "a.npz")
    got = pool.take(np.arange(12))
    assert not got.clear[3]
    assert not got.truth[3].any()
    kept = np.delete(np.arange(12), 3)
    assert got.truth[kept, batch.places[kept]].all()
    assert samples.softly(got, 0, int(batch.places[0])) == 1.0
    assert 0 <= samples.softly(got, 3, int(batch.places[3])) <= 0.35
    assert len(samples.join(batch, got).pictures) == 24


def test_hard_negatives_for_training_are_never_held_out():
    rng = np.random.default_rng(2)
    for place in range(0, 1002, 37):
        for i in samples.negatives(rng, place, 5):
            assert not samples._HELD.intersection({i})
    assert all_captions()


def test_schedule():
    rate = [flat_then_cosine(p, 1000, warm=10, flat=0.5, end=0.1) for p in (0, 0.5, 0.75, 1)]
    assert rate == pytest.approx([1, 1, 0.55, 0.1])
    assert flat_then_cosine(0, 0, warm=10, flat=0.5, end=0.1) == pytest.approx(0.1)
