"""Which figures of a table are surely the best of their column: what may be set in bold."""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.analysis.comparison import CategoryDifference, Comparison
from dpgbench.analysis.rows import Group

Best = frozenset[tuple[int, str]]
OVERALL = ""


def surely_best(groups: Sequence[Group], found: Sequence[Comparison]) -> Best:
    """Return (place of the row, category) of figures above every other ranked row of their table.

    The overall (``""``) by paired intervals, as ranks go; L1 categories by paired differences
    after Holm's correction over the level. Places are those of `comparison.all_rows`.
    """
    best: set[tuple[int, str]] = set()
    pairs = {(c.first, c.second): c for c in found}
    start = 0
    for group in groups:
        places = [start + n for n, row in enumerate(group.rows) if row.rank is not None]
        for place in places:
            row = group.rows[place - start]
            rivals = [other for other in places if other != place]
            if not rivals:
                continue
            if row.rank_range == (1, 1):
                best.add((place, OVERALL))
            for name in row.l1:
                if all(_ahead(pairs, place, rival, name) for rival in rivals):
                    best.add((place, name))
        start += len(group.rows)
    return frozenset(best)


def _ahead(pairs: dict[tuple[int, int], Comparison], place: int, rival: int, name: str) -> bool:
    """Return whether `place` is told apart from and above `rival` in a category."""
    for key, sign in (((place, rival), 1), ((rival, place), -1)):
        category = _category(pairs.get(key), name)
        if category is not None:
            return category.told_apart and sign * category.difference.difference > 0
    return False


def _category(found: Comparison | None, name: str) -> CategoryDifference | None:
    categories = found.l1 if found else ()
    return next((category for category in categories if category.name == name), None)
