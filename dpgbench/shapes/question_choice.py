"""Which facts of a scene its questions ask about.

No two of the chosen facts rest on the same attribute of the same thing: changing one attribute to
a value that is new to the scene turns one question (and what depends on it), never two.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import Final

from dpgbench.shapes.entities import Entity, entities
from dpgbench.shapes.facts import (
    REGIONS,
    Between,
    Compared,
    Comparison,
    Count,
    Exists,
    Fact,
    Has,
    InStyle,
    Located,
    OnGround,
    Ref,
    Related,
    holds,
    refs_of,
)
from dpgbench.shapes.scene import DIRECTIONS, Attribute, Scene
from dpgbench.shapes.scene_edits import moves
from dpgbench.shapes.stable_random import StableRandom

MOST_QUESTIONS: Final = 14
LOW_TARGET: Final = 7
"""A scene aims at this many to `MOST_QUESTIONS` questions."""
MIN_ATTRIBUTES: Final = 3
"""Room kept for questions on attributes."""
MOST_DIRECTIONS: Final = 2
COMPARED_BY: Final[dict[Comparison, Attribute]] = {"larger than": "size", "same color as": "color"}
STYLE_CHANCE: Final = 0.8
GROUND_CHANCE: Final = 0.8
TOTAL_CHANCE: Final = 0.5
GROUP_COUNT_CHANCE: Final = 0.9
COMPARISON_CHANCE: Final = 0.4
BETWEEN_CHANCE: Final = 0.7
LOCATED_CHANCE: Final = 0.5


@lru_cache(maxsize=256)
def facts_to_ask(scene: Scene) -> tuple[Fact, ...]:
    """The facts, parents before children, in the order of their questions."""
    rng = StableRandom("questions", scene.digest)
    present: list[Fact] = [Exists(entity.ref) for entity in entities(scene)]
    picture = _about_the_picture(scene, rng)
    compared = _comparison(scene, rng)
    about = _group_counts(scene, rng)
    taken = len(present) + len(picture) + len(compared) + len(about)
    spatial = _spatial(scene, rng, room=max(0, MOST_QUESTIONS - MIN_ATTRIBUTES - taken))
    taken += len(spatial)
    wanted = max(MIN_ATTRIBUTES, rng.between(LOW_TARGET, MOST_QUESTIONS) - taken)
    room = max(0, MOST_QUESTIONS - taken)
    about += rng.some(_open_attributes(scene, compared), min(wanted, room))
    ordered = _by_entity(present, about) + spatial + compared
    return tuple([*picture, *ordered] if rng.chance(0.5) else [*ordered, *picture])


@lru_cache(maxsize=256)
def directions(scene: Scene) -> tuple[Fact, ...]:
    """What stands left of, right of, above or below what; in one row or column where it can be."""
    related: list[Fact] = []
    for a, b in permutations(entities(scene), 2):
        if len(b.things) > 1:
            continue
        true = [Related(a.ref, way, b.ref) for way in DIRECTIONS]
        true = [fact for fact in true if holds(fact, scene)]
        related += [fact for fact in true if in_line(scene, fact)] or true
    return tuple(related)


def in_line(scene: Scene, fact: Fact) -> bool:
    """Whether a direction is along one row or column; groups need not stand so."""
    if not isinstance(fact, Related) or fact.subject.plural:
        return True
    a, b = (next(filter(ref.picks, scene.things)) for ref in refs_of(fact))
    if fact.relation in ("left of", "right of"):
        return a.row == b.row
    return a.column == b.column


@lru_cache(maxsize=256)
def located(scene: Scene) -> tuple[Fact, ...]:
    """The narrowest part of the picture that each single thing is in, where it is in any."""
    facts: list[Fact] = []
    for entity in _singles(scene):
        candidates = [
            Located(entity.ref, region) for region in REGIONS
        ]  # corners come before sides
        facts += [fact for fact in candidates if holds(fact, scene)][:1]
    return tuple(facts)


def _about_the_picture(scene: Scene, rng: StableRandom) -> list[Fact]:
    facts: list[tuple[float, Fact]] = [
        (STYLE_CHANCE, InStyle(scene.style)),
        (GROUND_CHANCE, OnGround(scene.ground)),
        (TOTAL_CHANCE, Count(Ref(plural=True), len(scene.things))),
    ]
    return [fact for chance, fact in facts if rng.chance(chance)]


def _group_counts(scene: Scene, rng: StableRandom) -> list[Fact]:
    groups = [entity for entity in entities(scene) if len(entity.things) > 1]
    return [
        Count(group.ref, len(group.things)) for group in groups if rng.chance(GROUP_COUNT_CHANCE)
    ]


def _comparison(scene: Scene, rng: StableRandom) -> list[Compared]:
    """At most one comparison of two single things."""
    if not rng.chance(COMPARISON_CHANCE):
        return []
    comparisons: list[Compared] = []
    for a, b in permutations(_singles(scene), 2):
        both_open = set(_open(scene, a)) & set(_open(scene, b))
        if "size" in both_open and a.things[0].size == "large" and b.things[0].size == "small":
            comparisons.append(Compared(a.ref, "larger than", b.ref))
        if "color" in both_open and a.color == b.color:
            comparisons.append(Compared(a.ref, "same color as", b.ref))
    return rng.some(comparisons, 1)


def _spatial(scene: Scene, rng: StableRandom, room: int) -> list[Fact]:
    """What is inside what, and a few other placings; no pair of things twice."""
    directed = rng.shuffled(directions(scene))
    wishes: list[tuple[int, list[Fact]]] = [
        (len(scene.nested_cells), _inside(scene)),
        (int(rng.chance(BETWEEN_CHANCE)), rng.shuffled(_betweens(scene))),
        (int(rng.chance(LOCATED_CHANCE)), rng.shuffled(located(scene))),
        (rng.between(1, MOST_DIRECTIONS), directed),
    ]
    chosen = _Placings(scene)
    for number, facts in wishes:
        chosen.add_some(facts, number)
    return chosen.facts[:room]


class _Placings:
    """Facts about places, each of which some move of a thing falsifies without the others."""

    def __init__(self, scene: Scene) -> None:
        self.facts: list[Fact] = []
        self._moved = list(moves(scene))
        self._fails: list[set[int]] = []  # per fact: the moves that make it false

    def add_some(self, facts: list[Fact], number: int) -> None:
        """Add the first `number` of the facts that can stand beside those chosen already."""
        for fact in facts:
            if number == 0:
                return
            number -= self._add(fact)

    def _add(self, fact: Fact) -> bool:
        pair = set(refs_of(fact))
        if any(pair <= set(refs_of(chosen)) for chosen in self.facts if len(pair) > 1):
            return False
        fails = [*self._fails, {n for n, moved in enumerate(self._moved) if not holds(fact, moved)}]
        others = (set().union(*fails[:n], *fails[n + 1 :]) for n in range(len(fails)))
        if not all(own - other for own, other in zip(fails, others, strict=True)):
            return False
        self.facts.append(fact)
        self._fails = fails
        return True


def _inside(scene: Scene) -> list[Fact]:
    pairs = permutations(_singles(scene), 2)
    facts: list[Fact] = [Related(a.ref, "inside", b.ref) for a, b in pairs]
    return [fact for fact in facts if holds(fact, scene)]


def _betweens(scene: Scene) -> list[Fact]:
    triples = permutations(_singles(scene), 3)
    facts: list[Fact] = [Between(a.ref, b.ref, c.ref) for a, b, c in triples]
    return [fact for fact in facts if holds(fact, scene)]


def _open_attributes(scene: Scene, compared: list[Compared]) -> list[Fact]:
    """A fact for every attribute that nothing else rests on."""
    closed: set[tuple[Ref, Attribute]] = set()
    for fact in compared:
        closed |= {(ref, COMPARED_BY[fact.comparison]) for ref in refs_of(fact)}
    return [
        Has(entity.ref, attribute, value)
        for entity in entities(scene)
        for attribute in _open(scene, entity)
        if (entity.ref, attribute) not in closed and (value := entity.shared(attribute)) is not None
    ]


def _open(scene: Scene, entity: Entity) -> tuple[Attribute, ...]:
    """The attributes that can be asked of an entity; nesting fixes the size of what takes part."""
    nested = any(thing.cell in scene.nested_cells for thing in entity.things)
    return tuple(a for a in entity.open_attributes if not (nested and a == "size"))


def _singles(scene: Scene) -> list[Entity]:
    return [entity for entity in entities(scene) if len(entity.things) == 1]


def _by_entity(present: list[Fact], about: list[Fact]) -> list[Fact]:
    """Each entity followed by what is asked about it alone."""
    ordered: list[Fact] = []
    for fact in present:
        ordered += [fact, *(a for a in about if refs_of(a) == refs_of(fact))]
    return ordered
