"""Results on different items of one benchmark, ranked on the items that all of them have.

Means over different items are no ranking; means over the same items are. Nothing is scored anew:
the scores of items are averaged again, by the rule's own way, over fewer items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow, overall_table
from dpgbench.analysis.ranking import Group
from dpgbench.domain.rules import RULES
from dpgbench.domain.statistics import paired
from dpgbench.domain.statistics.bootstrap import Interval, intervals, ratio_draws, ratios


class CommonRow(NamedTuple):
    """One result on the items that all have.

    Attributes:
        place: of its row among those of the board.
        score: 0 to 100.
        interval: None on fewer than 8 items.
        rank: from 1.
        rank_range: the ranks that paired differences on these items leave possible.
    """

    place: int
    score: float
    interval: Interval
    rank: int
    rank_range: tuple[int, int]


class CommonItems(NamedTuple):
    """Results of one benchmark, judge and rule whose items differ, on those that all have.

    Attributes:
        groups: places of the groups that they are from.
        items: how many all have a score for; without any there are no rows.
        rows: best first.
    """

    groups: tuple[int, ...]
    items: int
    rows: tuple[CommonRow, ...]


def common_rankings(groups: Sequence[Group]) -> list[CommonItems]:
    """Return a ranking for each benchmark, judge and rule that several groups share."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, group in enumerate(groups):
        alike.setdefault(tuple(group.key._replace(items_hash="")), []).append(number)
    return [_ranked(groups, numbers) for numbers in alike.values() if len(numbers) > 1]


def _ranked(groups: Sequence[Group], numbers: Sequence[int]) -> CommonItems:
    placed = dict(_widest(groups, numbers))
    places, rows = list(placed), list(placed.values())
    shared = _shared_items(rows)
    rule = RULES.get(groups[numbers[0]].key.rule)
    if rule is None or not shared or len(rows) < 2:
        return CommonItems(tuple(numbers), len(shared), ())
    sums, counts = overall_table(rows, rule, shared)
    means, draws = ratios(sums, counts), ratio_draws(sums, counts)
    size = len(rows)
    above = [[False] * size for _ in range(size)]
    for i, j in combinations(range(size), 2):
        difference = paired.difference_of(
            means[i] - means[j], draws[:, i] - draws[:, j], num_items=len(shared)
        )
        if difference is not None and difference.interval is not None:
            above[i][j] = difference.interval[0] > 0
            above[j][i] = difference.interval[1] < 0
    ranked = [
        CommonRow(place, float(mean), interval, rank, rank_range)
        for place, mean, interval, rank, rank_range in zip(
            places,
            means,
            intervals(sums, counts),
            paired.ranks(list(map(float, means))),
            paired.possible_ranks(above),
            strict=True,
        )
    ]
    return CommonItems(
        tuple(numbers), len(shared), tuple(sorted(ranked, key=lambda row: (row.rank, row.place)))
    )


def _widest(
    groups: Sequence[Group], numbers: Sequence[int]
) -> Iterator[tuple[int, LeaderboardRow]]:
    """Yield of each run its result over most items, with its place among the board's rows."""
    widest: dict[int, tuple[int, LeaderboardRow]] = {}
    place = 0
    for number, group in enumerate(groups):
        for row in group.rows:
            if number in numbers and row.items and row.overall is not None:
                other = widest.get(row.index)
                if other is None or other[1].items_expected < row.items_expected:
                    widest[row.index] = (place, row)
            place += 1
    yield from widest.values()


def _shared_items(rows: Sequence[LeaderboardRow]) -> list[str]:
    """Return the items that every row has a score for, sorted."""
    scored = [
        {item for item, figure in row.items.items() if figure.score is not None} for row in rows
    ]
    return sorted(set.intersection(*scored)) if scored else []
