"""Item scores to results: overall, categories, sources, coverage. The only averaging code.

All scores in a result are times 100 and unrounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.graph import PromptGraph, count_problems, find_problems
from dpgbench.domain.rows import QuestionRow, item_source
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import (
    Answers,
    ItemScore,
    refuse_bad_dependencies,
    score_item,
    take_census_of_answers,
)
from dpgbench.domain.statistics import bootstrap as stats

SCHEMA = 1
Interval = tuple[float, float] | None


class Mean(NamedTuple):
    """An average: `score` times 100 (None over nothing), over so many things of so many items."""

    score: float | None
    number: int
    items: int


@dataclass(frozen=True)
class Result:
    """A scored set of items under one rule.

    Attributes:
        items: every expected item, scored or failed, in the benchmark's order.
        unanswered: items that could not be scored because images or answers are missing;
            other failures are the rule's own.
        body: the fields of the score file that do not depend on where the answers came from.
        notes: sentences that must stand where the number stands.
    """

    rule: ScoringRule
    items: tuple[ItemScore, ...]
    unanswered: tuple[str, ...]
    body: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def overall(self) -> float | None:
        """Mean score times 100, or None where no item has one."""
        score: float | None = self.body["overall"]
        return score

    @property
    def complete(self) -> bool:
        """Whether every expected item had all of its answers."""
        return not self.unanswered


def score_answers(
    items: Sequence[Sequence[QuestionRow]],
    answers: Answers,
    rule: ScoringRule,
    *,
    num_tiles: int,
    selected: Sequence[str] | None = None,
    name: str = "the benchmark",
) -> Result:
    """Return the result of `answers` under `rule`.

    Args:
        items: the rows of each item of the benchmark, in file order.
        answers: by (item_id, tile) and question number.
        num_tiles: tiles that each item must have answers for, 1, 2 or 4.
        selected: item ids to score; all where None.
        name: the benchmark file, for messages.

    Raises:
        DataError: the rule refuses the file.
    """
    rows = sorted((row for item in items for row in item), key=lambda row: row.row)
    if rule.rows == "all":
        by_id = {item[0].item_id: tuple(item) for item in items}
        Benchmark(name, Path(name), {}, by_id).require_unique_questions()
    refuse_bad_dependencies(rows, rule, name)
    wanted = None if selected is None else set(selected)
    chosen = [item for item in items if wanted is None or item[0].item_id in wanted]
    scored = tuple(
        score_item(
            item[0].item_id,
            item,
            answers,
            rule=rule,
            num_tiles=num_tiles,
            first_row=rows[0].row,
        )
        for item in chosen
    )
    unanswered = tuple(item.item_id for item in scored if not item.answered)
    census = take_census_of_answers(
        answers, [(item.item_id, tile) for item in scored for tile in range(num_tiles)]
    )
    body = _body(scored, rule)
    body["answers"] = census._asdict()
    body["warnings"] = _warnings(chosen, scored, rule, unanswered)
    if census.suspicious:
        body["warnings"]["answers_neither_yes_nor_no"] = census.neither
    return Result(rule, scored, unanswered, body)


def _body(items: Sequence[ItemScore], rule: ScoringRule) -> dict[str, Any]:
    failures = {item.item_id: item.failure for item in items if item.failure is not None}
    scored = [item for item in items if item.failure is None]
    zeros = rule.unscored_item == "zero" and bool(scored)
    counted = [item for item in items if item.failure is None or (zeros and item.answered)]
    averages = _Averages(counted, rule)
    overall, interval = averages.overall()
    return {
        "overall": overall.score,
        "interval": interval,
        "items_scored": len(scored),
        "items_expected": len(items),
        "coverage": len(scored) / len(items) if items else 0.0,
        "failed_items": sorted(failures),
        "failures": dict(sorted(failures.items())),
        "unanswered_items": sorted(item.item_id for item in items if not item.answered),
        "l1": averages.categories(0),
        "l2": averages.categories(1),
        "sources": averages.sources(),
    }


def _warnings(
    chosen: Sequence[Sequence[QuestionRow]],
    scored: Sequence[ItemScore],
    rule: ScoringRule,
    unanswered: Sequence[str],
) -> dict[str, int]:
    counts: dict[str, int] = {}
    if rule.gate == "ancestors":
        counts = count_problems(find_problems(map(PromptGraph.from_rows, chosen)))
        counts.pop("forward_parent", None)  # nothing is lost by it here
    if unanswered:
        counts["items_without_all_answers"] = len(unanswered)
    lost = {item.item_id for item in scored if item.failure is not None} - set(unanswered)
    if lost:
        counts["items_lost_by_the_rule"] = len(lost)
    return counts


def overall_part(item: ItemScore, rule: ScoringRule) -> tuple[float, int]:
    """Return what an item adds to the overall mean of `rule`: a sum, and over how many."""
    if rule.overall == "items":
        return (item.score if item.tiles else 0.0, 1)
    verdicts = [verdict.gated for tile in item.tiles for verdict in tile.values()]
    return (float(sum(verdicts)), len(verdicts))


def recorded_part(
    score: float | None, questions: int, rule: ScoringRule, *, absent: bool
) -> tuple[float, int]:
    """Return what a recorded item adds to the overall mean of `rule`: a sum, and over how many.

    Args:
        score: of the item, in the unit of the mean; None where it has none.
        questions: how many were asked of each tile.
        absent: whether it has no score because pictures or answers are not there: such an item
            counts for nothing; another without a score counts as the rule says.
    """
    if absent:
        return 0.0, 0
    weight = questions if rule.overall == "questions" else 1
    if score is None:
        return 0.0, weight if rule.unscored_item == "zero" else 0
    return score * weight, weight


class _Averages:
    """Every average of a result as a ratio of per-item sums, so that one bootstrap serves all."""

    def __init__(self, items: Sequence[ItemScore], rule: ScoringRule) -> None:
        self.items = items
        self.rule = rule

    def overall(self) -> tuple[Mean, Interval]:
        """Return the overall mean and its interval."""
        parts = [overall_part(item, self.rule) for item in self.items]
        return self._means({"overall": parts})["overall"]

    def sources(self) -> dict[str, dict[str, Any]]:
        """Return the overall mean of each source."""
        names = sorted({item_source(item.item_id) for item in self.items})
        columns = {
            name: [
                overall_part(item, self.rule) if item_source(item.item_id) == name else (0.0, 0)
                for item in self.items
            ]
            for name in names
        }
        counts = Counter(item_source(item.item_id) for item in self.items)
        return {
            name: {"score": mean.score, "interval": interval, "items": counts[name]}
            for name, (mean, interval) in self._means(columns).items()
        }

    def categories(self, level: int) -> dict[str, dict[str, Any]]:
        """Return the averages of each category; `level` 0 is L1, 1 is L2."""
        names = sorted({q.category[level] for item in self.items for q in item.plan if item.tiles})
        stages = ("raw", "gated") if self.rule.category_stage == "gated" else ("raw",)
        means = {
            stage: self._means(self._category_columns(names, level, stage == "gated"))
            for stage in stages
        }
        questions = Counter(
            q.category[level] for item in self.items if item.tiles for q in item.plan
        )
        return {name: self._category_entry(name, means, questions[name]) for name in names}

    def _category_entry(
        self, name: str, means: dict[str, dict[str, tuple[Mean, Interval]]], questions: int
    ) -> dict[str, Any]:
        mean, interval = means[self.rule.category_stage][name]
        entry = {
            "score": mean.score,
            "interval": interval,
            "questions": questions,
            "answers": mean.number,
            "items": mean.items,
        }
        if len(means) > 1:
            entry |= {stage: means[stage][name][0].score for stage in means}
        return entry

    def _category_columns(
        self, names: Iterable[str], level: int, gated: bool
    ) -> dict[str, list[tuple[float, int]]]:
        columns: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
        for item in self.items:
            sums: Counter[str] = Counter()
            counts: Counter[str] = Counter()
            tiles = item.tiles[-1:] if self.rule.category_tiles == "last" else item.tiles
            for tile in tiles:
                for question in item.plan:
                    name = question.category[level]
                    counts[name] += 1
                    sums[name] += tile[question.qid].gated if gated else tile[question.qid].raw
            for name, column in columns.items():
                column.append((float(sums[name]), counts[name]))
        return columns

    def _means(
        self, columns: dict[str, list[tuple[float, int]]]
    ) -> dict[str, tuple[Mean, Interval]]:
        if not columns:
            return {}
        table = np.array(list(columns.values()), dtype=np.float64).reshape(
            len(columns), len(self.items), 2
        )
        ranges = stats.intervals(table[:, :, 0].T, table[:, :, 1].T)
        result: dict[str, tuple[Mean, Interval]] = {}
        for (name, parts), ends in zip(columns.items(), ranges, strict=True):
            total = math.fsum(part for part, _ in parts)
            number = sum(count for _, count in parts)
            score = 100 * total / number if number else None
            interval = None if ends is None else (100 * ends[0], 100 * ends[1])
            items = sum(count > 0 for _, count in parts)
            result[name] = (Mean(score, number, items), interval)
        return result
