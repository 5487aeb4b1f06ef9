"""Correlation of two scores of the same samples, with intervals: Spearman, Kendall, Pearson.

Samples come in clusters (the images of one item); a bootstrap draw takes whole clusters. Every
function here gives a statistic for the samples as they are and for each draw at once, so that
differences of statistics are paired. What a sample is stands elsewhere.
"""
# ruff: noqa: N803, N806

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.domain.statistics.bootstrap import (
    Interval,
    Matrix,
    Vector,
    bootstrap_weights,
    percentile_interval,
)

Indices = NDArray[np.int64]

_CHUNK = 256
_TIE_DECIMALS = 9  # equal fractions summed in another order differ in the last bits only


class Estimate(NamedTuple):
    """A statistic and its 95% percentile bootstrap interval; None where it is not defined."""

    value: float | None
    interval: Interval


class RankDraws(NamedTuple):
    """Rank correlations [1 + num_draws]: of the samples first, then of each bootstrap draw."""

    spearman: Vector
    kendall: Vector


def resamplings(num_clusters: int) -> Iterator[Matrix]:
    """Yield chunks [R, num_clusters] of how often each counts: once first, then as drawn."""
    yield np.ones((1, num_clusters))
    if num_clusters > 1:  # one cluster says nothing of how clusters differ
        yield from bootstrap_weights(num_clusters)


def estimate(draws: Vector) -> Estimate:
    """Return the first of `draws`, with the interval of the others; NaN is "not defined"."""
    value = float(draws[0])
    if np.isnan(value):
        return Estimate(None, None)
    valid = draws[1:][~np.isnan(draws[1:])]
    return Estimate(value, percentile_interval(valid) if len(valid) else None)


def rank_draws(first: Vector, second: Vector, clusters: Indices) -> RankDraws:
    """Return Spearman's rho and Kendall's tau-b of N samples in C clusters.

    Args:
        first: [N] scores by one measure.
        second: [N] scores of the same samples by the other.
        clusters: [N] number of each sample's cluster, 0 to C - 1, each of them used.

    Returns:
        NaN where a draw has only one value on either side.
    """
    first, second = first.round(_TIE_DECIMALS), second.round(_TIE_DECIMALS)
    num_clusters = int(clusters.max()) + 1
    pairs = _pair_signs(first, second, clusters)
    spearman, kendall = [], []
    for weights_RC in resamplings(num_clusters):
        spearman.append(_spearman(first, second, weights_RC[:, clusters]))
        kendall.append(_kendall(pairs, weights_RC))
    return RankDraws(np.concatenate(spearman), np.concatenate(kendall))


def pearson(first: Vector, second: Vector, clusters: Indices) -> Estimate:
    """Return Pearson's correlation of N samples in C clusters; arguments as for `rank_draws`."""
    x, y = first - first.mean(), second - second.mean()
    parts = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    sums = np.zeros((int(clusters.max()) + 1, parts.shape[1]))
    np.add.at(sums, clusters, parts)
    draws = []
    for weights_RC in resamplings(len(sums)):
        number, x_sum, y_sum, xx, yy, xy = (weights_RC @ sums).T
        shared = xy - x_sum * y_sum / number
        spread = (xx - x_sum**2 / number) * (yy - y_sum**2 / number)
        draws.append(_ratio(shared, spread, floor=1e-12 * number**2))
    return estimate(np.concatenate(draws))


def average_ranks(values: Vector, weights_RN: Matrix) -> Matrix:
    """Return ranks [R, N] from 1, ties averaged, where value n is there weights[r, n] times."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    mass = np.add.reduceat(weights_RN[:, order], starts, axis=1)
    middle = np.cumsum(mass, axis=1) - mass + (mass + 1) / 2
    return np.asarray(middle[:, group])


def _spearman(first: Vector, second: Vector, weights_RN: Matrix) -> Vector:
    """Return [R]: Pearson's correlation of the average ranks, in each of R weightings."""
    total = weights_RN.sum(axis=1, keepdims=True)
    centred = []
    for values in (first, second):
        ranks = average_ranks(values, weights_RN)
        centred.append(ranks - (weights_RN * ranks).sum(axis=1, keepdims=True) / total)
    x, y = centred
    shared = (weights_RN * x * y).sum(axis=1)
    return _ratio(shared, (weights_RN * x * x).sum(axis=1) * (weights_RN * y * y).sum(axis=1))


def _pair_signs(first: Vector, second: Vector, clusters: Indices) -> NDArray[np.float64]:
    """Return [3, C, C], summed over the pairs of samples of each two clusters.

    With s and t the signs of a pair's differences: s * t, s * s and t * t. tau-b of any weighting
    follows from these, because copies of one sample tie with each other on both sides.
    """
    order = np.argsort(clusters, kind="stable")
    x, y, cluster = first[order], second[order], clusters[order]
    num_clusters = int(cluster.max()) + 1
    starts = np.searchsorted(cluster, np.arange(num_clusters))
    sums = np.zeros((3, num_clusters, num_clusters))
    for begin in range(0, len(x), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        s = np.sign(x[rows, None] - x).astype(np.int8)
        t = np.sign(y[rows, None] - y).astype(np.int8)
        for total, signs in zip(sums, (s * t, s * s, t * t), strict=True):
            by_cluster = np.add.reduceat(signs, starts, axis=1, dtype=np.float64)
            np.add.at(total, cluster[rows], by_cluster)
    return sums


def _kendall(pairs: NDArray[np.float64], weights_RC: Matrix) -> Vector:
    shared, first, second = (((weights_RC @ signs) * weights_RC).sum(axis=1) for signs in pairs)
    return _ratio(shared, first * second)


def _ratio(shared: Vector, spread: Vector, floor: float | Vector = 0.0) -> Vector:
    """Return shared / sqrt(spread); NaN where there is no spread."""
    some = spread > floor
    root = np.sqrt(np.where(some, spread, 1.0))
    return np.where(some, shared / root, np.nan)
