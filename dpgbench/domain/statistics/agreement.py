"""How far judges agree about the same questions: shares, kappas, and what it does to the score.

All intervals are from a bootstrap over items. An answer is `yes` or it is not: nothing else about
its text is looked at.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpgbench.domain.statistics.bootstrap import Matrix, Vector
from dpgbench.domain.statistics.correlation import (
    Estimate,
    Indices,
    estimate,
    resamplings,
)

Booleans = NDArray[np.bool_]
Group = TypeVar("Group", bound=Hashable)


class Counts(NamedTuple):
    """How often two judges said what: the four cells of their table."""

    both_yes: int
    only_first: int
    only_second: int
    neither: int


@dataclass(frozen=True)
class Agreement:
    """Two judges on one set of questions.

    Attributes:
        agreement: share of questions with the same verdict, 0..1.
        kappa: Cohen's kappa, -1..1; None where chance alone would make both agree always.
    """

    counts: Counts
    agreement: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class GroupAgreement:
    """Three judges or more on the questions that all of them answered.

    Attributes:
        all_agree: share of questions with the same verdict by all, 0..1.
        kappa: Fleiss' kappa, -1..1; None where no answer differs from any other.
    """

    questions: int
    all_agree: Estimate
    kappa: Estimate


def agreements(
    first: Booleans, second: Booleans, items: Indices, groups: Mapping[Group, Booleans]
) -> dict[Group, Agreement]:
    """Return the agreement of two judges in each group of questions.

    Args:
        first: [Q] whether the one judge said yes.
        second: [Q] whether the other did.
        items: [Q] number of each question's item, 0 to N - 1.
        groups: [Q] whether a question belongs, by group.
    """
    num_items = int(items.max()) + 1
    cell = items * 4 + 2 * ~first + ~second
    cells_of_groups = [
        np.bincount(cell[chosen], minlength=4 * num_items).reshape(num_items, 4)
        for chosen in groups.values()
    ]
    stacked = np.concatenate(cells_of_groups, axis=1).astype(np.float64)
    drawn = np.concatenate([weights @ stacked for weights in resamplings(num_items)])
    cells = drawn.reshape(len(drawn), len(cells_of_groups), 4)
    return {group: _agreement(cells[:, g]) for g, group in enumerate(groups)}


def fleiss(num_yes: Indices, num_judges: int, items: Indices) -> GroupAgreement:
    """Return how far `num_judges` judges agree, chance taken into account (Fleiss 1971).

    Args:
        num_yes: [Q] how many of them said yes to each question that all answered.
        num_judges: two or more.
        items: [Q] number of each question's item, 0 to N - 1.
    """
    num_no = num_judges - num_yes
    pairs = num_judges * (num_judges - 1)
    same = (num_yes * (num_yes - 1) + num_no * (num_no - 1)) / pairs
    unanimous = (num_yes == 0) | (num_no == 0)
    parts = np.stack([np.ones(len(num_yes)), same, num_yes, unanimous], axis=1)
    sums = np.zeros((int(items.max()) + 1, parts.shape[1]))
    np.add.at(sums, items, parts)
    drawn = np.concatenate([weights @ sums for weights in resamplings(len(sums))])
    total, agreeing, yes, all_same = drawn.T
    share_yes = _divide(yes, total * num_judges)
    return GroupAgreement(
        len(num_yes),
        estimate(_divide(all_same, total)),
        estimate(_beyond_chance(_divide(agreeing, total), share_yes**2 + (1 - share_yes) ** 2)),
    )


def _agreement(cells: Matrix) -> Agreement:
    """Return the agreement of [1 + num_draws, 4] counts."""
    both, first, second, neither = cells.T
    total = cells.sum(axis=1)
    share_first, share_second = _divide(both + first, total), _divide(both + second, total)
    chance = share_first * share_second + (1 - share_first) * (1 - share_second)
    share = _divide(both + neither, total)
    counts = Counts(*(int(count) for count in cells[0]))
    return Agreement(counts, estimate(share), estimate(_beyond_chance(share, chance)))


def _beyond_chance(share: Vector, chance: Vector) -> Vector:
    """Return kappa: how much of the agreement that chance leaves open is there."""
    return _divide(share - chance, 1 - chance)


def _divide(top: Matrix, bottom: Matrix) -> Matrix:
    """Return top / bottom, NaN where bottom is 0 but for rounding."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 1e-12)
