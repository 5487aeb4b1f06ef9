"""The caption grammar read backwards: from the sentences of a caption to the facts that they state.

The patterns are made from the vocabulary that captions are written with. A sentence that none of
them fits is refused, so that nothing that a text says is passed over.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

from dpgbench.shapes.captions import vocabulary
from dpgbench.shapes.facts import (
    REGIONS,
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
    Value,
    is_in,
)
from dpgbench.shapes.scene import (
    COLORS,
    FILLS,
    GROUNDS,
    SHAPES,
    SIZES,
    Color,
    Direction,
    Ground,
    Thing,
)
from dpgbench.shapes.scene_edits import VALUES
from dpgbench.shapes.words import NUMBER_WORDS, noun_of

TOTALS: Final = (*NUMBER_WORDS[1:], "several", "a few")
SEPARATOR: Final = re.compile(r", while |, and |, | and ")
Match = re.Match[str]


@dataclass
class StatedFacts:
    """What a caption states: its things by their full looks, and facts in the order of the text.

    The descriptions in `facts` are the text's own; several may mean one thing.
    """

    numbers: dict[Ref, int] = field(default_factory=dict)
    """How many there are of each look, in the order of their first mentions."""
    facts: dict[Fact, None] = field(default_factory=dict)
    mentions: dict[Ref, None] = field(default_factory=dict)
    """The descriptions that the text takes up things by."""

    def state(self, *facts: Fact) -> None:
        """Add facts, once each."""
        self.facts.update(dict.fromkeys(facts))


def read(text: str) -> StatedFacts:
    """The facts that a caption states.

    Raises:
        ValueError: A sentence that the grammar of captions does not make, quoted.
    """
    reading = StatedFacts()
    sentences = re.findall(r"[^.]*\.|[^.]+$", text.strip())
    if not sentences:
        raise ValueError("no text")
    for number, sentence in enumerate(map(str.strip, sentences), start=1):
        lowered = sentence[:1].lower() + sentence[1:]
        if not (_read_sentence(lowered, reading) or _read_clauses(lowered, reading)):
            raise ValueError(f"sentence {number} is not one of a caption of shapes: {sentence!r}")
    return reading


def _read_sentence(sentence: str, reading: StatedFacts) -> bool:
    """Read a sentence that has a form of its own."""
    for pattern, state in _sentence_forms():
        if match := pattern.fullmatch(sentence):
            state(match, reading)
            return True
    return False


def _read_clauses(sentence: str, reading: StatedFacts) -> bool:
    """Read a sentence that introduces things, clause by clause."""
    position, read_so_far = 0, StatedFacts()
    while True:
        matches = ((form.match(sentence, position), state) for form, state in _clause_forms())
        match, state = next(((match, state) for match, state in matches if match), (None, None))
        if match is None or state is None:
            return False
        state(match, read_so_far)
        position = match.end()
        if sentence[position:] == ".":
            break
        separator = SEPARATOR.match(sentence, position)
        if not separator:
            return False
        position = separator.end()
    for look, number in read_so_far.numbers.items():
        _introduce(look, number, reading)
    reading.state(*read_so_far.facts)
    reading.mentions |= read_so_far.mentions
    return True


def _introduce(look: Ref, number: int, reading: StatedFacts) -> None:
    if look in reading.numbers:
        raise ValueError(f"{look.color} {noun_of(look.shape, look.plural)} are introduced twice")
    reading.numbers[look] = number


_State = Callable[[Match, StatedFacts], None]

# Patterns. Names of groups begin with the part of the sentence that they belong to.


def _any_of(phrases: Iterable[str]) -> str:
    """A pattern of any of the phrases, the longest first."""
    unique = sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))
    return f"(?:{'|'.join(map(re.escape, unique))})"


NOUNS: Final = {
    noun_of(s, plural): (s, plural) for s in (*SHAPES, None) for plural in (False, True)
}
SIZE_OF: Final = {word: size for size, words in vocabulary.SIZE_WORDS.items() for word in words}
FILL_OF: Final = {word: fill for fill, words in vocabulary.FILL_WORDS.items() for word in words}
TAIL_OF: Final = {
    tail: fill
    for tails in (vocabulary.FILL_TAILS, vocabulary.PLURAL_FILL_TAILS)
    for fill, phrases in tails.items()
    for tail in phrases
}
CELL_OF: Final = {
    phrase: cell for cell, phrases in vocabulary.CELL_PHRASES.items() for phrase in phrases
} | {phrase: cell for cell, phrase in vocabulary.SHORT_CELL_PHRASES.items()}
DIRECTION_OF: Final = {
    phrase: direction
    for direction, phrases in vocabulary.DIRECTION_PHRASES.items()
    for phrase in phrases
}
FURTHER_OF: Final = {phrase: direction for direction, phrase in vocabulary.FURTHER.items()}
STYLE_OF_NOUN: Final = {n: style for style, nouns in vocabulary.STYLE_NOUNS.items() for n in nouns}
STYLE_OF_SENTENCE: Final = {
    text: style for style, texts in vocabulary.STYLE_SENTENCES.items() for text in texts
}
LINES: Final[dict[str, Region | None]] = {
    f"a row {vocabulary.ROW_PHRASES[0]}": "top",
    f"a row {vocabulary.ROW_PHRASES[1]}": None,
    f"a row {vocabulary.ROW_PHRASES[2]}": "bottom",
    f"a column {vocabulary.COLUMN_PHRASES[0]}": "left side",
    f"a column {vocabulary.COLUMN_PHRASES[1]}": None,
    f"a column {vocabulary.COLUMN_PHRASES[2]}": "right side",
}


def _noun(part: str) -> str:
    return f"(?:(?P<{part}color>{_any_of(COLORS)}) )?(?P<{part}noun>{_any_of(NOUNS)})"


def _new(part: str) -> str:
    """A thing's first mention: `a large striped red circle that ...`."""
    tail = rf" (?P<{part}tail>{_any_of(TAIL_OF)})"
    that = rf" that (?:is|are) (?P<{part}that>{_any_of(SIZES)}) and striped"
    return (
        rf"(?:an?|(?P<{part}number>{_any_of(NUMBER_WORDS[2:])}))"
        rf"(?: (?P<{part}size>{_any_of(SIZE_OF)}))?(?: (?P<{part}fill>{_any_of(FILL_OF)}))?"
        rf" {_noun(part)}\b(?:{tail}|{that})?"
    )


