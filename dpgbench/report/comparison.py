"""Two results side by side: paired differences overall and by category, on the items both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.domain.paired import LEVEL, Outcomes, PairedDifference, difference_of, holm, outcomes
from dpgbench.domain.rules import RULES, ScoringRule
from dpgbench.domain.stats import Matrix, ratio_draws
from dpgbench.report.comparable import Reason, reasons
from dpgbench.report.evidence import ItemSet
from dpgbench.report.ranks import part
from dpgbench.report.row import LeaderboardRow
from dpgbench.report.rows import Group
from dpgbench.report.sheets import Sheet

_SAME = 1e-6
_NO_OUTCOMES = Outcomes(0, 0, 0)


class CategoryDifference(NamedTuple):
    """One category of two results; `adjusted` is the p-value after Holm over the level."""

    name: str
    first: float
    second: float
    difference: PairedDifference
    adjusted: float

    @property
    def told_apart(self) -> bool:
        """Whether the two are told apart although several categories were looked at."""
        return self.adjusted < LEVEL


@dataclass(frozen=True)
class Comparison:
    """Result `first` beside result `second`, places in the list of rows.

    Attributes:
        reasons: what the two do not have alike.
        items: how many items both have a score for.
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
            first, second, one, other = second, first, other, one
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
    known = [row.items[name].score if name in row.items else None for name in names]
    scores = np.array([np.nan if score is None else score for score in known], dtype=np.float64)
    sums, counts = [table[:, :1]], [table[:, 1:]]
    columns: list[tuple[int, str]] = []
    sheet, places = _sheet_of(row, names, sets)
    if sheet is not None and _make_up(sheet, row):
        for level, found in enumerate((sheet.l1, sheet.l2)):
            columns += [(level, name) for name in found.names]
            sums.append(100 * found.sums[places])
            counts.append(found.counts[places])
    return _Side(np.hstack(sums), np.hstack(counts), scores, columns)


def _sheet_of(
    row: LeaderboardRow, names: Sequence[str], sets: Sequence[ItemSet]
) -> tuple[Sheet | None, list[int]]:
    for found in sets:
        for run in found.runs:
            if run.index != row.index:
                continue
            for judge in run.judges:
                if judge.judge == row.judge and row.rule in judge.sheets:
                    order = {item: place for place, item in enumerate(found.items)}
                    return judge.sheets[row.rule], [order[name] for name in names]
    return None, []


def _make_up(sheet: Sheet, row: LeaderboardRow) -> bool:
    """Return whether the answers at hand are those that the scores came from."""
    levels = ((sheet.l1, row.l1), (sheet.l2, row.l2))
    for sums, figures in levels:
        parts = zip(sums.sums.sum(axis=0), sums.counts.sum(axis=0), strict=True)
        totals = dict(zip(sums.names, parts, strict=True))
        if totals.keys() != figures.keys():
            return False
        for name, (total, number) in totals.items():
            score = figures[name].score
            if score is None or abs(100 * total / number - score) > _SAME:
                return False
    return True


def _compared(
    first: int, second: int, told: tuple[Reason, ...], one: _Side, other: _Side
) -> Comparison:
    shared = (one.counts[:, 0] > 0) & (other.counts[:, 0] > 0)
    if not shared.any():
        return Comparison(first, second, told)
    left, right = one.on(shared), other.on(shared)
    names = [name for name in one.names if name in other.names]
    pairs = [(0, 0), *((1 + one.names.index(n), 1 + other.names.index(n)) for n in names)]
    differences = [
        difference_of(left.means[i] - right.means[j], left.draws[:, i] - right.draws[:, j])
        for i, j in pairs
    ]
    means = [(float(left.means[i]), float(right.means[j])) for i, j in pairs]
    levels = _by_level(names, differences[1:], means[1:])
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
) -> Mapping[int, tuple[CategoryDifference, ...]]:
    levels: dict[int, tuple[CategoryDifference, ...]] = {}
    for level in (0, 1):
        rows = [
            (name, *mean, difference)
            for (at, name), difference, mean in zip(names, differences, means, strict=True)
            if at == level and difference is not None
        ]
        adjusted = holm([difference.p_value for *_, difference in rows])
        levels[level] = tuple(
            CategoryDifference(*row, value) for row, value in zip(rows, adjusted, strict=True)
        )
    return levels
