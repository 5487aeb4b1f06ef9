"""Bootstrap over items: intervals for any ratio of per-item sums.

Questions and tiles inside a prompt are correlated, so the item is what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 5000
SEED = 20240308  # fixed, so that a result file is the same bytes each time it is made
CONFIDENCE = 0.95
LEAST_ITEMS = 8
"""Fewer items than these have no interval: a percentile bootstrap of so few is far too narrow (one
item gives an interval of no width)."""
_CHUNK = 500

Matrix = NDArray[np.float64]


def bootstrap_weights(
    num_items: int, *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Iterator[Matrix]:
    """Yield chunks [R, num_items] of how often each item is in a draw, `num_draws` rows in all."""
    generator = np.random.default_rng(seed)
    for start in range(0, num_draws, _CHUNK):
        rows = min(_CHUNK, num_draws - start)
        drawn = generator.integers(0, num_items, size=(rows, num_items))
        drawn += np.arange(rows)[:, None] * num_items
        counts = np.bincount(drawn.ravel(), minlength=rows * num_items)
        yield counts.reshape(rows, num_items).astype(np.float64)


def ratios(sums: Matrix, counts: Matrix) -> NDArray[np.float64]:
    """Return [S]: each of S ratios sum/count over all items; NaN over nothing.

    Args:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
    """
    total = counts.sum(axis=0)
    means: NDArray[np.float64] = np.full(len(total), np.nan)
    np.divide(sums.sum(axis=0), total, out=means, where=total > 0)
    return means


def ratio_draws(sums: Matrix, counts: Matrix, **options: Any) -> Matrix:
    """Return [num_draws, S]: each of S ratios sum/count in each bootstrap draw of the items.

    Args:
        sums: [N, S] per item, the sum of what is averaged.
        counts: [N, S] per item, how many things that sum is over.
        options: `num_draws` and `seed` of `bootstrap_weights`.

    Returns:
        NaN where a draw holds nothing to average.
    """
    stacked = np.concatenate([sums, counts], axis=1)
    chunks = []
    for weights in bootstrap_weights(len(sums), **options):
        drawn = weights @ stacked
        top, bottom = np.split(drawn, 2, axis=1)
        chunks.append(np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0))
    return np.concatenate(chunks)


def intervals(sums: Matrix, counts: Matrix, **options: Any) -> list[tuple[float, float] | None]:
    """Return the 95% percentile interval of each of S ratios.

    None where fewer than `LEAST_ITEMS` items have something to average. Args and options are those
    of `ratio_draws`.
    """
    if not len(sums):
        return [None] * sums.shape[1]
    draws = ratio_draws(sums, counts, **options)
    tail = (1 - CONFIDENCE) / 2
    result: list[tuple[float, float] | None] = []
    for column, num_items in zip(draws.T, (counts > 0).sum(axis=0), strict=True):
        valid = column[~np.isnan(column)]
        ends = np.quantile(valid, [tail, 1 - tail]) if num_items >= LEAST_ITEMS else None
        result.append(None if ends is None else (float(ends[0]), float(ends[1])))
    return result
