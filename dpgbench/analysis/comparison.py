"""Two results side by side: paired differences overall and by category, on the items both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.analysis.answers import ItemSet
from dpgbench.analysis.breadth import sheet_of
from dpgbench.analysis.comparability import Reason, reasons
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import part
from dpgbench.analysis.rows import Group
from dpgbench.domain.rules import RULES, ScoringRule
from dpgbench.domain.statistics.bootstrap import Matrix, ratio_draws
from dpgbench.domain.statistics.paired import (
    LEVEL,
    Outcomes,
    PairedDifference,
    difference_of,
    holm,
    outcomes,
)
from dpgbench.store.run.scores import ItemFigure

_NO_OUTCOMES = Outcomes(0, 0, 0)


class CategoryDifference(NamedTuple):
    """One category of two results.

    Attributes:
        adjusted: the p-value after Holm over the level; None on too few items.
        items: items that both are averaged over.
    """

    name: str
    first: float
    second: float
    difference: PairedDifference
    adjusted: float | None
    items: int = 0

    @property
    def told_apart(self) -> bool:
        """Whether the two are told apart although several categories were looked at."""
        return self.adjusted is not None and self.adjusted < LEVEL


@dataclass(frozen=True)
class Comparison:
    """Result `first` beside result `second`, places in the list of rows.

    Attributes:
        reasons: what the two do not have alike.
        items: how many items both have a score for; nothing else is compared.
        scores: of both on these items; None where nothing could be computed.
        overall: None where something that decides is not alike, or items are not at hand.
    """

    first: int
    second: int
    reasons: tuple[Reason, ...]
    items: int = 0
    scores: tuple[float, float] | None = None
    overall: PairedDifference | None = None
    outcomes: Outcomes = _NO_OUTCOMES
    l1: tuple[CategoryDifference, ...] = ()
    l2: tuple[CategoryDifference, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether all that should be alike is."""
        return not self.reasons


class _Drawn(NamedTuple):
    """Ratios of one result on some items: over all of them, and in each bootstrap draw."""

    means: Matrix
    draws: Matrix


@dataclass
class _Side:
    """One result by item: what it adds to its overall, its scores, its categories.

    The first column of `sums` and `counts` is the overall, the others are `names`: level and
    category. Results on the same items share their draws, since these are seeded.
    """

    sums: Matrix
    counts: Matrix
    scores: Matrix
    names: list[tuple[int, str]]
    drawn: dict[bytes, _Drawn] = field(default_factory=dict)

    def on(self, shared: NDArray[np.bool_]) -> _Drawn:
        """Return the ratios on the `shared` items."""
        key = shared.tobytes()
        if key not in self.drawn:
            sums, counts = self.sums[shared], self.counts[shared]
            total = counts.sum(axis=0)
            means = np.divide(
                sums.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0
            )
            self.drawn[key] = _Drawn(means, ratio_draws(sums, counts))
        return self.drawn[key]


def all_rows(groups: Iterable[Group]) -> list[LeaderboardRow]:
    """Return the rows that comparisons count by."""
    return [row for group in groups for row in group.rows]


def comparisons(rows: Sequence[LeaderboardRow], sets: Sequence[ItemSet]) -> list[Comparison]:
    """Return every two results of different runs with one rule and judge by name, best first."""
    found = []
    sides: dict[int, _Side] = {}
    for first, second in combinations(range(len(rows)), 2):
        one, other = rows[first], rows[second]
        if one.index == other.index or (one.rule, one.judge) != (other.rule, other.judge):
            continue
        if (other.overall or 0.0) > (one.overall or 0.0):
            first, second, one, other = second, first, other, one  # noqa: PLW2901 - best first
        told = tuple(reasons(one, other))
        rule = RULES.get(one.rule)
        if rule is None or any(reason.decides for reason in told):
            found.append(Comparison(first, second, told))
            continue
        for place, row in ((first, one), (second, other)):
            if place not in sides:
                sides[place] = _side(row, rule, _names(one, rows), sets)
        found.append(_compared(first, second, told, sides[first], sides[second]))
    return found


