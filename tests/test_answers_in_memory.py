"""Answers given from Python: what the command refuses or says of a file holds for them too."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dpgbench
from dpgbench import Answer, Benchmark
from dpgbench.errors import DataError, UsageError
from tests.helpers import row, write_csv

YES = [Answer("a1", 0, 1, "yes"), Answer("a1", 0, 2, "yes"), Answer("b1", 0, 1, "no")]


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    rows = [row("a1", 1), row("a1", 2, "1"), row("b1", 1)]
    return dpgbench.load_benchmark(str(write_csv(tmp_path / "b.csv", rows)))


@pytest.mark.parametrize("second", ["no", "Yes", "", None])
def test_two_answers_to_one_question_are_refused(benchmark: Benchmark, second: Any) -> None:
    with pytest.raises(DataError, match=r"contradict each other: item a1 tile 0 question 2"):
        dpgbench.score_answers(benchmark, [*YES, Answer("a1", 0, 2, second)])


def test_the_same_answer_twice_is_one(benchmark: Benchmark) -> None:
    result = dpgbench.score_answers(benchmark, [*YES, YES[0], *YES])
    assert result.overall == 50.0
    assert result.answers.all == 3


@pytest.mark.parametrize(
    "stray",
    [Answer("zz", 0, 1, "yes"), Answer("a1", 0, 9, "no"), Answer("a1", -1, 1, "no")],
)
def test_strays_are_counted_and_said(
    benchmark: Benchmark, stray: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        result = dpgbench.score_answers(benchmark, [*YES, stray])
    assert result.overall == 50.0
    assert result.warnings == {"stray_answers": 1}
    assert f"counts nowhere (first: item {stray.item_id} tile {stray.tile}" in caplog.text


def test_a_tile_beyond_those_asked_for_is_a_stray(benchmark: Benchmark) -> None:
    extra = [*YES, Answer("a1", 1, 1, "no"), Answer("a1", 2, 1, "no")]
    result = dpgbench.score_answers(benchmark, extra, num_tiles=1)
    assert (result.overall, result.warnings) == (50.0, {"stray_answers": 2})


def test_a_part_of_the_items_says_so(benchmark: Benchmark) -> None:
    result = dpgbench.score_answers(benchmark, YES, items=["a1"])
    assert (result.overall, result.warnings) == (100.0, {"items_not_chosen": 1})
    assert not dpgbench.score_answers(benchmark, YES, items=["b1", "a1"]).warnings


@pytest.mark.parametrize(
    ("items", "says"),
    [(["a2"], "did you mean a1"), ("a1", r"such as \['a1'\]"), ([], "one at least")],
)
def test_items_that_are_none_are_refused(benchmark: Benchmark, items: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        dpgbench.score_answers(benchmark, YES, items=items)


@pytest.mark.parametrize("num_tiles", [0, -1])
def test_no_tile_is_no_score(benchmark: Benchmark, num_tiles: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        dpgbench.score_answers(benchmark, YES, num_tiles=num_tiles)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([("a1", 0, 1, "yes")], r"\('a1', 0, 1, 'yes'\) is not an answer"),
        ("yes", "'y' is not an answer"),
        ({"a1": {1: "yes"}}, "answers of 'a1': give texts by"),
        ({("a1", 0): "yes"}, "give texts by"),
        ({("a1", 0): {"1": "yes"}}, "of type int and str"),
        ({("a1", "0"): {1: "yes"}}, "of type str and int"),
        ([Answer("a1", None, 1, "yes")], "of type NoneType and int"),  # type: ignore[arg-type]
        ([Answer("a1", 0, 1.0, "yes")], "of type int and float"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_answer_is_refused_by_name(
    benchmark: Benchmark, answers: Any, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        dpgbench.score_answers(benchmark, answers)


def test_numbers_of_numpy_are_numbers(benchmark: Benchmark) -> None:
    answers = {(a.item_id, np.int64(a.tile)): {} for a in YES}
    for a in YES:
        answers[a.item_id, np.int64(a.tile)][np.int64(a.qid)] = np.str_(a.answer)
    assert dpgbench.score_answers(benchmark, answers).overall == 50.0


def test_fields_are_also_read_by_their_names_in_a_score_file(benchmark: Benchmark) -> None:
    result = dpgbench.score_answers(benchmark, [*YES, Answer("zz", 0, 1, "yes")])
    assert result["overall"] == result.overall == 50.0
    assert result.body["warnings"]["stray_answers"] == 1
    assert result["failed_items"] == list(result.failures)
    assert result["l1"]["entity"]["score"] == result.l1["entity"].score
    for name in ("nothing", "to_frame", "__class__", 0):
        with pytest.raises(KeyError):
            result[name]


class _Colour:
    """A judge that says yes of pictures of one colour, and counts how often it is asked."""

    num_images_at_once = 4

    def __init__(self, colour: tuple[int, int, int]) -> None:
        self.colour, self.asked = colour, 0

    def describe(self) -> dict[str, str]:
        return {}

    def ask(self, tiles: Any) -> Any:
        self.asked += len(tiles)
        yes = [tile.image.getpixel((0, 0)) == self.colour for tile in tiles]
        return [
            [dpgbench.JudgeAnswer("yes" if is_yes else "no")] * len(tile.qids)
            for tile, is_yes in zip(tiles, yes, strict=True)
        ]


def test_several_judges_and_rules_score_the_same_images(benchmark: Benchmark) -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    pictures = [Image.new("RGB", (8, 8), colour) for colour in (red, red, red, blue)]
    images = {"a1": pictures[:2], "b1": pictures[2:]}
    judges: dict[str, Any] = {"red": _Colour(red), "blue": _Colour(blue)}
    results = dpgbench.score_images(benchmark, images, judges, ["corrected-v1", "dsg"])
    assert isinstance(results, list)
    assert [(result.judge, result.rule) for result in results] == [
        ("red", "corrected-v1"), ("red", "dsg"), ("blue", "corrected-v1"), ("blue", "dsg"),
    ]  # fmt: skip
    assert [judge.asked for judge in judges.values()] == [4, 4]
    assert [result.overall for result in results] == [75.0, 75.0, 25.0, 25.0]
    alone = dpgbench.score_images(benchmark, images, judges["red"], "dsg")
    assert (alone.judge, alone.overall, alone.item_figures) == ("", 75.0, results[1].item_figures)
    (only,) = dpgbench.score_images(benchmark, images, judges["red"], ["dsg"])  # type: ignore[misc]
    assert only == alone
    for no_judge, no_rule in (({}, "dsg"), (judges, [])):
        with pytest.raises(UsageError, match="name one at least"):
            dpgbench.score_images(benchmark, images, no_judge, no_rule)
    with pytest.raises(UsageError, match="did you mean dsg"):
        dpgbench.score_images(benchmark, images, judges, ["dsg", "dgs"])
    for none in ("tiny-mplug", [judges["red"]], {"red": None}):
        with pytest.raises(UsageError, match="load_judge gives one"):
            dpgbench.score_images(benchmark, images, none)  # type: ignore[arg-type]
    assert judges["blue"].asked == 4
