"""Every ranked result of a group against every other, with Holm's correction over all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.domain.statistics.paired import Outcomes, PairedDifference, holm


class WinPair(NamedTuple):
    """Two results of a matrix.

    Attributes:
        first: place in the matrix's rows; its score is the higher one, or equal.
        second: place in the matrix's rows.
        difference: of the overall scores, first less second, in points; its `p_holm` is over all
            pairs of the matrix.
        items: how many both have a score for.
        outcomes: on how many of them the first is better, equal, worse.
    """

    first: int
    second: int
    difference: PairedDifference
    items: int
    outcomes: Outcomes

    @property
    def turned(self) -> WinPair:
        """The same with its two sides exchanged."""
        wins, ties, losses = self.outcomes
        return WinPair(
            self.second,
            self.first,
            self.difference.turned,
            self.items,
            Outcomes(losses, ties, wins),
        )


@dataclass(frozen=True)
class WinMatrix:
    """All pairs of the ranked results of a group.

    Attributes:
        rows: best first.
        pairs: each two rows once, in the order of `itertools.combinations`.
    """

    rows: tuple[LeaderboardRow, ...]
    pairs: tuple[WinPair, ...]

    def pair(self, row: int, column: int) -> WinPair | None:
        """Return row less column, by their places; None on the diagonal."""
        for pair in self.pairs:
            if (pair.first, pair.second) == (row, column):
                return pair
            if (pair.first, pair.second) == (column, row):
                return pair.turned
        return None

    @property
    def num_apart(self) -> int:
        """How many pairs are told apart after Holm's correction over all of them."""
        return sum(pair.difference.significant for pair in self.pairs)


def win_matrix(group: Group) -> WinMatrix | None:
    """Return every ranked row of `group` against every other.

    None with fewer than two ranked rows, and where they cannot be paired item by item.
    """
    rows = tuple(row for row in group.rows if row.rank is not None)
    places = list(combinations(range(len(rows)), 2))
    differences = [comparison.overall for comparison in group.comparisons]
    if not places or len(differences) != len(places):
        return None
    paired = [difference for difference in differences if difference is not None]
    if len(paired) != len(differences):
        return None
    return WinMatrix(
        rows,
        tuple(
            WinPair(first, second, difference, comparison.items, comparison.outcomes)
            for (first, second), difference, comparison in zip(
                places, _adjusted(paired), group.comparisons, strict=True
            )
        ),
    )


def _adjusted(differences: Sequence[PairedDifference]) -> list[PairedDifference]:
    """Return the differences with Holm's correction over all of them that have a p-value."""
    adjusted = iter(holm([d.p_value for d in differences if d.p_value is not None]))
    return [d if d.p_value is None else d._replace(p_holm=next(adjusted)) for d in differences]