def _names(row: LeaderboardRow, rows: Sequence[LeaderboardRow]) -> list[str]:
    """Return the items of all results that can be set beside `row`, sorted."""
    alike = (row.benchmark_hash, row.judge, row.judge_hash, row.rule)
    return sorted(
        {
            item
            for other in rows
            if (other.benchmark_hash, other.judge, other.judge_hash, other.rule) == alike
            for item in other.items
        }
    )


def _side(
    row: LeaderboardRow, rule: ScoringRule, names: Sequence[str], sets: Sequence[ItemSet]
) -> _Side:
    parts = [part(row.items[name], rule) if name in row.items else (0.0, 0) for name in names]
    table = np.array(parts, dtype=np.float64).reshape(len(names), 2)
    known = [_score(row.items[name], rule) if name in row.items else None for name in names]
    scores = np.array([np.nan if score is None else score for score in known], dtype=np.float64)
    sums, counts = [table[:, :1]], [table[:, 1:]]
    columns: list[tuple[int, str]] = []
    known_sheet = sheet_of(row, sets)
    if known_sheet is not None:
        sheet, places = known_sheet
        mine = [n for n, name in enumerate(names) if name in places]
        for level, found in enumerate((sheet.l1, sheet.l2)):
            columns += [(level, name) for name in found.names]
            for column, values in ((sums, 100 * found.sums), (counts, found.counts)):
                part_of = np.zeros((len(names), len(found.names)))
                part_of[mine] = values[[places[names[n]] for n in mine]]
                column.append(part_of)
    return _Side(np.hstack(sums), np.hstack(counts), scores, columns)


def _score(item: ItemFigure, rule: ScoringRule) -> float | None:
    """Return an item's score as the rule counts it; None where there is none to compare."""
    if item.score is None and rule.unscored_item == "zero" and not item.absent:
        return 0.0
    return item.score


def _compared(
    first: int, second: int, told: tuple[Reason, ...], one: _Side, other: _Side
) -> Comparison:
    shared = (one.counts[:, 0] > 0) & (other.counts[:, 0] > 0)
    if not shared.any():
        return Comparison(first, second, told)
    left, right = one.on(shared), other.on(shared)
    names = [name for name in one.names if name in other.names]
    pairs = [(0, 0), *((1 + one.names.index(n), 1 + other.names.index(n)) for n in names)]
    numbers = [
        int((shared & (one.counts[:, i] > 0) & (other.counts[:, j] > 0)).sum()) for i, j in pairs
    ]
    differences = [
        difference_of(
            left.means[i] - right.means[j],
            left.draws[:, i] - right.draws[:, j],
            num_items=number,
        )
        for (i, j), number in zip(pairs, numbers, strict=True)
    ]
    means = [(float(left.means[i]), float(right.means[j])) for i, j in pairs]
    levels = _by_level(names, differences[1:], means[1:], numbers[1:])
    return Comparison(
        first,
        second,
        told,
        int(shared.sum()),
        means[0],
        differences[0],
        outcomes(one.scores[shared], other.scores[shared]),
        levels[0],
        levels[1],
    )


def _by_level(
    names: Sequence[tuple[int, str]],
    differences: Sequence[PairedDifference | None],
    means: Sequence[tuple[float, float]],
    numbers: Sequence[int],
) -> Mapping[int, tuple[CategoryDifference, ...]]:
    levels: dict[int, tuple[CategoryDifference, ...]] = {}
    for level in (0, 1):
        rows = [
            CategoryDifference(name, *mean, difference, None, number)
            for (at, name), difference, mean, number in zip(
                names, differences, means, numbers, strict=True
            )
            if at == level and difference is not None
        ]
        adjusted = iter(holm([p for row in rows if (p := row.difference.p_value) is not None]))
        levels[level] = tuple(
            row if row.difference.p_value is None else row._replace(adjusted=next(adjusted))
            for row in rows
        )
    return levels
