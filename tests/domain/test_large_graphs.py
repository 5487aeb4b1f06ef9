"""Question graphs of any size: the same edges as edge by edge, in the time that reading takes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.graph import PromptGraph, draw_tree
from dpgbench.domain.plan import plan_item
from dpgbench.domain.rows import QuestionRow, parse_dependency
from dpgbench.domain.rules import RULES
from dpgbench.report.page.graph_layout import cells
from tests.domain.question_rows import rows


def edge_by_edge(given_rows: list[QuestionRow]) -> tuple[dict[int, list[int]], list[str]]:
    """Return parents and kinds of problems, searching the whole graph for every edge."""
    position = {row.qid: place for place, row in enumerate(given_rows)}
    parents: dict[int, list[int]] = {row.qid: [] for row in given_rows}
    kinds: list[str] = []

    def reaches(start: int, goal: int, seen: frozenset[int] = frozenset()) -> bool:
        return start == goal or any(
            reaches(above, goal, seen | {start}) for above in parents[start] if above not in seen
        )

    for row in given_rows:
        for parent in dict.fromkeys(parse_dependency(row.dependency)[0]):
            if parent == row.qid:
                kinds.append("self_parent")
            elif parent not in parents:
                kinds.append("unknown_parent")
            elif reaches(parent, row.qid):
                kinds.append("cycle_edge")
            else:
                if position[parent] > position[row.qid]:
                    kinds.append("forward_parent")
                parents[row.qid].append(parent)
    return parents, kinds


def slow_order(parents: dict[int, list[int]]) -> list[int]:
    order: list[int] = []

    def visit(qid: int) -> None:
        if qid not in order:
            for parent in parents[qid]:
                visit(parent)
            order.append(qid)

    for qid in parents:
        visit(qid)
    return order


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=9))
def test_the_graph_is_that_of_adding_edge_by_edge(dependencies: list[list[int]]) -> None:
    item = rows("a1", [",".join(map(str, named)) or "0" for named in dependencies])
    parents, kinds = edge_by_edge(item)
    graph = PromptGraph.from_rows(item)
    assert {q.qid: list(q.parents) for q in graph.questions} == parents
    assert [q.qid for q in graph.questions] == slow_order(parents)
    assert [problem.kind for problem in graph.problems] == kinds


N = 799


@pytest.mark.parametrize(
    "dependencies",
    [
        pytest.param([",".join(map(str, range(1, i))) or "0" for i in range(1, N + 1)], id="full"),
        pytest.param(
            [",".join(map(str, range(i + 1, 401))) or "0" for i in range(1, 401)],
            id="full, parents below",
        ),
        pytest.param(
            [",".join(str(j) for j in range(1, 201) if j != i) for i in range(1, 201)],
            id="each names all others",
        ),
        pytest.param([str(i) for i in range(5000)], id="chain"),
        pytest.param([str(i + 1) for i in range(1, 5000)] + ["0"], id="chain, parents below"),
        pytest.param(["0"] + ["1"] * 4999, id="star"),
        pytest.param([",".join(map(str, range(2, 5001)))] + ["0"] * 4999, id="star, root last"),
    ],
)
def test_large_items_take_seconds_at_most(dependencies: list[str]) -> None:
    item = rows("a1", dependencies)
    started = time.process_time()
    graph = PromptGraph.from_rows(item)
    for rule in RULES.values():
        assert len(plan_item(item, rule, 0).questions) == len(item)
    assert len(draw_tree(graph)) == len(cells(graph.questions)) == len(item)
    assert sum(map(len, draw_tree(graph))) < 20_000_000
    assert time.process_time() - started < 15  # of the graph alone: minutes before
