"""Two results side by side: paired differences overall and by category, on the items both have.

The only place where results of runs are paired: ranks, reports and `dpgbench compare` read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.analysis.answers import item_sets
from dpgbench.analysis.comparability import Reason, reasons
from dpgbench.analysis.leaderboard import LeaderboardRow, load_records, overall_table, read_rows
from dpgbench.domain.result import ItemFigure
from dpgbench.domain.rules import ALL_RULES, ScoringRule
from dpgbench.domain.statistics.bootstrap import Matrix, ratio_draws, ratios
from dpgbench.domain.statistics.paired import (
    Outcomes,
    PairedDifference,
    difference_of,
    holm,
    outcomes,
)
from dpgbench.errors import DataError, UsageError
from dpgbench.store.run.directory import RunDir

FEW_ITEMS = 40
"""On fewer items than these, intervals are too narrow and p-values too small: docs/statistics.md"""
_NO_OUTCOMES = Outcomes(0, 0, 0)


class CategoryDifference(NamedTuple):
    """One category of two results.

    Attributes:
        difference: first less second; its `p_holm` is over the categories of the level.
        items: items that both are averaged over.
    """

    name: str
    first: float
    second: float
    difference: PairedDifference
    items: int

    @property
    def turned(self) -> CategoryDifference:
        """The same with its two sides exchanged."""
        return self._replace(
            first=self.second, second=self.first, difference=self.difference.turned
        )


@dataclass(frozen=True)
class Comparison:
    """Result `first` beside result `second`, by their places in a list of rows.

    Attributes:
        reasons: what the two do not have alike.
        items: how many items both have a score for; nothing else is compared.
        scores: of both on these items; None where nothing could be computed.
        overall: None where something that decides is not alike, or items are not at hand.
        outcomes: on how many of the items the first is better, equal, worse.
        l1: by category, where the answers of both are at hand; `l2` alike.
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

    @property
    def turned(self) -> Comparison:
        """The same with its two sides exchanged."""
        wins, ties, losses = self.outcomes
        return replace(
            self,
            first=self.second,
            second=self.first,
            reasons=tuple(r._replace(first=r.second, second=r.first) for r in self.reasons),
            scores=None if self.scores is None else (self.scores[1], self.scores[0]),
            overall=None if self.overall is None else self.overall.turned,
            outcomes=Outcomes(losses, ties, wins),
            l1=tuple(category.turned for category in self.l1),
            l2=tuple(category.turned for category in self.l2),
        )


class RunComparison(NamedTuple):
    """Two results under one judge and one rule; the comparison is first less second."""

    first: LeaderboardRow
    second: LeaderboardRow
    comparison: Comparison


def compare_runs(
    first: RunDir, second: RunDir, rule: str | None = None, *, verify: bool = True
) -> list[RunComparison]:
    """Return the two runs side by side for each judge and rule that both have.

    Args:
        rule: this rule only.
        verify: check pictures against the hashes in each run's log.

    Raises:
        UsageError: it is the same run twice.
        ResumeMismatchError: a picture is another one than was drawn or judged.
        DataError: a run has no scores, or the two share no judge and rule.
    """
    records = load_records([first, second], verify=verify)
    if len(records) < 2:
        raise UsageError(f"{first.path} and {second.path} are the same run; name two")
    groups = read_rows(records, item_sets(records))
    rows = _widest([row for group in groups for row in group])
    compared = []
    for comparison in compare_rows(rows):
        one, other = rows[comparison.first], rows[comparison.second]
        if rule not in (None, one.rule):
            continue
        if one.index == 0:
            compared.append(RunComparison(one, other, comparison))
        else:
            compared.append(RunComparison(other, one, comparison.turned))
    if not compared:
        raise DataError(
            f"{first.path} and {second.path} have no judge and rule in common"
            f"{f' (--rule {rule})' if rule else ''}: "
            f"{_judges_and_rules(rows, 0)} against {_judges_and_rules(rows, 1)}; "
            "score both with the same --judge and --rule"
        )
    return compared


def _widest(rows: list[LeaderboardRow]) -> list[LeaderboardRow]:
    """Return of each run, judge and rule the result over most items."""
    widest: dict[tuple[int, str, str], LeaderboardRow] = {}
    for row in rows:
        place = (row.index, row.judge, row.rule)
        if place not in widest or widest[place].items_expected < row.items_expected:
            widest[place] = row
    return [row for row in rows if widest[row.index, row.judge, row.rule] is row]


def _judges_and_rules(rows: list[LeaderboardRow], index: int) -> str:
    return ", ".join(f"{row.judge}/{row.rule}" for row in rows if row.index == index)


def compare_rows(rows: Sequence[LeaderboardRow]) -> list[Comparison]:
    """Return every two results with one rule and judge by name, best first.

    A run may hold two of them, such as a copy of a score file under another name.
    """
    compared = []
    tables: dict[tuple[int, frozenset[str]], _ResultTable] = {}
    for first, second in combinations(range(len(rows)), 2):
        one, other = rows[first], rows[second]
        if (one.rule, one.judge) != (other.rule, other.judge):
            continue
        if (other.overall or 0.0) > (one.overall or 0.0):
            first, second, one, other = second, first, other, one  # noqa: PLW2901 - best first
        unlike = tuple(reasons(one, other))
        rule = ALL_RULES.get(one.rule)
        if rule is None or any(reason.decides for reason in unlike):
            compared.append(Comparison(first, second, unlike))
            continue
        benchmarks = frozenset({one.benchmark_hash, other.benchmark_hash})
        for place, row in ((first, one), (second, other)):
            if (place, benchmarks) not in tables:
                tables[place, benchmarks] = _table(row, rule, _items(one, benchmarks, rows))
        both = tables[first, benchmarks], tables[second, benchmarks]
        compared.append(_compared(first, second, unlike, *both))
    return compared