def _old(part: str) -> str:
    """A thing taken up again: `the circle`, `the two red circles`."""
    return rf"the (?:{_any_of(NUMBER_WORDS[2:])} )?{_noun(part)}\b"


def _place() -> str:
    way = rf"(?:directly )?(?P<way>{_any_of(DIRECTION_OF)}) {_old('beside_')}"
    between = rf"between {_old('first_')} and {_old('second_')}"
    return rf"(?:(?P<cell>{_any_of(CELL_OF)})|{way}|{between})"


def _verb() -> str:
    verbs = {*vocabulary.VERBS, *vocabulary.INVERTED_VERBS}
    return _any_of(vocabulary.agreeing(verb, n) for verb in verbs for n in (1, 2))


def _from_template(template: str, **patterns: str) -> str:
    """A pattern from a template of the vocabulary; its fields become the patterns."""
    parts = []
    for literal, name, _, _ in string.Formatter().parse(template[:1].lower() + template[1:]):
        parts.append(re.escape(literal) + (patterns[name] if name else ""))
    return "".join(parts)


# What a matched part means.


def _ref(match: Match, part: str) -> Ref:
    shape, plural = NOUNS[match[f"{part}noun"]]
    return Ref(shape, cast("Color | None", match[f"{part}color"]), plural)


def _take_up(match: Match, part: str, reading: StatedFacts) -> Ref:
    ref = _ref(match, part)
    reading.mentions[ref] = None
    return ref


def _describe(match: Match, part: str, reading: StatedFacts) -> Ref:
    """State what a first mention says; the full look, by which the thing is known."""
    look, groups = _ref(match, part), match.groupdict()
    number = NUMBER_WORDS.index(groups[f"{part}number"]) if groups[f"{part}number"] else 1
    if look.shape is None or look.color is None or look.plural != (number > 1):
        raise ValueError(f"not a thing with a shape and a color: {match[0]!r}")
    _introduce(look, number, reading)
    reading.state(Exists(look), Has(look, "shape", look.shape), Has(look, "color", look.color))
    size = SIZE_OF.get(groups[f"{part}size"] or groups[f"{part}that"] or "")
    fill = FILL_OF.get(groups[f"{part}fill"] or "") or TAIL_OF.get(groups[f"{part}tail"] or "")
    if size:
        reading.state(Has(look, "size", size))
    if fill or groups[f"{part}that"]:
        reading.state(Has(look, "fill", fill or "striped"))
    if number > 1:
        reading.state(Count(look, number))
    return look


