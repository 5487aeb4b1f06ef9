"""The board as one table: a row for each measured result and each published one, unrounded.

CSV, Markdown and LaTeX are made from it, each in its file. pandas is imported when a table is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.domain.result import CategoryScore, Score
from dpgbench.report.text import label, row_warnings
from dpgbench.store.published import BENCHMARK, PublishedScore

if TYPE_CHECKING:
    import pandas as pd

_Cells = dict[str, object]
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
    "licence",
    "published_address",
)
SHOWN_ONLY = ("group", "label", "items_covered", "best")
"""Columns that tables for people need and programs do not."""
_AS_THEY_ARE = (
    "rank",
    "model",
    "run",
    "items_scored",
    "items_expected",
    "items_covered",
    "coverage",
    "best",
    "num_images",
    "image_size",
    "seed_rule",
    "base_seed",
    "date",
    "unranked",
    "identity_hash",
)


def leaderboard_frame(board: Board) -> pd.DataFrame:
    """Return the measured rows group by group, then the published ones, which have no rank.

    A category has the columns ``l1_NAME``, ``l1_NAME_lo``, ``l1_NAME_hi``, ``l1_NAME_n``
    (questions) and ``l1_NAME_items`` (``l2_`` alike; ``source_`` for sources, where ``_n`` counts
    items). None means that there is no such figure. The columns `SHOWN_ONLY` come last: the place
    of a row's group in the board, its label there, how many items full coverage takes, and the
    columns in which it is surely best.
    """
    import pandas as pd

    named = board.named
    rows = [
        _measured(row)
        | {"group": place, "label": label(row, group)}
        | {"licence": named[row.index].terms if row.index in named else None}
        for place, group in enumerate(board.groups)
        for row in group.rows
    ]
    rows += map(_published, board.published)
    columns = [
        *_FIRST,
        *dict.fromkeys(_category_columns(board.rows, board.published)),
        *_LAST,
        *SHOWN_ONLY,
    ]
    cells = [[row.get(name) for name in columns] for row in rows]
    return pd.DataFrame(cells, columns=columns, dtype=object)


def group_frame(frame: pd.DataFrame, place: int) -> pd.DataFrame:
    """Return the rows of the board's group at `place`."""
    return frame[frame["group"] == place]


def figures(frame: pd.DataFrame, name: str) -> list[Score]:
    """Return the figures of a column with what stands beside it: interval, numbers."""
    sides = (f"{name}{end}" for end in ("", "_lo", "_hi", "_n", "_items"))
    columns = [list(frame[side]) if side in frame else [None] * len(frame) for side in sides]
    return [
        CategoryScore(score, None if low is None else (low, high), items, questions=number or 0)
        for score, low, high, number, items in zip(*columns, strict=True)
    ]


def is_best(frame: pd.DataFrame, name: str) -> list[bool]:
    """Return which rows are surely best in `OVERALL` or an L1 category."""
    return [name in best for best in frame["best"]]


def quoted(frame: pd.DataFrame, name: str) -> list[str | None]:
    """Return what published rows have for an L1 category, with the digits of their sources."""
    column = f"l1_{name}"
    return list(frame[column]) if column in frame else [None] * len(frame)


def category_names(levels: Iterable[Mapping[str, Score]]) -> list[str]:
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


def _measured(row: LeaderboardRow) -> _Cells:
    best, worst = row.rank_range or (None, None)
    return {
        "kind": "measured",
        "rank_best": best,
        "rank_worst": worst,
        "subset": str(row.subset) if row.subset else None,
        "notes": "; ".join(row.notes),
        "warnings": "; ".join(row_warnings(row)),
        **row.key._asdict(),
        **_figure("overall", Score(row.overall, row.interval)),
        **_figures("l1", row.l1),
        **_figures("l2", row.l2),
        **_figures("source", row.sources),
        **{name: getattr(row, name) for name in _AS_THEY_ARE},
    }


def _figures(level: str, figures: Mapping[str, Score]) -> _Cells:
    cells: _Cells = {}
    for name, figure in figures.items():
        cells |= _figure(f"{level}_{name}", figure)
        cells[f"{level}_{name}_n"] = figure.number
        cells[f"{level}_{name}_items"] = figure.items
    return cells


def _figure(name: str, figure: Score) -> _Cells:
    low, high = figure.interval or (None, None)
    return {name: figure.score, f"{name}_lo": low, f"{name}_hi": high}


def _published(score: PublishedScore) -> _Cells:
    return {
        "kind": "published",
        "model": score.model,
        "benchmark": BENCHMARK,
        "overall": score.average,
        **{f"l1_{name}": figure for name, figure in score.l1.items()},
        "published_source": score.source,
        "published_note": score.note,
        "published_address": None if score.is_search else score.address,
    }
