"""Random scenes: the same seed gives the same scene, anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, TypeVar

from dpgbench.shapes.scene import (
    CELLS,
    COLORS,
    CONTAINER_SHAPES,
    FILLS,
    GROUNDS,
    KINDS,
    SHAPES,
    SIZES,
    STYLES,
    Cell,
    Color,
    Fill,
    Kind,
    Scene,
    Shape,
    Size,
    Split,
    Thing,
    split,
)
from dpgbench.shapes.stable_random import StableRandom

T = TypeVar("T")
Look = tuple[Shape, Color]

NUM_THINGS: Final[dict[Kind, tuple[int, int]]] = {"few": (3, 4), "many": (5, 6), "nested": (4, 5)}
"""Fewest and most things of a sampled scene."""
GROUP_CHANCE: Final[dict[Kind, float]] = {"few": 0.0, "many": 0.8, "nested": 0.2}
"""How often two or three of the things look alike."""
REPEAT_CHANCE: Final = 0.4
"""How often two things share a shape, and how often two share a colour."""


def sample_scene(seed: int, kind: Kind | None = None) -> Scene:
    """A scene of 3 to 6 things; of any kind, where none is named."""
    rng = StableRandom("scene", seed, kind or "any")
    chosen = rng.pick(KINDS) if kind is None else kind
    num_things = rng.between(*NUM_THINGS[chosen])
    num_alike = 1
    if num_things > 3 and rng.chance(GROUP_CHANCE[chosen]):
        num_alike = 3 if num_things > 4 and rng.chance(0.5) else 2
    looks = _looks(rng, num_things - num_alike + 1)
    if chosen == "nested":
        things = _nested_pair(rng, looks)
        things += _apart(rng, looks[2:], num_alike, [c for c in CELLS if c != things[0].cell])
    else:
        things = _apart(rng, looks, num_alike, CELLS)
    return Scene(tuple(things), rng.pick(GROUNDS), rng.pick(STYLES))


def sample_scenes(part: Split, seed: int, kind: Kind | None = None) -> Iterator[Scene]:
    """Scenes of one part of the world, without end; a scene may come again."""
    rng = StableRandom("scenes", seed)
    for _ in count():
        scene = sample_scene(rng.below(2**48), kind)
        if split(scene) == part:
            yield scene


def _looks(rng: StableRandom, number: int) -> list[Look]:
    """Different pairs of shape and colour; the first has room for a thing inside it.

    The first two differ in colour as well, so that one is seen inside the other.
    """
    while True:
        first = rng.pick(CONTAINER_SHAPES)
        shapes = [first, *rng.some([shape for shape in SHAPES if shape != first], number - 1)]
        looks = list(
            zip(_repeated(rng, shapes), _repeated(rng, rng.some(COLORS, number)), strict=True)
        )
        if len(set(looks)) == number and (number < 2 or looks[0][1] != looks[1][1]):
            return looks


def _repeated(rng: StableRandom, values: Sequence[T]) -> list[T]:
    """The values, sometimes with a later one made equal to an earlier one."""
    result = list(values)
    if len(result) > 1 and rng.chance(REPEAT_CHANCE):
        later = rng.between(1, len(result) - 1)
        result[later] = result[rng.below(later)]
    return result


def _nested_pair(rng: StableRandom, looks: Sequence[Look]) -> list[Thing]:
    """A plain thing of the first look with one of the second look inside it."""
    cell = rng.pick(CELLS)
    return [
        _thing(cell, looks[0], "large", "plain"),  # stripes would hide what is inside
        _thing(cell, looks[1], "small", rng.pick(FILLS)),
    ]


def _apart(
    rng: StableRandom, looks: Sequence[Look], num_alike: int, cells: Sequence[Cell]
) -> list[Thing]:
    """A thing of each look in cells of their own; of the first look, `num_alike` of them."""
    free = rng.shuffled(cells)
    things = []
    for position, look in enumerate(looks):
        size, fill = rng.pick(SIZES), rng.pick(FILLS)
        number = num_alike if position == 0 else 1
        things += [_thing(free.pop(), look, size, fill) for _ in range(number)]
    return things


def _thing(cell: Cell, look: Look, size: Size, fill: Fill) -> Thing:
    return Thing(column=cell[0], row=cell[1], size=size, shape=look[0], color=look[1], fill=fill)
