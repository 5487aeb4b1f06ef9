"""Question graphs: the problems of rows as written, the clean graph of an item, and its drawing.

Rows keep their dirt (`rows.QuestionRow`), because some scoring rules depend on it; `PromptGraph`
is what the benchmark means: every edge sound, parents before children.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from dpgbench.domain.answer_text import YES
from dpgbench.domain.rows import Category, QuestionRow

_MAX_INDENT = 40
ProblemKind = Literal[
    "dependency_word",
    "self_parent",
    "unknown_parent",
    "forward_parent",
    "cycle_edge",
    "duplicate_question",
    "split_item",
    "conflicting_text",
    "empty_text",
    "empty_question",
    "empty_category",
]

_PROBLEM_TEXT: dict[ProblemKind, str] = {
    "dependency_word": "dependency has a part that is not a number: {}",
    "self_parent": "question {} is its own parent",
    "unknown_parent": "parent {} is not a question of this item",
    "forward_parent": "parent {} stands after its child in the file",
    "cycle_edge": "parent {} closes a cycle",
    "duplicate_question": "question {} appears again",
    "split_item": "rows of this item are not together; it began at row {}",
    "conflicting_text": "prompt differs from the one at row {}",
    "empty_text": "prompt is empty{}",
    "empty_question": "question {} has no text",
    "empty_category": "tuple {} names no category before '('",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a benchmark file: what, at which row, in which item."""

    kind: ProblemKind
    row: int
    item_id: str
    detail: str

    def __str__(self) -> str:
        return f"row {self.row} (item {self.item_id}): " + _PROBLEM_TEXT[self.kind].format(
            self.detail
        )


@dataclass(frozen=True, slots=True)
class GraphQuestion:
    """One question of a clean graph; `parents` are sound and stand before it."""

    qid: int
    text: str
    category: Category
    parents: tuple[int, ...]
    row: QuestionRow


@dataclass(frozen=True)
class PromptGraph:
    """An item's prompt with its questions in topological order, and what was wrong in the file."""

    item_id: str
    text: str
    questions: tuple[GraphQuestion, ...]
    problems: tuple[Problem, ...]

    @cached_property
    def by_id(self) -> dict[int, GraphQuestion]:
        """Question by its number."""
        return {question.qid: question for question in self.questions}

    @classmethod
    def from_rows(cls, rows: Sequence[QuestionRow]) -> PromptGraph:
        """Return the clean graph of one item's rows (at least one).

        Words, unknown parents and self-parents in a dependency are left out, and so is every edge
        that closes a cycle, taken in file order. Of rows that repeat a question number the first
        counts. Each omission is one `Problem`.
        """
        problems = list(_text_problems(rows))
        kept = _first_of_each_question(rows, problems)
        parents = _sound_parents(kept, problems)
        questions = {
            qid: GraphQuestion(qid, row.question, row.meant_category, tuple(parents[qid]), row)
            for qid, row in kept.items()
        }
        ordered = tuple(questions[qid] for qid in topological_order(parents))
        problems.sort(key=lambda problem: problem.row)
        return cls(rows[0].item_id, rows[0].text, ordered, tuple(problems))


def topological_order(parents: dict[int, list[int]]) -> list[int]:
    """Return the keys so that parents stand before children; file order where that is free.

    `parents` must be acyclic and name known keys only. Each edge is looked at once.
    """
    order: dict[int, None] = {}
    for start, its_parents in parents.items():
        stack = [] if start in order else [(start, iter(its_parents))]
        while stack:
            qid, above = stack[-1]
            waiting = next((parent for parent in above if parent not in order), None)
            if waiting is None:
                order[qid] = None
                stack.pop()
            else:
                stack.append((waiting, iter(parents[waiting])))
    return list(order)


def find_problems(graphs: Iterable[PromptGraph]) -> list[Problem]:
    """Return every problem of a file's items, in file order."""
    problems = [problem for graph in graphs for problem in graph.problems]
    return sorted(problems, key=lambda problem: problem.row)


def count_problems(problems: Iterable[Problem]) -> dict[str, int]:
    """Return how often each kind of problem occurs, sorted by name."""
    return dict(sorted(Counter(problem.kind for problem in problems).items()))


