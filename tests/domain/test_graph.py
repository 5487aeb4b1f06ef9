"""Dirt in question graphs: what is found, and what is left of the graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.benchmark import Benchmark, WordCounts
from dpgbench.domain.graph import (
    Problem,
    ProblemKind,
    PromptGraph,
    count_problems,
    draw_tree,
    find_problems,
)
from dpgbench.domain.rows import item_source
from tests.domain.question_rows import rows


@pytest.mark.parametrize(
    ("item_id", "source"),
    [
        ("COCOval12", "COCOval"),
        ("stanford_paragraph_54", "stanford_paragraph"),
        ("123", "web"),
        ("whoops9", "whoops"),
        ("localized_narratives_1_2", "localized_narratives"),
    ],
)
def test_item_source(item_id: str, source: str) -> None:
    assert item_source(item_id) == source


@pytest.mark.parametrize(
    ("dependencies", "problems"),
    [
        (["0", "1", "1,2"], {}),
        (["1"], {"self_parent": 1}),
        (["0", "7"], {"unknown_parent": 1}),
        (["0", "1, right"], {"dependency_word": 1}),
        (["2", "0"], {"forward_parent": 1}),
        (["2", "1"], {"cycle_edge": 1, "forward_parent": 1}),
        (["", "0"], {}),
        (["0", "1.0", "1.0, 2", " "], {}),
        (["0", "1_1"], {"dependency_word": 1}),
    ],
)
def test_problems(dependencies: list[str], problems: dict[str, int]) -> None:
    graph = PromptGraph.from_rows(rows("a1", dependencies))
    assert count_problems(find_problems([graph])) == problems


def test_a_problem_names_row_and_item() -> None:
    (problem,) = find_problems([PromptGraph.from_rows(rows("a1", ["0", "9"]))])
    assert str(problem) == "row 3 (item a1): parent 9 is not a question of this item"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Global (whole scene)", ("global", "global")),
        ("entity \u2013 Whole (cat)", ("entity", "entity - whole")),
        ("attribute-color (cat, red)", ("attribute", "attribute - color")),
        ("global - (whole scene)", ("global", "global -")),
    ],
)
def test_a_category_as_it_was_meant(typed: str, meant: tuple[str, str]) -> None:
    (row,) = rows("a1", ["0"])
    assert replace(row, tuple=typed).meant_category == meant


def test_rows_of_an_item_that_are_not_together_are_told_with_the_first_row() -> None:
    together = rows("a1", ["0", "1"])
    apart = [together[0], replace(together[1], row=12)]
    (problem,) = find_problems([PromptGraph.from_rows(apart)])
    assert (problem.kind, problem.row) == ("split_item", 12)
    assert str(problem) == "row 12 (item a1): rows of this item are not together; it began at row 2"


@given(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=3), min_size=1, max_size=6))
def test_any_graph_becomes_acyclic_with_parents_first(dependencies: list[list[int]]) -> None:
    graph = PromptGraph.from_rows(rows("a1", [",".join(map(str, d)) for d in dependencies]))
    seen: set[int] = set()
    for question in graph.questions:
        assert set(question.parents) <= seen
        seen.add(question.qid)
    assert seen == set(range(1, len(dependencies) + 1))
    assert len(draw_tree(graph)) == len(dependencies)


def test_tree() -> None:
    lines = draw_tree(PromptGraph.from_rows(rows("a1", ["0", "1", "2", "1", "0,2,4"])))
    assert [line.split(".")[0] for line in lines] == [
        "1",
        "├── 2",
        "│   ├── 3",
        "│   └── 5",
        "└── 4",
    ]
    assert lines[3].endswith("(also needs 4)")


def test_lines_of_a_deep_tree_stop_moving_right_and_tell_their_level() -> None:
    lines = draw_tree(PromptGraph.from_rows(rows("a1", [str(n) for n in range(44)])))
    assert lines[0].startswith("1. ")
    for level, line in enumerate(lines[1:], 1):
        deep = f"(level {level}) " if level > 40 else ""
        assert line.startswith(" " * 4 * min(level - 1, 40) + f"└── {deep}{level + 1}. ")


def test_a_tree_names_right_answers_and_further_parents() -> None:
    item = [
        replace(row, expected="two" if row.qid == 3 else "yes")
        for row in rows("a1", ["0", "0", "1,2"])
    ]
    lines = draw_tree(PromptGraph.from_rows(item))
    assert [line.split("[")[1] for line in lines] == [
        "entity - whole]",
        "entity - whole] (right: two) (also needs 2)",
        "entity - whole]",
    ]


def test_a_circle_is_seen_whatever_the_numbers_of_its_questions() -> None:
    for qids in ((10, 20), (1, 2), (2, 1), (0, 5)):
        first, second = rows("a1", ["", ""])
        circle = [
            replace(first, qid=qids[0], dependency=str(qids[1])),
            replace(second, qid=qids[1], dependency=str(qids[0])),
        ]
        kinds = [problem.kind for problem in PromptGraph.from_rows(circle).problems]
        assert kinds == ["forward_parent", "cycle_edge"][: 1 if 0 in qids else 2]


def test_counts_of_a_benchmark() -> None:
    prompts = {"a1": "one two", "7": "x " * 25}
    items = {"a1": tuple(rows("a1", ["0", "1"]))}
    counts = Benchmark("b", Path("b.csv"), prompts, items).counts()
    assert counts.items == 2
    assert counts.questions == 2
    assert counts.sources == {"a": 1, "web": 1}
    assert counts.l1 == {"entity": 2}
    assert counts.l2 == {"entity - whole": 2}
    assert counts.words == WordCounts(mean=13.5, median=13.5, min=2, max=25)
    assert counts.lengths == {"0-19": 1, "20-39": 1}
    assert list(counts.to_json()) == [
        "items", "questions", "sources", "l1", "l2", "words", "lengths",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", get_args(ProblemKind))
def test_every_kind_of_problem_has_words(kind: ProblemKind) -> None:
    text = str(Problem(kind, 7, "a1", "here"))
    assert text.startswith("row 7 (item a1): ")
    assert "here" in text
    assert "{" not in text
