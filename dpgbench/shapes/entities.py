"""What a text speaks of: single things and groups of look-alikes, each with a name of its own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

from dpgbench.shapes.facts import Ref, Value
from dpgbench.shapes.scene import ATTRIBUTES, Attribute, Color, Scene, Shape, Thing
from dpgbench.shapes.stable_random import StableRandom

SHAPE_NAME_CHANCE = 0.65
"""How often a thing that both its shape and its colour single out is named by its shape."""


@dataclass(frozen=True)
class Entity:
    """The things of one shape and colour, and the shortest name that fits them and nothing else."""

    ref: Ref
    things: tuple[Thing, ...]

    @property
    def shape(self) -> Shape:
        """The shape of each of the things."""
        return self.things[0].shape

    @property
    def color(self) -> Color:
        """The colour of each of the things."""
        return self.things[0].color

    @property
    def named_by(self) -> frozenset[Attribute]:
        """The attributes that the name gives away."""
        values: dict[Attribute, object] = {"shape": self.ref.shape, "color": self.ref.color}
        return frozenset(attribute for attribute, value in values.items() if value is not None)

    def shared(self, attribute: Attribute) -> Value | None:
        """The value that all its things have, or None where they differ."""
        values = {getattr(thing, attribute) for thing in self.things}
        return values.pop() if len(values) == 1 else None

    @property
    def open_attributes(self) -> tuple[Attribute, ...]:
        """The attributes that all its things share and that its name does not give away."""
        return tuple(
            attribute
            for attribute in ATTRIBUTES
            if attribute not in self.named_by and self.shared(attribute) is not None
        )


@lru_cache(maxsize=256)
def entities(scene: Scene) -> tuple[Entity, ...]:
    """The entities of a scene in reading order of their first things."""
    alike: defaultdict[tuple[Shape, Color], list[Thing]] = defaultdict(list)
    for thing in sorted(scene.things, key=lambda thing: (thing.row, thing.column, thing.size)):
        alike[(thing.shape, thing.color)].append(thing)
    rng = StableRandom("names", scene.digest)
    return tuple(Entity(_name(scene, things, rng), tuple(things)) for things in alike.values())


def _name(scene: Scene, things: list[Thing], rng: StableRandom) -> Ref:
    shape, color, plural = things[0].shape, things[0].color, len(things) > 1
    names = [Ref(shape=shape, plural=plural), Ref(color=color, plural=plural)]
    if not rng.chance(SHAPE_NAME_CHANCE):
        names.reverse()
    for name in names:
        if sum(map(name.picks, scene.things)) == len(things):
            return name
    return Ref(shape, color, plural)
