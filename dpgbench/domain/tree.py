"""A question graph as lines of text: each question under its first parent."""

from __future__ import annotations

from dpgbench.domain.graph import PromptGraph, Question

_MAX_INDENT = 40


def draw_tree(graph: PromptGraph) -> list[str]:
    """Return the graph's lines; further parents of a question are named behind it.

    Below 40 levels the lines stop moving right and tell their level instead: a chain of thousands
    of questions would else be mostly spaces.
    """
    children: dict[int, list[Question]] = {}
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


def _label(question: Question) -> str:
    others = ", ".join(map(str, question.parents[1:]))
    also = f" (also needs {others})" if others else ""
    return f"{question.qid}. {question.text} [{question.category.l2}]{also}"
