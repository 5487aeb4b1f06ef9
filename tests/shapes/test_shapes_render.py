"""Pictures: the right colours in the right places, and every change is seen."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgbench.shapes import Scene, Thing, render, sample_scene
from dpgbench.shapes.render import COLOR_RGB, GROUND_RGB, center_px
from dpgbench.shapes.scene import KINDS, STYLES
from dpgbench.shapes.scene_edits import edits

SCENES = st.builds(sample_scene, st.integers(0, 2**48), st.sampled_from(KINDS))


def distance(one, other):
    return float(np.abs(np.subtract(one, other, dtype=float)).max())


@settings(max_examples=60)
@given(SCENES)
def test_colours_are_at_the_centres(scene):
    pixels = render(scene)
    for thing in scene.things:
        covered = thing.cell in scene.nested_cells and thing.size == "large"
        if thing.fill == "plain" and not covered:
            seen = pixels.getpixel(center_px(thing.cell))
            assert distance(seen, COLOR_RGB[thing.color]) <= 45  # a blurred small star
            assert thing.color == min(COLOR_RGB, key=lambda c: distance(seen, COLOR_RGB[c]))
    for cell in scene.free_cells:
        assert distance(pixels.getpixel(center_px(cell)), GROUND_RGB[scene.ground]) <= 2


@settings(max_examples=20)
@given(SCENES)
def test_rendering_again_gives_the_same_pixels(scene):
    before = render(scene).tobytes()
    render(sample_scene(scene.things[0].row + 1))  # nothing is left over from another picture
    assert render(scene).tobytes() == before


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size_px", [32, 64, 100])
def test_size_and_mode(style, size_px):
    scene = Scene((Thing(1, 1, "large", "heart", "red", "striped"),), "gray", style)
    image = render(scene, size_px, supersample=2)
    assert image.size == (size_px, size_px)
    assert image.mode == "RGB"


@settings(max_examples=10)
@given(SCENES, st.integers(0, 20))
def test_every_change_of_an_attribute_is_seen(scene, start):
    before = np.asarray(render(scene), dtype=int)
    for _, other in islice(edits(scene), start, None, 7):
        after = np.asarray(render(other), dtype=int)
        assert (np.abs(after - before).max(axis=-1) > 15).sum() >= 6


def test_styles_differ():
    scene = sample_scene(3)
    images = {render(Scene(scene.things, scene.ground, style)).tobytes() for style in STYLES}
    assert len(images) == len(STYLES)


def test_palettes_stay_apart():
    colors = [*COLOR_RGB.values(), *GROUND_RGB.values()]
    for number, one in enumerate(colors):
        assert all(distance(one, other) >= 25 for other in colors[:number])
