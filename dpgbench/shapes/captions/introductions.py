"""The body of a caption: every entity's first mention, what it looks like and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dpgbench.shapes.captions import vocabulary
from dpgbench.shapes.captions.sentences import Story
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
"""How often a thing is introduced by an asked relation to what is known already."""
RELATE_FREELY_CHANCE: Final = 0.15
"""How often by a relation that nothing asks for."""


@dataclass(frozen=True)
class Clause:
    """A clause, or only a thing with its place (`a red circle in the center`)."""

    text: str
    refs: tuple[Ref, ...]
    """What it introduces."""
    has_verb: bool = True


def introductions(story: Story) -> list[Clause]:
    """A clause or two for each entity; what is inside another is told with it."""
    held = _held(story)
    inner = {entity.ref for entity in held.values()}
    clauses: list[Clause] = []
    for entity in _order(story):
        if entity.ref in held:
            clauses += _introduce_pair(story, entity, held[entity.ref])
        elif entity.ref not in inner:
            clauses.append(_introduce(story, entity))
    return clauses


def _order(story: Story) -> list[Entity]:
    """The entities in reading order, backwards, the large ones first, or in any order."""
    reading = list(entities(story.scene))
    by_size = sorted(reading, key=lambda entity: entity.things[0].size)
    return story.rng.pick((reading, reading[::-1], by_size, story.rng.shuffled(reading)))


def _held(story: Story) -> dict[Ref, Entity]:
    """What is inside each single thing, where it is a single thing as well."""
    singles = [entity for entity in entities(story.scene) if len(entity.things) == 1]
    return {b.ref: a for a in singles for b in singles if is_inside(a.things[0], b.things[0])}


def _introduce(story: Story, entity: Entity) -> Clause:
    thing = _describe(story, entity)
    if len(entity.things) > 1:
        clause = Clause(f"{thing} {_group_places(story, entity)}", (entity.ref,))
    else:
        clause = _clause(story, thing, _place(story, entity), entity.ref)
    story.known[entity.ref] = entity
    return clause


def _introduce_pair(story: Story, outer: Entity, inner: Entity) -> list[Clause]:
    """A thing and what is inside it."""
    form = story.rng.below(3)
    place = _place(story, outer)
    is_light = form == 0
    one, other = (_describe(story, entity, is_light) for entity in (outer, inner))
    story.known |= {outer.ref: outer, inner.ref: inner}
    story.told.add(Related(inner.ref, "inside", outer.ref))
    verb = story.rng.pick(vocabulary.VERBS)
    if form == 0:
        thing = f"{one} with {other} inside it"
        return [_clause(story, thing, place, outer.ref, inner.ref)]
    if form == 1:
        return [Clause(f"{other} {verb} inside {one} {place}", (outer.ref, inner.ref))]
    inverted = story.rng.pick(vocabulary.INVERTED_VERBS)
    inside = Clause(f"inside {story.the(outer.ref)} {inverted} {other}", (inner.ref,))
    return [_clause(story, one, place, outer.ref), inside]


def _describe(story: Story, entity: Entity, light: bool = False) -> str:
    """The entity's first mention; what it says is told."""
    said: set[Attribute] = {"shape", "color"}
    said |= {f.attribute for f in story.asked if isinstance(f, Has) and f.ref == entity.ref}
    more = 0.5 if story.is_terse else 1.0
    if story.rng.chance(more * SAY_SIZE_CHANCE):
        said.add("size")
    if entity.things[0].fill == "striped" or story.rng.chance(more * SAY_PLAIN_CHANCE):
        said.add("fill")
    told = {a: value for a in sorted(said) if (value := entity.shared(a)) is not None}
    story.told.add(Exists(entity.ref))
    story.told |= {Has(entity.ref, attribute, value) for attribute, value in told.items()}
    if entity.ref.plural:
        story.told.add(Count(entity.ref, len(entity.things)))
    return description(entity, story.rng, told, light or story.is_terse)


def _clause(story: Story, thing: str, place: str, *refs: Ref) -> Clause:
    """`a red circle sits in the center`, or with the place first, or without a verb."""
    if story.is_terse:
        return Clause(f"{thing} {place}", refs, has_verb=False)
    form = story.rng.below(6)
    if form < 3:
        return Clause(f"{thing} {story.rng.pick(vocabulary.VERBS)} {place}", refs)
    if form < 5:
        return Clause(f"{place} {story.rng.pick(vocabulary.INVERTED_VERBS)} {thing}", refs)
    return Clause(f"there is {thing} {place}", refs)


def _place(story: Story, entity: Entity) -> str:
    """Where a single thing is: beside something known, or in which part of the picture."""
    is_asked = any(isinstance(f, Located) and f.ref == entity.ref for f in story.asked)
    if not is_asked:
        for facts, chance in (
            (story.asked, RELATE_CHANCE),
            (directions(story.scene), RELATE_FREELY_CHANCE),
        ):
            links = _links(story, entity, facts)
            if links and story.rng.chance(chance):
                fact, phrase = story.rng.pick(links)
                story.told.add(fact)
                return phrase
    return _cell(story, entity)


def _links(story: Story, entity: Entity, facts: Sequence[Fact]) -> list[tuple[Fact, str]]:
    """Those of the facts that place the entity among known things, with their vocabulary."""
    links = ((fact, _link(story, entity, fact)) for fact in facts if in_line(story.scene, fact))
    return [(fact, phrase) for fact, phrase in links if phrase is not None]


def _link(story: Story, entity: Entity, fact: Fact) -> str | None:
    """How a fact places the entity by known things, or None where it does not."""
    known = story.known
    match fact:
        case Related(entity.ref, relation, other) if relation != "inside" and other in known:
            return story.beside(entity.ref, relation, other)
        case Related(other, relation, entity.ref) if relation != "inside" and other in known:
            if other.plural:
                return None
            return story.beside(entity.ref, vocabulary.OPPOSITE[relation], other)
        case Between(entity.ref, first, second) if first in known and second in known:
            return f"between {story.the(first)} and {story.the(second)}"
        case _:
            return None


def _cell(story: Story, entity: Entity) -> str:
    """The place of a single thing in the picture, and all that it tells."""
    thing = entity.things[0]
    regions = [region for region in REGIONS if is_in(thing, region)]
    story.told |= {Located(entity.ref, region) for region in regions}
    if story.is_terse:
        return vocabulary.SHORT_CELL_PHRASES[thing.cell]
    return story.rng.pick(vocabulary.CELL_PHRASES[thing.cell])


def _group_places(story: Story, group: Entity) -> str:
    """The predicate of a group: where each of its things is, or the line that they form."""
    columns = {thing.column for thing in group.things}
    rows = {thing.row for thing in group.things}
    number = len(group.things)
    if number == GRID and len(rows) == 1:
        return f"form a row {vocabulary.ROW_PHRASES[group.things[0].row]}"
    if number == GRID and len(columns) == 1:
        return f"form a column {vocabulary.COLUMN_PHRASES[group.things[0].column]}"
    places = [vocabulary.CELL_PHRASES[thing.cell][0] for thing in group.things]
    if number == 2:
        verb = agreeing(story.rng.pick(("appears", "is placed apart", "can be seen")), number)
        return f"{verb}, one {places[0]} and the other {places[1]}"
    verb = story.rng.pick(("are spread out", "appear", "can be found"))
    return f"{verb}, {listed([f'one {place}' for place in places])}"
