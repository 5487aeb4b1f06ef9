"""Where the nodes of a question graph stand when it is drawn: roots left, children further right.

Geometry only; colours and words are the template's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dpgbench.domain.graph import GraphQuestion

NODE_WIDTH = 66
NODE_HEIGHT = 26
_GAP_X = 34
_GAP_Y = 8
_MARGIN = 3


class Node(NamedTuple):
    """The left and top of a question's box."""

    qid: int
    x: int
    y: int


class Edge(NamedTuple):
    """A curve from a parent's right side to its child's left side, as an SVG path."""

    parent: int
    child: int
    path: str


class GraphLayout(NamedTuple):
    """A drawn graph: `width` and `height` hold everything."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


def layout(questions: Sequence[GraphQuestion]) -> GraphLayout:
    """Return the drawing of a clean graph; parents must stand before their children."""
    places = {
        qid: Node(
            qid,
            _MARGIN + column * (NODE_WIDTH + _GAP_X),
            round(_MARGIN + row * (NODE_HEIGHT + _GAP_Y)),
        )
        for qid, (column, row) in cells(questions).items()
    }
    edges = tuple(
        Edge(parent, question.qid, _curve(places[parent], places[question.qid]))
        for question in questions
        for parent in question.parents
    )
    width = max((node.x for node in places.values()), default=0) + NODE_WIDTH + _MARGIN
    height = max((node.y for node in places.values()), default=0) + NODE_HEIGHT + _MARGIN
    return GraphLayout(tuple(places.values()), edges, width, height)


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


def _curve(parent: Node, child: Node) -> str:
    x1, y1 = parent.x + NODE_WIDTH, parent.y + NODE_HEIGHT // 2
    x2, y2 = child.x, child.y + NODE_HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
