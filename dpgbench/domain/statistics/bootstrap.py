"""Bootstrap over items: intervals for any ratio of per-item sums.

Questions and tiles inside a prompt are correlated, so the item is what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 5000
SEED = 20240308  # fixed, so that a result file is the same bytes each time it is made
CONFIDENCE = 0.95
LEAST_ITEMS = 8
"""Fewer items than these have no interval: a percentile bootstrap of so few is far too narrow (one
item gives an interval of no width)."""
_CHUNK = 500
_MOST_KEPT = 16_000_000  # counts; 32 MB

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Interval = tuple[float, float] | None


class RatioTable(NamedTuple):
    """S ratios of sums over N items.

    Attributes:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
    """

    sums: Matrix
    counts: Matrix


def bootstrap_weights(
    num_items: int, *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Iterator[Matrix]:
    """Yield chunks [R, num_items] of how often each item is in a draw, `num_draws` rows in all."""
    kept = num_items * num_draws <= _MOST_KEPT
    chunks = _kept_counts if kept else _counts
    for counts in chunks(num_items, num_draws, seed):
        yield counts.astype(np.float64)


def _counts(num_items: int, num_draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    for start in range(0, num_draws, _CHUNK):
        rows = min(_CHUNK, num_draws - start)
        drawn = generator.integers(0, num_items, size=(rows, num_items))
        drawn += np.arange(rows)[:, None] * num_items
        counts = np.bincount(drawn.ravel(), minlength=rows * num_items)
        yield counts.reshape(rows, num_items)


@lru_cache(maxsize=4)
def _kept_counts(num_items: int, num_draws: int, seed: int) -> list[NDArray[np.uint16]]:
    """Return all of `_counts`, kept: every rule and every pair of runs takes the same draws."""
    return [counts.astype(np.uint16) for counts in _counts(num_items, num_draws, seed)]


def ratios(sums: Matrix, counts: Matrix) -> Vector:
    """Return [S]: each of S ratios sum/count over all items; NaN over nothing.

    Args:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
    """
    total = counts.sum(axis=0)
    means: Vector = np.full(len(total), np.nan)
    np.divide(sums.sum(axis=0), total, out=means, where=total > 0)
    return means


def ratio_draws(
    sums: Matrix, counts: Matrix, *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Matrix:
    """Return [num_draws, S]: each of S ratios sum/count in each bootstrap draw of the items.

    Args:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
        num_draws: of `bootstrap_weights`.
        seed: of `bootstrap_weights`.

    Returns:
        NaN where a draw holds nothing to average.
    """
    return draws_of([RatioTable(sums, counts)], num_draws=num_draws, seed=seed)[0]


def draws_of(
    ratio_tables: Sequence[RatioTable], *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> list[Matrix]:
    """Return what `ratio_draws` returns, for several tables of the same N items at once.

    Each table is multiplied alone, so that its figures are the same bits whatever is beside it.
    """
    stacked = [np.concatenate([table.sums, table.counts], axis=1) for table in ratio_tables]
    chunks: list[list[Matrix]] = [[] for _ in ratio_tables]
    for weights in bootstrap_weights(len(stacked[0]), num_draws=num_draws, seed=seed):
        for table, drawn in zip(stacked, chunks, strict=True):
            top, bottom = np.split(weights @ table, 2, axis=1)
            nothing = np.full_like(top, np.nan)
            drawn.append(np.divide(top, bottom, out=nothing, where=bottom > 0))
    return [np.concatenate(drawn) for drawn in chunks]


def percentile_interval(draws: Vector) -> tuple[float, float]:
    """Return the ends between which 95% of `draws` lie; none of them may be NaN."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def intervals(
    sums: Matrix, counts: Matrix, *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> list[Interval]:
    """Return the 95% percentile interval of each of S ratios.

    None where fewer than `LEAST_ITEMS` items have something to average. Arguments are those of
    `ratio_draws`.
    """
    return intervals_of([RatioTable(sums, counts)], num_draws=num_draws, seed=seed)[0]


def intervals_of(
    ratio_tables: Sequence[RatioTable], *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> list[list[Interval]]:
    """Return what `intervals` returns, for several tables of the same N items at once."""
    if not len(ratio_tables[0].sums):
        return [[None] * table.sums.shape[1] for table in ratio_tables]
    all_draws = draws_of(ratio_tables, num_draws=num_draws, seed=seed)
    return [
        [
            _interval(column, number)
            for column, number in zip(draws.T, (table.counts > 0).sum(axis=0), strict=True)
        ]
        for table, draws in zip(ratio_tables, all_draws, strict=True)
    ]


def _interval(draws: Vector, num_items: int) -> Interval:
    if num_items < LEAST_ITEMS:
        return None
    return percentile_interval(draws[~np.isnan(draws)])
