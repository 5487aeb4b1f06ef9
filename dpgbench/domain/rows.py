"""Rows of a benchmark file as written, and what can be read off one row alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dpgbench.domain.answer_text import YES, is_missing

_WHOLE_NUMBER = re.compile(r"\s*(-?[0-9]{1,9})(?:\.0*)?\s*")
QUESTION_SLOT = "{question}"
"""In a template, where the question stands."""
_DASHES = re.compile("[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d\u00ad]")


class Category(NamedTuple):
    """A question's category on both levels, for example ``attribute`` and ``attribute - color``."""

    l1: str
    l2: str

    def as_meant(self) -> Category:
        """Return the category however it was typed: any dash is ``-``, capitals are small.

        A word processor's dash or a capital letter would else make a category of its own.
        """
        plain = " ".join(_DASHES.sub("-", self.l2).casefold().split())
        l1, dash, detail = plain.partition("-")
        return Category(l1.strip(), f"{l1.strip()} - {detail.strip()}".strip() if dash else plain)


class Parents(NamedTuple):
    """What a dependency names: question numbers, and its parts that are no number."""

    numbers: tuple[int, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class QuestionRow:
    """One row of a benchmark file, as written.

    Attributes:
        row: the row as a spreadsheet numbers it; the header is row 1, empty lines count.
        qid: the question's number within its item, from 1.
        dependency: comma-separated parent numbers; ``0`` means none.
        tuple: category and content, for example ``attribute - color (cube, purple)``.
        position: place among the file's rows that hold something, from 0; -1 where `row` tells
            it, because there are no empty lines.
        expected: the right answer, as `answer_text.read_expected` gives it.
        template: how the benchmark words the question, with ``{question}`` in it; empty where it
            leaves that to the judge.
    """

    row: int
    item_id: str
    text: str
    keywords: str
    qid: int
    dependency: str
    category_broad: str
    category_detailed: str
    tuple: str
    question: str
    position: int = -1
    expected: str = YES
    template: str = ""

    @property
    def asked(self) -> str:
        """The question as the judge gets it."""
        return (
            self.template.replace(QUESTION_SLOT, self.question) if self.template else self.question
        )

    @property
    def place(self) -> int:
        """A number that grows by one from each row to the next that holds something."""
        return self.row if self.position < 0 else self.position

    @cached_property
    def category(self) -> Category:
        """Category as the ELLA script reads it: from the part of `tuple` before ``(``."""
        l2 = self.tuple.split("(")[0].strip()
        return Category(l2.split("-")[0].strip(), l2)

    @cached_property
    def meant_category(self) -> Category:
        """Category as `category`, however it was typed; for rules that do not copy a script."""
        l2 = self.tuple.split("(")[0].strip()
        return Category("", l2).as_meant()

    @cached_property
    def parents(self) -> Parents:
        """The parents that `dependency` names, as `parse_dependency` reads them."""
        numbers, words = parse_dependency(self.dependency)
        return Parents(tuple(numbers), tuple(words))

    @cached_property
    def column_category(self) -> Category:
        """Category from the `category_*` columns, named like `category`."""
        return Category(
            self.category_broad, f"{self.category_broad} - {self.category_detailed}".strip()
        )


def item_source(item_id: str) -> str:
    """Return where an item comes from: the letters and underscores that its id starts with.

    ``COCOval12`` -> ``COCOval``, ``stanford_paragraph_54`` -> ``stanford_paragraph``; an id of
    digits only belongs to ``web``.
    """
    match = re.match(r"[A-Za-z_]*", item_id)
    return (match.group().rstrip("_") if match else "") or "web"


def parse_whole_number(text: str) -> int | None:
    """Return the whole number that a cell holds, or None.

    ASCII digits, with a minus and spaces around at most; ``1.0`` is 1, because pandas writes the
    whole numbers of a column with an empty cell so. Not ``1_1``, ``+1`` or digits of other scripts,
    which Python's own `int` would take.
    """
    match = _WHOLE_NUMBER.fullmatch(text)
    return int(match[1]) if match else None


def parse_dependency(text: str) -> tuple[list[int], list[str]]:
    """Return a dependency's parent numbers, zeros left out, and its parts that are no number.

    An empty cell, or what pandas writes for one, names no parent; an empty part beside others
    (``1,``) is no number.
    """
    numbers: list[int] = []
    words: list[str] = []
    if is_missing(text):
        return numbers, words
    for part in text.split(","):
        number = parse_whole_number(part)
        if number is None:
            words.append(part.strip())
        elif number:
            numbers.append(number)
    return numbers, words
