"""Statements to ask a picture about: true ones of every kind, and near misses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Final, TypeVar, get_args

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
    Value,
    holds,
)
from dpgbench.shapes.question_choice import directions, located
from dpgbench.shapes.scene import (
    COLORS,
    DIRECTIONS,
    GROUNDS,
    SHAPES,
    STYLES,
    Scene,
)
from dpgbench.shapes.scene_edits import VALUES
from dpgbench.shapes.stable_random import StableRandom

WEIGHTS: Final[dict[str, float]] = {
    "exists": 2.0,
    "shape": 1.5,
    "color": 1.5,
    "size": 1.2,
    "fill": 1.2,
    "ground": 0.6,
    "style": 1.0,
    "located": 1.2,
    "direction": 3.0,
    "inside": 1.0,
    "between": 1.0,
    "larger than": 1.0,
    "same color as": 1.0,
    "count": 1.0,
    "total": 1.0,
}
"""How often each kind of statement is asked about, against the others."""
MOST_OF_A_KIND: Final = 3
"""At most so many statements of one kind and one answer about a picture."""
LEAD: Final = 8
"""At most so many more of one answer than of the other, over all pictures."""
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)

Bucket = tuple[str, bool]
T = TypeVar("T")


@dataclass
class Balance:
    """Counts of what was asked, so that "yes" and "no" stay even within every kind."""

    counts: defaultdict[Bucket, int] = field(default_factory=lambda: defaultdict(int))

    def choose(
        self, scene: Scene, facts: Sequence[Fact], number: int, rng: StableRandom
    ) -> list[Fact]:
        """Up to `number` of the facts, those first whose kind and answer were asked least."""
        buckets: defaultdict[Bucket, list[Fact]] = defaultdict(list)
        for fact in dict.fromkeys(rng.shuffled(facts)):
            buckets[kind_of(fact), holds(fact, scene)].append(fact)
        buckets = defaultdict(list, {b: f[:MOST_OF_A_KIND] for b, f in buckets.items()})
        chosen: list[Fact] = []
        while len(chosen) < number:
            open_buckets = [
                bucket for bucket, left in buckets.items() if left and self._may(bucket)
            ]
            if not open_buckets:
                break
            bucket = min(open_buckets, key=lambda bucket: self._share(bucket, rng))
            chosen.append(buckets[bucket].pop())
            self.counts[bucket] += 1
        return chosen

    def _may(self, bucket: Bucket) -> bool:
        kind, is_true = bucket
        return self.counts[bucket] < self.counts[kind, not is_true] + LEAD

    def _share(self, bucket: Bucket, rng: StableRandom) -> float:
        return (self.counts[bucket] + rng.below(LEAD)) / WEIGHTS[bucket[0]]


def kind_of(fact: Fact) -> str:
    """The kind of a statement, one of those in `WEIGHTS`."""
    match fact:
        case Exists():
            return "exists"
        case Has(_, attribute):
            return attribute
        case Located():
            return "located"
        case Related(_, relation):
            return "inside" if relation == "inside" else "direction"
        case Between():
            return "between"
        case Compared(_, comparison):
            return comparison
        case Count(ref):
            return "count" if ref.shape or ref.color else "total"
        case OnGround():
            return "ground"
        case InStyle():
            return "style"


def facts_about(scene: Scene, rng: StableRandom) -> list[Fact]:
    """Statements of all kinds that speak of the scene's things: true ones and near misses."""
    true = list(_true_facts(scene))
    return [*true, *(miss for fact in true for miss in _near_misses(fact, scene, rng))]


def _true_facts(scene: Scene) -> Iterator[Fact]:
    named = entities(scene)
    for entity in named:
        yield Exists(entity.ref)
        if len(entity.things) > 1:
            yield Count(entity.ref, len(entity.things))
        for attribute in entity.open_attributes:
            value = entity.shared(attribute)
            if value is not None:
                yield Has(entity.ref, attribute, value)
    yield from directions(scene)
    yield from located(scene)
    yield from _pairs([entity for entity in named if len(entity.things) == 1], scene)
    yield Count(Ref(plural=True), len(scene.things))
    yield OnGround(scene.ground)
    yield InStyle(scene.style)


