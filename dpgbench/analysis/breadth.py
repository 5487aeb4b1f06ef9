"""Which answers stand behind a row's categories, and over how many items each category is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpgbench.analysis.answers import ItemSet
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.rows import Group
from dpgbench.analysis.verdict_letters import CategorySums, Sheet

_SAME = 1e-6


def sheet_of(row: LeaderboardRow, sets: Sequence[ItemSet]) -> tuple[Sheet, dict[str, int]] | None:
    """Return the answers that a row was scored from, and the place of each of its items.

    None where they are not at hand, or give other categories than the row has.
    """
    for found in sets:
        for run in found.runs:
            if run.index != row.index:
                continue
            for judge in run.judges:
                if judge.judge == row.judge and row.rule in judge.sheets:
                    places = {item: n for n, item in enumerate(found.items) if item in row.items}
                    sheet = judge.sheets[row.rule]
                    return (sheet, places) if _make_up(sheet, places, row) else None
    return None


def _make_up(sheet: Sheet, places: dict[str, int], row: LeaderboardRow) -> bool:
    mine = [*places.values()]
    for found, figures in ((sheet.l1, row.l1), (sheet.l2, row.l2)):
        sums, counts = found.sums[mine].sum(axis=0), found.counts[mine].sum(axis=0)
        parts = zip(found.names, sums, counts, strict=True)
        means = {name: 100 * total / number for name, total, number in parts if number}
        if means.keys() != figures.keys():
            return False
        for name, mean in means.items():
            score = figures[name].score
            if score is None or abs(mean - score) > _SAME:
                return False
    return True


def with_item_counts(groups: Sequence[Group], sets: Sequence[ItemSet]) -> list[Group]:
    """Return groups whose categories know their items; those of too few lose their intervals.

    Score files count a category's questions; an interval draws items.
    """
    return [
        replace(group, rows=tuple(_counted(row, sets) for row in group.rows)) for group in groups
    ]


def _counted(row: LeaderboardRow, sets: Sequence[ItemSet]) -> LeaderboardRow:
    found = sheet_of(row, sets)
    if found is None:
        return row
    sheet, places = found
    mine = np.array([*places.values()], dtype=np.int64)
    levels = []
    for figures, sums in ((row.l1, sheet.l1), (row.l2, sheet.l2)):
        numbers = _items(sums, mine)
        levels.append(
            {
                name: replace(figure, items=numbers[name]).thinned()
                for name, figure in figures.items()
            }
        )
    return replace(row, l1=levels[0], l2=levels[1])


def _items(sums: CategorySums, mine: NDArray[np.int64]) -> dict[str, int]:
    numbers = (sums.counts[mine] > 0).sum(axis=0)
    return {name: int(number) for name, number in zip(sums.names, numbers, strict=True)}
