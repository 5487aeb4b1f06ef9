"""Words that captions and questions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dpgbench.shapes.facts import Ref, Region

NUMBER_WORDS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IRREGULAR_PLURALS: Final[dict[str, str]] = {"cross": "crosses"}


def plural_of(noun: str) -> str:
    """The noun for more than one."""
    return IRREGULAR_PLURALS.get(noun, f"{noun}s")


def noun_of(shape: str | None, plural: bool = False) -> str:
    """What a thing of a shape is called ("shape" for one of any shape)."""
    noun = shape or "shape"
    return plural_of(noun) if plural else noun


def name_of(ref: Ref) -> str:
    """A reference as a noun phrase without an article: `red circles`."""
    noun = noun_of(ref.shape, ref.plural)
    return f"{ref.color} {noun}" if ref.color else noun


def with_article(phrase: str) -> str:
    """The phrase after "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def listed(parts: Sequence[str]) -> str:
    """The parts as running text: `a, b, and c`."""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"


def preposition(region: Region) -> str:
    """The word before "the left side", "the center" ..."""
    return {"top": "at", "bottom": "at", "left side": "on", "right side": "on"}.get(region, "in")
