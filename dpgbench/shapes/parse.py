"""Question graphs from captions alone, without the scene: what a language model does for any text.

Every fact that a caption states becomes a question. The benchmark's own graphs ask about a part of
them, chosen by the scene; which part, a caption does not tell.
"""

from __future__ import annotations

from dataclasses import replace

from dpgbench.shapes.captions.reading import StatedFacts, read
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
    refs_of,
)
from dpgbench.shapes.questions import COLUMNS, Question, graph_of
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.shapes.words import name_of


def parse_caption(text: str) -> tuple[dict[str, str], ...]:
    """The question graph of a caption as rows of a question file, parents first.

    Args:
        text: A caption of the small world (`caption`, `short_caption`), in any of its wordings.

    Returns:
        A row a question with every column of `COLUMNS` but the item's id and its text.

    Raises:
        ValueError: What cannot be read, quoted: another text, a thing that was not introduced.
    """
    rows = (question.row("", text) for question in parse_questions(text))
    return tuple({c: row[c] for c in COLUMNS if c not in ("item_id", "text")} for row in rows)


def parse_questions(text: str) -> tuple[Question, ...]:
    """The question graph of a caption, as `questions` is of a scene.

    Raises:
        ValueError: As `parse_caption`.
    """
    reading = read(" ".join(text.split()))
    if not reading.numbers:
        raise ValueError("the text speaks of no shape")
    names = _names(reading)
    facts: dict[Fact, None] = {}
    for fact in reading.facts:
        named = _renamed(fact, reading, names)
        if not (isinstance(named, Has) and _is_in_name(named)) and _mirrored(named) not in facts:
            facts[named] = None
    rng = StableRandom("parsed questions", text)
    return graph_of(_ordered(list(facts)), rng)


def _names(reading: StatedFacts) -> dict[Ref, Ref]:
    """The name of each look: the shortest that fits nothing else, the text's own where it has one.

    A thing that its shape and its colour both single out is named by its shape where the text
    takes it up by neither.
    """
    names: dict[Ref, Ref] = {}
    for look in reading.numbers:
        candidates = [Ref(shape=look.shape, plural=look.plural)]
        candidates += [Ref(color=look.color, plural=look.plural)]
        short = [ref for ref in candidates if _meant(ref, reading) == [look]]
        used = [ref for ref in short if ref in reading.mentions]
        names[look] = (*used, *short, look)[0]
    return names


def _meant(ref: Ref, reading: StatedFacts) -> list[Ref]:
    """The looks that a description fits."""
    return [
        look
        for look in reading.numbers
        if ref.shape in (None, look.shape) and ref.color in (None, look.color)
    ]


def _renamed(fact: Fact, reading: StatedFacts, names: dict[Ref, Ref]) -> Fact:
    """The fact with each description replaced by the name of what it means."""
    match fact:
        case Exists(ref) | Has(ref) | Located(ref):
            return replace(fact, ref=_named(ref, reading, names))
        case Count(ref):
            return replace(fact, ref=_named(ref, reading, names)) if refs_of(fact) else fact
        case Related(subject, _, other) | Compared(subject, _, other):
            a, b = _named(subject, reading, names), _named(other, reading, names)
            return replace(fact, subject=a, object=b)
        case Between(subject, first, second):
            return Between(*(_named(ref, reading, names) for ref in (subject, first, second)))
        case OnGround() | InStyle():
            return fact


def _named(ref: Ref, reading: StatedFacts, names: dict[Ref, Ref]) -> Ref:
    looks = _meant(ref, reading)
    if len(looks) != 1:
        which = "several things are" if looks else "nothing that was introduced is"
        raise ValueError(f"{which} 'the {name_of(ref)}'")
    return names[looks[0]]


def _is_in_name(fact: Has) -> bool:
    return getattr(fact.ref, fact.attribute, None) is not None


def _mirrored(fact: Fact) -> Fact | None:
    """The same fact said from the other side, where there is one."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    match fact:
        case Related(subject, relation, other) if relation in opposite and not subject.plural:
            return Related(other, opposite[relation], subject)  # type: ignore[arg-type]
        case Between(subject, first, second):
            return Between(subject, second, first)
        case Compared(subject, "same color as", other):
            return Compared(other, "same color as", subject)
        case _:
            return None


def _ordered(facts: list[Fact]) -> list[Fact]:
    """The picture, each thing followed by what is said of it alone, then what relates things."""
    ordered: list[Fact] = [f for f in facts if isinstance(f, InStyle | OnGround)]
    ordered += [f for f in facts if isinstance(f, Count) and not refs_of(f)]
    about = [f for f in facts if isinstance(f, Has | Count | Located)]
    for thing in [f for f in facts if isinstance(f, Exists)]:
        ordered += [thing, *(f for f in about if refs_of(f) == (thing.ref,))]
    return ordered + [f for f in facts if isinstance(f, Related | Between | Compared)]