def _put(match: Match, look: Ref, reading: StatedFacts) -> None:
    """State the place of a thing."""
    if match["cell"]:
        reading.state(*_regions(look, match["cell"]))
    elif match["way"]:
        direction = DIRECTION_OF[match["way"]]
        reading.state(Related(look, direction, _take_up(match, "beside_", reading)))
    else:
        first, second = (_take_up(match, part, reading) for part in ("first_", "second_"))
        reading.state(Between(look, first, second))


def _regions(look: Ref, phrase: str) -> Iterator[Fact]:
    """The narrowest part of the picture that a cell is in."""
    column, row = CELL_OF[phrase]
    thing = Thing(column, row, "small", "circle", "red", "plain")
    regions = [region for region in REGIONS if is_in(thing, region)]  # corners come before sides
    yield from (Located(look, region) for region in regions[:1])


# Clauses that introduce things.


def _state_thing(match: Match, reading: StatedFacts) -> None:
    outer = _describe(match, "new_", reading)
    _put(match, outer, reading)
    if match["held_noun"]:
        reading.state(Related(_describe(match, "held_", reading), "inside", outer))


def _state_pair(match: Match, reading: StatedFacts) -> None:
    outer = _describe(match, "new_", reading)
    reading.state(Related(_describe(match, "held_", reading), "inside", outer))
    _put(match, outer, reading)


def _state_inside(match: Match, reading: StatedFacts) -> None:
    outer = _take_up(match, "old_", reading)
    reading.state(Related(_describe(match, "new_", reading), "inside", outer))


def _state_group(match: Match, reading: StatedFacts) -> None:
    group = _describe(match, "new_", reading)
    if match["line"] and (region := LINES[match["line"]]):
        reading.state(Located(group, region))


@lru_cache(maxsize=1)
def _clause_forms() -> list[tuple[re.Pattern[str], _State]]:
    lead = _any_of(("there are", *vocabulary.LISTINGS))
    verb, place, held = _verb(), _place(), f"(?: with {_new('held_')} inside it)?"
    cell, new = _any_of(CELL_OF), _new("new_")
    spread = _any_of(
        ("appear", "are placed apart", "can be seen", "are spread out", "can be found")
    )
    apart = f"{spread}, one {cell}(?: and the other {cell}|(?:,? (?:and )?one {cell})+)"
    line = f"form (?P<line>{_any_of(LINES)})"
    forms: list[tuple[str, _State]] = [
        (rf"(?:{lead} )?{new}{held} (?:{verb} )?{place}", _state_thing),
        (rf"{place} {verb} {new}{held}", _state_thing),
        (rf"{_new('held_')} {verb} inside {new} {place}", _state_pair),
        (rf"inside {_old('old_')} {verb} {new}", _state_inside),
        (rf"{new} (?:{line}|{apart})", _state_group),
    ]
    return [(re.compile(pattern), state) for pattern, state in forms]


# Sentences of a form of their own.


def _state_opening(match: Match, reading: StatedFacts) -> None:
    groups = match.groupdict()
    if style := groups.get("style"):
        reading.state(InStyle(STYLE_OF_NOUN[style]))
    if ground := groups.get("ground"):
        reading.state(OnGround(cast("Ground", ground)))
    if match["total"] in NUMBER_WORDS:
        reading.state(Count(Ref(plural=True), NUMBER_WORDS.index(match["total"])))


def _state_ground(match: Match, reading: StatedFacts) -> None:
    reading.state(OnGround(cast("Ground", match["ground"])))


def _state_style(match: Match, reading: StatedFacts) -> None:
    by_text = {text.lower(): style for text, style in STYLE_OF_SENTENCE.items()}
    reading.state(InStyle(by_text[match[0].lower()]))


def _state_nothing(match: Match, reading: StatedFacts) -> None:
    """Nothing that a question asks for."""


def _state_list(match: Match, reading: StatedFacts) -> None:
    reading.state(InStyle(STYLE_OF_NOUN[match["style"]]), OnGround(cast("Ground", match["ground"])))
    for thing in re.finditer(_new("new_"), match["things"]):
        _describe(thing, "new_", reading)


def _state_look(match: Match, reading: StatedFacts) -> None:
    value = cast("Value", match["value"])
    attributes = [a for a, values in VALUES.items() if value in values]
    reading.state(Has(_take_up(match, "a_", reading), attributes[0], value))


def _state_region(match: Match, reading: StatedFacts) -> None:
    reading.state(Located(_take_up(match, "a_", reading), cast("Region", match["region"])))


def _state_being_inside(match: Match, reading: StatedFacts) -> None:
    a, b = (_take_up(match, part, reading) for part in ("a_", "b_"))
    reading.state(Related(a, "inside", b))


