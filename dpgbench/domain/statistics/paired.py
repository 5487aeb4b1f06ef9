"""Two results on the same items: differences with intervals and p-values, and possible ranks.

The same bootstrap draws of the items serve both results, so that what makes an item hard for both
cancels. Pure; which results may be compared at all is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpgbench.domain.statistics.bootstrap import (
    CONFIDENCE,
    LEAST_ITEMS,
    NUM_DRAWS,
    SEED,
    Matrix,
    percentile_interval,
    ratio_draws,
    ratios,
)

LEVEL = 1 - CONFIDENCE
_SAME = 9  # decimals; what is closer than this is the same


class PairedDifference(NamedTuple):
    """How much one ratio is above another on the same items.

    Attributes:
        difference: first less second, in the unit of the sums.
        interval: 95% of bootstrap draws of the items lie in it; None on fewer than `LEAST_ITEMS`.
        p_value: two-sided, of the hypothesis that there is no difference; None likewise.
        p_holm: the same after Holm, where this is one of several differences; else None.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the two differ by more than chance: one of several by `p_holm`, one by itself
        where its interval leaves zero out.
        """
        if self.p_holm is not None:
            return self.p_holm < LEVEL
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    @property
    def turned(self) -> PairedDifference:
        """Second less first."""
        ends = None if self.interval is None else (0.0 - self.interval[1], 0.0 - self.interval[0])
        return self._replace(difference=0.0 - self.difference, interval=ends)


class Outcomes(NamedTuple):
    """On how many items the first scores higher, the same, lower."""

    wins: int
    ties: int
    losses: int


def paired_differences(
    sums: Matrix,
    counts: Matrix,
    pairs: Sequence[tuple[int, int]],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
) -> list[PairedDifference | None]:
    """Return the difference of the ratios sum/count of each of `pairs` of columns.

    Args:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
        pairs: (first, second) columns.
        num_draws: of `bootstrap.bootstrap_weights`.
        seed: of `bootstrap.bootstrap_weights`.

    Returns:
        None where one of the two has nothing to average. Without interval and p-value where fewer
        than `LEAST_ITEMS` items have something of both.
    """
    if not len(sums) or not pairs:
        return [None] * len(pairs)
    draws = ratio_draws(sums, counts, num_draws=num_draws, seed=seed)
    means = ratios(sums, counts)
    return [
        difference_of(
            means[first] - means[second],
            draws[:, first] - draws[:, second],
            num_items=int(((counts[:, first] > 0) & (counts[:, second] > 0)).sum()),
        )
        for first, second in pairs
    ]


def difference_of(
    observed: float, drawn: Matrix, *, num_items: int = LEAST_ITEMS
) -> PairedDifference | None:
    """Return a difference with what its bootstrap draws say; None where there is nothing.

    Args:
        num_items: how many items it is over; too few have no interval and no p-value.
    """
    drawn = np.round(drawn[~np.isnan(drawn)], _SAME)  # sums differ in their last bits by machine
    if not len(drawn) or np.isnan(observed):
        return None
    if num_items < LEAST_ITEMS:
        return PairedDifference(round(float(observed), _SAME), None, None)
    low, high = percentile_interval(drawn)
    ends = (round(low, _SAME), round(high, _SAME))
    return PairedDifference(round(float(observed), _SAME), ends, p_value(drawn))


def p_value(drawn: Matrix) -> float:
    """Return twice the share of draws on the far side of zero, at most 1 and never 0.

    It inverts the percentile interval: below 0.05 where that leaves zero out. The smallest that
    B draws can show is 2 / (B + 1).
    """
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (len(drawn) + 1))


def item_gaps(first: Matrix, second: Matrix) -> Matrix:
    """Return by how much the first's item scores are higher; NaN where an item lacks either."""
    gaps: Matrix = np.round(first - second, _SAME)
    return gaps


def outcomes(first: Matrix, second: Matrix) -> Outcomes:
    """Return wins, ties and losses of item scores; an item that either lacks (NaN) counts not."""
    gaps = item_gaps(first, second)
    return Outcomes(int((gaps > 0).sum()), int((gaps == 0).sum()), int((gaps < 0).sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several (Holm 1979), in the order given.

    Rejecting where an adjusted one is below 5% makes one false finding or more in at most 5% of
    families.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted


def ranks(scores: Sequence[float]) -> list[int]:
    """Return each score's rank from 1; equals share the better one (1, 1, 3)."""
    return [1 + sum(other > score for other in scores) for score in scores]


def possible_ranks(above: Sequence[Sequence[bool]]) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each of several may have.

    Args:
        above: for each i and j whether i is surely above j; a rank is lost only to such.
    """
    size = len(above)
    return [
        (1 + sum(above[j][i] for j in range(size)), size - sum(above[i][j] for j in range(size)))
        for i in range(size)
    ]
