"""The leaderboard and its comparisons as JSON: what programs read, unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.analysis.board import Board
from dpgbench.analysis.comparison import CategoryDifference, Comparison
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.win_matrix import WinMatrix, win_matrix
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import Score
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report.benchmark_terms import benchmark_terms, entries_of
from dpgbench.report.beside_published import BesidePublished, count_mark
from dpgbench.report.text import remarks, row_warnings, too_few

SCHEMA = 1


def leaderboard_json(board: Board, beside: Sequence[BesidePublished] = ()) -> str:
    """Return ``{"schema", "rows", "comparisons", "published", ...}``; published scores stand apart.

    Args:
        beside: published scores of the models that were measured.
    """
    rows = board.rows
    entries = {entry.title: entry for entry in entries_of(board)}
    content = {
        "schema": SCHEMA,
        "rows": [_row(row) for row in rows],
        "benchmarks": [
            {**terms._asdict(), "non_commercial": entries[terms.title].non_commercial}
            for terms in benchmark_terms(board)
        ],
        "comparisons": [
            comparison_json(rows[comparison.first], rows[comparison.second], comparison)
            for comparison in board.comparisons
        ],
        "published": [
            {
                "model": score.model,
                "overall": score.average,
                "l1": score.l1,
                "source": score.source,
                "note": score.note,
                "address": score.address,
                "address_is_search": score.is_search,
                "impossible_categories": list(count_mark(score).impossible),
            }
            for score in board.published
        ],
        "beside_published": [_beside(one) for one in beside],
        "win_matrices": [
            _matrix(matrix) for group in board.groups if (matrix := win_matrix(group)) is not None
        ],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _beside(one: BesidePublished) -> dict[str, Any]:
    return {
        "run": one.row.run,
        "judge": one.row.judge,
        "rule": one.row.rule,
        "published_as": one.quote.model,
        "published": one.quote.average,
        "source": one.quote.source,
        "address": one.quote.address,
        "difference": one.difference,
        "inside_interval": one.inside,
        "settings": [setting._asdict() for setting in one.settings],
        "l1": {name: category._asdict() for name, category in one.categories.items()},
    }


def _matrix(matrix: WinMatrix) -> dict[str, Any]:
    """Return all pairs of a leaderboard; ``p_holm`` is over all of them."""
    return {
        "benchmark": matrix.rows[0].benchmark,
        "judge": matrix.rows[0].judge,
        "rule": matrix.rows[0].rule,
        "runs": [row.run for row in matrix.rows],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                **_difference(pair.difference, pair.items),
                "p_holm": pair.difference.p_holm,
                "items": pair.items,
                **pair.outcomes._asdict(),
            }
            for pair in matrix.pairs
        ],
    }


def _row(row: LeaderboardRow) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "rank_range": row.rank_range,
        "run": row.run,
        "model": row.model,
        **row.key._asdict(),
        "overall": row.overall,
        "interval": row.interval,
        "items_scored": row.items_scored,
        "items_expected": row.items_expected,
        "coverage": row.coverage,
        "l1": _figures(row.l1),
        "l2": _figures(row.l2),
        "sources": _figures(row.sources),
        "num_images": row.num_images,
        "image_size": row.image_size,
        "seed_rule": row.seed_rule,
        "base_seed": row.base_seed,
        "date": row.date,
        "notes": row.notes,
        "warnings": row_warnings(row),
        "subset": _subset(row.subset),
        "unranked": row.unranked,
        "identity_hash": row.identity_hash,
    }


def _subset(subset: Subset | None) -> dict[str, Any] | None:
    if subset is None:
        return None
    return {
        "items": subset.items,
        "of": subset.of,
        "choice": subset.choice,
        "sha256": subset.items_sha256,
    }


def _figures(figures: Mapping[str, Score]) -> dict[str, Any]:
    return {
        name: {
            "score": figure.score,
            "interval": figure.interval,
            "number": figure.number,
            "items": figure.items,
        }
        for name, figure in figures.items()
    }


def comparison_json(
    first: LeaderboardRow, second: LeaderboardRow, comparison: Comparison
) -> dict[str, Any]:
    """Return a comparison as plain data; without ``difference`` where nothing was computed."""
    about: dict[str, Any] = {
        "judge": first.judge,
        "rule": first.rule,
        "first": first.run,
        "second": second.run,
        "comparable": comparison.comparable,
        "reasons": [
            {"what": r.label, "decides": r.decides, "first": r.first, "second": r.second}
            for r in comparison.reasons
        ],
        "first_notes": remarks(first),
        "second_notes": remarks(second),
    }
    if comparison.overall is None or comparison.scores is None:
        return about
    return {
        **about,
        "items": comparison.items,
        "first_score": comparison.scores[0],
        "second_score": comparison.scores[1],
        **_difference(comparison.overall, comparison.items),
        **comparison.outcomes._asdict(),
        "l1": {category.name: _category(category) for category in comparison.l1},
        "l2": {category.name: _category(category) for category in comparison.l2},
    }


def _difference(difference: PairedDifference, items: int) -> dict[str, Any]:
    return {
        "difference": difference.difference,
        "interval": difference.interval,
        "p_value": difference.p_value,
        "told_apart": difference.significant,
        **({"too_few_items": too_few(items)} if difference.interval is None else {}),
    }


def _category(category: CategoryDifference) -> dict[str, Any]:
    return {
        "first_score": category.first,
        "second_score": category.second,
        "items": category.items,
        **_difference(category.difference, category.items),
        "p_holm": category.difference.p_holm,
    }