def _state_direction(match: Match, reading: StatedFacts) -> None:
    a, b = (_take_up(match, part, reading) for part in ("a_", "b_"))
    direction: Direction = (DIRECTION_OF | FURTHER_OF)[match["way"]]
    reading.state(Related(a, direction, b))


def _state_between(match: Match, reading: StatedFacts) -> None:
    reading.state(Between(*(_take_up(match, part, reading) for part in ("a_", "b_", "c_"))))


def _state_larger(match: Match, reading: StatedFacts) -> None:
    a, b = (_take_up(match, part, reading) for part in ("a_", "b_"))
    reading.state(Compared(a, "larger than", b))


def _state_same_color(match: Match, reading: StatedFacts) -> None:
    a, b = (_take_up(match, part, reading) for part in ("a_", "b_"))
    reading.state(Compared(a, "same color as", b))


def _state_count(match: Match, reading: StatedFacts) -> None:
    ref, number = _ref(match, "a_"), NUMBER_WORDS.index(match["number"])
    if ref.color or ref.shape:
        reading.mentions[ref] = None
    reading.state(Count(ref, number))


@lru_cache(maxsize=1)
def _sentence_forms() -> list[tuple[re.Pattern[str], _State]]:
    a, b, c = (_old(part) for part in ("a_", "b_", "c_"))
    numbers = _any_of(NUMBER_WORDS[1:])
    every = rf"(?:both(?: of the)?|all(?: of the| {numbers})) {_noun('a_')}\b"
    way = rf"(?:directly )?(?P<way>{_any_of(DIRECTION_OF)})"
    value = f"(?:an? )?(?P<value>{_any_of((*SHAPES, *COLORS, *SIZES, *FILLS))})"
    region = f"(?P<region>{_any_of(REGIONS)})"
    style, ground = f"(?P<style>{_any_of(STYLE_OF_NOUN)})", f"(?P<ground>{_any_of(GROUNDS)})"
    forms: list[tuple[str, _State]] = [
        *((template, _state_opening) for template in _openings(style, ground)),
        (rf"an? {style} on {ground}: (?P<things>{_listed(_unnamed(_new('new_')))})\.", _state_list),
        *((_from_template(t, ground=ground), _state_ground) for t in vocabulary.GROUND_SENTENCES),
        *((_from_template(text), _state_style) for text in STYLE_OF_SENTENCE),
        *((_from_template(t), _state_nothing) for t in (*vocabulary.CLOSINGS, *vocabulary.APART)),
        (rf"{a} (?:is|are) {value}\.", _state_look),
        (rf"{a} occupies the {region}\.", _state_region),
        (
            rf"{a} (?:is|are|is located|can be found) (?:in|at|on) the {region} of the picture\.",
            _state_region,
        ),
        (rf"{a} (?:is|are) inside {b}\.", _state_being_inside),
        (rf"{every} are {way} {b}\.", _state_direction),
        (rf"{a} is (?P<way>{_any_of(FURTHER_OF)}) than {b}\.", _state_direction),
        (rf"{a} (?:is|are|sits|lies) {way} {b}\.", _state_direction),
        (rf"{a} (?:is|sits|lies|stands midway) between {b} and {c}\.", _state_between),
        *((_from_template(t, a=a, b=b), _state_larger) for t in vocabulary.LARGER),
        *((_from_template(t, a=a, b=b), _state_same_color) for t in vocabulary.SAME_COLOR),
        (rf"there are (?P<number>{numbers}) {_noun('a_')} in total\.", _state_count),
    ]
    return [(re.compile(pattern), state) for pattern, state in forms]


def _openings(style: str, ground: str) -> Iterator[str]:
    shapes = f"(?P<total>{_any_of(TOTALS)}) {_any_of(vocabulary.SHAPE_ADJECTIVES)}shapes"
    a_style = f"an? {style}"
    fields = {"style": style, "a_style": a_style, "A_style": a_style, "ground": ground}
    for template in (
        *vocabulary.OPENINGS,
        *vocabulary.TERSE_OPENINGS,
        *vocabulary.OPENINGS_WITHOUT_GROUND,
        *vocabulary.OPENINGS_WITHOUT_STYLE,
    ):
        yield _from_template(template, **fields, shapes=shapes, Shapes=shapes)


def _listed(part: str) -> str:
    """A pattern of such parts as running text."""
    return f"{part}(?:(?:, and |, | and ){part})*"


def _unnamed(pattern: str) -> str:
    return re.sub(r"\?P<\w+>", "?:", pattern)
