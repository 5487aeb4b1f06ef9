"""Whole numbers in cells: what pandas writes is read, what only Python's `int` takes is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.plan import plan_item
from dpgbench.domain.rows import parse_dependency, parse_whole_number
from dpgbench.domain.rules import DSG, ELLA_REFERENCE
from dpgbench.domain.score import refuse_bad_dependencies, score_item
from dpgbench.errors import DataError
from tests.domain.question_rows import rows


@given(st.integers(-999_999_999, 999_999_999), st.sampled_from(["{}", " {} ", "{}.0", "{}.000"]))
def test_whole_numbers_are_read_with_spaces_and_point_zero(number: int, form: str) -> None:
    assert parse_whole_number(form.format(number)) == number


@pytest.mark.parametrize(
    "text", ["1_1", "+1", "１", "٣", "1e3", "1.5", "0x1", "1 1", "²", "12345678901"]
)
def test_what_only_python_takes_for_a_number_is_none(text: str) -> None:
    assert parse_whole_number(text) is None
    assert parse_dependency(f"2,{text}") == ([2], [text])


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6), st.sampled_from(["", ".0", " "]))
def test_a_dependency_gives_its_parents_in_order(parents: list[int], end: str) -> None:
    text = ",".join(f"{parent}{end}" for parent in parents)
    assert parse_dependency(text) == ([parent for parent in parents if parent], [])


@pytest.mark.parametrize("text", ["", " ", "nan", "None", "<NA>", "0", "0.0"])
def test_nothing_names_no_parent(text: str) -> None:
    assert parse_dependency(text) == ([], [])


@pytest.mark.parametrize("text", ["1,", ",1", "1,,2", ","])
def test_an_empty_part_beside_others_is_no_number(text: str) -> None:
    assert "" in parse_dependency(text)[1]
    item = rows("it", ["0", text])
    with pytest.raises(DataError, match="dependency is not an integer"):
        refuse_bad_dependencies(item, ELLA_REFERENCE, "b.csv")
    answers = {("it", 0): {1: "no", 2: "yes"}}
    scored = score_item(plan_item(item, DSG, 2), answers, DSG, 1)
    assert scored.score == 0.5  # DSG zeroes nothing in an item with such a dependency
