"""Score files field by field: what is written, what is read again, what older ones lack."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import AnswerCensus, CategoryScore, ItemFigure, Result, Score
from dpgbench.errors import DataError
from dpgbench.store.files import write_json
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.scores import (
    items_csv,
    read_item_figures,
    read_record,
    read_result,
    result_json,
    write_result,
)
from tests.store.manifests import made

RESULT = Result(
    rule="dsg",
    judge="j:J",
    model="m",
    benchmark="b",
    benchmark_sha256="0123",
    overall=62.5,
    interval=(50.0, 75.0),
    items_scored=8,
    items_expected=10,
    failures={"b1": "no answers for tile 0", "b2": "lost"},
    unanswered=("b1",),
    l1={"entity": CategoryScore(60.0, (40.0, 80.0), 9, 65.0, 8, 16, 55.0)},
    l2={"whole": CategoryScore(50.0, None, 3, None, 7, None, None)},
    sources={"a": Score(70.0, (60.0, 80.0), 8), "b": Score(None, None, 2)},
    warnings={"stray_answers": 2},
    num_tiles=2,
    item_figures={
        "a1": ItemFigure(62.5, 4, False, (50.0, 75.0), ""),
        "b1": ItemFigure(None, 1, True, (), "no answers for tile 0"),
        "b2": ItemFigure(None, 0, False, (), "lost"),
    },
    notes=("a note",),
    answers=AnswerCensus(20, 3, 1, "Yes."),
    num_read=1,
    subset=Subset(10, 12, "4567", "first 10"),
)
WRITTEN = {
    "schema": 1,
    "rule": "dsg",
    "judge": "j:J",
    "benchmark": "b",
    "benchmark_sha256": "0123",
    "model": "m",
    "num_tiles": 2,
    "subset": {"items": 10, "of": 12, "items_sha256": "4567", "choice": "first 10"},
    "overall": 62.5,
    "interval": [50.0, 75.0],
    "items_scored": 8,
    "items_expected": 10,
    "coverage": 0.8,
    "failed_items": ["b1", "b2"],
    "failures": {"b1": "no answers for tile 0", "b2": "lost"},
    "unanswered_items": ["b1"],
    "l1": {
        "entity": {
            "score": 60.0,
            "interval": [40.0, 80.0],
            "questions": 8,
            "answers": 16,
            "items": 9,
            "raw": 65.0,
            "gated": 55.0,
        }
    },
    "l2": {"whole": {"score": 50.0, "interval": None, "questions": 7, "answers": None, "items": 3}},
    "sources": {
        "a": {"score": 70.0, "interval": [60.0, 80.0], "items": 8},
        "b": {"score": None, "interval": None, "items": 2},
    },
    "answers": {"all": 20, "neither": 3, "readable": 1, "example": "Yes.", "read": 1},
    "warnings": {"stray_answers": 2},
    "notes": ["a note"],
}
TABLE = (
    "item_id,source,score,tile_0,tile_1,questions,failure\n"
    "a1,a,62.5,50.0,75.0,4,\n"
    "b1,b,,,,1,no answers for tile 0\n"
    "b2,b,,,,0,lost\n"
)


def put(folder: Path, table: str = TABLE, **fields: object) -> Path:
    """Write a score file with other fields; None takes one out."""
    record = {**WRITTEN, **fields}
    kept = {name: value for name, value in record.items() if value is not ...}
    (folder / "dsg.json").write_text(json.dumps(kept))
    (folder / "dsg.items.csv").write_text(table)
    return folder / "dsg.json"


def test_each_field_is_written_and_read_again(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    write_result(run, RESULT)
    path = run.scores("j:J", "dsg")
    assert json.loads(path.read_text()) == WRITTEN == result_json(RESULT)
    assert run.item_scores("j:J", "dsg").read_text() == TABLE == items_csv(RESULT)
    assert read_result(path) == RESULT == read_result(put(tmp_path))
    assert read_result(path).item_figures == RESULT.item_figures
    for score in (CategoryScore(1.0, raw=2.0), CategoryScore(1.0, gated=2.0)):
        half = result_json(replace(RESULT, l1={"entity": score}))["l1"]["entity"]
        assert not {"raw", "gated"} & half.keys()  # both or neither
    nothing = {"score": None, "interval": None, "questions": 0, "answers": 0, "items": 0}
    empty = put(tmp_path, items_scored=0, num_tiles=0, l1={"entity": nothing})
    assert read_result(empty).l1["entity"] == CategoryScore(None, None, 0, None, 0, 0, None)
    write_result(run, RESULT, "@4567")
    assert [file.name for file in run.score_files()] == ["dsg.json", "dsg@4567.json"]


def test_intervals_of_fewer_than_eight_are_not_believed(tmp_path: Path) -> None:
    def category(questions: int, scored: int, items: int | None = 9) -> object:
        entry = {**WRITTEN["l1"]["entity"], "questions": questions, "items": items}  # type: ignore[index]
        return read_result(put(tmp_path, l1={"entity": entry}, items_scored=scored)).l1["entity"]

    ends = (40.0, 80.0)
    seen = {
        (8, 8, 8): ends, (8, 8, None): ends, (7, 8, 9): None, (8, 7, 9): None, (9, 9, 7): None,
    }  # fmt: skip
    assert {key: category(*key).interval for key in seen} == seen  # type: ignore[attr-defined]
    for number, interval in ((8, (60.0, 80.0)), (7, None)):
        source = {"score": 70, "interval": [60, 80], "items": number}
        back = read_result(put(tmp_path, sources={"a": source}))
        assert back.sources["a"] == Score(70.0, interval, number)
        back = read_result(put(tmp_path, items_scored=number, interval=[50, 75]))
        assert back.interval == (None if number == 7 else (50.0, 75.0))
        assert back.sources["a"].interval == interval
    old = {"score": 60, "questions": 8}
    assert read_result(put(tmp_path, l2={"whole": old})).l2["whole"] == CategoryScore(
        60.0, None, None, None, 8, None, None
    )


def test_of_which_items_a_file_is_that_does_not_say(tmp_path: Path) -> None:
    def subset(of: object, **warnings: object) -> Subset | None:
        return read_result(put(tmp_path, subset=..., warnings=warnings), of).subset

    assert subset(None) is None
    assert subset(10) is None
    assert subset(11) == Subset(10, 11)
    assert subset(9) is None
    assert subset("12") is None
    assert subset(None, items_not_chosen=1) == Subset(10, 11)
    assert subset(20, items_not_chosen=3) == Subset(10, 13)
    assert subset(20, items_not_chosen=0) == Subset(10, 20)
    bare = read_result(put(tmp_path, subset={"items": 1, "of": 2}), 20).subset
    assert bare == Subset(1, 2, "", "")
    empty = put(tmp_path, "item_id,source,score,questions,failure\n", items_expected=0)
    assert read_result(empty).item_figures == {}


def test_what_older_files_tell_less_of(tmp_path: Path) -> None:
    lacking = ("benchmark_sha256", "model", "num_tiles", "notes", "unanswered_items", "answers")
    back = read_result(put(tmp_path, **dict.fromkeys(lacking, ...)))
    assert (back.benchmark_sha256, back.model, back.num_tiles) == ("", "", None)
    assert (back.notes, back.unanswered, back.answers, back.num_read) == ((), (), None, None)
    back = read_result(put(tmp_path, notes="one", warnings={
        "stray_answers": 2, "note": "two", "notes": ["three", ""], "kinds": {"a": 1, "b": 2},
    }))  # fmt: skip
    assert back.notes == ("one", "two", "three", "kinds: a 1, b 2")
    assert back.warnings == {"stray_answers": 2}
    back = read_result(put(tmp_path, answers={"all": 1, "neither": 0, "readable": 0, "read": 5}))
    assert (back.answers, back.num_read) == (None, 5)
    back = read_result(
        put(tmp_path, answers={"all": 4, "neither": 3, "readable": 2, "example": None})
    )
    assert (back.answers, back.num_read) == (AnswerCensus(4, 3, 2, None), None)
    whole = put(tmp_path, overall=62, interval=None)
    assert isinstance(read_result(whole).overall, float)
    assert (read_result(whole).interval, read_result(put(tmp_path, overall=None)).overall) == (
        None, None,
    )  # fmt: skip


def test_what_is_no_score_file_is_refused(tmp_path: Path) -> None:
    for record in ([], {**WRITTEN, "schema": 0}, {**WRITTEN, "schema": 2}):
        (tmp_path / "dsg.json").write_text(json.dumps(record))
        with pytest.raises(DataError, match="is not a score file of schema 1"):
            read_result(tmp_path / "dsg.json")
    for change, says in (
        ({"warnings": {"stray_answers": -1}}, r"warnings\.stray_answers is below 0"),
        ({"warnings": {"note": [5]}}, r"warnings\.note holds what is not text"),
        ({"interval": [1.0]}, "not enough values"),
        ({"items_scored": ...}, "items_scored is missing"),
        ({"num_tiles": -1}, "num_tiles is below 0"),
    ):
        with pytest.raises(DataError, match=rf"dsg\.json is damaged \(.*{says}"):
            read_result(put(tmp_path, **change))


def test_lines_of_the_table_of_items(tmp_path: Path) -> None:
    path = tmp_path / "dsg.items.csv"
    assert read_item_figures(path) == {}
    rule = "its only row is the file's first, which this rule skips"
    unseen = "question 4 hangs on 3, which is not among the questions that this rule sees"
    path.write_text(
        "item_id,score,tile_0,tile_10,tile_x,questions,failure\n"
        f'a,75,50,100,7,3,\nb,,,,,2,no picture\nc,,,,,0,"{rule}"\nd,,,,,1,"{unseen}"\n'
    )
    lines = {
        "a": ItemFigure(75.0, 3, False, (50.0, 100.0), ""),
        "b": ItemFigure(None, 2, True, (), "no picture"),
        "c": ItemFigure(None, 0, False, (), rule),
        "d": ItemFigure(None, 1, False, (), unseen),
    }
    assert read_item_figures(path) == lines
    listed = read_item_figures(path, ["a", "c"])  # what the score file lists counts
    assert {item: figure.absent for item, figure in listed.items()} == {
        "a": False, "b": False, "c": True, "d": False,
    }  # fmt: skip
    assert not any(figure.absent for figure in read_item_figures(path, []).values())
    path.write_text("item_id,score,questions\na,0,1\n")
    assert read_item_figures(path) == {"a": ItemFigure(0.0, 1, False, (), "")}
    for cells in ("nan,1", "inf,1", "x,1", "1,1.5", "1,"):
        path.write_text(f"item_id,score,questions\nz,1,1\na,{cells}\n")
        with pytest.raises(DataError, match=r"row 3 \(item a\): .* is not a number; score the run"):
            read_item_figures(path)


def test_a_run_and_all_its_results(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    made(benchmark={"name": "n", "items": 20}).write(run.manifest)
    with pytest.raises(DataError, match="has no scores yet; make them with 'dpgbench score"):
        read_record(run)
    write_json(run.scores("j", "dsg"), {**WRITTEN, "subset": None})
    write_json(run.scores(".hidden", "dsg").parent.parent / ".hidden/dsg.json", {})
    record = read_record(run)
    assert (record.run, record.manifest.model, record.notes) == (run, "m", ())
    assert [result.subset for result in record.results] == [Subset(10, 20)]


def test_a_table_without_items_has_a_header_alone() -> None:
    assert items_csv(replace(RESULT, item_figures={})) == "item_id,source,score,questions,failure\n"