def draw_tree(graph: PromptGraph) -> list[str]:
    """Return the graph's lines; further parents of a question are named behind it.

    Below 40 levels the lines stop moving right and tell their level instead: a chain of thousands
    of questions would else be mostly spaces.
    """
    children: dict[int, list[GraphQuestion]] = {}
    for question in sorted(graph.questions, key=lambda question: question.qid):
        children.setdefault(question.parents[0] if question.parents else 0, []).append(question)
    lines: list[str] = []
    stack = [(root, "", "", 0) for root in reversed(children.get(0, []))]
    while stack:
        question, lead, indent, level = stack.pop()
        deep = f"(level {level}) " if level > _MAX_INDENT else ""
        lines.append(lead + deep + _label(question))
        below = children.get(question.qid, [])
        for child in reversed(below):
            last = child is below[-1]
            further = indent + ("    " if last else "│   ")
            stack.append(
                (
                    child,
                    indent + ("└── " if last else "├── "),
                    further if level < _MAX_INDENT else indent,
                    level + 1,
                )
            )
    return lines


def _text_problems(rows: Sequence[QuestionRow]) -> Iterable[Problem]:
    first = rows[0]
    if not first.text.strip():
        yield Problem("empty_text", first.row, first.item_id, "")
    for before, row in pairwise(rows):
        if row.text.strip() != first.text.strip():
            yield Problem("conflicting_text", row.row, row.item_id, str(first.row))
        if row.place != before.place + 1:
            yield Problem("split_item", row.row, row.item_id, str(first.row))
    for row in rows:
        if not row.question.strip():
            yield Problem("empty_question", row.row, row.item_id, str(row.qid))
        if not row.category.l1:
            yield Problem("empty_category", row.row, row.item_id, repr(row.tuple))


def _first_of_each_question(
    rows: Sequence[QuestionRow], problems: list[Problem]
) -> dict[int, QuestionRow]:
    kept: dict[int, QuestionRow] = {}
    for row in rows:
        if row.qid in kept:
            problems.append(Problem("duplicate_question", row.row, row.item_id, str(row.qid)))
        else:
            kept[row.qid] = row
    return kept


def _sound_parents(kept: dict[int, QuestionRow], problems: list[Problem]) -> dict[int, list[int]]:
    position = {qid: index for index, qid in enumerate(kept)}
    parents: dict[int, list[int]] = {qid: [] for qid in kept}
    children = [0] * len(kept)  # bit p of entry q: the question at p hangs under the one at q
    for qid, row in kept.items():
        numbers, words = row.parents
        problems += [Problem("dependency_word", row.row, row.item_id, repr(word)) for word in words]
        named = dict.fromkeys(numbers)
        place = position[qid]
        back = any(position.get(parent, place) < place for parent in named)
        below = _below(place, children) if back else 0  # further down, nothing has parents yet
        for parent in named:
            kind = _edge_problem(qid, parent, position, below)
            if kind:
                problems.append(Problem(kind, row.row, row.item_id, str(parent)))
            if kind is None or kind == "forward_parent":
                parents[qid].append(parent)
                children[position[parent]] |= 1 << place
    return parents


def _edge_problem(
    qid: int, parent: int, position: dict[int, int], below: int
) -> ProblemKind | None:
    """Return what is wrong with an edge; `below` has a bit for each question under `qid`.

    Parents given to `qid` itself do not change what hangs under it, so all its edges are judged by
    the same `below`.
    """
    if parent == qid:
        return "self_parent"
    if parent not in position:
        return "unknown_parent"
    if below >> position[parent] & 1:
        return "cycle_edge"
    return "forward_parent" if position[parent] > position[qid] else None


def _below(start: int, children: Sequence[int]) -> int:
    """Return a bit for each place that can be reached from `start`, a union a place."""
    seen = todo = children[start]
    while todo:
        place = todo.bit_length() - 1
        todo ^= 1 << place
        new = children[place] & ~seen
        seen |= new
        todo |= new
    return seen


def _label(question: GraphQuestion) -> str:
    others = ", ".join(map(str, question.parents[1:]))
    also = f" (also needs {others})" if others else ""
    expected = question.row.expected
    right = f" (right: {expected})" if expected != YES else ""
    return f"{question.qid}. {question.text} [{question.category.l2}]{right}{also}"
