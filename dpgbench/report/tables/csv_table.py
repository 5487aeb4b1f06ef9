"""The leaderboard as CSV: unrounded, a row for each measured result and each published one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.report.text import row_warnings
from dpgbench.store.csv_rows import csv_text
from dpgbench.store.published import BENCHMARK, PublishedScore
from dpgbench.store.run.scores import Figure

_FIRST = (
    "kind",
    "rank",
    "rank_best",
    "rank_worst",
    "model",
    "run",
    "benchmark",
    "judge",
    "rule",
    "overall",
    "overall_lo",
    "overall_hi",
    "items_scored",
    "items_expected",
    "coverage",
    "subset",
)
_LAST = (
    "num_images",
    "image_size",
    "seed_rule",
    "base_seed",
    "date",
    "notes",
    "warnings",
    "unranked",
    "benchmark_hash",
    "items_hash",
    "judge_hash",
    "identity_hash",
    "published_source",
    "published_note",
)
_AS_THEY_ARE = (
    "rank",
    "model",
    "run",
    "items_scored",
    "items_expected",
    "num_images",
    "image_size",
    "seed_rule",
    "base_seed",
    "date",
    "unranked",
    "identity_hash",
)


def leaderboard_csv(board: Board) -> str:
    """Return the table: measured rows group by group, then published ones without a rank.

    A category has the columns ``l1_NAME``, ``l1_NAME_lo``, ``l1_NAME_hi``, ``l1_NAME_n``
    (questions) and ``l1_NAME_items`` (``l2_`` alike; ``source_`` for sources, where ``_n`` counts
    items). An empty cell means that there is no such figure. A text that a spreadsheet would take
    for a formula has an apostrophe before it.
    """
    rows = [*map(_measured, board.rows), *map(_published, board.published)]
    columns = [*_FIRST, *_category_columns(board.rows, board.published), *_LAST]
    return csv_text(columns, ([cells.get(name) for name in columns] for cells in rows))


def category_names(levels: Iterable[Mapping[str, Figure]]) -> list[str]:
    """Return the names that occur in any of `levels`, sorted."""
    return sorted({name for level in levels for name in level})


def _category_columns(
    rows: Sequence[LeaderboardRow], published: Sequence[PublishedScore]
) -> list[str]:
    quoted = {name for score in published for name, figure in score.l1.items() if figure}
    names = {
        "l1": sorted({*category_names(row.l1 for row in rows), *quoted}),
        "l2": category_names(row.l2 for row in rows),
        "source": category_names(row.sources for row in rows),
    }
    return [
        f"{level}_{name}{end}"
        for level, of_level in names.items()
        for name in of_level
        for end in ("", "_lo", "_hi", "_n", *(() if level == "source" else ("_items",)))
    ]


def _measured(row: LeaderboardRow) -> dict[str, Any]:
    best, worst = row.rank_range or (None, None)
    return {
        "kind": "measured",
        "rank_best": best,
        "rank_worst": worst,
        "coverage": row.coverage,
        "subset": str(row.subset) if row.subset else None,
        "notes": "; ".join(row.notes),
        "warnings": "; ".join(row_warnings(row)),
        **row.key._asdict(),
        **_figure("overall", Figure(row.overall, row.interval)),
        **_figures("l1", row.l1),
        **_figures("l2", row.l2),
        **_figures("source", row.sources, items=False),
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
    }


def _figures(
    level: str, figures: Mapping[str, Figure], *, items: bool = True
) -> dict[str, float | None]:
    cells: dict[str, float | None] = {}
    for name, figure in figures.items():
        cells |= _figure(f"{level}_{name}", figure)
        cells[f"{level}_{name}_n"] = figure.number
        if items:
            cells[f"{level}_{name}_items"] = figure.items
    return cells


def _figure(name: str, figure: Figure) -> dict[str, float | None]:
    low, high = figure.interval or (None, None)
    return {name: figure.score, f"{name}_lo": low, f"{name}_hi": high}


def _published(score: PublishedScore) -> dict[str, Any]:
    return {
        "kind": "published",
        "model": score.model,
        "benchmark": BENCHMARK,
        "overall": score.average,
        **{f"l1_{name}": figure for name, figure in score.l1.items()},
        "published_source": score.source,
        "published_note": score.note,
    }
