"""Results of T2I-CompBench as the paper's Table 3 has them: a row a model, a column a category.

Scores are 0 to 1 here, as that benchmark prints them. Nothing is ranked: metrics differ by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpgbench.domain.result import CategoryScore, Result
from dpgbench.domain.rules import ALL_RULES
from dpgbench.domain.spec import check_seed_rule, seed_for
from dpgbench.domain.statistics.bootstrap import Interval
from dpgbench.errors import DpgBenchError
from dpgbench.store.compbench import COMPBENCH
from dpgbench.store.published_compbench import CATEGORIES
from dpgbench.store.run import manifest_summary
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.scores import RunRecord


@dataclass(frozen=True)
class CompbenchFigure:
    """One model's score in one category, 0 to 1.

    Attributes:
        category: of T2I-CompBench.
        judge: whose number it is; its name tells the release that noun chunks are by.
        score: None where there was nothing to average.
        interval: 95%, over prompts; None on fewer than 8.
        items: prompts that it is over.
        num_images: images a prompt.
        notes: that must stand beside it.
    """

    category: str
    judge: str
    score: float | None
    interval: Interval
    items: int
    num_images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CompbenchRow:
    """One run's figures.

    Attributes:
        model: that drew.
        run: the run directory's name.
        index: the run's place among the runs of the board, from 0.
        seeds: in words: ``42 to 51``; empty where they are not recorded.
        figures: by the paper's columns; several where a category has several metrics.
    """

    model: str
    run: str
    index: int
    seeds: str
    figures: tuple[CompbenchFigure, ...]

    def of(self, category: str) -> tuple[CompbenchFigure, ...]:
        """Return the figures of one category."""
        return tuple(figure for figure in self.figures if figure.category == category)


def compbench_rows(records: Sequence[RunRecord]) -> list[CompbenchRow]:
    """Return the rows of the runs that have results of T2I-CompBench, in the runs' order."""
    rows = []
    for index, record in enumerate(records):
        figures = [
            figure
            for result in _widest(record.results)
            for figure in _figures(result, record.manifest)
        ]
        if figures:
            order = {category: place for place, category in enumerate(CATEGORIES)}
            figures.sort(key=lambda figure: (order[figure.category], figure.judge))
            manifest = record.manifest
            seeds = seeds_text(manifest)
            row = CompbenchRow(manifest.model, record.run.name, index, seeds, tuple(figures))
            rows.append(row)
    return rows


def _widest(results: Sequence[Result]) -> list[Result]:
    """Return of each judge and rule the result over the most items."""
    widest: dict[tuple[str, str], Result] = {}
    for result in results:
        key = (result.judge, result.rule)
        if key not in widest or widest[key].items_expected < result.items_expected:
            widest[key] = result
    return list(widest.values())


def _figures(result: Result, manifest: Manifest) -> list[CompbenchFigure]:
    rule = ALL_RULES.get(result.rule)
    if result.benchmark != COMPBENCH or rule is None or rule.image_score == "verdicts":
        return []
    return [
        CompbenchFigure(
            name,
            result.judge,
            None if score.score is None else score.score / 100,
            None if score.interval is None else (score.interval[0] / 100, score.interval[1] / 100),
            _items(result, score),
            result.num_tiles or manifest.num_images,
            result.notes,
        )
        for name, score in result.l1.items()
        if name in CATEGORIES
    ]


def _items(result: Result, score: CategoryScore) -> int:
    if score.items is not None:
        return score.items
    tiles = result.num_tiles or 1
    return (score.answers or 0) // tiles


def seeds_text(manifest: Manifest) -> str:
    """Return which seeds every prompt was drawn with: ``42 to 51``; "" where nothing tells."""
    try:
        rule = check_seed_rule(manifest_summary.seed_rule(manifest))
    except DpgBenchError:
        return ""
    if rule == "per-item":
        return "a hash of the item"
    base = manifest_summary.base_seed(manifest) or 0
    first, last = (seed_for(rule, base, "", tile) for tile in (0, manifest.num_images - 1))
    return f"{first} to {last}" if last > first else str(first)
