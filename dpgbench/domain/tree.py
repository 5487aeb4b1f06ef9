"""A question graph as lines of text: each question under its first parent."""

from __future__ import annotations

from collections.abc import Iterator

from dpgbench.domain.graph import PromptGraph, Question


def draw_tree(graph: PromptGraph) -> list[str]:
    """Return the graph's lines; further parents of a question are named behind it."""
    children: dict[int, list[Question]] = {}
    for question in sorted(graph.questions, key=lambda question: question.qid):
        children.setdefault(question.parents[0] if question.parents else 0, []).append(question)
    lines: list[str] = []
    for root in children.get(0, []):
        lines.append(_label(root))
        lines += _branches(root, children, "")
    return lines


def _branches(parent: Question, children: dict[int, list[Question]], indent: str) -> Iterator[str]:
    below = children.get(parent.qid, [])
    for child in below:
        last = child is below[-1]
        yield indent + ("└── " if last else "├── ") + _label(child)
        yield from _branches(child, children, indent + ("    " if last else "│   "))


def _label(question: Question) -> str:
    others = ", ".join(map(str, question.parents[1:]))
    also = f" (also needs {others})" if others else ""
    return f"{question.qid}. {question.text} [{question.category.l2}]{also}"
