"""Scenes: what can be one, their hash, their split, their geometry."""

from collections import Counter
from itertools import combinations, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.shapes import Scene, Thing, sample_scene, sample_scenes, split
from dpgbench.shapes.scene import (
    COLORS,
    FILLS,
    KINDS,
    SHAPES,
    SIZES,
    is_between,
    is_inside,
    stands,
)

SEEDS = st.integers(0, 2**48)

RED_CIRCLE = Thing(0, 0, "large", "circle", "red", "plain")
BLUE_STAR = Thing(2, 0, "small", "star", "blue", "striped")


@given(SEEDS, st.sampled_from(KINDS))
def test_sampled_scenes_are_what_was_asked_for(seed, kind):
    scene = sample_scene(seed, kind)
    assert 3 <= len(scene.things) <= 6
    assert scene.kind == kind
    assert scene == sample_scene(seed, kind)


@given(SEEDS)
def test_things_share_a_cell_only_where_one_is_inside_the_other(seed):
    for a, b in combinations(sample_scene(seed).things, 2):
        if a.cell == b.cell:
            assert is_inside(a, b) or is_inside(b, a)
            assert a.color != b.color


def test_the_world_is_as_rich_as_promised():
    assert len(SHAPES) >= 6
    assert len(COLORS) >= 8
    assert len(SIZES) == len(FILLS) == 2
    things = [thing for seed in range(300) for thing in sample_scene(seed).things]
    for attribute, values in {"shape": SHAPES, "color": COLORS, "size": SIZES}.items():
        assert {getattr(thing, attribute) for thing in things} == set(values)


def test_the_order_of_things_does_not_matter():
    one, other = Scene((RED_CIRCLE, BLUE_STAR)), Scene((BLUE_STAR, RED_CIRCLE))
    assert one == other
    assert one.digest == other.digest


def test_the_canonical_form_and_the_hash_never_change():
    """Everything that is kept apart by the hash depends on this."""
    scene = Scene((RED_CIRCLE, BLUE_STAR), "mint", "blurry")
    assert scene.canonical == (
        "mint blurry; 0,0 large plain red circle; 2,0 small striped blue star"
    )
    assert scene.digest.startswith("26c673ad54fe8009")


def test_sampling_never_changes():
    assert sample_scene(7, "nested").canonical == (
        "gray outlined; 0,0 small plain orange oval; "
        "0,1 small plain yellow heart; 1,0 large plain brown square; "
        "2,0 large plain yellow diamond; 2,0 small plain green triangle"
    )


@pytest.mark.parametrize(
    "things",
    [
        (),
        (RED_CIRCLE, RED_CIRCLE),
        (RED_CIRCLE, Thing(0, 0, "large", "star", "blue", "plain")),
        (RED_CIRCLE, Thing(0, 0, "small", "star", "red", "plain")),
        (
            Thing(1, 1, "large", "star", "red", "plain"),
            Thing(1, 1, "small", "oval", "blue", "plain"),
        ),
    ],
    ids=["empty", "twice the same", "two large", "one colour", "no room"],
)
def test_impossible_scenes_are_refused(things):
    with pytest.raises(ValueError):
        Scene(things)


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="not a thing"):
        Thing(0, 3, "large", "circle", "red", "plain")
    with pytest.raises(ValueError, match="not a thing"):
        Thing(0, 0, "large", "circle", "teal", "plain")
    with pytest.raises(ValueError, match="not a scene"):
        Scene((RED_CIRCLE,), "red")


@pytest.mark.parametrize("part", ["train", "bench", "heldout"])
def test_sampling_from_a_part_stays_in_it(part):
    assert {split(scene) for scene in islice(sample_scenes(part, seed=3), 25)} == {part}


def test_the_parts_have_their_shares():
    counts = Counter(split(sample_scene(seed)) for seed in range(3000))
    assert 2250 < counts["train"] < 2550
    assert 230 < counts["bench"] < 370
    assert 230 < counts["heldout"] < 370


def test_geometry():
    middle = Thing(1, 0, "small", "oval", "pink", "plain")
    inner = Thing(0, 0, "small", "heart", "green", "plain")
    low = Thing(0, 2, "small", "cross", "brown", "plain")
    assert stands(RED_CIRCLE, "left of", BLUE_STAR)
    assert stands(BLUE_STAR, "right of", RED_CIRCLE)
    assert stands(RED_CIRCLE, "above", low)
    assert stands(low, "below", BLUE_STAR)
    assert not stands(RED_CIRCLE, "left of", inner)
    assert not stands(RED_CIRCLE, "above", BLUE_STAR)
    assert is_inside(inner, RED_CIRCLE)
    assert not is_inside(RED_CIRCLE, inner)
    assert is_between(middle, RED_CIRCLE, BLUE_STAR)
    assert is_between(middle, BLUE_STAR, RED_CIRCLE)
    assert not is_between(RED_CIRCLE, middle, BLUE_STAR)
    assert not is_between(inner, RED_CIRCLE, RED_CIRCLE)
