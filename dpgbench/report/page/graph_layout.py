"""Where the questions of a graph stand: roots left, children further right, a row for each leaf.

Places only; the page's script measures the boxes and draws the lines between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.domain.graph import GraphQuestion


def cells(questions: Sequence[GraphQuestion]) -> dict[int, tuple[int, float]]:
    """Return the column and the row of each question.

    The column is the longest way from a root. A question hangs under its deepest parent, the
    first of such; those without children take a row each, and a parent stands in the middle of
    its own.
    """
    columns = _columns(questions)
    children: dict[int, list[int]] = {question.qid: [] for question in questions}
    roots: list[int] = []
    for question in sorted(questions, key=lambda question: question.qid):
        if question.parents:
            deepest = max(question.parents, key=lambda parent: columns[parent])
            children[deepest].append(question.qid)
        else:
            roots.append(question.qid)
    rows: dict[int, float] = {}
    free = 0
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        qid, done = stack.pop()
        if not children[qid]:
            rows[qid], free = float(free), free + 1
        elif done:
            rows[qid] = (rows[children[qid][0]] + rows[children[qid][-1]]) / 2
        else:
            stack.append((qid, True))
            stack += [(child, False) for child in reversed(children[qid])]
    return {question.qid: (columns[question.qid], rows[question.qid]) for question in questions}


def _columns(questions: Sequence[GraphQuestion]) -> dict[int, int]:
    """Return for each question how many edges the longest way from a root has."""
    depth: dict[int, int] = {}
    for question in questions:
        depth[question.qid] = 1 + max((depth[parent] for parent in question.parents), default=-1)
    return depth
