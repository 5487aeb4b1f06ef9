"""Statistics on small fixed tables, value and interval to nine digits, and by their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpgbench.domain.statistics import bootstrap as stats
from dpgbench.domain.statistics.agreement import Counts, agreements, fleiss
from dpgbench.domain.statistics.correlation import (
    average_ranks,
    estimate,
    pearson,
    rank_draws,
    resamplings,
)
from dpgbench.domain.statistics.paired import (
    LEAST_ITEMS,
    LEVEL,
    Outcomes,
    PairedDifference,
    difference_of,
    holm,
    outcomes,
    p_value,
    paired_differences,
    possible_ranks,
    ranks,
)

FIRST = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
SECOND = np.array([2.0, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5])
CLUSTERS = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6])


def flat(estimate: Any) -> list[float]:
    """Return an estimate's value and the ends of its interval."""
    value, interval = estimate
    return [value, *interval]


def near(values: list[float]) -> Any:
    return pytest.approx(values, rel=1e-9, abs=1e-12)


def test_correlations() -> None:
    draws = rank_draws(FIRST, SECOND, CLUSTERS)
    assert draws.spearman.shape == draws.kendall.shape == (5001,)
    assert flat(estimate(draws.spearman)) == near(GOLDEN["spearman"])
    assert flat(estimate(draws.kendall)) == near(GOLDEN["kendall"])
    assert flat(pearson(FIRST, SECOND, CLUSTERS)) == near(GOLDEN["pearson"])
    assert GOLDEN["pearson"][0] == pytest.approx(np.corrcoef(FIRST, SECOND)[0, 1])


def test_two_samples_correlate_wholly_or_not_at_all() -> None:
    up, clusters = np.array([0.25, 0.5]), np.array([0, 1])
    for other, value in ((up, 1), (-up, -1), (np.ones(2), np.nan)):
        draws = rank_draws(up, other, clusters)
        assert [draws.spearman[0], draws.kendall[0]] == pytest.approx([value] * 2, nan_ok=True)


def test_agreement_of_judges() -> None:
    one, other = FIRST > 3.5, SECOND > 2.5
    groups = {"all": np.ones(12, dtype=bool), "late": np.arange(12) > 4}
    by_group = agreements(one, other, CLUSTERS, groups)
    for name, chosen in groups.items():
        entry = by_group[name]
        a, b = one[chosen], other[chosen]
        cells = (a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()
        assert entry.counts == Counts(*map(int, cells))
        assert entry.agreement.value == pytest.approx((a == b).mean())
        assert flat(entry.agreement) == near(GOLDEN[f"agreement {name}"])
        assert flat(entry.kappa) == near(GOLDEN[f"kappa {name}"])


def test_agreement_of_many_judges() -> None:
    num_yes = np.array([3, 0, 2, 1, 3, 3, 0, 2, 3, 1, 0, 3])
    group = fleiss(num_yes, 3, CLUSTERS)
    assert group.questions == 12
    assert flat(group.all_agree) == near(GOLDEN["all agree"])
    assert flat(group.kappa) == near(GOLDEN["fleiss"])
    assert group.all_agree.value == pytest.approx(8 / 12)


GOLDEN: dict[str, list[float]] = {
    "agreement all": [0.5, 0.23076923076923078, 0.8181818181818182],
    "agreement late": [0.7142857142857143, 0.25, 1.0],
    "all agree": [0.6666666666666666, 0.38461538461538464, 0.9230769230769231],
    "fleiss": [0.5428571428571426, 0.1409090909090909, 0.888544891640867],
    "kappa all": [-0.028571428571428702, -0.5854375896700139, 0.6071428571428573],
    "kappa late": [0.30000000000000004, -0.6, 1.0],
    "kendall": [0.17109647770728872, -0.42720906289262345, 0.6788602557925746],
    "pearson": [0.09979900759721558, -0.5703456351230665, 0.6671300119360409],
    "spearman": [0.1415796863640157, -0.5934424260562082, 0.7717001968718864],
}


def test_one_item_says_nothing_of_others() -> None:
    alone = np.zeros(12, dtype=int)
    draws = rank_draws(FIRST, SECOND, alone)
    value = pearson(FIRST, SECOND, CLUSTERS).value
    assert pearson(FIRST, SECOND, alone) == (pytest.approx(value), None)
    assert draws.spearman.shape == draws.kendall.shape == (1,)
    group = fleiss(np.array([3, 0, 2]), 3, np.zeros(3, dtype=int))
    assert group.kappa.value is not None
    assert (group.kappa.interval, group.all_agree.interval) == (None, None)
    judges = agreements(FIRST > 3, SECOND > 2, alone, {"all": np.ones(12, dtype=bool)})["all"]
    assert (judges.kappa.interval, judges.agreement.interval) == (None, None)


def test_average_ranks_of_weighted_values() -> None:
    ranks_ = average_ranks(np.array([2.0, 1, 2]), np.array([[1.0, 1, 1], [0, 2, 3], [1, 0, 0]]))
    assert ranks_.tolist() == [[2.5, 1, 2.5], [4, 1.5, 4], [1, 0.5, 1]]


def test_resamplings_begin_with_what_is_there() -> None:
    assert [chunk.tolist() for chunk in resamplings(1)] == [[[1.0]]]
    first, *rest = resamplings(3)
    assert first.tolist() == [[1, 1, 1]]
    assert sum(len(chunk) for chunk in rest) == stats.NUM_DRAWS


def test_p_values() -> None:
    assert p_value(np.array([-1.0, 1, 1, 1])) == pytest.approx(2 * 2 / 5)
    assert p_value(np.array([-1.0, -1, -1, 1])) == pytest.approx(2 * 2 / 5)
    assert p_value(np.array([0.0, 1, 1, 1, 1, 1, 1, 1, 1])) == pytest.approx(2 * 2 / 10)
    assert p_value(np.array([0.0, -1, -1, -1, -1, -1, -1, -1, -1])) == pytest.approx(2 * 2 / 10)
    assert p_value(np.array([0.5] * 9)) == pytest.approx(2 / 10)
    assert p_value(np.array([-1.0, 1])) == 1.0
    assert p_value(np.array([0.0, 0.0])) == 1.0


def test_a_difference_the_other_way_round() -> None:
    one = PairedDifference(1.5, (-0.5, 3.0), 0.2, 0.4)
    assert one.turned == PairedDifference(-1.5, (-3.0, 0.5), 0.2, 0.4)
    assert PairedDifference(0.0, None, None).turned == PairedDifference(0.0, None, None)
    assert str(PairedDifference(0.0, (0.0, 0.0), 1.0).turned.interval) == "(0.0, 0.0)"


@pytest.mark.parametrize(("p_holm", "apart"), [(0.04, True), (LEVEL, False), (0.06, False)])
def test_one_of_several_differences_is_told_apart_by_holm(p_holm: float, apart: bool) -> None:
    assert PairedDifference(1.0, (0.5, 1.5), 0.01, p_holm).significant is apart


def test_wins_ties_and_losses() -> None:
    first = np.array([2.0, 2, 2, 1, np.nan, 3, 5, 0.5])
    second = np.array([1.0, 2, 2 + 1e-12, 2, 1, np.nan, 4.5, 0.4])
    assert outcomes(first, second) == Outcomes(wins=3, ties=2, losses=1)


def test_holm_keeps_order_and_stays_below_1() -> None:
    assert holm([0.9, 0.95, 0.001]) == pytest.approx([1.0, 1.0, 0.003])
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06, 0.06, 0.06])
    assert holm([0.3, 0.01]) == pytest.approx([0.3, 0.02])


