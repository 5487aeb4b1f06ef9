"""The leaderboard and its comparisons as JSON: what programs read, unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dpgbench.analysis.board import Board
from dpgbench.analysis.comparison import CategoryDifference, Comparison
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import Score
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report.text import remarks, row_warnings, too_few

SCHEMA = 1


def leaderboard_json(board: Board) -> str:
    """Return ``{"schema", "rows", "comparisons", "published"}``; published scores stand apart."""
    rows = board.rows
    content = {
        "schema": SCHEMA,
        "rows": [_row(row) for row in rows],
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
            }
            for score in board.published
        ],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


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
