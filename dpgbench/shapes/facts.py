"""Statements about a scene, and whether they hold; the meaning of every question is here.

A singular reference ("the red circle") holds of *some* thing that it picks, a plural one ("the red
circles") of *all* that it picks, and neither of nothing. So every fact has a definite truth in
every scene, also in scenes that it was not made for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dpgbench.shapes.scene import (
    GRID,
    Attribute,
    Color,
    Direction,
    Fill,
    Ground,
    Scene,
    Shape,
    Size,
    Style,
    Thing,
    is_between,
    is_inside,
    stands,
)

Region = Literal[
    "top left corner",
    "top right corner",
    "bottom left corner",
    "bottom right corner",
    "center",
    "top",
    "bottom",
    "left side",
    "right side",
]
REGIONS: Final[tuple[Region, ...]] = get_args(Region)
Comparison = Literal["larger than", "same color as"]
Value = Shape | Color | Size | Fill


@dataclass(frozen=True)
class Ref:
    """A description that picks things by shape, colour or both."""

    shape: Shape | None = None
    color: Color | None = None
    plural: bool = False

    def picks(self, thing: Thing) -> bool:
        """Whether the description fits a thing."""
        return self.shape in (None, thing.shape) and self.color in (None, thing.color)


@dataclass(frozen=True)
class Exists:
    """There is such a thing."""

    ref: Ref


@dataclass(frozen=True)
class Has:
    """It has this shape, colour, size or fill."""

    ref: Ref
    attribute: Attribute
    value: Value


@dataclass(frozen=True)
class Located:
    """It is in this part of the picture."""

    ref: Ref
    region: Region


@dataclass(frozen=True)
class Related:
    """It stands so to some thing that `object` picks."""

    subject: Ref
    relation: Direction | Literal["inside"]
    object: Ref


@dataclass(frozen=True)
class Between:
    """It is midway between two others."""

    subject: Ref
    first: Ref
    second: Ref


@dataclass(frozen=True)
class Compared:
    """It compares so with some other thing that `object` picks."""

    subject: Ref
    comparison: Comparison
    object: Ref


@dataclass(frozen=True)
class Count:
    """There are exactly so many such things, of any look where the description is empty."""

    ref: Ref
    number: int


@dataclass(frozen=True)
class OnGround:
    """The background has this colour."""

    ground: Ground


@dataclass(frozen=True)
class InStyle:
    """The picture is drawn in this style."""

    style: Style


Fact = Exists | Has | Located | Related | Between | Compared | Count | OnGround | InStyle


def holds(fact: Fact, scene: Scene) -> bool:
    """Whether a fact is true of a scene."""
    match fact:
        case Exists(ref):
            return _of(ref, scene, lambda thing: True)
        case Has(ref, attribute, value):
            return _of(ref, scene, lambda thing: getattr(thing, attribute) == value)
        case Located(ref, region):
            return _of(ref, scene, lambda thing: is_in(thing, region))
        case Related(subject, relation, other):
            return _of(subject, scene, lambda a: _some(other, scene, lambda b: _r(a, relation, b)))
        case Between(subject, first, second):
            return _of(subject, scene, lambda thing: _between(thing, first, second, scene))
        case Compared(subject, comparison, other):
            return _of(
                subject, scene, lambda a: _some(other, scene, lambda b: _compares(a, comparison, b))
            )
        case Count(ref, number):
            return sum(map(ref.picks, scene.things)) == number
        case OnGround(ground):
            return scene.ground == ground
        case InStyle(style):
            return scene.style == style


def is_in(thing: Thing, region: Region) -> bool:
    """Whether a thing is in a part of the picture; a corner is part of two sides."""
    last, middle = GRID - 1, GRID // 2
    match region:
        case "top left corner":
            return thing.cell == (0, 0)
        case "top right corner":
            return thing.cell == (last, 0)
        case "bottom left corner":
            return thing.cell == (0, last)
        case "bottom right corner":
            return thing.cell == (last, last)
        case "center":
            return thing.cell == (middle, middle)
        case "top":
            return thing.row == 0
        case "bottom":
            return thing.row == last
        case "left side":
            return thing.column == 0
        case "right side":
            return thing.column == last


def refs_of(fact: Fact) -> tuple[Ref, ...]:
    """The descriptions that a fact speaks of, its subject first; none for the whole picture."""
    match fact:
        case Exists(ref) | Has(ref) | Located(ref):
            return (ref,)
        case Count(ref):
            return (ref,) if ref.shape or ref.color else ()
        case Related(subject, _, other) | Compared(subject, _, other):
            return (subject, other)
        case Between(subject, first, second):
            return (subject, first, second)
        case OnGround() | InStyle():
            return ()


def _of(ref: Ref, scene: Scene, test: Callable[[Thing], bool]) -> bool:
    """Whether the test passes for what a reference picks: some of it, or all where plural."""
    picked = [thing for thing in scene.things if ref.picks(thing)]
    return bool(picked) and (all if ref.plural else any)(test(thing) for thing in picked)


def _some(ref: Ref, scene: Scene, test: Callable[[Thing], bool]) -> bool:
    return any(test(thing) for thing in scene.things if ref.picks(thing))


def _r(a: Thing, relation: Direction | Literal["inside"], b: Thing) -> bool:
    return is_inside(a, b) if relation == "inside" else stands(a, relation, b)


def _between(thing: Thing, first: Ref, second: Ref, scene: Scene) -> bool:
    return _some(first, scene, lambda b: _some(second, scene, lambda c: is_between(thing, b, c)))


def _compares(a: Thing, comparison: Comparison, b: Thing) -> bool:
    if comparison == "larger than":
        return (a.size, b.size) == ("large", "small")
    return a != b and a.color == b.color
