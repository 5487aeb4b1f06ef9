"""An item's questions as a rule walks them: which rows count, and which parents can zero which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dpgbench.domain.answer_text import YES
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import Category, QuestionRow
from dpgbench.domain.rules import ScoringRule

UNKNOWN = -1
"""A parent that the rule does not see, where that loses the item."""


class PlannedQuestion(NamedTuple):
    """A question as a rule sees it, in the order in which the rule walks."""

    qid: int
    parents: tuple[int, ...]
    category: Category
    expected: str = YES


class Gate(NamedTuple):
    """A question that parents can zero.

    Attributes:
        place: of the question in the plan.
        parents: their places in the plan, in the order in which they are looked at; `UNKNOWN` for
            one that loses the item.
    """

    place: int
    parents: tuple[int, ...]


@dataclass(frozen=True)
class ItemPlan:
    """One item under one rule.

    Attributes:
        questions: in the order of the walk; none where the rule leaves the item no question.
        gates: of the questions with parents, in the same order.
        qids: every question number of the item, whether the rule sees it or not.
        failure: why the rule leaves the item no question; None where it has some.
    """

    item_id: str
    questions: tuple[PlannedQuestion, ...]
    gates: tuple[Gate, ...]
    qids: frozenset[int]
    failure: str | None = None

    @cached_property
    def all_yes(self) -> bool:
        """Whether yes is the right answer to every question."""
        return all(question.expected == YES for question in self.questions)


def plan_item(
    rows: Sequence[QuestionRow],
    rule: ScoringRule,
    first_row: int,
    graph: PromptGraph | None = None,
) -> ItemPlan:
    """Return one item's plan.

    Args:
        rows: of the item, in file order.
        rule: that walks.
        first_row: row number of the file's first data row (a rule may skip it).
        graph: of these rows, where it is at hand.
    """
    item_id, qids = rows[0].item_id, frozenset(row.qid for row in rows)
    seen = _last_consecutive(rows) if rule.rows == "consecutive" else rows
    if rule.skip_first_row:
        seen = [row for row in seen if row.row != first_row]
        if not seen:
            reason = "its only row is the file's first, which this rule skips"
            return ItemPlan(item_id, (), (), qids, reason)
    if rule.gate == "ancestors":
        clean = graph if graph is not None and len(seen) == len(rows) else None
        clean = clean or PromptGraph.from_rows(seen)
        questions = tuple(
            PlannedQuestion(q.qid, q.parents, q.category, q.row.expected) for q in clean.questions
        )
    else:
        questions = _as_written(seen, rule)
    return ItemPlan(item_id, questions, _gates(questions, rule), qids)


def _last_consecutive(rows: Sequence[QuestionRow]) -> Sequence[QuestionRow]:
    start = len(rows) - 1
    while start and rows[start - 1].place == rows[start].place - 1:
        start -= 1
    return rows[start:]


def _as_written(rows: Sequence[QuestionRow], rule: ScoringRule) -> tuple[PlannedQuestion, ...]:
    last = {row.qid: row for row in rows}  # a repeated number replaces what it had, in its place
    ungated = rule.bad_dependency == "ungated" and any(row.parents.words for row in last.values())
    by_column = rule.categories == "columns"
    return tuple(
        PlannedQuestion(
            qid,
            () if ungated else row.parents.numbers,
            row.column_category if by_column else row.category,
            row.expected,
        )
        for qid, row in last.items()
    )


def _gates(questions: Sequence[PlannedQuestion], rule: ScoringRule) -> tuple[Gate, ...]:
    position = {question.qid: place for place, question in enumerate(questions)}
    if rule.gate == "none":
        return ()
    seen_only = rule.gate == "file-order" and rule.unseen_parent == "passed"
    gates = []
    for place, question in enumerate(questions):
        parents = []
        for qid in question.parents:
            parent = position.get(qid, UNKNOWN)
            if seen_only and parent >= place:
                parent = UNKNOWN  # not walked yet
            if parent != UNKNOWN or rule.unknown_parent == "fail":
                parents.append(parent)
        if parents:
            gates.append(Gate(place, tuple(parents)))
    return tuple(gates)
