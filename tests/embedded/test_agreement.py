"""On generated pictures there is no known truth: two independent readers must agree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.embedded.agreement import MODELS, NUM_ITEMS, SEEDS, Case, figures, measure, table

pytestmark = pytest.mark.slow  # a hundred pictures

LEAST_AGREEMENT = 0.85  # a little below what was measured of the shipped weights
LEAST_YES = 0.6
STEPS = 10  # half of the default, for time


@pytest.fixture(scope="module")
def cases() -> Sequence[Case]:
    return measure(steps=STEPS)


def test_judge_and_detector_agree_about_generated_pictures(cases: Sequence[Case]) -> None:
    assert len({(case.model, case.picture) for case in cases}) == 100
    assert NUM_ITEMS * len(SEEDS) * len(MODELS) == 100
    assert figures(cases).agreement >= LEAST_AGREEMENT, table(cases)


def test_both_readers_see_more_of_the_prompt_drawn_by_ella_than_with_clip(
    cases: Sequence[Case],
) -> None:
    ella, clip = (figures([case for case in cases if case.model == model]) for model in MODELS)
    assert ella.judge_yes > clip.judge_yes + 0.05 > LEAST_YES, table(cases)
    assert ella.detector_yes > clip.detector_yes + 0.05 > LEAST_YES, table(cases)
