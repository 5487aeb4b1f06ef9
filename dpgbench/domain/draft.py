"""The questions that somebody or something proposes for a prompt, before they are a benchmark's.

Which categories there are, what can be mended without a loss, and the rows that a sound draft
becomes. What makes a draft unsound is `draft_checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dpgbench.domain.graph import topological_order
from dpgbench.domain.rows import Category, QuestionRow

CATEGORIES = (
    "entity - whole",
    "entity - part",
    "entity - state",
    "attribute - color",
    "attribute - shape",
    "attribute - size",
    "attribute - texture",
    "attribute - other",
    "relation - spatial",
    "relation - non-spatial",
    "global",
    "other - count",
    "other - text",
)
"""DPG-Bench's categories, on both levels."""

_SPELLINGS = {
    "attribute - colour": "attribute - color",
    "relation - nonspatial": "relation - non-spatial",
    "relation - non spatial": "relation - non-spatial",
    "other - number": "other - count",
    "global -": "global",
    "global - global": "global",
}


@dataclass(frozen=True)
class DraftQuestion:
    """One proposed question.

    Attributes:
        number: its own, by which others name it.
        category: as `CATEGORIES` writes it, or as somebody wrote it.
        arguments: what stands in the brackets of its tuple, such as ``car, red``.
        parents: numbers of the questions that must be true before it makes sense.
        span: the words of the prompt that it is about; "" where they are not named.
    """

    number: int
    category: str
    arguments: str
    question: str
    parents: tuple[int, ...] = ()
    span: str = ""

    @property
    def tuple(self) -> str:
        """The tuple as DPG-Bench writes it: ``attribute - color (car, red)``."""
        bare = "-" not in self.category
        return f"{self.category}{' -' if bare else ''} ({self.arguments})"


class Mended(NamedTuple):
    """A draft after what could be mended without a loss, and what that was, in words."""

    questions: tuple[DraftQuestion, ...]
    repairs: tuple[str, ...]


def mended(questions: Sequence[DraftQuestion], prompt: str) -> Mended:
    """Return a draft with spaces, spellings, numbers and order as they are meant.

    Numbers become 1 to n and parents come before their children, where each number stands for one
    question and there is no cycle: nothing that a question says or needs is changed. Of anything
    else that is wrong nothing is touched.
    """
    repairs: list[str] = []
    plain = [_plain(question, prompt, repairs) for question in questions]
    by_number = {question.number: question for question in plain}
    if len(by_number) < len(plain) or min(by_number, default=1) < 1:
        return Mended(tuple(plain), tuple(repairs))
    parents = {question.number: list(question.parents) for question in plain}
    if any(parent not in parents for named in parents.values() for parent in named):
        return Mended(tuple(plain), tuple(repairs))
    if has_cycle(parents):
        return Mended(tuple(plain), tuple(repairs))
    order = topological_order(parents)
    if order != list(parents):
        repairs.append("questions put into an order in which parents come first")
    numbers = {old: new for new, old in enumerate(order, 1)}
    if any(old != new for old, new in numbers.items()):
        repairs.append("questions numbered from 1")
    ordered = tuple(
        replace(
            by_number[old],
            number=new,
            parents=tuple(sorted(numbers[parent] for parent in by_number[old].parents)),
        )
        for old, new in numbers.items()
    )
    return Mended(ordered, tuple(repairs))


def has_cycle(parents: dict[int, list[int]]) -> bool:
    """Return whether some question needs itself, directly or by others."""
    waiting = {number: {p for p in named if p in parents} for number, named in parents.items()}
    while waiting:
        free = {number for number, named in waiting.items() if not named}
        if not free:
            return True
        waiting = {n: named - free for n, named in waiting.items() if n not in free}
    return False


def draft_rows(item_id: str, prompt: str, questions: Sequence[DraftQuestion]) -> list[QuestionRow]:
    """Return a sound draft as rows of a question file, numbered as in a file of its own."""
    return [_row(item_id, prompt, question, place) for place, question in enumerate(questions)]


def _row(item_id: str, prompt: str, question: DraftQuestion, place: int) -> QuestionRow:
    broad, _, detailed = question.category.partition(" - ")
    return QuestionRow(
        row=place + 2,
        item_id=item_id,
        text=prompt,
        keywords=question.span,
        qid=question.number,
        dependency=",".join(map(str, question.parents)) or "0",
        category_broad=broad,
        category_detailed=detailed,
        tuple=question.tuple,
        question=question.question,
        position=place,
    )


def _plain(question: DraftQuestion, prompt: str, repairs: list[str]) -> DraftQuestion:
    category = Category("", question.category).as_meant().l2
    category = _SPELLINGS.get(category, category)
    if category != question.category and category in CATEGORIES:
        repairs.append(f"category {question.category!r} read as {category!r}")
    named = tuple(dict.fromkeys(parent for parent in question.parents if parent != 0))
    span = question.span.strip()
    return replace(
        question,
        category=category if category in CATEGORIES else question.category,
        arguments=" ".join(question.arguments.split()),
        question=" ".join(question.question.split()),
        parents=named,
        span=" ".join(span.split()) if span and span in prompt else "",
    )
