"""A caption in the making: what is asked, stated and introduced so far; sentences for facts."""

from __future__ import annotations

from typing import Final

from dpgbench.shapes.captions import vocabulary
from dpgbench.shapes.captions.vocabulary import definite, direction_phrase
from dpgbench.shapes.entities import Entity, entities
from dpgbench.shapes.facts import (
    Between,
    Compared,
    Count,
    Exists,
    Fact,
    Has,
    InStyle,
    Located,
    OnGround,
    Ref,
    Region,
    Related,
    refs_of,
)
from dpgbench.shapes.question_choice import facts_to_ask
from dpgbench.shapes.scene import Direction, Scene
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.shapes.words import NUMBER_WORDS, name_of, preposition, with_article

TERSE_CHANCE: Final = 0.55
"""How often a caption says little more than what is asked."""


class Draft:
    """What one attempt at a caption has stated, and the random numbers that choose its words."""

    def __init__(self, scene: Scene, rng: StableRandom) -> None:
        self.scene = scene
        self.rng = rng
        self.is_terse = rng.chance(TERSE_CHANCE)
        self.asked = facts_to_ask(scene)
        self.stated: set[Fact] = set()
        self.introduced: dict[Ref, Entity] = {}
        self._entities = {entity.ref: entity for entity in entities(scene)}

    def unstated(self) -> list[Fact]:
        """The asked facts that no sentence has stated yet."""
        return [fact for fact in self.asked if fact not in self.stated]

    def relates(self, fact: Fact) -> bool:
        """Whether a stated fact relates what this fact relates."""
        pair = set(refs_of(fact))
        return any(pair == set(refs_of(other)) for other in self.stated if len(refs_of(other)) > 1)

    def the(self, ref: Ref, short: bool = False) -> str:
        """`the red circle`, for an entity that was introduced."""
        return definite(self._entities[ref], self.rng, short)

    def beside(self, subject: Ref, direction: Direction, other: Ref) -> str:
        """`to the left of the star`, for the place of the subject."""
        a, b = self._entities[subject], self._entities[other]
        return f"{direction_phrase(direction, a, b, self.rng)} {self.the(other)}"

    def say(self, fact: Fact) -> str:
        """A sentence that states a fact; its entities were introduced before."""
        self.stated.add(fact)
        text = self._sentence(fact)
        return vocabulary.capitalized(text)

    def _sentence(self, fact: Fact) -> str:
        match fact:
            case Exists(ref):
                return f"there is {with_article(name_of(ref))}."
            case Has(ref, _, value):
                return f"{self.the(ref, short=True)} {_is(ref)} {value}."
            case Located(ref, region):
                return self._located(ref, region)
            case Related(subject, relation, other):
                if relation == "inside":
                    return f"{self.the(subject)} {_is(subject)} inside {self.the(other)}."
                return self._directed(subject, relation, other)
            case Between(subject, first, second):
                verb = self.rng.pick(("is", "sits", "lies", "stands midway"))
                return (
                    f"{self.the(subject)} {verb} between {self.the(first)} and {self.the(second)}."
                )
            case Compared(subject, comparison, other):
                a, b = self.the(subject, short=True), self.the(other, short=True)
                if comparison == "larger than":
                    return self.rng.pick(vocabulary.LARGER).format(a=a, b=b)
                return self.rng.pick(vocabulary.SAME_COLOR).format(a=a, b=b)
            case Count(ref, number):
                return f"there are {NUMBER_WORDS[number]} {name_of(ref)} in total."
            case OnGround(ground):
                return self.rng.pick(vocabulary.GROUND_SENTENCES).format(ground=ground)
            case InStyle(style):
                return self.rng.pick(vocabulary.STYLE_SENTENCES[style])

    def _all(self, group: Ref) -> str:
        number, name = len(self._entities[group].things), name_of(group)
        if number == 2:
            return self.rng.pick((f"both {name}", f"both of the {name}"))
        return self.rng.pick((f"all of the {name}", f"all {NUMBER_WORDS[number]} {name}"))

    def _located(self, ref: Ref, region: Region) -> str:
        thing = self.the(ref)
        if region.endswith("corner") and self.rng.chance(0.4):
            return f"{thing} occupies the {region}."
        verb = self.rng.pick(("is", "is located", "can be found"))
        return f"{thing} {verb} {preposition(region)} the {region} of the picture."

    def _directed(self, subject: Ref, direction: Direction, other: Ref) -> str:
        if subject.plural:
            return f"{self._all(subject)} are {self.beside(subject, direction, other)}."
        if self.rng.chance(0.3):
            subject, direction, other = other, vocabulary.OPPOSITE[direction], subject
        if self.rng.chance(0.25):
            further = vocabulary.FURTHER[direction]
            return f"{self.the(subject)} is {further} than {self.the(other)}."
        verb = self.rng.pick(("is", "is", "sits", "lies"))
        return f"{self.the(subject)} {verb} {self.beside(subject, direction, other)}."


def _is(ref: Ref) -> str:
    return "are" if ref.plural else "is"
