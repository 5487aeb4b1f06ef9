"""What answers hold, how tiles lie, where categories come from: edge by edge."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpgbench.domain.answer_text import is_missing, read_yes_no
from dpgbench.domain.result import AnswerCensus
from dpgbench.domain.rows import parse_dependency
from dpgbench.domain.rules import RULES, find_rule
from dpgbench.domain.score import Answer, collect, read_answers, take_census_of_answers
from dpgbench.domain.spec import (
    LAYOUTS,
    GenerationSpec,
    GridSpec,
    Layout,
    check_num_images,
    check_seed_rule,
    default_layout,
    differences,
    find_layout,
    seed_for,
)
from dpgbench.errors import DataError, UsageError
from dpgbench.store.run.scores import SCHEMA
from tests.domain.question_rows import rows, score_items


@pytest.mark.parametrize("text", ["yes", "Yes", " YES. ", '"yes"', "True", "1", "1.0", "**yes**"])
def test_what_reads_as_yes(text: str) -> None:
    assert read_yes_no(text) is True


@pytest.mark.parametrize("text", ["no", "No", " NO! ", "(no)", "false", "0", "0.0"])
def test_what_reads_as_no(text: str) -> None:
    assert read_yes_no(text) is False


@pytest.mark.parametrize("text", ["", "maybe", "yes no", "yess", "2", "no bus", "n", "-1"])
def test_what_reads_as_neither(text: str) -> None:
    assert read_yes_no(text) is None


def test_cells_that_hold_nothing() -> None:
    assert all(map(is_missing, ["", "  ", "nan", "NaN", "None", "null", "N/A", " NA ", "<NA>"]))
    assert not any(map(is_missing, ["no", "yes", "none", "0", "maybe", "Nan"]))


def test_answers_that_hold_nothing_are_none() -> None:
    answers = [Answer("a", 0, 1, "yes"), Answer("a", 0, 1, ""), Answer("a", 0, 2, "nan")]
    assert collect(answers) == {("a", 0): {1: "yes"}}


def test_answers_are_read_and_counted() -> None:
    answers = [Answer("a", 0, n, t) for n, t in enumerate(["yes", "Yes", "NO.", "maybe", "no", ""])]
    read, changed = read_answers(answers)
    assert [answer.answer for answer in read] == ["yes", "yes", "no", "maybe", "no", ""]
    assert changed == 2
    assert [answer.qid for answer in read] == list(range(6))


def census(**numbers: int) -> Any:
    texts = [text for text, number in numbers.items() for _ in range(number)]
    return take_census_of_answers({("a", 0): dict(enumerate(texts))})


def test_a_census_of_answers() -> None:
    answers = {
        ("a", 0): {1: "yes", 2: "no", 3: "Yes", 4: "maybe"},
        ("a", 1): {1: "maybe", 2: "maybe", 3: "", 4: "nan"},
        ("b", 0): {1: "perhaps"},
    }
    counts = take_census_of_answers(answers)
    assert counts == (7, 5, 1, "Yes")
    assert take_census_of_answers(answers, [("a", 1), ("c", 0)]) == (2, 2, 0, "maybe")
    assert take_census_of_answers(answers, []) == (0, 0, 0, None)
    assert take_census_of_answers({("a", 0): {1: "b", 2: "a", 3: "b"}}).example == "b"
    assert take_census_of_answers({("a", 0): {1: "b", 2: "a"}}).example == "a"
    assert take_census_of_answers({("a", 0): {1: "Yes", 2: "No", 3: "No"}}).example == "No"


@pytest.mark.parametrize(
    ("numbers", "suspicious"),
    [
        ({"yes": 5, "no": 3}, False),
        ({"yes": 5000, "Yes": 1}, True),  # readable: a rule that compares letters loses it
        ({"yes": 98, "maybe": 2}, True),
        ({"yes": 198, "maybe": 2}, True),  # 1%
        ({"yes": 199, "maybe": 2}, False),
        ({"yes": 19, "maybe": 1}, True),  # 5% of few
        ({"yes": 20, "maybe": 1}, False),
        ({}, False),
        ({"maybe": 1}, True),
    ],
)
def test_answers_that_no_vqa_model_gives(numbers: dict[str, int], suspicious: bool) -> None:
    assert census(**numbers).suspicious is suspicious


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_item_with_an_answer_missing_counts_nowhere(name: str) -> None:
    items = [rows("s1", ["0"]), rows("a1", ["0", "1"], first=3), rows("b1", ["0"], first=5)]
    whole = {("s1", 0): {1: "yes"}, ("a1", 0): {1: "yes", 2: "yes"}, ("b1", 0): {1: "no"}}
    for hole in ("", "nan", None):
        answers = {**whole, ("a1", 0): {1: "yes", 2: hole} if hole is not None else {1: "yes"}}
        result = score_items(items, answers, find_rule(name), num_images=1)
        without = score_items(items, whole, find_rule(name), num_images=1, selected=["s1", "b1"])
        assert result.overall == without.overall
        assert result.l1 == without.l1
        assert result.unanswered == ("a1",)
        assert result.unanswered == ("a1",)
        assert not result.complete
        assert "question 2" in result.failures["a1"]
        assert result.warnings["items_without_all_answers"] == 1
        assert result.items_expected == 3
        assert without.complete


def test_chosen_items_alone_are_scored() -> None:
    items = [rows("a1", ["0"]), rows("b1", ["0"], first=3), rows("c1", ["0"], first=4)]
    answers = {(item, 0): {1: "yes" if item == "b1" else "no"} for item in ("a1", "b1", "c1")}
    result = score_items(
        items, answers, find_rule("corrected-v1"), num_images=1, selected=["b1", "a1"]
    )
    assert [item.item_id for item in result.items] == ["a1", "b1"]
    assert (result.overall, result.items_expected, result.coverage) == (50, 2, 1)
    nothing = score_items(items, answers, find_rule("corrected-v1"), num_images=1, selected=[])
    assert (nothing.overall, nothing.coverage) == (None, 0.0)


def test_coverage_is_the_share_of_items_with_a_score() -> None:
    items = [rows(f"a{n}", ["0"], first=2 + n) for n in range(4)]
    answers = {(f"a{n}", 0): {1: "yes"} for n in range(3)}
    result = score_items(items, answers, find_rule("corrected-v1"), num_images=1)
    assert (result.items_scored, result.items_expected, result.coverage) == (3, 4, 0.75)
    assert list(result.failures) == ["a3"]
    assert result.answers == AnswerCensus(all=3, neither=0, readable=0, example=None)


def test_a_repeated_question_number_is_refused_where_all_rows_count() -> None:
    item = rows("a1", ["0", "0"], first=3)
    again = rows("a1", ["0"], first=5)
    spare = rows("s1", ["0"])
    answers = {("s1", 0): {1: "yes"}, ("a1", 0): {1: "yes", 2: "yes"}}
    for name in sorted(RULES):
        if RULES[name].rows == "all":
            with pytest.raises(DataError, match=r"row 5 \(item a1\): question 1 .* row 3"):
                score_items([spare, item + again], answers, RULES[name], num_images=1)
        else:
            score_items([spare, item + again], answers, RULES[name], num_images=1)


def test_schema_of_score_files() -> None:
    assert SCHEMA == 1  # readers of files already written look for it


def test_layouts_by_name() -> None:
    assert [str(layout) for layout in LAYOUTS] == ["2x2", "1x4", "4x1", "1x2", "2x1", "1x1"]
    for layout in LAYOUTS:
        assert find_layout(f" {layout} ".upper()) == layout
        assert find_layout(str(layout).replace("x", "×")) == layout
        assert layout.num_images == layout.rows * layout.columns
    for text in ("", "4x3", "2", "x", "0x2", "11x1"):
        with pytest.raises(UsageError, match="choose ROWSxCOLUMNS from 2x2, 1x4"):
            find_layout(text)
    assert [default_layout(n) for n in (1, 2, 4)] == [(1, 1), (1, 2), (2, 2)]
    assert [default_layout(n) for n in (3, 6, 9, 10)] == [(1, 3), (2, 3), (3, 3), (2, 5)]
    assert find_layout("2x5") == (2, 5)
    for number in (0, 11, -1):
        with pytest.raises(UsageError):
            default_layout(number)


@pytest.mark.parametrize(
    ("layout", "size", "boxes"),
    [
        ((1, 4), (32, 6), [(0, 0, 8, 6), (8, 0, 16, 6), (16, 0, 24, 6), (24, 0, 32, 6)]),
        ((4, 1), (8, 24), [(0, 0, 8, 6), (0, 6, 8, 12), (0, 12, 8, 18), (0, 18, 8, 24)]),
        ((2, 1), (8, 12), [(0, 0, 8, 6), (0, 6, 8, 12)]),
    ],
)
def test_tiles_of_other_layouts(layout: tuple[int, int], size: Any, boxes: Any) -> None:
    number = layout[0] * layout[1]
    grid = GridSpec(number, 8, 6, Layout(*layout))
    assert grid.size == size
    assert grid.boxes() == boxes
    assert GridSpec.of_image(number, size, Layout(*layout)) == grid
    assert grid.aspect == pytest.approx(8 / 6)
    assert GridSpec(number, 6, 8, Layout(*layout)).aspect == pytest.approx(8 / 6)


def test_grids_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="does not have 4 tiles"):
        GridSpec(4, 8, 8, Layout(1, 2))
    with pytest.raises(UsageError, match="1 to 10"):
        GridSpec(11, 8, 8, Layout(1, 11))
    for width, height in ((0, 1), (1, 0), (-1, 5)):
        with pytest.raises(UsageError, match="cannot be drawn"):
            GridSpec(1, width, height)
    assert GridSpec(1, 1, 1).size == (1, 1)
    for size in ((7, 6), (8, 5), (0, 6), (8, 0)):
        assert GridSpec.of_image(4, size) is None
    assert GridSpec.of_image(4, (2, 2)) == GridSpec(4, 1, 1)
    assert GridSpec.of_image(1, (1, 1)) == GridSpec(1, 1, 1)
    assert [check_num_images(n) for n in (1, 2, 4, 10)] == [1, 2, 4, 10]


def spec(**settings: Any) -> GenerationSpec:
    return GenerationSpec(
        **{"model": "m", "width_px": 64, "height_px": 32, "dtype": "d", **settings}
    )


def test_settings_that_cannot_be() -> None:
    assert spec(steps=1).grid == GridSpec(4, 64, 32)
    assert spec(steps=None, guidance_scale=None).num_images == 4
    for settings, says in (
        ({"steps": 0}, "--steps 0"),
        ({"num_images": 11}, "--num-images 11"),
        ({"guidance_scale": math.nan}, "--guidance nan"),
        ({"guidance_scale": math.inf}, "--guidance inf"),
        ({"base_seed": -1}, "--seed -1"),
    ):
        with pytest.raises(UsageError, match=says):
            spec(**settings)
    assert spec(base_seed=0, guidance_scale=0.0).base_seed == 0


def test_seed_rules_by_name() -> None:
    names = ["per-tile", "per-item", "t2i-compbench"]
    assert [check_seed_rule(name) for name in names] == names
    with pytest.raises(UsageError, match="choose per-tile, per-item or t2i-compbench"):
        check_seed_rule("per-image")
    assert seed_for("per-tile", 3, "x", 0) == 3
    assert [seed_for("t2i-compbench", 0, item, 9) for item in "ab"] == [51, 51]
    assert spec(seed_rule="t2i-compbench").base_seed == 42
    with pytest.raises(UsageError, match="starts at 42"):
        spec(seed_rule="t2i-compbench", base_seed=7)


def test_differences_of_nested_settings() -> None:
    old = {"a": {"b": 1, "c": None}, "d": [1], "same": {"x": 1}}
    new = {"a": {"b": 2, "e": "é"}, "d": [1, 2], "same": {"x": 1}}
    assert differences(old, new) == [
        "a.b: 1 -> 2",
        'a.e: (absent) -> "é"',
        "d: [1] -> [1, 2]",
    ]
    assert differences(old, old) == []
    assert differences({}, {"x": {"b": 1, "a": 2}}) == ['x: (absent) -> {"a": 2, "b": 1}']


def test_dependencies() -> None:
    assert parse_dependency("0") == ([], [])
    assert parse_dependency("1, 2,0,3") == ([1, 2, 3], [])
    assert parse_dependency("2, red ,1") == ([2, 1], ["red"])


def test_categories_come_from_where_the_rule_says() -> None:
    item = rows("a1", ["0"], l2="attribute - color")
    answers = {("a1", 0): {1: "yes"}}
    names = {
        name: sorted(score_items([item], answers, rule, num_images=1).l2)
        for name, rule in RULES.items()
        if not rule.skip_first_row
    }
    for name, categories in names.items():
        by_column = RULES[name].categories == "columns"
        assert categories == (["entity - whole"] if by_column else ["attribute - color"])
