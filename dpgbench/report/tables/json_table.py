"""The leaderboard and its comparisons as JSON: what programs read, unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.analysis.comparison import CategoryDifference, Comparison, all_rows
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.rows import Group
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report.published import PublishedScore
from dpgbench.report.text import too_few
from dpgbench.store.run.scores import Figure

SCHEMA = 1


def leaderboard_json(
    groups: Sequence[Group],
    found: Sequence[Comparison],
    published: Sequence[PublishedScore] = (),
) -> str:
    """Return ``{"schema", "rows", "comparisons", "published"}``; published scores stand apart."""
    rows = all_rows(groups)
    told = {
        "schema": SCHEMA,
        "rows": [_row(row) for row in rows],
        "comparisons": [comparison_json(comparison, rows) for comparison in found],
        "published": [
            {
                "model": score.model,
                "overall": score.average,
                "l1": score.l1,
                "source": score.source,
                "note": score.note,
            }
            for score in published
        ],
    }
    return json.dumps(told, ensure_ascii=False, allow_nan=False)


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
        "warnings": row.warnings,
        "subset": None if row.subset is None else row.subset._asdict(),
        "unranked": row.unranked,
        "identity_hash": row.identity_hash,
    }


def _figures(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {
        name: {
            "score": figure.score,
            "interval": figure.interval,
            "number": figure.number,
            "items": figure.items,
        }
        for name, figure in figures.items()
    }


def comparison_json(found: Comparison, rows: Sequence[LeaderboardRow]) -> dict[str, Any]:
    """Return a comparison as plain data; without ``difference`` where nothing was computed."""
    first, second = rows[found.first], rows[found.second]
    told: dict[str, Any] = {
        "judge": first.judge,
        "rule": first.rule,
        "first": first.run,
        "second": second.run,
        "comparable": found.comparable,
        "reasons": [
            {"what": r.label, "decides": r.decides, "first": r.first, "second": r.second}
            for r in found.reasons
        ],
        "first_notes": first.remarks,
        "second_notes": second.remarks,
    }
    if found.overall is None or found.scores is None:
        return told
    return {
        **told,
        "items": found.items,
        "first_score": found.scores[0],
        "second_score": found.scores[1],
        **_difference(found.overall, found.items),
        **found.outcomes._asdict(),
        "l1": {category.name: _category(category) for category in found.l1},
        "l2": {category.name: _category(category) for category in found.l2},
    }


def _difference(found: PairedDifference, items: int) -> dict[str, Any]:
    return {
        "difference": found.difference,
        "interval": found.interval,
        "p_value": found.p_value,
        "told_apart": found.told_apart,
        **({"too_few_items": too_few(items)} if found.interval is None else {}),
    }


def _category(found: CategoryDifference) -> dict[str, Any]:
    return {
        "first_score": found.first,
        "second_score": found.second,
        "items": found.items,
        **_difference(found.difference, found.items),
        "p_holm": found.adjusted,
        "told_apart": found.told_apart,
    }
