"""The question graph of a scene, in the words and columns of DPG-Bench's question file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

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
    Related,
    holds,
    refs_of,
)
from dpgbench.shapes.question_choice import facts_to_ask
from dpgbench.shapes.scene import Attribute, Scene, Style
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.shapes.words import NUMBER_WORDS, name_of, noun_of, preposition, with_article

Answer = Literal["yes", "no"]

COLUMNS: Final = (
    "item_id",
    "text",
    "keywords",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)
DETAIL_OF: Final[dict[Attribute, str]] = {
    "shape": "shape",
    "color": "color",
    "size": "size",
    "fill": "texture",
}
STYLE_NAMES: Final[dict[Style, str]] = {
    "crisp": "crisp illustration without outlines",
    "outlined": "outlined drawing",
    "blurry": "blurry picture",
}
STYLE_QUESTIONS: Final[dict[Style, tuple[str, ...]]] = {
    "crisp": ("Is this a crisp illustration without outlines?",),
    "outlined": ("Is this an outlined drawing?", "Are the shapes drawn with outlines?"),
    "blurry": ("Is this a blurry picture?", "Is the picture blurry?"),
}


@dataclass(frozen=True)
class Question:
    """A yes/no question about one fact, and the questions whose "yes" it takes for granted."""

    number: int
    parents: tuple[int, ...]
    fact: Fact
    text: str

    @property
    def category(self) -> tuple[str, str]:
        """The broad and the detailed category; the detailed one of `global` is empty."""
        return _category(self.fact)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands between the brackets of the tuple."""
        return _arguments(self.fact)

    def row(self, item_id: str, prompt: str) -> dict[str, str]:
        """The question as a row of a question file."""
        broad, detailed = self.category
        keywords = ", ".join(self.arguments)
        values = (
            item_id,
            prompt,
            keywords,
            str(self.number),
            ",".join(map(str, self.parents)) or "0",
            broad,
            detailed,
            f"{f'{broad} - {detailed}'.strip()} ({keywords})",
            self.text,
        )
        return dict(zip(COLUMNS, values, strict=True))


def questions(scene: Scene) -> tuple[Question, ...]:
    """The question graph of a scene: numbered from 1, parents first, every answer "yes"."""
    rng = StableRandom("question words", scene.digest)
    return graph_of(facts_to_ask(scene), rng)


def graph_of(facts: Sequence[Fact], rng: StableRandom) -> tuple[Question, ...]:
    """The question graph of some facts; what there is comes before what is said of it."""
    number_of: dict[Ref, int] = {}
    graph = []
    for number, fact in enumerate(facts, start=1):
        if isinstance(fact, Exists):
            number_of[fact.ref] = number
            parents: tuple[int, ...] = ()
        else:
            parents = tuple(number_of[ref] for ref in refs_of(fact))
        graph.append(Question(number, parents, fact, question_text(fact, rng)))
    return tuple(graph)


def answer(question: Question, scene: Scene) -> Answer:
    """The true answer to a question about any scene, its own or another."""
    return "yes" if holds(question.fact, scene) else "no"


def question_text(fact: Fact, rng: StableRandom) -> str:
    """The fact as a yes/no question."""
    match fact:
        case Exists(ref):
            return rng.pick(_exists(ref))
        case Has(ref, attribute, value):
            return rng.pick(_has(ref, attribute, value))
        case Located(ref, region):
            return f"{_is_the(ref)} {preposition(region)} the {region} of the picture?"
        case Related(subject, relation, other):
            words = {"left of": "to the left of", "right of": "to the right of"}
            return f"{_is_the(subject)} {words.get(relation, relation)} the {name_of(other)}?"
        case Between(subject, first, second):
            return f"{_is_the(subject)} between the {name_of(first)} and the {name_of(second)}?"
        case Compared(subject, comparison, other):
            words = {"same color as": "the same color as"}
            return f"{_is_the(subject)} {words.get(comparison, comparison)} the {name_of(other)}?"
        case Count(ref, number):
            return rng.pick(_counts(ref, number))
        case OnGround(ground):
            return f"Is the background {ground}?"
        case InStyle(style):
            return rng.pick(STYLE_QUESTIONS[style])


def _is_the(ref: Ref) -> str:
    return f"Are all the {name_of(ref)}" if ref.plural else f"Is the {name_of(ref)}"


def _exists(ref: Ref) -> tuple[str, ...]:
    if ref.plural:
        return (f"Are there any {name_of(ref)}?", f"Does the picture show {name_of(ref)}?")
    name = with_article(name_of(ref))
    return (f"Is there {name}?", f"Is there {name} in the picture?", f"Can you see {name}?")


def _has(ref: Ref, attribute: Attribute, value: str) -> tuple[str, ...]:
    if attribute == "shape":
        noun = noun_of(value, ref.plural)
        return (f"{_is_the(ref)} {noun if ref.plural else with_article(noun)}?",)
    if value == "plain":
        return (f"{_is_the(ref)} plain?", f"{_is_the(ref)} plain, without stripes?")
    if value == "striped":
        have = "Do all the" if ref.plural else "Does the"
        return (f"{_is_the(ref)} striped?", f"{have} {name_of(ref)} have stripes?")
    return (f"{_is_the(ref)} {value}?",)


def _counts(ref: Ref, number: int) -> tuple[str, ...]:
    things = f"{NUMBER_WORDS[number]} {name_of(ref)}"
    if number == 1:
        things = things.removesuffix("s")
        return (f"Is there exactly {things}?",)
    return (f"Are there exactly {things}?", f"Are there {things} in the picture?")


def _category(fact: Fact) -> tuple[str, str]:
    match fact:
        case Exists():
            return ("entity", "whole")
        case Has(_, attribute):
            return ("attribute", DETAIL_OF[attribute])
        case Located() | Related() | Between():
            return ("relation", "spatial")
        case Compared():
            return ("relation", "non-spatial")
        case Count():
            return ("other", "count")
        case OnGround():
            return ("attribute", "color")
        case InStyle():
            return ("global", "")


def _arguments(fact: Fact) -> tuple[str, ...]:
    names = tuple(name_of(ref) for ref in refs_of(fact))
    match fact:
        case Exists():
            return names
        case Has(_, _, value):
            return (*names, value)
        case Located(_, region):
            return (*names, region, preposition(region))
        case Related(_, relation, _):
            return (*names, relation)
        case Between():
            return (*names, "between")
        case Compared(_, comparison, _):
            return (*names, comparison)
        case Count(ref, number):
            return (name_of(ref), f"=={number}")
        case OnGround(ground):
            return ("background", ground)
        case InStyle(style):
            return (STYLE_NAMES[style],)
