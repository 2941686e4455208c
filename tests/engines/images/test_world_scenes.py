"""Renderer, truth and checker agree, with the figures of the specification (reno.md 6.1)."""

import numpy as np
import pytest

from engines.images.world import (
    SHAPES,
    Scenes,
    all_captions,
    as_scene,
    check,
    check_many,
    draw_captions,
    draw_scenes,
    hard_negatives,
    look,
    mirror_captions,
    mirror_scenes,
    render,
    to_uint8,
    truth_table,
)
from engines.images.world.checker import _AREA
from engines.images.world.render import GROUND, PALETTE, coverage

CAPTIONS = all_captions()


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(11)
    places = draw_captions(rng, 400, allowed=tuple(range(len(CAPTIONS))))
    scenes = draw_scenes(rng, places)
    return places, scenes, render(scenes), truth_table(scenes)


def one(shape: int, color: int, x: float, y: float, r: float) -> Scenes:
    slots = np.full((1, 4), -1)
    shapes, colors = slots.copy(), slots.copy()
    shapes[0, 0], colors[0, 0] = shape, color
    place = [np.full((1, 4), value) for value in (x, y, r)]
    return Scenes(np.array([1]), shapes, colors, *place)


def test_clean_renders_pass_without_exception(world):
    places, _, pictures, truth = world
    strict, soft = check_many(pictures, [CAPTIONS[p] for p in places])
    assert strict.all()
    assert (soft == 1).all()
    assert truth[np.arange(len(places)), places].all()


def test_shuffled_captions_are_seldom_true_and_truth_and_checker_agree(world):
    places, _, pictures, truth = world
    shuffled = np.roll(places, 1)
    strict, _ = check_many(pictures, [CAPTIONS[p] for p in shuffled])
    assert strict.mean() < 0.08
    assert (truth[np.arange(len(places)), shuffled] == strict).all()


def test_hard_negatives_are_false_but_for_commuted_sentences(world):
    places, _, pictures, truth = world
    rng = np.random.default_rng(1)
    wrong = np.array([rng.choice(hard_negatives(int(p))) for p in places])
    strict, _ = check_many(pictures, [CAPTIONS[p] for p in wrong])
    assert (truth[np.arange(len(places)), wrong] == strict).all()
    assert strict.mean() < 0.1
    for row in np.flatnonzero(strict):
        own, other = CAPTIONS[places[row]], CAPTIONS[wrong[row]]
        # "A and B" commuted, "A left of B" against "B right of A", or a diagonal that is both left and above
        assert own.relation >= 0 or set(own.items) == set(other.items)


def test_about_six_captions_are_true_of_a_scene(world):
    assert 4 < world[3].sum(1).mean() < 8


@pytest.mark.parametrize("shape", range(3))
def test_area_of_a_shape_is_its_formula(shape):
    r = 10.0
    alpha = coverage(shape, np.array([32.3]), np.array([31.6]), np.array([r]))[0]
    assert alpha.sum() == pytest.approx(_AREA[shape] * r * r, rel=0.02)


@pytest.mark.parametrize("shape", range(3))
def test_measured_place_and_size_of_a_lone_object(shape):
    (found,) = look(render(one(shape, 2, 30.4, 33.7, 11.0))[0])
    assert found.ok
    assert found.text == f"blue {SHAPES[shape]}"
    assert (found.x, found.y, found.r) == pytest.approx((30.4, 33.7, 11.0), abs=0.35)


def test_defects_are_seen():
    picture = render(one(0, 0, 32, 32, 12))[0]
    assert check(picture, "a red circle").strict
    half = picture.copy()
    half[:, :, 32:] = render(one(0, 3, 32, 32, 12))[0][:, :, 32:]
    assert not check(half, "a circle").strict, "two colours, not one object"
    spot = picture.copy()
    spot[:, 2:9, 2:9] = PALETTE[1][:, None, None]
    verdict = check(spot, "a red circle")
    assert not verdict.strict
    assert [part.ok for part in verdict.parts] == [True, False]
    speck = picture.copy()
    speck[:, 2:6, 2:6] = PALETTE[1][:, None, None]
    assert check(speck, "a red circle").strict, "16 px are a speck"
    empty = np.broadcast_to(GROUND[:, None, None], (3, 64, 64))
    assert look(empty) == ()
    assert not check(empty, "a red circle").strict


def test_what_the_checker_finds_gives_the_truth_of_every_caption(world):
    _, scenes, pictures, truth = world
    for row in range(60):
        scene = as_scene(look(pictures[row]))
        assert scene is not None
        assert scene.count[0] == scenes.count[row]
        # measured places differ by tenths of a pixel, which can move a relation only at its threshold
        assert (truth_table(scene)[0] != truth[row]).mean() < 0.01


def test_mirror_exchanges_left_and_right(world):
    places, scenes, _, _ = world
    mirrored = mirror_scenes(scenes)
    named = mirror_captions(places)
    assert truth_table(mirrored)[np.arange(len(places)), named].all()
    assert (mirror_captions(named) == places).all()
    gap = np.abs(render(mirrored)[:50] - render(scenes)[:50, :, :, ::-1])
    assert gap.max() < 1e-4


def test_layouts_keep_their_distances(world):
    _, scenes, pictures, _ = world
    there = scenes.shape >= 0
    assert (scenes.r[there] >= 7.6).all()
    for axis in (scenes.x, scenes.y):
        assert (axis[there] >= scenes.r[there] + 2).all()
        assert (axis[there] <= 62 - scenes.r[there]).all()
    edge = np.concatenate([pictures[:, :, 0], pictures[:, :, -1], pictures[:, :, :, 0]], axis=-1)
    assert np.allclose(edge, GROUND[None, :, None])


def test_same_seed_same_pictures():
    draws = [render(draw_scenes(rng, draw_captions(rng, 9))) for rng in map(np.random.default_rng, (3, 3))]
    assert (draws[0] == draws[1]).all()


def test_bytes_are_rounded(world):
    data = to_uint8(world[2][:2])
    assert data.shape == (2, 64, 64, 3)
    assert tuple(data[0, 0, 0]) == (24, 26, 36)


def test_an_empty_mix_is_refused():
    with pytest.raises(ValueError, match="No caption is left"):
        draw_captions(np.random.default_rng(0), 3, mix={"full": 1.0}, allowed=(0, 1))
