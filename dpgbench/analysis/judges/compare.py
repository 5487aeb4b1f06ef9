"""Judges against each other and against people, from answers that are there; nothing is asked.

What each part is stands in `judge_pairs` and `human_correlation`; here they are put together,
with what the choice of the judge does to the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dpgbench.analysis.judges.agreement import AnswerTable, compare_all, compare_pair, differences
from dpgbench.analysis.judges.answers import JudgedSet, Place
from dpgbench.analysis.judges.human import correlate_with_people
from dpgbench.domain.aggregate import overall_part
from dpgbench.domain.answer_text import NO, YES, read_yes_no
from dpgbench.domain.rules import ScoringRule, find_rule
from dpgbench.domain.score import (
    Answer,
    ItemScore,
    collect,
    refuse_bad_dependencies,
    score_item,
    verdict,
)
from dpgbench.domain.statistics.bootstrap import Matrix, intervals
from dpgbench.domain.statistics.correlation import Estimate
from dpgbench.domain.statistics.paired import paired_differences
from dpgbench.errors import UsageError
from dpgbench.store.csv_rows import csv_text
from dpgbench.store.human_scores import HumanScores

SCHEMA = 1
Matrices = tuple[Matrix, Matrix]
Image = tuple[str, str]
"""Model and item."""


def compare_judges(
    judged: JudgedSet, rule_name: str, human: HumanScores | None = None
) -> dict[str, Any]:
    """Return what `dpgbench judges compare --json` prints.

    Args:
        judged: the answers of two judges or more; of one where there are human scores.
        rule_name: scoring rule for scores and for the correlation with people.
        human: what people said of the same images.

    Raises:
        UsageError: one judge and no people, or an unknown rule.
        DataError: two judges have no question in common, or the rule refuses the benchmark.
    """
    rule = find_rule(rule_name)
    names = list(judged.answers)
    if len(names) < 2 and human is None:
        raise UsageError("one judge alone has nothing to agree with; name two, or give --human")
    scores = _score_all(judged, rule)
    table = AnswerTable.of(judged, rule)
    pairs = [
        {
            **compare_pair(table, first, second),
            "score": _effect(scores[first], scores[second], rule),
        }
        for first, second in combinations(names, 2)
    ]
    return {
        "schema": SCHEMA,
        "benchmark": judged.benchmark.name,
        "rule": rule.name,
        "models": list(judged.models),
        "runs": [str(path) for path in judged.runs],
        "judges": [_judge(judged, name, scores[name], rule) for name in names],
        "pairs": pairs,
        "fleiss": compare_all(table) if len(names) > 2 else None,
        "human": None if human is None else correlate_with_people(judged, scores, rule, human),
        "differences": differences(table),
    }


def differences_csv(found: Mapping[str, Any]) -> str:
    """Return the differences of a comparison as a table with a column for each judge."""
    judges = [judge["name"] for judge in found["judges"]]
    about = ("model", "item_id", "tile", "qid", "l1", "l2", "question")
    header = [*about, *judges, *(f"p_yes {judge}" for judge in judges)]
    rows: list[list[object]] = []
    for entry in found["differences"]:
        said = [entry["answers"].get(judge, "") for judge in judges]
        p_yes = [entry["p_yes"].get(judge) for judge in judges]
        rows.append([*(entry[name] for name in about), *said, *p_yes])
    return csv_text(header, rows)


def _score_all(judged: JudgedSet, rule: ScoringRule) -> dict[str, dict[Image, ItemScore]]:
    """Return the score of each item of each model by each judge, or why it has none."""
    rows = [row for rows in judged.benchmark.items.values() for row in rows]
    rows.sort(key=lambda row: row.row)
    refuse_bad_dependencies(rows, rule, str(judged.benchmark.path))
    scores: dict[str, dict[Image, ItemScore]] = {name: {} for name in judged.answers}
    for model, drawn in judged.models.items():
        given = {name: _of_model(found, model) for name, found in judged.answers.items()}
        answered = {answer.item_id for answers in given.values() for answer in answers}
        items = [item for item in judged.benchmark.items if item in answered]
        for name, answers in given.items():
            table = collect(answers)
            for item_id in items if drawn.items is None else drawn.items:
                scores[name][model, item_id] = score_item(
                    item_id,
                    judged.benchmark.items[item_id],
                    table,
                    rule=rule,
                    num_tiles=drawn.num_tiles,
                    first_row=rows[0].row,
                )
    return scores


def _of_model(found: Mapping[Place, Answer], model: str) -> list[Answer]:
    return [answer for place, answer in found.items() if place.model == model]


def _judge(
    judged: JudgedSet, name: str, scores: Mapping[Image, ItemScore], rule: ScoringRule
) -> dict[str, Any]:
    """Return what one judge said, and the overall score by it alone."""
    given = judged.answers[name].values()
    zeros = rule.unscored_item == "zero"
    counted = [i for i, s in scores.items() if s.failure is None or (zeros and s.answered)]
    overall = _overalls(*_parts([scores], counted, rule))[0]
    return {
        "name": name,
        "answers": len(given),
        "yes_rate": sum(verdict(answer.answer, rule) for answer in given) / len(given),
        "invalid": sum(answer.invalid or not _is_plain(answer, rule) for answer in given),
        "with_p_yes": sum(answer.p_yes is not None for answer in given),
        "not_in_benchmark": judged.strangers[name],
        "overall": overall.value,
        "interval": overall.interval,
        "grids_scored": sum(score.failure is None for score in scores.values()),
        "grids_expected": len(scores),
    }


def _is_plain(answer: Answer, rule: ScoringRule) -> bool:
    """Return whether an answer is yes or no as the rule reads answers."""
    if rule.answers == "read":
        return read_yes_no(answer.answer) is not None
    return answer.answer in (YES, NO)


def _effect(
    first: Mapping[Image, ItemScore], second: Mapping[Image, ItemScore], rule: ScoringRule
) -> dict[str, Any]:
    """Return both overalls on the items that both can score, and first less second."""
    shared = [i for i in first if first[i].failure is None and second[i].failure is None]
    sums, counts = _parts([first, second], shared, rule)
    one, other = _overalls(sums, counts)
    found = paired_differences(sums, counts, [(0, 1)])[0]
    return {
        "grids": len(shared),
        "first": one.value,
        "second": other.value,
        "difference": found.difference if found else None,
        "interval": found.interval if found else None,
        "p_value": found.p_value if found else None,
    }


def _parts(
    sides: Sequence[Mapping[Image, ItemScore]], images: Sequence[Image], rule: ScoringRule
) -> Matrices:
    """Return what is averaged, times 100, and over how many: [N, S] by item and side.

    The images of several models of one item are one row, because one prompt is one cluster.
    """
    numbers = {item: number for number, item in enumerate(dict.fromkeys(i for _, i in images))}
    parts = np.zeros((2, len(numbers), len(sides)))
    for side, scores in enumerate(sides):
        for image in images:
            parts[:, numbers[image[1]], side] += overall_part(scores[image], rule)
    return 100 * parts[0], parts[1]


def _overalls(sums: Matrix, counts: Matrix) -> list[Estimate]:
    """Return the mean of each side, with its interval."""
    totals = zip(sums.sum(axis=0), counts.sum(axis=0), strict=True)
    means = [float(total / count) if count else None for total, count in totals]
    return [Estimate(*pair) for pair in zip(means, intervals(sums, counts), strict=True)]
