"""Intervals and the paired test on simulated runs with a known truth: `benchmarks/intervals.py`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import intervals
from dpgbench.domain.statistics.paired import (
    holm,
    p_value,
    paired_differences,
    possible_ranks,
    ranks,
)


def test_intervals_hold_the_truth() -> None:
    """300 runs here: three standard errors are 3.8%; 1,000 in docs/statistics.md."""
    shares = intervals.coverage(400, 300)
    assert 0.912 <= shares["overall"] <= 0.988
    assert 0.912 <= shares["category"] <= 0.988


def test_the_paired_test_keeps_its_level_and_finds_two_points() -> None:
    assert intervals.paired(400, 300, 0.0)["paired"] <= 0.09
    shares = intervals.paired(1065, 100, 2.0)
    assert shares["paired"] > 0.85
    assert shares["unpaired"] < shares["paired"] / 2


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([]) == []
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]


def test_p_inverts_the_interval_and_is_never_nothing() -> None:
    assert p_value(np.zeros(100)) == 1
    assert p_value(np.ones(4999)) == 2 / 5000
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 3, 40):
        drawn = rng.normal(shift, 1, 5000)
        low = np.quantile(drawn, 0.025)
        assert (p_value(drawn) < 0.05) == (low > 0) or abs(low) < 0.01


def test_a_constant_lead_is_found_and_no_difference_is_none() -> None:
    scores = np.linspace(0, 100, 50)[:, None] * np.ones(3) + np.array([2, 0, 0])
    differences = paired_differences(scores, np.ones_like(scores), [(0, 1), (1, 2)])
    assert differences[0] is not None
    assert differences[0].interval == pytest.approx((2, 2))
    assert differences[1] is not None
    assert (differences[1].difference, differences[1].p_value) == (0, 1)
    assert paired_differences(scores, np.zeros_like(scores), [(0, 1)]) == [None]


def test_ranks() -> None:
    assert ranks([3.0, 3.0, 1.0]) == [1, 1, 3]
    assert possible_ranks([[False, True], [False, False]]) == [(1, 1), (2, 2)]
    assert possible_ranks([[False, False], [False, False]]) == [(1, 2), (1, 2)]
