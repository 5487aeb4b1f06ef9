"""Tables of items, names of subsets, and recorded answers, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgbench.domain.benchmark import Subset
from dpgbench.domain.rules import find_rule
from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.csv_rows import parse_where
from dpgbench.store.recorded_answers import read_recorded_answers
from dpgbench.store.run.scores import items_csv
from tests.domain.question_rows import rows, score_items
from tests.helpers import row, write_csv


def test_a_table_of_items() -> None:
    items = [rows("COCOval1", ["0", "0"]), rows("x_2", ["0"], first=4), rows("7", ["0"], first=5)]
    answers = {
        ("COCOval1", 0): {1: "yes", 2: "yes"},
        ("COCOval1", 1): {1: "yes", 2: "no"},
        ("x_2", 0): {1: "no"},
        ("x_2", 1): {1: "no"},
    }
    result = score_items(items, answers, find_rule("corrected-v1"), num_images=2)
    assert items_csv(result).splitlines() == [
        "item_id,source,score,tile_0,tile_1,questions,failure",
        "COCOval1,COCOval,75.0,100.0,50.0,2,",
        "x_2,x,0.0,0.0,0.0,1,",
        "7,web,,,,1,no answers for tile 0",
    ]
    nothing = score_items(items[2:], {}, find_rule("corrected-v1"), num_images=2)
    assert items_csv(nothing).splitlines() == [
        "item_id,source,score,questions,failure",
        "7,web,,1,no answers for tile 0",
    ]


def test_what_a_part_of_a_benchmark_is_called(tmp_path: Path) -> None:
    names = ["a1", "a2", "b1", "c1", "c2"]
    benchmark = load_benchmark(write_csv(tmp_path / "b.csv", [row(name, 1) for name in names]))

    def choice_of(*items: str) -> tuple[int, int, str]:
        subset = benchmark.subset(items)
        assert subset is not None
        return subset.items, subset.of, subset.choice

    assert benchmark.subset(names) is None
    assert benchmark.subset([*names, "a1"]) is None
    assert choice_of("a1") == (1, 5, "first 1")
    assert choice_of("a2", "a1") == (2, 5, "first 2")
    assert choice_of("b1") == (1, 5, "source b")
    assert choice_of("b1", "c2", "c1") == (3, 5, "sources b, c")
    assert choice_of("a2", "b1") == (2, 5, "2 items")
    assert choice_of("a2") == (1, 5, "1 item")
    one, other = benchmark.subset(["a2", "b1"]), benchmark.subset(["b1", "a2", "a2"])
    assert one == other
    assert one is not None
    assert one.file_part == f"@{one.items_sha256[:8]}"
    assert one.items_sha256 == GOLDEN
    assert str(Subset(10, 65, "0", "first 10")) == "10 of 65 items (first 10)"


GOLDEN = "53d7a6ad2725af04719351407310b7c54c8c2d2a48879033d8dd4a59bc547d65"


def answers(tmp_path: Path, text: str, **where: str) -> list[Answer]:
    path = tmp_path / "a.csv"
    path.write_text(text)
    return read_recorded_answers(path, where)


@pytest.mark.parametrize("column", ["question_id", "qid", "proposition_id"])
def test_recorded_answers(tmp_path: Path, column: str) -> None:
    text = f"item_id,tile,{column},answer,model\na,0,2,yes,x\na,3,1,no,x\na,0,2,yes,x\nb,0,1,no,y\n"
    assert answers(tmp_path, text, model="x") == [Answer("a", 0, 2, "yes"), Answer("a", 3, 1, "no")]
    assert answers(tmp_path, text)[2] == Answer("b", 0, 1, "no")
    assert answers(tmp_path, text, model="y", item_id="b") == [Answer("b", 0, 1, "no")]
    with pytest.raises(UsageError, match="no row with model=y, item_id=a"):
        answers(tmp_path, text, model="y", item_id="a")
    with pytest.raises(UsageError, match="no such column"):
        answers(tmp_path, text, judge="y")


def test_the_first_known_column_of_question_numbers_counts(tmp_path: Path) -> None:
    text = "item_id,proposition_id,qid,question_id,answer\na,3,2,1,yes\n"
    assert answers(tmp_path, text) == [Answer("a", 0, 1, "yes")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a,10,1,yes", "row 2: tile 10; tiles count from 0 to 9"),
        ("a,-1,1,yes", "row 2: tile"),
        ("a,x,1,yes", "'x' or question_id '1' is not a whole number"),
        ("a,0,x,yes", "'0' or question_id 'x' is not a whole number"),
        ("a,0,,yes", "not a whole number"),
    ],
)
def test_numbers_that_are_none(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        answers(tmp_path, f"item_id,tile,question_id,answer\n{line}\n")
    assert says in str(caught.value)


def test_tiles_up_to_three_and_none_at_all(tmp_path: Path) -> None:
    recorded = answers(tmp_path, "item_id,tile,question_id,answer\na,,1,yes\na,3,1,no\n")
    assert [answer.tile for answer in recorded] == [0, 3]
    assert answers(tmp_path, "item_id,question_id,answer\na,1,yes\n")[0].tile == 0


def test_two_answers_to_one_question_are_refused(tmp_path: Path) -> None:
    text = "item_id,question_id,answer\na,1,yes\na,2,yes\na,1,no\n"
    with pytest.raises(DataError, match="row 4: question 1 of item a, tile 0, is answered twice"):
        answers(tmp_path, text)
    with pytest.raises(DataError, match="no column for the question's number"):
        answers(tmp_path, "item_id,answer\na,yes\n")


def test_where() -> None:
    assert parse_where(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    assert parse_where([]) == {}
    with pytest.raises(UsageError, match="write column=value"):
        parse_where(["a"])


def test_answers_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = '{"item_id": "a", "tile": 3, "qid": 1, "answer": "yes"}\n'
    path.write_text(good + good.replace('"tile": 3', '"tile": 0'))
    assert [answer.tile for answer in read_recorded_answers(path, {})] == [3, 0]
    for tile in (10, -1):
        path.write_text(good + good.replace('"tile": 3', f'"tile": {tile}'))
        with pytest.raises(DataError, match=f"line 2: tile {tile}; tiles count from 0 to 9"):
            read_recorded_answers(path, {})
    path.write_text(good + good.strip())
    with pytest.raises(DataError, match="a last line without its end"):
        read_recorded_answers(path, {})
    with pytest.raises(UsageError, match="--where chooses rows of a CSV"):
        read_recorded_answers(path, {"a": "b"})
    with pytest.raises(DataError, match="does not exist"):
        read_recorded_answers(tmp_path / "none.jsonl", {})
