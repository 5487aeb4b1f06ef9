"""Recorded answers as JSON lines, and choosing rows of a CSV: what other tools write is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.errors import UsageError
from dpgbench.store.csv_rows import parse_where
from tests.helpers import Run, row, write_csv


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "b.csv", [row("a1", 1), row("a1", 2), row("b1", 1)])


def lines(**fields: Any) -> str:
    records = [("a1", 1, "yes"), ("a1", 2, "no"), ("b1", 1, "yes")]
    return "".join(
        json.dumps({"item_id": item, "tile": 0, "qid": qid, "answer": text, **fields}) + "\n"
        for item, qid, text in records
    )


def test_a_byte_order_mark_is_no_part_of_the_first_answer(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(lines(), encoding="utf-8-sig")
    ended = run("score", "--bench", bench, "--answers", "a.jsonl", "--rule", "dsg", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["results"][0]["overall"] == 75.0


def test_an_empty_file_is_called_so(run: Run, tmp_path: Path, bench: Path) -> None:
    for content in ("", "\n\n"):
        (tmp_path / "a.jsonl").write_text(content)
        ended = run("score", "--bench", bench, "--answers", "a.jsonl")
        assert ended.code == 3
        assert "a.jsonl is empty" in ended.err


def test_invalid_marks_and_probabilities_stay(run: Run, tmp_path: Path, bench: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(invalid=True, p_yes=0.5))
    words = ["--bench", bench, "--answers", "a.jsonl", "--rule", "dsg", "--json", "--out", "r"]
    ended = run("score", *words)
    assert json.loads(ended.out)["results"][0]["warnings"]["invalid_answers"] == 3
    kept = [json.loads(line) for line in Path("r/answers/replay.jsonl").read_text().splitlines()]
    assert [(record["p_yes"], record["invalid"]) for record in kept] == [(0.5, True)] * 3


def test_a_column_of_where_has_one_value() -> None:
    with pytest.raises(UsageError, match="--where model=b: model shall be a already"):
        parse_where(["model=a", "model=b"])
    assert parse_where(["model=a", "model=a"]) == {"model": "a"}


def test_one_answer_with_and_without_its_probability_is_one(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(lines(p_yes=0.5) + lines())
    ended = run("score", "--bench", bench, "--answers", "a.jsonl", "--rule", "dsg", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["results"][0]["overall"] == 75.0


def test_tiles_of_other_items_do_not_make_answers_missing(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    stray = {"item_id": "zz", "tile": 3, "qid": 1, "answer": "yes"}
    (tmp_path / "a.jsonl").write_text(lines() + json.dumps(stray) + "\n")
    ended = run("score", "--bench", bench, "--answers", "a.jsonl", "--rule", "dsg", "--json")
    assert ended.code == 0
    [result] = json.loads(ended.out)["results"]
    assert (result["overall"], result["warnings"]["stray_answers"]) == (75.0, 1)


def test_where_needs_answers_and_a_rule_counts_once(run: Run, tmp_path: Path, bench: Path) -> None:
    (tmp_path / "images").mkdir()
    ended = run("score", "images", "--bench", bench, "--where", "model=a")
    assert (ended.code, "--where model=a: it chooses rows of --answers" in ended.err) == (2, True)
    (tmp_path / "a.jsonl").write_text(lines())
    words = ["--answers", "a.jsonl", "--rule", "dsg", "--rule", "dsg", "--json"]
    assert len(json.loads(run("score", "--bench", bench, *words).out)["results"]) == 1
