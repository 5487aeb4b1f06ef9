"""The caption grammar's vocabulary: words for looks, places, relations, styles and backgrounds.

Data and small functions only. Every phrase names what the questions ask for in words near theirs.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from dpgbench.shapes.entities import Entity
from dpgbench.shapes.scene import Attribute, Cell, Direction, Fill, Size, Style
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.shapes.words import NUMBER_WORDS, name_of, noun_of, with_article

OPENINGS: Final = (
    "{A_style} shows {shapes} on a {ground} background.",
    "{Shapes} are arranged on a {ground} background in this {style}.",
    "This is {a_style} showing {shapes} on a {ground} background.",
    "Set against a {ground} background, {shapes} make up this {style}.",
    "{A_style} presents {shapes} placed on a {ground} background.",
)
TERSE_OPENINGS: Final = (
    "{A_style} showing {shapes} on a {ground} background.",
    "{A_style} contains {shapes} on a {ground} background.",
    "{Shapes} on a {ground} background in {a_style}.",
)
LISTINGS: Final = ("there is", "you can see", "the picture contains", "the picture shows")
OPENINGS_WITHOUT_GROUND: Final = (
    "{A_style} shows {shapes}.",
    "This is {a_style} showing {shapes}.",
    "{Shapes} make up this {style}.",
)
OPENINGS_WITHOUT_STYLE: Final = (
    "{Shapes} are spread over a {ground} background.",
    "The picture shows {shapes} on a {ground} background.",
    "Against a {ground} background there are {shapes}.",
)
SHAPE_ADJECTIVES: Final = ("", "simple ", "flat ", "geometric ")
SIZE_WORDS: Final[dict[Size, tuple[str, ...]]] = {
    "large": ("large", "large", "big"),
    "small": ("small", "small", "little"),
}
FILL_WORDS: Final[dict[Fill, tuple[str, ...]]] = {
    "plain": ("plain", "plain", "solid"),
    "striped": ("striped",),
}
FILL_TAILS: Final[dict[Fill, tuple[str, ...]]] = {
    "plain": ("without any stripes", "with a plain surface"),
    "striped": ("with stripes", "covered in stripes", "with vertical stripes"),
}
PLURAL_FILL_TAILS: Final[dict[Fill, tuple[str, ...]]] = {
    "plain": ("without any stripes", "with plain surfaces"),
    "striped": ("with stripes", "covered in stripes"),
}
CELL_PHRASES: Final[dict[Cell, tuple[str, ...]]] = {
    (0, 0): ("in the top left corner", "in the upper left corner"),
    (1, 0): ("at the top center", "at the middle of the top edge"),
    (2, 0): ("in the top right corner", "in the upper right corner"),
    (0, 1): ("halfway down the left side", "in the middle of the left side"),
    (1, 1): ("in the center", "in the center of the picture", "right in the center"),
    (2, 1): ("halfway down the right side", "in the middle of the right side"),
    (0, 2): ("in the bottom left corner", "in the lower left corner"),
    (1, 2): ("at the bottom center", "at the middle of the bottom edge"),
    (2, 2): ("in the bottom right corner", "in the lower right corner"),
}
SHORT_CELL_PHRASES: Final[dict[Cell, str]] = {
    (0, 0): "in the top left corner",
    (1, 0): "at the top center",
    (2, 0): "in the top right corner",
    (0, 1): "on the left side",
    (1, 1): "in the center",
    (2, 1): "on the right side",
    (0, 2): "in the bottom left corner",
    (1, 2): "at the bottom center",
    (2, 2): "in the bottom right corner",
}
ROW_PHRASES: Final = ("across the top", "across the middle", "across the bottom")
COLUMN_PHRASES: Final = ("down the left side", "down the middle", "down the right side")
VERBS: Final = ("sits", "sits", "rests", "lies", "appears", "is placed", "can be seen", "is found")
INVERTED_VERBS: Final = ("sits", "sits", "rests", "lies", "is", "appears", "there is")
DIRECTION_PHRASES: Final[dict[Direction, tuple[str, ...]]] = {
    "left of": ("to the left of",),
    "right of": ("to the right of",),
    "above": ("above",),
    "below": ("below",),
}
OPPOSITE: Final[dict[Direction, Direction]] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
FURTHER: Final[dict[Direction, str]] = {
    "left of": "further to the left",
    "right of": "further to the right",
    "above": "higher up",
    "below": "lower down",
}
LARGER: Final = ("{a} is larger than {b}.", "{a} is bigger than {b}.", "{b} is smaller than {a}.")
SAME_COLOR: Final = (
    "{a} and {b} are the same color.",
    "{a} is the same color as {b}.",
    "{a} and {b} share the same color.",
)
STYLE_NOUNS: Final[dict[Style, tuple[str, ...]]] = {
    "crisp": (
        "crisp illustration without outlines",
        "crisp flat illustration with no outlines",
        "clean and crisp illustration without outlines",
    ),
    "outlined": (
        "neat outlined drawing",
        "outlined cartoon drawing",
        "flat drawing with thin outlines",
    ),
    "blurry": (
        "soft, blurry picture",
        "blurry picture",
        "slightly blurry, out-of-focus picture",
    ),
}
STYLE_SENTENCES: Final[dict[Style, tuple[str, ...]]] = {
    "crisp": (
        "The picture is a crisp illustration, and nothing in it has an outline.",
        "The edges are crisp, and no outlines are drawn around the shapes.",
        "The style is that of a crisp illustration without outlines.",
    ),
    "outlined": (
        "Every shape in this drawing has a thin outline around it.",
        "The picture is an outlined drawing, with a thin line around each shape.",
        "Thin outlines run around all of the shapes in the drawing.",
    ),
    "blurry": (
        "The whole picture is blurry, as if slightly out of focus.",
        "Everything looks soft because the picture is blurry.",
        "This is a blurry picture, with soft edges everywhere.",
    ),
}
GROUND_SENTENCES: Final = (
    "The background is {ground}.",
    "The background is an even {ground}.",
    "Behind everything lies an even {ground} background.",
    "All of this is set against a {ground} background.",
)
CLOSINGS: Final = (
    "Nothing else appears in the picture.",
    "There is nothing else in the picture.",
    "The rest of the background is left empty.",
    "The remaining space is empty.",
)
APART: Final = (
    "None of the shapes touch each other.",
    "The shapes do not overlap, and empty space separates them.",
    "Clear gaps separate the shapes from one another.",
)


def description(
    entity: Entity, rng: StableRandom, attributes: Container[Attribute], light: bool = False
) -> str:
    """The entity as a noun phrase with its article: `a large striped red circle`.

    Shape and colour are always part of it; of size and fill, those in `attributes`. Nothing follows
    the noun of a light one.
    """
    size = entity.things[0].size if "size" in attributes else None
    fill = entity.things[0].fill if "fill" in attributes else None
    number = len(entity.things)
    head = f"{entity.color} {noun_of(entity.shape, number > 1)}"
    size_word = rng.pick(SIZE_WORDS[size]) if size else ""
    fill_word = rng.pick(FILL_WORDS[fill]) if fill else ""
    tail = ""
    form = 7 if light else rng.below(8)
    if size and fill == "striped" and form == 0:
        tail, size_word, fill_word = f"that {_be(number)} {size} and striped", "", ""
    elif fill and form in (1, 2, 3):
        tails = PLURAL_FILL_TAILS if number > 1 else FILL_TAILS
        tail, fill_word = rng.pick(tails[fill]), ""
    phrase = " ".join(word for word in (size_word, fill_word, head, tail) if word)
    return f"{NUMBER_WORDS[number]} {phrase}" if number > 1 else with_article(phrase)


def definite(entity: Entity, rng: StableRandom, short: bool = False) -> str:
    """The entity, introduced before, by its name or a longer one: `the red circle`."""
    name = name_of(entity.ref)
    if not short and rng.chance(0.35):
        name = f"{entity.color} {noun_of(entity.shape, entity.ref.plural)}"
    if entity.ref.plural and rng.chance(0.5):
        name = f"{NUMBER_WORDS[len(entity.things)]} {name}"
    return f"the {name}"


def direction_phrase(direction: Direction, a: Entity, b: Entity, rng: StableRandom) -> str:
    """How `a` stands to `b`, without `b`: `to the left of`, `directly above`."""
    phrase = rng.pick(DIRECTION_PHRASES[direction])
    columns = {thing.column for thing in (*a.things, *b.things)}
    if direction in ("above", "below") and len(columns) == 1 and rng.chance(0.4):
        return f"directly {phrase}"
    return phrase


def agreeing(verb: str, number: int) -> str:
    """The verb for one or for several: `sits` and `sit`, `is placed` and `are placed`."""
    if number == 1:
        return verb
    first, *rest = verb.split()
    plural = {"is": "are", "lies": "lie", "there": "there", "can": "can"}.get(first)
    return " ".join([plural or first.removesuffix("s"), *rest]).replace("there is", "there are")


def capitalized(text: str) -> str:
    """The text with its first letter large and the others untouched."""
    return text[:1].upper() + text[1:]


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
