"""Which answer is the right one, where a benchmark's file names others than yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgbench import score_answers
from dpgbench.domain.answer_text import (
    is_missing,
    is_right,
    plain_word,
    read_expected,
    read_yes_no,
)
from dpgbench.domain.score import Answer
from dpgbench.errors import DataError
from dpgbench.store.benchmarks import load_csv
from tests.helpers import csv_text, row

COLUMNS = (*row("a", 1), "answer", "question_template")


def write(path: Path, *rows: dict[str, str]) -> Path:
    """Write a file of questions that has the two columns more."""
    filled = [{"answer": "", "question_template": "", **cells} for cells in rows]
    path.write_text(csv_text(filled, COLUMNS), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("", "yes"), ("  ", "yes"), ("Yes", "yes"), ("TRUE", "yes"), ("no.", "no"),
        ("False", "no"), ("1", "1"), ("0", "0"), ("Seven", "Seven"), (" a dog ", "a dog"),
        ("是", "yes"), ("否", "no"),
    ],
)  # fmt: skip
def test_what_a_cell_names(cell: str, expected: str) -> None:
    assert read_expected(cell) == expected


def test_every_word_that_is_read() -> None:
    for words, meaning in (("yes true 1 1.0", True), ("no false 0 0.0", False)):
        assert all(read_yes_no(word) is meaning for word in words.split())
    for words, expected in (("yes true 是 是的", "yes"), ("no false 否 不是", "no")):
        assert all(read_expected(word) == expected for word in words.split())
    numbers = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty"
    )
    assert [plain_word(word) for word in numbers.split()] == [str(n) for n in range(21)]
    characters = {"Ⅶ": "vii", "〇": "0", "٣": "3", "十": "10", "½": "1⁄2"}
    assert {word: plain_word(word) for word in characters} == characters
    missing = "#N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan"
    assert all(is_missing(word) for word in (*missing.split(), "null", "#N/A N/A", "", " "))


@pytest.mark.parametrize("mark", " \t\r\n.,;:!?\"'`*_()[]{}<>‘’“”。！")
def test_marks_around_an_answer_do_not_count(mark: str) -> None:
    assert read_yes_no(f"{mark}No{mark}") is False
    assert read_expected(f"{mark}False{mark}") == "no"
    assert plain_word(f"{mark}Seven{mark}") == "7"


@pytest.mark.parametrize(
    ("text", "expected", "exact", "read"),
    [
        ("yes", "yes", True, True), ("Yes.", "yes", False, True), ("maybe", "yes", False, False),
        ("no", "no", True, True), ("No!", "no", False, True), ("yes", "no", False, False),
        ("maybe", "no", False, False), ("0", "no", False, True),
        ("7", "seven", True, True), ("Seven.", "7", True, True), ("07.0", "seven", True, True),
        ("1", "one", True, True), ("yes", "1", False, False), ("no", "0", False, False),
        ("七", "7", True, True), ("seventeen", "seven", False, False), ("70", "7", False, False),
        ("A Dog", "dog", True, True), ("the  red car", "red car", True, True),
        ("another", "other", False, False), ("狗", "狗", True, True), ("½", "1", False, False),
    ],
)  # fmt: skip
def test_right_or_not(text: str, expected: str, exact: bool, read: bool) -> None:
    assert is_right(text, expected, exact=True) is exact
    assert is_right(text, expected, exact=False) is read


def test_scores_of_every_rule(tmp_path: Path) -> None:
    """A right no lets its children count, a wrong count zeroes them."""
    benchmark = load_csv(
        write(
            tmp_path / "b.csv",
            row("first", 1),
            row("a", 1, answer="no", tuple="entity - whole (cat)"),
            row("a", 2, "1", answer="three", tuple="other - count (dogs)"),
            row("a", 3, "2", tuple="attribute - color (dogs, red)"),
            row("a", 4, answer="red", tuple="attribute - color (car)"),
        ),
        "b",
    )
    answers = {
        ("first", 0): {1: "yes"},
        ("a", 0): {1: "no", 2: "3", 3: "yes", 4: "blue"},
        ("a", 1): {1: "no", 2: "4", 3: "yes", 4: "Red."},
        ("a", 2): {1: "yes", 2: "three", 3: "yes", 4: "red"},
        ("first", 1): {1: "yes"}, ("first", 2): {1: "yes"},
    }  # fmt: skip
    overall = {}
    for rule in ("corrected-v1", "ella-reference", "dsg", "ulmeval", "diffusionbench"):
        result = score_answers(benchmark, answers, rule, items=["a"])
        overall[rule] = result.item_figures["a"].tile_scores
        assert result.answers.neither == 0
    # of the third image dsg keeps question 3: its direct parent holds
    cascade, direct = (75.0, 50.0, 25.0), (75.0, 50.0, 50.0)
    assert overall.pop("dsg") == direct
    assert set(overall.values()) == {cascade}
    colour = score_answers(benchmark, answers, "corrected-v1", items=["a"]).l2["attribute - color"]
    assert (colour.score, colour.raw) == (50.0, pytest.approx(100 * 5 / 6))


def test_read_answers_leaves_numbers_alone(tmp_path: Path) -> None:
    """``1`` reads as yes; where the right answer is a count it is a count."""
    path = write(tmp_path / "b.csv", row("a", 1, answer="one"), row("a", 2, answer="no"))
    benchmark = load_csv(path, "b")
    answers = [Answer("a", 0, 1, "1"), Answer("a", 0, 2, "No")]
    exact = score_answers(benchmark, answers, "ella-reference", items=["a"])
    assert exact.answers[:3] == (2, 1, 1)  # of the two, `No` is neither, and can be read
    read = score_answers(benchmark, answers, "dsg", read_answers=True)
    assert (read.overall, read.num_read) == (100.0, 1)


def test_hashes_see_answers_and_wording(tmp_path: Path) -> None:
    """Files without the columns keep their hashes; another right answer is another benchmark."""
    plain = tmp_path / "plain.csv"
    plain.write_text(csv_text([row("a", 1)]), encoding="utf-8")
    hashes = []
    for cells in ({}, {"answer": "no"}, {"question_template": "{question} Say one word."}):
        benchmark = load_csv(write(tmp_path / "b.csv", row("a", 1, **cells)), "b")
        hashes.append((benchmark.questions_sha256, benchmark.graphs_sha256))
        asked = benchmark.rows[0].asked
    before = load_csv(plain, "plain")
    assert hashes[0] == (before.questions_sha256, before.graphs_sha256)
    assert len({questions for questions, _ in hashes}) == 3
    assert hashes[1][1] != hashes[0][1] == hashes[2][1]
    assert asked == "Is there thing 1? Say one word."


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"answer": "None"}, "row 2 (item a): answer 'None' stands for nothing"),
        ({"question_template": "Answer."}, "must have {question} once"),
        ({"question_template": "{question} {question}"}, "must have {question} once"),
    ],
)
def test_refused_cells(tmp_path: Path, cells: dict[str, str], says: str) -> None:
    path = write(tmp_path / "b.csv", row("a", 1, **cells))
    with pytest.raises(DataError) as error:
        load_csv(path, "b")
    assert says in str(error.value)
