"""On generated pictures there is no known truth: two independent readers must agree."""

from __future__ import annotations

from tests.embedded.agreement import MODELS, NUM_ITEMS, SEEDS, figures, measure, table

LEAST_AGREEMENT = 0.8  # a little below what was measured of the shipped weights
STEPS = 10  # half of the default, for time


def test_judge_and_detector_agree_about_generated_pictures() -> None:
    cases = measure(steps=STEPS)
    assert len({(case.model, case.picture) for case in cases}) == 100
    assert NUM_ITEMS * len(SEEDS) * len(MODELS) == 100
    assert figures(cases).agreement >= LEAST_AGREEMENT, table(cases)
