"""The detector reads rendered pictures without fault, also mildly harmed ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from PIL import Image

from dpgbench.shapes import Scene, Thing, answer, hard_negative, questions, render
from dpgbench.shapes.scene import (
    COLORS,
    CONTAINER_SHAPES,
    KINDS,
    SHAPES,
    STYLES,
    Ground,
    Style,
)
from tests.embedded.detector import detect
from tests.embedded.pictures import harmed, heldout_scenes

SCENES = [scene for kind in KINDS for scene in heldout_scenes(15, kind=kind)]


@pytest.mark.parametrize(
    ("blur_px", "noise"),
    [
        (0, 0),
        pytest.param(0.4, 0, marks=pytest.mark.slow),
        pytest.param(0, 20, marks=pytest.mark.slow),
        (0.4, 10),
    ],
)
def test_answers_follow_from_what_it_sees(blur_px: float, noise: float) -> None:
    right: list[bool] = []
    for number, scene in enumerate(SCENES):
        graph = questions(scene)
        other = hard_negative(scene, graph[number % len(graph)], graph)
        assert other is not None
        for shown in (scene, other):
            seen = detect(harmed(render(shown), blur_px, noise, seed=number)).answers(graph)
            right += [reading == answer(q, shown) for reading, q in zip(seen, graph, strict=True)]
    assert len(right) > 900
    assert np.mean(right) >= 0.99


@pytest.mark.parametrize("scene", SCENES[::3], ids=lambda scene: scene.canonical)
def test_it_finds_the_very_scene(scene: Scene) -> None:
    sight = detect(render(scene))
    assert sight.scene == scene
    assert sight.misfit < 2  # of 255: roundings


@pytest.mark.parametrize(("style", "ground"), [*product(STYLES, ["gray"]), ("outlined", "black")])
def test_it_finds_what_is_inside(style: Style, ground: Ground) -> None:
    for number, (outer, inner) in enumerate(product(CONTAINER_SHAPES, SHAPES)):
        one, other = COLORS[number % 8], COLORS[(number + 1 + number // 8) % 8]
        cell = (number % 3, number // 3 % 3)
        scene = Scene(
            (
                Thing(*cell, "large", outer, one, "plain"),
                Thing(*cell, "small", inner, other, ("plain", "striped")[number % 2]),
            ),
            ground,
            style,
        )
        assert detect(render(scene)).scene == scene


def test_a_picture_of_nothing_has_something_in_it_and_noise_fits_badly() -> None:
    assert len(detect(Image.new("RGB", (64, 64), (255, 255, 255))).scene.things) == 1
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert detect(Image.fromarray(noise)).misfit > 50


def test_larger_pictures_are_read_too() -> None:
    scene = SCENES[0]
    seen = detect(render(scene, size_px=128)).answers(questions(scene))
    assert set(seen) == {"yes"}
