"""Parity with the reference implementations on 60 small random benchmarks."""

from __future__ import annotations

import pytest

from dpgbench.domain.rules import DSG, ELLA_REFERENCE
from tests.domain.golden_cases import CASES, result_of


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ella_reference(number: int) -> None:
    case = CASES[number]
    expected = case["expected"]["ella_reference"]
    result = result_of(case, ELLA_REFERENCE, case["tiles"])
    assert result.overall == pytest.approx(expected["overall"], abs=1e-9)
    assert result.failures.keys() == set(expected["failed_items"])
    for level in ("l1", "l2"):
        scores = {name: c.score for name, c in getattr(result, level).items()}
        assert scores == pytest.approx(expected[level], abs=1e-9)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_dsg_first_tile(number: int) -> None:
    case = CASES[number]
    result = result_of(case, DSG, 1)
    scores = {item.item_id: None if item.failure else item.score for item in result.items}
    for item_id, expected in case["expected"]["dsg_item_scores_first_tile"].items():
        assert scores[item_id] == (None if expected is None else pytest.approx(expected, abs=1e-9))
