"""What a recorded or short answer says: yes, no, nothing at all, or something else.

And whether it is the right one, where a question has another right answer than yes.

Rules that copy a published script compare with ``yes`` exactly (`ScoringRule.answers` is
``exact``); others read. The words of a chat model, with thoughts and boxes around them, are read
where they come in (`dpgbench.backends`), by the same `read_yes_no` in the end.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache

YES = "yes"
NO = "no"

_WORDS = {"yes": True, "true": True, "1": True, "1.0": True}
_WORDS |= {"no": False, "false": False, "0": False, "0.0": False}
_MARKS = " \t\r\n.,;:!?\"'`*_()[]{}<>\u2018\u2019\u201c\u201d\u3002\uff01"
_EXPECTED = {"yes": YES, "true": YES, "是": YES, "是的": YES}
_EXPECTED |= {"no": NO, "false": NO, "否": NO, "不是": NO}
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
            *("seventeen", "eighteen", "nineteen", "twenty"),
        )
    )
}
_DIGITS = re.compile(r"0*([0-9]+)(?:\.0+)?")
_ARTICLE = re.compile(r"(?:an?|the)\s+")
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)


def read_yes_no(text: str) -> bool | None:
    """Return what an answer says when case, spaces and marks around it do not count.

    Returns:
        True for yes, true, 1; False for no, false, 0; None for anything else.
    """
    return _WORDS.get(unicodedata.normalize("NFKC", text).strip(_MARKS).lower())


def is_missing(text: str) -> bool:
    """Return whether a cell holds no answer: empty, or what pandas writes and reads as missing."""
    return text.strip() in _MISSING


def read_expected(cell: str) -> str:
    """Return the right answer that a cell names: ``yes``, ``no``, or a number or word as written.

    An empty cell means yes. ``1`` and ``0`` are numbers here, for they are right answers of counts.
    """
    text = unicodedata.normalize("NFKC", cell).strip(_MARKS).lower()
    return _EXPECTED.get(text, cell.strip()) if text else YES


def is_word(expected: str) -> bool:
    """Return whether a right answer is a number or a word, neither yes nor no."""
    return expected not in (YES, NO)


def is_right(text: str, expected: str, *, exact: bool) -> bool:
    """Return whether an answer is the right one.

    Args:
        text: of the answer.
        expected: as `read_expected` gives it.
        exact: yes and no count as these very texts alone, not whatever their case and marks.
            Numbers and words are read always: ``Seven.`` is ``7``, ``a dog`` is ``dog``.
    """
    if is_word(expected):
        return plain_word(text) == plain_word(expected)
    if exact:
        return text == expected
    return read_yes_no(text) is (expected == YES)


@lru_cache(maxsize=4096)
def plain_word(text: str) -> str:
    """Return a number or word in the form in which equal ones are equal.

    Case, marks around it and an article before it do not count; numbers are digits, whether they
    were written so, as an English word up to twenty, or as one character of another script.
    """
    word = unicodedata.normalize("NFKC", text).strip(_MARKS).lower()
    word = " ".join(
        _ARTICLE.sub("", word, count=1).split() if _ARTICLE.match(word) else word.split()
    )
    if match := _DIGITS.fullmatch(word):
        return match[1]
    if len(word) == 1 and unicodedata.numeric(word, math.nan).is_integer():
        return str(int(unicodedata.numeric(word)))
    return _NUMBERS.get(word, word)
