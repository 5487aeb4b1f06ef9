"""Where the nodes of a question graph stand when it is drawn: roots left, children further right.

Geometry only; colours and words are the template's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dpgbench.domain.graph import Question

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


class Layout(NamedTuple):
    """A drawn graph: `width` and `height` hold everything."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


def layout(questions: Sequence[Question]) -> Layout:
    """Return the drawing of a clean graph; parents must stand before their children."""
    columns = _columns(questions)
    rows = _rows(questions, columns)
    places = {
        qid: Node(
            qid,
            _MARGIN + column * (NODE_WIDTH + _GAP_X),
            round(_MARGIN + rows[qid] * (NODE_HEIGHT + _GAP_Y)),
        )
        for qid, column in columns.items()
    }
    edges = tuple(
        Edge(parent, question.qid, _curve(places[parent], places[question.qid]))
        for question in questions
        for parent in question.parents
    )
    width = max((node.x for node in places.values()), default=0) + NODE_WIDTH + _MARGIN
    height = max((node.y for node in places.values()), default=0) + NODE_HEIGHT + _MARGIN
    return Layout(tuple(places.values()), edges, width, height)


def _columns(questions: Sequence[Question]) -> dict[int, int]:
    """Return for each question how many edges the longest way from a root has."""
    depth: dict[int, int] = {}
    for question in questions:
        depth[question.qid] = 1 + max((depth[parent] for parent in question.parents), default=-1)
    return depth


def _rows(questions: Sequence[Question], columns: dict[int, int]) -> dict[int, float]:
    """Return each question's row: within a column by where its parents stand, none twice."""
    rows: dict[int, float] = {}
    parents = {question.qid: question.parents for question in questions}
    tallest = max((list(columns.values()).count(c) for c in columns.values()), default=0)
    for column in range(max(columns.values(), default=-1) + 1):
        members = [qid for qid, place in columns.items() if place == column]
        wished = {qid: _mean([rows[p] for p in parents[qid]]) for qid in members}
        members.sort(key=lambda qid: wished[qid])
        shift = (tallest - len(members)) / 2
        rows |= {qid: shift + place for place, qid in enumerate(members)}
    return rows


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _curve(parent: Node, child: Node) -> str:
    x1, y1 = parent.x + NODE_WIDTH, parent.y + NODE_HEIGHT // 2
    x2, y2 = child.x, child.y + NODE_HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
