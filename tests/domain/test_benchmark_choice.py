"""Which items of a benchmark are chosen, what the choice is called, how questions are worded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dpgbench.domain.benchmark import Benchmark, Subset
from dpgbench.domain.result import CategoryScore, ItemFigure, Result, Score
from dpgbench.errors import UsageError
from tests.domain.question_rows import benchmark_of, rows

ALL = ["ab1", "ab2", "b1", "7"]


@pytest.fixture
def benchmark() -> Benchmark:
    return benchmark_of([rows(name, ["0"], first=2 + n) for n, name in enumerate(ALL)])


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({}, ALL),
        ({"limit": 1}, ["ab1"]),
        ({"limit": 4}, ALL),
        ({"limit": 9}, ALL),
        ({"items": ["b1", "ab1"]}, ["ab1", "b1"]),
        ({"sources": ["ab"]}, ["ab1", "ab2"]),
        ({"sources": ["a", "web"]}, ["ab1", "ab2", "7"]),
        ({"items": ["ab1", "b1"], "sources": ["b"]}, ["b1"]),
        ({"items": ["ab1", "b1"], "sources": ["b", "ab"], "limit": 1}, ["ab1"]),
    ],
)
def test_items_are_chosen_in_the_files_order(
    benchmark: Benchmark, choice: Any, chosen: list[str]
) -> None:
    assert benchmark.select(**choice) == chosen


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"limit": 0}, "--limit 0: at least 1 is needed"),
        ({"limit": -1}, "--limit -1: at least 1 is needed"),
        ({"items": ["ab3"]}, "ab3"),
        ({"items": ["ab1"], "sources": ["b"]}, "no item of made-up is left by the choice"),
        ({"sources": ["x"]}, "sources: ab, b, web"),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused(
    benchmark: Benchmark, choice: Any, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        benchmark.select(**choice)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["ab2", "ab1"], "2 of 4 items (first 2)"),
        (["b1"], "1 of 4 items (source b)"),
        (["7", "b1"], "2 of 4 items (sources b, web)"),
        (["ab2", "7"], "2 of 4 items"),
        (["ab1", "ab2", "7"], "3 of 4 items (sources ab, web)"),
    ],
)
def test_a_part_is_called_by_what_it_is(benchmark: Benchmark, items: list[str], words: str) -> None:
    subset = benchmark.subset(items)
    assert str(subset) == words
    assert subset is not None
    assert subset.with_choice.startswith(f"{len(items)} of 4 items (")
    assert benchmark.subset(ALL) is None
    assert str(Subset(0, 1)) == "0 of 1 item"


def test_a_benchmark_is_worded_by_other_answers_or_by_templates() -> None:
    (row,) = rows("a", ["0"])
    for changes, worded in (
        ({}, False),
        ({"expected": "no"}, False),
        ({"expected": "two"}, True),
        ({"template": "Is it so: {question}"}, True),
    ):
        assert benchmark_of([[replace(row, **changes)]]).is_worded is worded


def test_fields_of_a_result_have_their_names_in_its_file() -> None:
    figures = {
        "a1": ItemFigure(50.0, 2, tile_scores=(0.0, 100.0)),
        "b1": ItemFigure(None, 1, True, (), "no answers"),
    }
    result = Result(
        "r", 50.0, None, 1, 2, {"b1": "no answers"}, {}, {}, {"a": Score(50.0)}, {},
        unanswered=("b1",), item_figures=figures,
    )  # fmt: skip
    assert result["failed_items"] == result["unanswered_items"] == ["b1"]
    assert (result["overall"], result.coverage, result.complete) == (50.0, 0.5, False)
    table = result.to_frame()
    assert list(table.columns) == ["source", "score", "tile_0", "tile_1", "questions", "failure"]
    assert table.loc["a1"].tolist() == ["a", 50.0, 0.0, 100.0, 2, ""]
    assert table.loc["b1", ["score", "tile_0", "tile_1"]].isna().all()
    assert (Score(50.0).number, Score(50.0, items=3).number, CategoryScore(50.0).number) == (
        0,
        3,
        0,
    )
    for name in ("to_frame", "_x", "nothing"):
        with pytest.raises(KeyError):
            result[name]
