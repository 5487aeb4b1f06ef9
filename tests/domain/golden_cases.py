"""The 60 small random benchmarks whose scores the reference implementations gave."""

from __future__ import annotations

import json
from typing import Any

from dpgbench.domain.result import Result
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from tests.domain.question_rows import score_items
from tests.helpers import GOLDEN

CASES: list[dict[str, Any]] = json.loads((GOLDEN / "scoring_cases.json").read_text())


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


def result_of(case: dict[str, Any], rule: ScoringRule, num_images: int) -> Result:
    items, answers = read_case(case)
    return score_items(items, answers, rule, num_images=num_images)
