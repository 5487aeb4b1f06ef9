"""The body of a caption: every entity's first mention, what it looks like and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dpgbench.shapes.captions import vocabulary
from dpgbench.shapes.captions.sentences import Draft
from dpgbench.shapes.captions.vocabulary import agreeing, description
from dpgbench.shapes.entities import Entity, entities
from dpgbench.shapes.facts import (
    REGIONS,
    Between,
    Count,
    Exists,
    Fact,
    Has,
    Located,
    Ref,
    Related,
    is_in,
)
from dpgbench.shapes.question_choice import directions, in_line
from dpgbench.shapes.scene import GRID, Attribute, is_inside
from dpgbench.shapes.words import listed

SAY_SIZE_CHANCE: Final = 0.8
SAY_PLAIN_CHANCE: Final = 0.25
RELATE_CHANCE: Final = 0.8
"""How often a thing is introduced by an asked relation to what is introduced already."""
RELATE_FREELY_CHANCE: Final = 0.15
"""How often by a relation that nothing asks for."""


@dataclass(frozen=True)
class Clause:
    """A clause, or only a thing with its place (`a red circle in the center`)."""

    text: str
    refs: tuple[Ref, ...]
    """What it introduces."""
    has_verb: bool = True


def introductions(draft: Draft) -> list[Clause]:
    """A clause or two for each entity; what is inside another is introduced with it."""
    held = _held(draft)
    inner = {entity.ref for entity in held.values()}
    clauses: list[Clause] = []
    for entity in _order(draft):
        if entity.ref in held:
            clauses += _introduce_pair(draft, entity, held[entity.ref])
        elif entity.ref not in inner:
            clauses.append(_introduce(draft, entity))
    return clauses


def _order(draft: Draft) -> list[Entity]:
    """The entities in reading order, backwards, the large ones first, or in any order."""
    reading = list(entities(draft.scene))
    by_size = sorted(reading, key=lambda entity: entity.things[0].size)
    return draft.rng.pick((reading, reading[::-1], by_size, draft.rng.shuffled(reading)))


def _held(draft: Draft) -> dict[Ref, Entity]:
    """What is inside each single thing, where it is a single thing as well."""
    singles = [entity for entity in entities(draft.scene) if len(entity.things) == 1]
    return {b.ref: a for a in singles for b in singles if is_inside(a.things[0], b.things[0])}


def _introduce(draft: Draft, entity: Entity) -> Clause:
    thing = _describe(draft, entity)
    if len(entity.things) > 1:
        clause = Clause(f"{thing} {_group_places(draft, entity)}", (entity.ref,))
    else:
        clause = _clause(draft, thing, _place(draft, entity), entity.ref)
    draft.introduced[entity.ref] = entity
    return clause


def _introduce_pair(draft: Draft, outer: Entity, inner: Entity) -> list[Clause]:
    """A thing and what is inside it."""
    form = draft.rng.below(3)
    place = _place(draft, outer)
    is_light = form == 0
    one, other = (_describe(draft, entity, is_light) for entity in (outer, inner))
    draft.introduced |= {outer.ref: outer, inner.ref: inner}
    draft.stated.add(Related(inner.ref, "inside", outer.ref))
    verb = draft.rng.pick(vocabulary.VERBS)
    if form == 0:
        thing = f"{one} with {other} inside it"
        return [_clause(draft, thing, place, outer.ref, inner.ref)]
    if form == 1:
        return [Clause(f"{other} {verb} inside {one} {place}", (outer.ref, inner.ref))]
    inverted = draft.rng.pick(vocabulary.INVERTED_VERBS)
    inside = Clause(f"inside {draft.the(outer.ref)} {inverted} {other}", (inner.ref,))
    return [_clause(draft, one, place, outer.ref), inside]


def _describe(draft: Draft, entity: Entity, light: bool = False) -> str:
    """The entity's first mention; what it says is stated."""
    attributes: set[Attribute] = {"shape", "color"}
    attributes |= {f.attribute for f in draft.asked if isinstance(f, Has) and f.ref == entity.ref}
    more = 0.5 if draft.is_terse else 1.0
    if draft.rng.chance(more * SAY_SIZE_CHANCE):
        attributes.add("size")
    if entity.things[0].fill == "striped" or draft.rng.chance(more * SAY_PLAIN_CHANCE):
        attributes.add("fill")
    values = {a: value for a in sorted(attributes) if (value := entity.shared(a)) is not None}
    draft.stated.add(Exists(entity.ref))
    draft.stated |= {Has(entity.ref, attribute, value) for attribute, value in values.items()}
    if entity.ref.plural:
        draft.stated.add(Count(entity.ref, len(entity.things)))
    return description(entity, draft.rng, values, light or draft.is_terse)