def _pairs(singles: Sequence[Entity], scene: Scene) -> Iterator[Fact]:
    facts: list[Fact] = []
    for a, b in permutations(singles, 2):
        facts.append(Related(a.ref, "inside", b.ref))
        facts += [Compared(a.ref, comparison, b.ref) for comparison in COMPARISONS]
    for a, b, c in permutations(singles, 3):
        if a.things[0].cell != b.things[0].cell:
            facts.append(Between(a.ref, b.ref, c.ref))
    yield from (fact for fact in facts if holds(fact, scene))


def _near_misses(fact: Fact, scene: Scene, rng: StableRandom) -> list[Fact]:
    """Statements that differ from a true one in one word, or say it the other way round."""
    refs = [entity.ref for entity in entities(scene)]
    single = [ref for ref in refs if not ref.plural] or refs[:1]
    match fact:
        case Exists(ref):
            return [Exists(_other_ref(ref, scene, rng)), Exists(_mixed_ref(ref, scene, rng))]
        case Has(ref, attribute, value):
            near: list[Value] = [getattr(thing, attribute) for thing in scene.things]
            return [
                replace(fact, value=_other(value, near, rng)),
                replace(fact, value=_other(value, VALUES[attribute], rng)),
            ]
        case Located(ref, region):
            return [
                Located(ref, _other(region, REGIONS, rng)),
                Located(rng.pick(single), region),
            ]
        case Related(subject, "inside", other):
            return [
                Related(other, "inside", subject),
                Related(rng.pick(single), "inside", other),
                Related(subject, "inside", rng.pick(single)),
                *_loose_inside(single, rng),
            ]
        case Related(subject, relation, other):
            return [Related(subject, _other(relation, DIRECTIONS, rng), other)]
        case Between(subject, first, second):
            return [
                Between(first, subject, second),
                Between(rng.pick(single), first, second),
                Between(subject, rng.pick(single), second),
                Between(subject, first, rng.pick(single)),
            ]
        case Compared(subject, comparison, other):
            return [
                Compared(other, comparison, subject),
                Compared(subject, comparison, rng.pick(single)),
                Compared(rng.pick(single), comparison, other),
            ]
        case Count(ref, number):
            return [Count(ref, max(1, number + rng.pick((-1, 1)))), *_counts(scene, rng)]
        case OnGround(ground):
            return [OnGround(_other(ground, GROUNDS, rng))]
        case InStyle(style):
            return [InStyle(other) for other in STYLES if other != style]


def _counts(scene: Scene, rng: StableRandom) -> list[Fact]:
    """Numbers of what there may be one of, or some more of."""
    thing = rng.pick(scene.things)
    ref = rng.pick((Ref(shape=thing.shape), Ref(color=thing.color)))
    return [Count(replace(ref, plural=True), rng.between(2, 3))]


def _loose_inside(single: Sequence[Ref], rng: StableRandom) -> list[Fact]:
    if len(single) < 2:
        return []
    first, second = rng.some(single, 2)
    return [Related(first, "inside", second)]


def _other_ref(ref: Ref, scene: Scene, rng: StableRandom) -> Ref:
    """The description with another colour or shape."""
    if ref.shape and (ref.color is None or rng.chance(0.5)):
        return replace(ref, shape=_other(ref.shape, SHAPES, rng))
    return replace(ref, color=_other(ref.color, COLORS, rng))


def _mixed_ref(ref: Ref, scene: Scene, rng: StableRandom) -> Ref:
    """A colour and a shape that the picture has, though maybe not together."""
    return Ref(rng.pick(scene.things).shape, rng.pick(scene.things).color, ref.plural)


def _other(value: T, values: Sequence[T], rng: StableRandom) -> T:
    """One of the values that is not this one; this one, where there is none."""
    left = [other for other in values if other != value]
    return rng.pick(left) if left else value
