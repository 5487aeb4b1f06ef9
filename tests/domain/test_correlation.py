"""Spearman, Kendall and Pearson: known values, ties, clusters, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dpgbench.domain.statistics import correlation
from dpgbench.domain.statistics.correlation import (
    Vector,
    average_ranks,
    estimate,
    pearson,
    rank_draws,
)

SCORES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


def apart(number: int) -> correlation.Indices:
    return np.arange(number)


def both(first: list[float], second: list[float]) -> tuple[float, float]:
    draws = rank_draws(np.array(first), np.array(second), apart(len(first)))
    return float(draws.spearman[0]), float(draws.kendall[0])


def naive_tau_b(first: Vector, second: Vector) -> float:
    concordant = ties_first = ties_second = pairs = 0
    for i in range(len(first)):
        for j in range(i):
            s, t = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
            concordant += int(s * t)
            ties_first += int(s == 0)
            ties_second += int(t == 0)
            pairs += 1
    return float(concordant / np.sqrt((pairs - ties_first) * (pairs - ties_second)))


def test_values_from_the_literature() -> None:
    # scipy.stats' own examples (1.17): spearmanr, kendalltau
    spearman, _ = both([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])
    assert spearman == pytest.approx(0.8207826816681233, abs=1e-12)
    _, kendall = both([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])
    assert kendall == pytest.approx(-0.4714045207910317, abs=1e-12)
    # IQ and hours of television (a textbook's example without ties): rho = -29/165
    iq = [106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert both(iq, hours)[0] == pytest.approx(-29 / 165, abs=1e-12)


def test_order_is_all_that_counts() -> None:
    assert both([1, 2, 3, 9], [10, 20, 30, 31]) == (1.0, 1.0)
    assert both([1, 2, 3, 9], [4, 3, 2, -1]) == (-1.0, -1.0)


def test_nothing_to_correlate() -> None:
    draws = rank_draws(np.array([1.0, 1, 1]), np.array([1.0, 2, 3]), apart(3))
    assert estimate(draws.spearman) == (None, None)
    assert estimate(draws.kendall) == (None, None)
    assert pearson(np.array([0.1, 0.1]), np.array([0.2, 0.4]), apart(2)) == (None, None)


def test_average_ranks() -> None:
    ranks = average_ranks(np.array([5.0, 1, 5, 9]), np.array([[1.0, 1, 1, 1], [2, 1, 0, 1]]))
    assert ranks.tolist() == [[2.5, 1, 2.5, 4], [2.5, 1, 2.5, 4]]


@given(SCORES)
@settings(max_examples=60, deadline=None)
def test_kendall_is_the_definition(scores: list[tuple[int, int]]) -> None:
    first, second = (np.array(column, dtype=np.float64) for column in zip(*scores, strict=True))
    assume(len(set(first)) > 1 and len(set(second)) > 1)
    draws = rank_draws(first, second, apart(len(scores)))
    assert draws.kendall[0] == pytest.approx(naive_tau_b(first, second), abs=1e-12)


@given(SCORES, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_draw_is_the_statistic_of_the_drawn_clusters(
    scores: list[tuple[int, int]], seed: int
) -> None:
    first, second = (np.array(column, dtype=np.float64) for column in zip(*scores, strict=True))
    clusters = np.unique(
        np.random.default_rng(seed).integers(0, 3, len(scores)), return_inverse=True
    )[1]
    draws = rank_draws(first, second, clusters)
    weights = np.concatenate(list(correlation.resamplings(int(clusters.max()) + 1)))
    for number in range(0, len(weights), max(1, len(weights) // 5)):
        drawn = np.repeat(np.arange(len(scores)), weights[number, clusters].astype(int))
        again = rank_draws(first[drawn], second[drawn], apart(len(drawn)))
        np.testing.assert_allclose(draws.kendall[number], again.kendall[0], atol=1e-12)
        np.testing.assert_allclose(draws.spearman[number], again.spearman[0], atol=1e-12)


def test_intervals_cover_the_truth_and_know_of_clusters() -> None:
    generator = np.random.default_rng(4)
    of_item = np.repeat(generator.normal(size=60), 5)
    clusters = np.repeat(np.arange(60), 5)
    people = of_item + 0.1 * generator.normal(size=300)
    judge = of_item + np.repeat(generator.normal(size=60), 5)
    by_item = estimate(rank_draws(judge, people, clusters).spearman)
    by_sample = estimate(rank_draws(judge, people, apart(300)).spearman)
    assert by_item.value == by_sample.value
    assert by_item.interval and by_sample.interval and by_item.value
    assert by_item.interval[0] < by_item.value < by_item.interval[1]
    wide, narrow = (high - low for low, high in (by_item.interval, by_sample.interval))
    assert wide > 1.5 * narrow  # five images of one prompt are not five prompts


def test_one_cluster_has_no_interval() -> None:
    draws = rank_draws(np.array([1.0, 2]), np.array([1.0, 2]), np.array([0, 0]))
    assert estimate(draws.spearman) == (1.0, None)


def test_pearson() -> None:
    generator = np.random.default_rng(2)
    x = generator.random(400)
    y = 0.3 * x + generator.random(400)
    correlation = pearson(x, y, apart(400))
    assert correlation.value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert (
        correlation.interval
        and correlation.interval[0] < correlation.value < correlation.interval[1]
    )
    assert correlation.interval[1] - correlation.interval[0] == pytest.approx(0.19, abs=0.03)


def test_draws_are_the_same_each_time() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.random(30), generator.random(30)
    first, second = (rank_draws(x, y, apart(30)) for _ in range(2))
    assert (first.kendall == second.kendall).all()
    assert (first.spearman == second.spearman).all()


def test_equal_fractions_tie_whatever_the_order_of_their_sum() -> None:
    first = np.array([0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1, 0.9, 0.1])
    assert first[0] != first[1]
    second = np.array([1.0, 2.0, 3.0, 0.5])
    exact = np.array([0.6, 0.6, 0.9, 0.1])
    clusters = np.arange(4)
    ours, wanted = rank_draws(first, second, clusters), rank_draws(exact, second, clusters)
    assert ours.spearman[0] == wanted.spearman[0]
    assert ours.kendall[0] == wanted.kendall[0]
