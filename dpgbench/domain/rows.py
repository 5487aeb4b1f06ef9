"""Rows of a benchmark file as written, and what can be read off one row alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


class Category(NamedTuple):
    """A question's category on both levels, for example ``attribute`` and ``attribute - color``."""

    l1: str
    l2: str


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One row of a benchmark file, as written.

    Attributes:
        row: the row as a spreadsheet numbers it; the header is row 1.
        qid: the question's number within its item, from 1.
        dependency: comma-separated parent numbers; ``0`` means none.
        tuple: category and content, for example ``attribute - color (cube, purple)``.
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

    @property
    def category(self) -> Category:
        """Category as the ELLA script reads it: from the part of `tuple` before ``(``."""
        l2 = self.tuple.split("(")[0].strip()
        return Category(l2.split("-")[0].strip(), l2)

    @property
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


def parse_dependency(text: str) -> tuple[list[int], list[str]]:
    """Return a dependency's parent numbers, zeros left out, and its parts that are no number."""
    numbers: list[int] = []
    words: list[str] = []
    for part in text.split(","):
        try:
            number = int(part.strip())
        except ValueError:
            words.append(part.strip())
        else:
            if number:
                numbers.append(number)
    return numbers, words