def _clause(draft: Draft, thing: str, place: str, *refs: Ref) -> Clause:
    """`a red circle sits in the center`, or with the place first, or without a verb."""
    if draft.is_terse:
        return Clause(f"{thing} {place}", refs, has_verb=False)
    form = draft.rng.below(6)
    if form < 3:
        return Clause(f"{thing} {draft.rng.pick(vocabulary.VERBS)} {place}", refs)
    if form < 5:
        return Clause(f"{place} {draft.rng.pick(vocabulary.INVERTED_VERBS)} {thing}", refs)
    return Clause(f"there is {thing} {place}", refs)


def _place(draft: Draft, entity: Entity) -> str:
    """Where a single thing is: beside something introduced, or in which part of the picture."""
    is_asked = any(isinstance(f, Located) and f.ref == entity.ref for f in draft.asked)
    if not is_asked:
        for facts, chance in (
            (draft.asked, RELATE_CHANCE),
            (directions(draft.scene), RELATE_FREELY_CHANCE),
        ):
            links = _links(draft, entity, facts)
            if links and draft.rng.chance(chance):
                fact, phrase = draft.rng.pick(links)
                draft.stated.add(fact)
                return phrase
    return _cell(draft, entity)


def _links(draft: Draft, entity: Entity, facts: Sequence[Fact]) -> list[tuple[Fact, str]]:
    """Those of the facts that place the entity among introduced things, with their phrases."""
    links = ((fact, _link(draft, entity, fact)) for fact in facts if in_line(draft.scene, fact))
    return [(fact, phrase) for fact, phrase in links if phrase is not None]


def _link(draft: Draft, entity: Entity, fact: Fact) -> str | None:
    """How a fact places the entity by introduced things, or None where it does not."""
    introduced = draft.introduced
    match fact:
        case Related(entity.ref, relation, other) if relation != "inside" and other in introduced:
            return draft.beside(entity.ref, relation, other)
        case Related(other, relation, entity.ref) if relation != "inside" and other in introduced:
            if other.plural:
                return None
            return draft.beside(entity.ref, vocabulary.OPPOSITE[relation], other)
        case Between(entity.ref, first, second) if first in introduced and second in introduced:
            return f"between {draft.the(first)} and {draft.the(second)}"
        case _:
            return None


def _cell(draft: Draft, entity: Entity) -> str:
    """The place of a single thing in the picture, and all that it states."""
    thing = entity.things[0]
    regions = [region for region in REGIONS if is_in(thing, region)]
    draft.stated |= {Located(entity.ref, region) for region in regions}
    if draft.is_terse:
        return vocabulary.SHORT_CELL_PHRASES[thing.cell]
    return draft.rng.pick(vocabulary.CELL_PHRASES[thing.cell])


def _group_places(draft: Draft, group: Entity) -> str:
    """The predicate of a group: where each of its things is, or the line that they form."""
    columns = {thing.column for thing in group.things}
    rows = {thing.row for thing in group.things}
    number = len(group.things)
    if number == GRID and len(rows) == 1:
        return f"form a row {vocabulary.ROW_PHRASES[group.things[0].row]}"
    if number == GRID and len(columns) == 1:
        return f"form a column {vocabulary.COLUMN_PHRASES[group.things[0].column]}"
    phrases = [vocabulary.CELL_PHRASES[thing.cell][0] for thing in group.things]
    if number == 2:
        verb = agreeing(draft.rng.pick(("appears", "is placed apart", "can be seen")), number)
        return f"{verb}, one {phrases[0]} and the other {phrases[1]}"
    verb = draft.rng.pick(("are spread out", "appear", "can be found"))
    return f"{verb}, {listed([f'one {place}' for place in phrases])}"
