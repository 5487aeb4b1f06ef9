"""Which of several results is better, and how surely: ranks, rank ranges, the best of a column.

Items are drawn, the same draws for every run, so that what makes an item hard for all of them
does not count as uncertainty between them; `comparison` makes these draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from dpgbench.analysis.answers import SAME_SCORE
from dpgbench.analysis.comparability import caveats
from dpgbench.analysis.comparison import Comparison
from dpgbench.analysis.leaderboard import OVERALL, GroupKey, LeaderboardRow, overall_table
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.rules import ALL_RULES
from dpgbench.domain.statistics import paired
from dpgbench.domain.statistics.bootstrap import Interval, ratios
from dpgbench.errors import counted

Pairs = Mapping[tuple[int, int], Comparison]
"""Comparisons by the places of the two rows."""


@dataclass(frozen=True)
class Group:
    """Rows that may be ranked against each other, best first, the unranked last.

    Attributes:
        comparisons: of each two ranked rows, the better first; empty where the runs have no
            tables of items to pair.
        apart: what other groups are about other items of the same benchmark, judge and rule.
        caveats: what must be read above the rows, as sentences.
    """

    key: GroupKey
    rows: tuple[LeaderboardRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    apart: str = ""
    caveats: tuple[str, ...] = ()

    @property
    def subset(self) -> Subset | None:
        """Which part of the benchmark the rows are about; None where about all of it."""
        return next((row.subset for row in self.rows if row.subset), None)


def rank_groups(
    groups: Sequence[Sequence[LeaderboardRow]], comparisons: Sequence[Comparison]
) -> list[Group]:
    """Return the rows of each group with their ranks.

    Args:
        groups: rows that may be ranked together, best first, the unranked last (`read_rows`).
        comparisons: of the rows of all groups, by their places in the list of all.
    """
    keys = [group[0].key for group in groups]
    sizes = {group[0].key: max(row.items_expected for row in group) for group in groups}
    pairs = {(comparison.first, comparison.second): comparison for comparison in comparisons}
    ranked = []
    start = 0
    for key, rows in zip(keys, groups, strict=True):
        apart = _apart(key, sizes)
        ranked.append(_rank_group(key, rows, start, pairs, apart))
        start += len(rows)
    return ranked


def _apart(key: GroupKey, sizes: Mapping[GroupKey, int]) -> str:
    """Return the sentence on groups that are like this one but for the items."""
    others = [
        counted(size, "item")
        for other, size in sizes.items()
        if other != key and other._replace(items_hash=key.items_hash) == key
    ]
    if not others:
        return ""
    return (
        f"Another table is about other items of this benchmark ({', '.join(sorted(others))}): "
        "means over different items are not ranked against each other; "
        "'dpgbench compare' sets two runs side by side on the items that both have."
    )


def _rank_group(
    key: GroupKey, rows: Sequence[LeaderboardRow], start: int, pairs: Pairs, apart: str
) -> Group:
    fair = [row for row in rows if not row.unranked]
    positions = range(start, start + len(fair))
    of_group = [pairs[both] for both in combinations(positions, 2) if both in pairs]
    if not _can_be_paired(fair, of_group):
        of_group = []
    ranks = paired.ranks([row.overall or 0.0 for row in fair])
    ranges = rank_ranges([row.interval for row in fair], of_group, start)
    ranked = [
        replace(
            row,
            rank=rank,
            rank_range=rank_range,
            best=_best(row, position, positions, rank_range, pairs),
        )
        for row, position, rank, rank_range in zip(fair, positions, ranks, ranges, strict=True)
    ]
    return Group(
        key,
        (*ranked, *rows[len(fair) :]),
        tuple(of_group),
        apart,
        tuple(caveats(rows, apart)),
    )


def _can_be_paired(rows: Sequence[LeaderboardRow], comparisons: Sequence[Comparison]) -> bool:
    """Return whether ranks can follow paired differences.

    They can where each two rows are compared on items, and the items of each make up its overall
    (a table of items from another day is not believed).
    """
    rule = ALL_RULES.get(rows[0].rule) if rows else None
    if rule is None or len(comparisons) < len(rows) * (len(rows) - 1) // 2:
        return False
    items = sorted(rows[0].items)
    if any(sorted(row.items) != items for row in rows):
        return False
    means = ratios(*overall_table(rows, rule, items))
    overall = np.array([row.overall for row in rows])
    # NaN is not close to anything.
    return bool(np.allclose(means, overall, rtol=0, atol=SAME_SCORE))


def rank_ranges(
    intervals: Sequence[Interval], comparisons: Sequence[Comparison], start: int = 0
) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each of several results may have.

    A rank is lost only to a result that is surely better: by the paired difference where there
    are comparisons of each two, else where the two intervals do not touch (which asks for more).
    What has no interval (too few items) is surely above nothing and below nothing.

    Args:
        intervals: of the overall of each result.
        comparisons: of each two of them; none where they cannot be paired.
        start: the place of the first result, as comparisons count.
    """
    size = len(intervals)
    above = [[False] * size for _ in range(size)]
    for comparison in comparisons:
        first, second = comparison.first - start, comparison.second - start
        interval = comparison.overall.interval if comparison.overall else None
        if interval is not None:
            above[first][second] = interval[0] > 0
            above[second][first] = interval[1] < 0
    if not comparisons:
        for i, first_interval in enumerate(intervals):
            for j, second_interval in enumerate(intervals):
                if first_interval and second_interval:
                    above[i][j] = first_interval[0] > second_interval[1]
    return paired.possible_ranks(above)


def _best(
    row: LeaderboardRow,
    position: int,
    positions: Sequence[int],
    rank_range: tuple[int, int],
    pairs: Pairs,
) -> frozenset[str]:
    """Return in which columns a row is surely above every other ranked row of its group.

    The overall by paired intervals, as ranks go; L1 categories by paired differences after Holm's
    correction over the level.
    """
    rivals = [other for other in positions if other != position]
    if not rivals:
        return frozenset()
    best = {
        name for name in row.l1 if all(_ahead(pairs, position, rival, name) for rival in rivals)
    }
    return frozenset({*best, OVERALL} if rank_range == (1, 1) else best)


def _ahead(pairs: Pairs, position: int, rival: int, name: str) -> bool:
    """Return whether `position` is surely above `rival` in a category."""
    comparison, turned = pairs.get((position, rival)), pairs.get((rival, position))
    if comparison is None and turned is not None:
        comparison = turned.turned
    for category in comparison.l1 if comparison else ():
        if category.name == name:
            difference = category.difference
            return difference.significant and difference.difference > 0
    return False
