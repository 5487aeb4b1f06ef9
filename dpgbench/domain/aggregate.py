"""Every average: tiles, items, overall, categories, sources. Nothing is averaged elsewhere.

An average is a ratio of sums over items, so that one bootstrap serves all of them. Scores in a
result are times 100 and unrounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.graph import count_problems, find_problems
from dpgbench.domain.plan import ItemPlan
from dpgbench.domain.result import (
    AnswerCensus,
    CategoryScore,
    ItemFigure,
    ItemScore,
    Origin,
    Result,
    Score,
    Verdicts,
)
from dpgbench.domain.rows import item_source
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.statistics.bootstrap import Interval, Matrix, RatioTable, Vector, intervals_of


class CategoryTable(NamedTuple):
    """What a rule averages by item and category: `sums` over `counts`, both [N, C]."""

    names: tuple[str, ...]
    sums: Matrix
    counts: Matrix


class _Column(NamedTuple):
    """A ratio of a result: times 100, its interval, over how many things, of how many items."""

    score: float | None
    interval: Interval
    number: int
    items: int


def mean_of(values: Collection[float]) -> float:
    """Return the mean of one value or more; of truth values, the share that is true."""
    return math.fsum(values) / len(values)


def scored_item(
    plan: ItemPlan, raw: Sequence[Verdicts], gated: Sequence[Verdicts], *, answered: bool = True
) -> ItemScore:
    """Return an item's score: the mean over tiles of the share of questions that hold.

    Args:
        plan: of the item.
        raw: for each tile, whether each answer is yes.
        gated: the same after zeroing.
        answered: whether every question of the item has an answer.
    """
    shares = tuple(sum(tile) / len(tile) for tile in gated)
    mean = sum(shares) / len(shares) if shares else None
    return ItemScore(
        plan.item_id, plan.questions, tuple(raw), tuple(gated), shares, mean, None, answered
    )


def measured_item(
    plan: ItemPlan,
    image_scores: Sequence[float],
    *,
    answered: bool = True,
    probabilities: Sequence[Sequence[float]] = (),
) -> ItemScore:
    """Return the score of an item whose images have numbers, not verdicts: their mean.

    Args:
        plan: of the item.
        image_scores: of each tile.
        answered: whether every question of the item has an answer.
        probabilities: for each tile, that each right answer has, under rules about them.
    """
    scores = tuple(image_scores)
    return ItemScore(
        plan.item_id,
        plan.questions,
        tile_scores=scores,
        score=math.fsum(scores) / len(scores),
        answered=answered,
        probabilities=tuple(map(tuple, probabilities)),
    )


def is_counted(item: ItemScore, rule: ScoringRule) -> bool:
    """Return whether an item counts: it has a score, or the rule lost it and counts that as zero.

    One without all of its answers counts for nothing under any rule.
    """
    return item.failure is None or (rule.unscored_item == "zero" and item.answered)


def overall_part(item: ItemScore, rule: ScoringRule) -> tuple[float, int]:
    """Return what an item adds to the overall mean of `rule`: a sum, and over how many."""
    if rule.overall == "items":
        return (item.score or 0.0, 1)
    return (float(sum(map(sum, item.gated))), sum(map(len, item.gated)))


def recorded_part(
    score: float | None, questions: int, rule: ScoringRule, *, absent: bool
) -> tuple[float, int]:
    """Return what a recorded item adds to the overall mean of `rule`: a sum, and over how many.

    Args:
        score: of the item, in the unit of the mean; None where it has none.
        questions: how many were asked of each tile.
        rule: that the item was scored under.
        absent: whether it has no score because pictures or answers are not there: such an item
            counts for nothing; another without a score counts as the rule says.
    """
    if absent:
        return 0.0, 0
    weight = questions if rule.overall == "questions" else 1
    if score is None:
        return 0.0, weight if rule.unscored_item == "zero" else 0
    return score * weight, weight


def recorded_parts(
    results: Sequence[Mapping[str, ItemFigure]], items: Sequence[str], rule: ScoringRule
) -> RatioTable:
    """Return what each of N items adds to the overall of each of R results, times 100.

    Args:
        results: tables of items; an item that one does not have adds nothing to it.
        items: N ids.
        rule: that all of them are under.
    """
    parts = np.array(
        [[_figure_part(result.get(item), rule) for result in results] for item in items],
        dtype=np.float64,
    ).reshape(len(items), len(results), 2)
    return RatioTable(parts[:, :, 0], parts[:, :, 1])


def _figure_part(figure: ItemFigure | None, rule: ScoringRule) -> tuple[float, int]:
    if figure is None:
        return 0.0, 0
    return recorded_part(figure.score, figure.questions, rule, absent=figure.absent)


def pooled_parts(
    sides: Sequence[Sequence[ItemScore]], clusters: Sequence[int], rule: ScoringRule
) -> RatioTable:
    """Return what each of C clusters adds to the overall of each of S sides, times 100.

    Args:
        sides: S lists of the same M images' scores.
        clusters: [M] number of each image's cluster, 0 to C - 1; the images of several models of
            one item are one cluster, because one prompt is.
        rule: that all of them are under.
    """
    parts = np.zeros((2, max(clusters, default=-1) + 1, len(sides)))
    for side, scores in enumerate(sides):
        for cluster, score in zip(clusters, scores, strict=True):
            parts[:, cluster, side] += overall_part(score, rule)
    return RatioTable(100 * parts[0], parts[1])


def category_table(
    items: Sequence[ItemScore | None], rule: ScoringRule, level: int, *, gated: bool | None = None
) -> CategoryTable:
    """Return what categories average, an item a row; one without a score adds nothing.

    Args:
        items: N items; None is one that is not there.
        rule: that they are under.
        level: 0 is L1, 1 is L2.
        gated: after zeroing or before; None is as the rule has it.
    """
    gated = rule.category_stage == "gated" if gated is None else gated
    columns: dict[str, int] = {}
    rows: list[int] = []
    column_of: list[int] = []
    held: list[float] = []
    tiles: list[int] = []
    stage: Sequence[Sequence[float]]
    for number, item in enumerate(items):
        if item is not None and rule.category_of == "images" and item.score is not None:
            of_item = dict.fromkeys(q.category[level] for q in item.plan)
            rows += [number] * len(of_item)
            tiles += [len(item.tile_scores)] * len(of_item)
            column_of += [columns.setdefault(name, len(columns)) for name in of_item]
            held += [math.fsum(item.tile_scores)] * len(of_item)
            continue
        stage = () if item is None else (item.gated if gated else item.raw) or item.probabilities
        if item is None or not stage:
            continue
        stage = stage[-1:] if rule.category_tiles == "last" else stage
        rows += [number] * len(item.plan)
        tiles += [len(stage)] * len(item.plan)
        column_of += [columns.setdefault(q.category[level], len(columns)) for q in item.plan]
        held += map(sum, zip(*stage, strict=True))
    names = sorted(columns)
    order = np.array([names.index(name) for name in columns], dtype=np.int64)
    index = np.array(rows, dtype=np.int64) * len(names)
    index += order[np.array(column_of, dtype=np.int64)]
    shape, size = (len(items), len(names)), len(items) * len(names)
    sums, counts = (
        np.bincount(index, weights=np.array(numbers, dtype=np.float64), minlength=size)
        .astype(np.float64)
        .reshape(shape)
        for numbers in (held, tiles)
    )
    return CategoryTable(tuple(names), sums, counts)


def make_result(
    benchmark: Benchmark,
    rule: ScoringRule,
    items: Sequence[ItemScore],
    census: AnswerCensus,
    num_images: int,
    origin: Origin,
) -> Result:
    """Return the result of scored items, complete.

    Args:
        benchmark: that they are of.
        rule: that they were scored under.
        items: every expected item, in the benchmark's order.
        census: of the answers to them.
        num_images: images per prompt.
        origin: where the answers came from.
    """
    reasons = {item.item_id: item.failure for item in items if item.failure is not None}
    failures = {i: origin.reasons.get(i, reasons[i]) for i in sorted(reasons)}
    scored = [item for item in items if item.failure is None]
    counted = [item for item in items if is_counted(item, rule)] if scored else []
    overall, l1, l2, sources = _averages(counted, rule)
    subset = benchmark.subset(item.item_id for item in items)
    return Result(
        rule=rule.name,
        overall=overall.score,
        interval=overall.interval,
        items_scored=len(scored),
        items_expected=len(items),
        failures=failures,
        l1=l1,
        l2=l2,
        sources=sources,
        warnings=_warnings(benchmark, items, rule, census, origin),
        unanswered=tuple(sorted(item.item_id for item in items if not item.answered)),
        notes=(*origin.notes, *_reading_notes(origin.num_read)),
        answers=census,
        num_read=origin.num_read,
        num_tiles=num_images,
        subset=subset,
        judge=origin.judge,
        model=origin.model,
        benchmark=benchmark.name,
        benchmark_sha256=benchmark.graphs_sha256,
        item_figures={item.item_id: _figure(item, failures) for item in items},
        items=tuple(items),
    )


def _figure(item: ItemScore, failures: Mapping[str, str]) -> ItemFigure:
    return ItemFigure(
        None if item.score is None else 100 * item.score,
        len(item.plan),
        item.score is None and not item.answered,
        tuple(100 * share for share in item.tile_scores),
        failures.get(item.item_id, ""),
    )


def _reading_notes(num_read: int | None) -> list[str]:
    if not num_read:
        return []
    number = "1 answer was" if num_read == 1 else f"{num_read} answers were"
    return [f"{number} read as yes or no by --read-answers"]


def _warnings(
    benchmark: Benchmark,
    items: Sequence[ItemScore],
    rule: ScoringRule,
    census: AnswerCensus,
    origin: Origin,
) -> dict[str, int]:
    """Return how often each kind of warning occurred, in the order of the score file."""
    counts: dict[str, int] = {}
    if rule.gate == "ancestors":
        graphs = [benchmark.graphs[item.item_id] for item in items]
        counts = count_problems(find_problems(graphs))
        counts.pop("forward_parent", None)  # nothing is lost by it here
    lost = sum(item.failure is not None and item.answered for item in items)
    kinds = {
        "items_without_all_answers": sum(not item.answered for item in items),
        "items_lost_by_the_rule": lost,
        "answers_neither_yes_nor_no": census.neither if census.suspicious else 0,
        "items_not_chosen": len(benchmark.prompts) - len(items),
        "invalid_answers": origin.num_invalid,
        "stray_answers": origin.num_strays,
        "single_colour_tiles": origin.num_single_colour_tiles,
        "answers_read": origin.num_read or 0,
    }
    return counts | {kind: number for kind, number in kinds.items() if number}


def _averages(
    items: Sequence[ItemScore], rule: ScoringRule
) -> tuple[_Column, dict[str, CategoryScore], dict[str, CategoryScore], dict[str, Score]]:
    """Return the overall, both levels of categories and the sources: all in one bootstrap."""
    parts = np.array([overall_part(item, rule) for item in items], dtype=np.float64)
    parts = parts.reshape(1, len(items), 2)
    sources = [item_source(item.item_id) for item in items]
    names = sorted(set(sources))
    inside = np.array([[source == name for source in sources] for name in names], dtype=np.float64)
    by_name = parts * inside.reshape(len(names), len(items), 1)
    levels = [category_table(items, rule, level) for level in (0, 1)]
    averaged = [
        RatioTable(parts[:, :, 0].T, parts[:, :, 1].T),
        *(RatioTable(level.sums, level.counts) for level in levels),
        RatioTable(by_name[:, :, 0].T, by_name[:, :, 1].T),
    ]
    (overall,), l1, l2, by_source = (
        _columns(table, ends) for table, ends in zip(averaged, intervals_of(averaged), strict=True)
    )
    numbers = Counter(sources)
    return (
        overall,
        _categories(items, rule, 0, levels[0].names, l1),
        _categories(items, rule, 1, levels[1].names, l2),
        {
            name: Score(column.score, column.interval, numbers[name])
            for name, column in zip(names, by_source, strict=True)
        },
    )


def _columns(table: RatioTable, ends: Sequence[Interval]) -> list[_Column]:
    return [
        _column(table.sums[:, place], table.counts[:, place], interval)
        for place, interval in enumerate(ends)
    ]


def _column(sums: Vector, counts: Vector, interval: Interval) -> _Column:
    number = int(counts.sum())
    return _Column(
        100 * math.fsum(sums) / number if number else None,
        None if interval is None else (100 * interval[0], 100 * interval[1]),
        number,
        int((counts > 0).sum()),
    )


def _categories(
    items: Sequence[ItemScore],
    rule: ScoringRule,
    level: int,
    names: Iterable[str],
    columns: Sequence[_Column],
) -> dict[str, CategoryScore]:
    questions = Counter(q.category[level] for item in items if item.tile_scores for q in item.plan)
    raw: Mapping[str, float | None] = {}
    if rule.category_stage == "gated":
        table = category_table(items, rule, level, gated=False)
        before = _columns(RatioTable(table.sums, table.counts), [None] * len(table.names))
        raw = {name: column.score for name, column in zip(table.names, before, strict=True)}
    return {
        name: CategoryScore(
            column.score,
            column.interval,
            column.items,
            raw.get(name),
            questions[name],
            column.number,
            column.score if raw else None,
        )
        for name, column in zip(names, columns, strict=True)
    }