class _OnItems(NamedTuple):
    """Ratios of one result on some items: over all of them, and in each bootstrap draw."""

    means: NDArray[np.float64]
    draws: Matrix


@dataclass
class _ResultTable:
    """One result by item: what it adds to its overall, its scores, its categories.

    Results on the same items share their draws, since these are seeded.

    Attributes:
        sums: [N, 1 + C], the overall and the categories, what each item adds.
        counts: [N, 1 + C], over how many things.
        scores: [N], NaN for an item that has none.
        categories: level (0 is L1) and name of each of the C.
        on_items: what was drawn already, by the items that it is on.
    """

    sums: Matrix
    counts: Matrix
    scores: NDArray[np.float64]
    categories: list[tuple[int, str]]
    on_items: dict[bytes, _OnItems] = field(default_factory=dict)

    def on(self, shared: NDArray[np.bool_]) -> _OnItems:
        """Return the ratios on the `shared` items."""
        key = shared.tobytes()
        if key not in self.on_items:
            sums, counts = self.sums[shared], self.counts[shared]
            self.on_items[key] = _OnItems(ratios(sums, counts), ratio_draws(sums, counts))
        return self.on_items[key]


def _items(
    row: LeaderboardRow, benchmarks: Collection[str], rows: Sequence[LeaderboardRow]
) -> list[str]:
    """Return the items of all results that can be set beside `row` on these benchmarks, sorted."""
    alike = (row.judge, row.judge_hash, row.rule)
    return sorted(
        {
            item
            for other in rows
            if other.benchmark_hash in benchmarks
            and (other.judge, other.judge_hash, other.rule) == alike
            for item in other.items
        }
    )


def _table(row: LeaderboardRow, rule: ScoringRule, items: Sequence[str]) -> _ResultTable:
    overall = overall_table([row], rule, items)
    scores = [_score(row.items.get(item), rule) for item in items]
    sums, counts = [overall[0]], [overall[1]]
    categories: list[tuple[int, str]] = []
    if row.answers is not None:
        positions = row.answers.positions
        mine = [n for n, item in enumerate(items) if item in positions]
        for level, category_sums in enumerate(row.answers.verdicts.levels):
            categories += [(level, name) for name in category_sums.names]
            for columns, values in (
                (sums, 100 * category_sums.sums),
                (counts, category_sums.counts),
            ):
                by_item = np.zeros((len(items), len(category_sums.names)))
                by_item[mine] = values[[positions[items[n]] for n in mine]]
                columns.append(by_item)
    return _ResultTable(np.hstack(sums), np.hstack(counts), np.array(scores), categories)


def _score(item: ItemFigure | None, rule: ScoringRule) -> float:
    """Return an item's score as the rule counts it; NaN where there is none to compare."""
    if item is None or item.absent:
        return np.nan
    if item.score is None:
        return 0.0 if rule.unscored_item == "zero" else np.nan
    return item.score


def _compared(
    first: int, second: int, unlike: tuple[Reason, ...], one: _ResultTable, other: _ResultTable
) -> Comparison:
    shared = (one.counts[:, 0] > 0) & (other.counts[:, 0] > 0)
    if not shared.any():
        return Comparison(first, second, unlike)
    left, right = one.on(shared), other.on(shared)
    categories = [name for name in one.categories if name in other.categories]
    columns = [(0, 0)] + [
        (1 + one.categories.index(name), 1 + other.categories.index(name)) for name in categories
    ]
    numbers = [
        int((shared & (one.counts[:, i] > 0) & (other.counts[:, j] > 0)).sum()) for i, j in columns
    ]
    differences = [
        difference_of(
            left.means[i] - right.means[j],
            left.draws[:, i] - right.draws[:, j],
            num_items=number,
        )
        for (i, j), number in zip(columns, numbers, strict=True)
    ]
    means = [(float(left.means[i]), float(right.means[j])) for i, j in columns]
    levels = _by_level(categories, differences[1:], means[1:], numbers[1:])
    return Comparison(
        first,
        second,
        unlike,
        int(shared.sum()),
        means[0],
        differences[0],
        outcomes(one.scores[shared], other.scores[shared]),
        levels[0],
        levels[1],
    )


def _by_level(
    categories: Sequence[tuple[int, str]],
    differences: Sequence[PairedDifference | None],
    means: Sequence[tuple[float, float]],
    numbers: Sequence[int],
) -> Mapping[int, tuple[CategoryDifference, ...]]:
    levels: dict[int, tuple[CategoryDifference, ...]] = {}
    for level in (0, 1):
        rows = [
            CategoryDifference(name, *mean, difference, number)
            for (at, name), difference, mean, number in zip(
                categories, differences, means, numbers, strict=True
            )
            if at == level and difference is not None
        ]
        adjusted = iter(holm([p for row in rows if (p := row.difference.p_value) is not None]))
        levels[level] = tuple(
            row
            if row.difference.p_value is None
            else row._replace(difference=row.difference._replace(p_holm=next(adjusted)))
            for row in rows
        )
    return levels
