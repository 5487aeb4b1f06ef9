"""Which of several results is better, and how surely: ranks, paired differences, rank ranges.

Items are drawn, the same draws for every run, so that what makes an item hard for all of them
does not count as uncertainty between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dpgbench.domain.aggregate import Interval
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.statistics import paired
from dpgbench.domain.statistics.bootstrap import Matrix
from dpgbench.store.run.scores import ItemFigure

_SAME = 1e-6


class Entry(NamedTuple):
    """What ranking needs of one result; `items` may be empty."""

    overall: float
    interval: Interval
    items: Mapping[str, ItemFigure]


class Difference(NamedTuple):
    """The overall of entry `first` less that of entry `second`, paired by item.

    Attributes:
        interval: 95% of bootstrap draws of the items lie in it; None on too few items.
        wins: items on which `first` scores higher; only items that both have count.
        losses: items on which `second` does.
        p_value: two-sided, of no difference; None on too few items.
        items: items that both entries are averaged over.
    """

    first: int
    second: int
    points: float
    interval: tuple[float, float] | None
    wins: int
    ties: int
    losses: int
    p_value: float | None = 1.0
    items: int = 0

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves no doubt which of the two is higher."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def ranks(entries: Sequence[Entry]) -> list[int]:
    """Return each entry's rank from 1; equals share the better one (1, 1, 3)."""
    return paired.ranks([entry.overall for entry in entries])


def rank_ranges(entries: Sequence[Entry], pairs: Sequence[Difference]) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each entry may have.

    A rank is lost only to an entry that can be told apart: by the paired difference where there
    is one for every two entries, else where the two intervals do not touch (which asks for more).
    What has no interval (too few items) is told apart from nothing.
    """
    return [*paired.rank_ranges(_told_apart(entries, pairs))]


def _told_apart(entries: Sequence[Entry], pairs: Sequence[Difference]) -> list[list[bool]]:
    """Return for each i and j whether entry i is surely above entry j."""
    size = len(entries)
    above = [[False] * size for _ in range(size)]
    if pairs:
        for pair in pairs:
            if pair.interval is not None:
                above[pair.first][pair.second] = pair.interval[0] > 0
                above[pair.second][pair.first] = pair.interval[1] < 0
        return above
    for i, first in enumerate(entries):
        for j, second in enumerate(entries):
            if first.interval and second.interval:
                above[i][j] = first.interval[0] > second.interval[1]
    return above


def differences(entries: Sequence[Entry], rule: ScoringRule | None) -> list[Difference]:
    """Return the paired difference of each two entries; nothing where they cannot be paired.

    They can where every entry has the same items and those make up its overall (a table of items
    from another day is not believed).
    """
    if len(entries) < 2 or rule is None:
        return []
    names = sorted(entries[0].items)
    if any(sorted(entry.items) != names for entry in entries):
        return []
    parts = np.array(
        [[part(entry.items[name], rule) for name in names] for entry in entries],
        dtype=np.float64,
    ).reshape(len(entries), len(names), 2)
    sums, counts = parts[:, :, 0].T, parts[:, :, 1].T
    if not _make_up(sums, counts, entries):
        return []
    scores = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    pairs = list(combinations(range(len(entries)), 2))
    found = paired.paired_differences(sums, counts, pairs)
    return [
        _difference(pair, entries, difference, scores, int((counts[:, pair] > 0).all(axis=1).sum()))
        for pair, difference in zip(pairs, found, strict=True)
        if difference is not None
    ]


def part(item: ItemFigure, rule: ScoringRule) -> tuple[float, int]:
    """Return what an item adds to the overall's sum and count.

    An item that the rule loses counts as the rule says; one whose pictures or answers are not
    there counts for nothing.
    """
    if item.absent:
        return 0.0, 0
    weight = item.questions if rule.overall == "questions" else 1
    if item.score is None:
        return 0.0, weight if rule.unscored_item == "zero" else 0
    return item.score * weight, weight


def _make_up(sums: Matrix, counts: Matrix, entries: Sequence[Entry]) -> bool:
    total = counts.sum(axis=0)
    if not total.all():
        return False
    overall = np.array([entry.overall for entry in entries])
    return bool(np.allclose(sums.sum(axis=0) / total, overall, rtol=0, atol=_SAME))


def _difference(
    pair: tuple[int, int],
    entries: Sequence[Entry],
    difference: paired.PairedDifference,
    scores: Matrix,
    items: int,
) -> Difference:
    first, second = pair
    return Difference(
        first,
        second,
        entries[first].overall - entries[second].overall,
        difference.interval,
        *paired.outcomes(scores[:, first], scores[:, second]),
        p_value=difference.p_value,
        items=items,
    )
