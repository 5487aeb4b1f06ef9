"""Scenes that differ from a scene in one respect only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Final

from dpgbench.shapes.entities import entities
from dpgbench.shapes.facts import Value
from dpgbench.shapes.scene import (
    ATTRIBUTES,
    COLORS,
    FILLS,
    GROUNDS,
    SHAPES,
    SIZES,
    STYLES,
    Attribute,
    Cell,
    Color,
    Scene,
    Shape,
    Thing,
)

VALUES: Final[dict[Attribute, tuple[Value, ...]]] = {
    "shape": SHAPES,
    "color": COLORS,
    "size": SIZES,
    "fill": FILLS,
}


@dataclass(frozen=True)
class Edit:
    """One attribute of some things (one, or all of one look) set to one other value."""

    things: tuple[Thing, ...]
    attribute: Attribute
    value: Value

    def is_new_to(self, scene: Scene) -> bool:
        """Whether nothing in the scene has the value; sizes and fills have but two values."""
        if self.attribute in ("size", "fill"):
            return True
        return all(getattr(thing, self.attribute) != self.value for thing in scene.things)

    def apply(self, scene: Scene) -> Scene | None:
        """The changed scene, or None where the world does not allow it."""
        changed = [with_value(thing, self.attribute, self.value) for thing in self.things]
        return _with(scene, self.things, changed)


def with_value(thing: Thing, attribute: Attribute, value: Value) -> Thing:
    """The thing with one attribute changed."""
    values = {name: getattr(thing, name) for name in ATTRIBUTES} | {attribute: value}
    return Thing(thing.column, thing.row, **values)


def edits(scene: Scene) -> Iterator[tuple[Edit, Scene]]:
    """Every change of one attribute of one thing that the world allows, with what it gives."""
    return _applied(((thing,) for thing in scene.things), scene)


def group_edits(scene: Scene) -> Iterator[tuple[Edit, Scene]]:
    """Every change of one attribute of all things of a group, with what it gives."""
    groups = (entity.things for entity in entities(scene) if len(entity.things) > 1)
    return _applied(groups, scene)


def moves(scene: Scene) -> Iterator[Scene]:
    """Every scene with one thing, or what is in one cell, moved to a free cell or swapped."""
    units: list[tuple[Thing, ...]] = [(thing,) for thing in scene.things]
    units += [
        tuple(thing for thing in scene.things if thing.cell == cell)
        for cell in sorted(scene.nested_cells)
    ]
    for unit, cell in product(units, scene.free_cells):
        if changed := _with(scene, unit, _at(unit, cell)):
            yield changed
    for one, other in combinations(units, 2):
        if one[0].cell != other[0].cell:
            swapped = _at(one, other[0].cell) + _at(other, one[0].cell)
            if changed := _with(scene, one + other, swapped):
                yield changed


def additions(scene: Scene) -> Iterator[Scene]:
    """Every scene with one more plain thing, of a shape and a colour that are new to it."""
    shapes: list[Shape] = [s for s in SHAPES if all(s != thing.shape for thing in scene.things)]
    colors: list[Color] = [c for c in COLORS if all(c != thing.color for thing in scene.things)]
    for cell, shape, color, size in product(scene.free_cells, shapes, colors, SIZES):
        more = Thing(*cell, size, shape, color, "plain")
        yield replace(scene, things=(*scene.things, more))


def removals(scene: Scene) -> Iterator[Scene]:
    """Every scene with one thing less; none of an only thing."""
    for thing in scene.things:
        if changed := _with(scene, [thing], []):
            yield changed


def regroundings(scene: Scene) -> Iterator[Scene]:
    """The scene on every other ground."""
    return (replace(scene, ground=ground) for ground in GROUNDS if ground != scene.ground)


def restylings(scene: Scene) -> Iterator[Scene]:
    """The scene in every other style."""
    return (replace(scene, style=style) for style in STYLES if style != scene.style)


def _applied(targets: Iterable[tuple[Thing, ...]], scene: Scene) -> Iterator[tuple[Edit, Scene]]:
    for things, attribute in product(targets, ATTRIBUTES):
        for value in VALUES[attribute]:
            edit = Edit(things, attribute, value)
            changed = edit.apply(scene)
            if changed is not None and changed != scene:
                yield edit, changed


def _at(things: Sequence[Thing], cell: Cell) -> tuple[Thing, ...]:
    return tuple(replace(thing, column=cell[0], row=cell[1]) for thing in things)


def _with(scene: Scene, old: Sequence[Thing], new: Sequence[Thing]) -> Scene | None:
    """The scene with things replaced, or None where they cannot stand so."""
    kept = [thing for thing in scene.things if thing not in old]
    try:
        return replace(scene, things=(*kept, *new))
    except ValueError:
        return None
