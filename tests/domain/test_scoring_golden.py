"""Parity with the reference implementations on 60 small random benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.aggregate import Result, score_answers
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import DSG, ELLA_REFERENCE, ScoringRule

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "scoring_cases.json").read_text()
)


def read_case(case: dict[str, Any]) -> tuple[list[list[QuestionRow]], dict[Any, dict[int, str]]]:
    items: dict[str, list[QuestionRow]] = {}
    for number, cells in enumerate(case["rows"], 2):
        values = dict(cells)
        question = values.pop("question_natural_language")
        qid = int(values.pop("proposition_id"))
        row = QuestionRow(row=number, qid=qid, question=question, **values)
        items.setdefault(row.item_id, []).append(row)
    answers = {
        (item, tile): {row.qid: text for row, text in zip(items[item], texts, strict=True)}
        for item, tiles in case["answers"].items()
        for tile, texts in enumerate(tiles)
    }
    return list(items.values()), answers


def result_of(case: dict[str, Any], rule: ScoringRule, num_tiles: int) -> Result:
    items, answers = read_case(case)
    return score_answers(items, answers, rule, num_tiles=num_tiles)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ella_reference(number: int) -> None:
    case = CASES[number]
    expected = case["expected"]["ella_reference"]
    result = result_of(case, ELLA_REFERENCE, case["tiles"])
    assert result.overall == pytest.approx(expected["overall"], abs=1e-9)
    assert result.body["failed_items"] == sorted(expected["failed_items"])
    for level in ("l1", "l2"):
        found = {name: entry["score"] for name, entry in result.body[level].items()}
        assert found == pytest.approx(expected[level], abs=1e-9)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_dsg_first_tile(number: int) -> None:
    case = CASES[number]
    result = result_of(case, DSG, 1)
    found = {item.item_id: None if item.failure else item.score for item in result.items}
    for item_id, expected in case["expected"]["dsg_item_scores_first_tile"].items():
        assert found[item_id] == (None if expected is None else pytest.approx(expected, abs=1e-9))