def test_possible_ranks() -> None:
    assert ranks([1.0, 3.0, 2.0, 3.0]) == [4, 1, 3, 1]
    above = [[False, True, True], [False, False, False], [False, False, False]]
    assert possible_ranks(above) == [(1, 1), (2, 3), (2, 3)]


def table(number: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    counts = rng.integers(1, 5, (number, 3)).astype(float)
    return rng.random((number, 3)) * 100 * counts, counts


def test_differences_of_ratios() -> None:
    sums, counts = table(12)
    differences = paired_differences(sums, counts, [(0, 1), (2, 0)])
    weights = np.concatenate(list(stats.bootstrap_weights(12)))
    ratios = (weights @ sums) / (weights @ counts)
    means = sums.sum(axis=0) / counts.sum(axis=0)
    for (i, j), difference in zip([(0, 1), (2, 0)], differences, strict=True):
        assert difference is not None
        assert difference.difference == pytest.approx(means[i] - means[j], abs=1e-8)
        drawn = ratios[:, i] - ratios[:, j]
        assert difference.interval == pytest.approx(
            tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-8
        )
        side = min((drawn <= 0).sum(), (drawn >= 0).sum())
        assert difference.p_value == pytest.approx(min(1, 2 * (1 + side) / 5001))
    assert pytest.approx(0.05) == LEVEL


def test_items_that_one_of_the_two_lacks_do_not_count_towards_the_least_number() -> None:
    sums, counts = table(LEAST_ITEMS)
    (whole,) = paired_differences(sums, counts, [(0, 1)])
    assert whole is not None
    assert whole.interval is not None
    for column in (0, 1):
        less = counts.copy()
        less[3, column] = 0
        (few,) = paired_differences(np.where(less > 0, sums, 0), less, [(0, 1)])
        assert few is not None
        assert (few.interval, few.p_value) == (None, None)
    (third,) = paired_differences(sums, np.where([True, True, False], counts, 0), [(0, 1)])
    assert third == whole


def test_nothing_to_compare() -> None:
    sums, counts = table(9)
    assert paired_differences(sums, counts, []) == []
    assert paired_differences(sums[:0], counts[:0], [(0, 1), (1, 2)]) == [None, None]
    assert paired_differences(sums, np.where([True, False, True], counts, 0), [(0, 1)]) == [None]
    assert difference_of(float("nan"), np.ones(5)) is None
    assert difference_of(1.0, np.full(5, np.nan)) is None
    assert difference_of(1.0, np.empty(0)) is None


@pytest.mark.parametrize("number", [1, LEAST_ITEMS - 1, LEAST_ITEMS, LEAST_ITEMS + 1])
def test_few_items_say_nothing_of_others(number: int) -> None:
    difference = difference_of(1.0000000004, np.array([1.0, 2.0, np.nan, 3.0]), num_items=number)
    assert difference is not None
    assert difference.difference == 1.0
    assert (difference.interval is None) == (difference.p_value is None) == (number < LEAST_ITEMS)
    assert LEAST_ITEMS == 8


@pytest.mark.parametrize(
    ("interval", "apart"),
    [
        (None, False),
        ((0.1, 2.0), True),
        ((0.0, 2.0), False),
        ((-0.1, 2.0), False),
        ((-2.0, 0.0), False),
        ((-2.0, -0.1), True),
        ((0.5, 0.9), True),
        ((-0.9, -0.5), True),
    ],
)
def test_told_apart_where_the_interval_leaves_zero_out(interval: Any, apart: bool) -> None:
    assert PairedDifference(0.0, interval, None).significant is apart
