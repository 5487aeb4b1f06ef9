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
from dpgbench.shapes.stable_random import Dice

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
    dice = Dice("scene", seed, kind or "any")
    chosen = dice.pick(KINDS) if kind is None else kind
    num_things = dice.between(*NUM_THINGS[chosen])
    num_alike = 1
    if num_things > 3 and dice.chance(GROUP_CHANCE[chosen]):
        num_alike = 3 if num_things > 4 and dice.chance(0.5) else 2
    looks = _looks(dice, num_things - num_alike + 1)
    if chosen == "nested":
        things = _nested_pair(dice, looks)
        things += _apart(dice, looks[2:], num_alike, [c for c in CELLS if c != things[0].cell])
    else:
        things = _apart(dice, looks, num_alike, CELLS)
    return Scene(tuple(things), dice.pick(GROUNDS), dice.pick(STYLES))


def sample_scenes(part: Split, seed: int, kind: Kind | None = None) -> Iterator[Scene]:
    """Scenes of one part of the world, without end; a scene may come again."""
    dice = Dice("scenes", seed)
    for _ in count():
        scene = sample_scene(dice.below(2**48), kind)
        if split(scene) == part:
            yield scene


def _looks(dice: Dice, number: int) -> list[Look]:
    """Different pairs of shape and colour; the first has room for a thing inside it.

    The first two differ in colour as well, so that one is seen inside the other.
    """
    while True:
        first = dice.pick(CONTAINER_SHAPES)
        shapes = [first, *dice.some([shape for shape in SHAPES if shape != first], number - 1)]
        looks = list(
            zip(_repeated(dice, shapes), _repeated(dice, dice.some(COLORS, number)), strict=True)
        )
        if len(set(looks)) == number and (number < 2 or looks[0][1] != looks[1][1]):
            return looks


def _repeated(dice: Dice, values: Sequence[T]) -> list[T]:
    """The values, sometimes with a later one made equal to an earlier one."""
    result = list(values)
    if len(result) > 1 and dice.chance(REPEAT_CHANCE):
        later = dice.between(1, len(result) - 1)
        result[later] = result[dice.below(later)]
    return result


def _nested_pair(dice: Dice, looks: Sequence[Look]) -> list[Thing]:
    """A plain thing of the first look with one of the second look inside it."""
    cell = dice.pick(CELLS)
    return [
        _thing(cell, looks[0], "large", "plain"),  # stripes would hide what is inside
        _thing(cell, looks[1], "small", dice.pick(FILLS)),
    ]


def _apart(dice: Dice, looks: Sequence[Look], num_alike: int, cells: Sequence[Cell]) -> list[Thing]:
    """A thing of each look in cells of their own; of the first look, `num_alike` of them."""
    free = dice.shuffled(cells)
    things = []
    for position, look in enumerate(looks):
        size, fill = dice.pick(SIZES), dice.pick(FILLS)
        number = num_alike if position == 0 else 1
        things += [_thing(free.pop(), look, size, fill) for _ in range(number)]
    return things


def _thing(cell: Cell, look: Look, size: Size, fill: Fill) -> Thing:
    return Thing(column=cell[0], row=cell[1], size=size, shape=look[0], color=look[1], fill=fill)
