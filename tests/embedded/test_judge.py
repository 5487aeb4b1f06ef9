"""The judge `tiny-mplug` on rendered scenes that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dpgbench.shapes import Question, hard_negative, questions
from dpgbench.shapes.scene import KINDS
from tests.embedded.graded_answers import (
    AskedScene,
    GradedAnswer,
    confusion,
    graded_answers,
    share_right,
)
from tests.embedded.pictures import heldout_scenes

SEED = 7
SCENES_A_KIND = 70
CATEGORIES = ("entity", "attribute", "relation", "global", "other")
LEAST_OVERALL = 0.97
LEAST_IN_A_CATEGORY = 0.95
MOST_CALIBRATION_ERROR = 0.02


@pytest.fixture(scope="module")
def all_replies() -> list[GradedAnswer]:
    """One question of each category of each scene: asked of it, and of a scene that fails it."""
    scenes: list[AskedScene] = []
    for kind in KINDS:
        for number, scene in enumerate(heldout_scenes(SCENES_A_KIND, SEED, kind)):
            graph = questions(scene)
            asked = [question for name in CATEGORIES for question in _one(graph, name, number)]
            scenes.append((scene, asked))
            for question in asked:
                other = hard_negative(scene, question, graph, seed=number)
                assert other is not None
                scenes.append((other, [question]))
    return [reply for of_scene in graded_answers(scenes) for reply in of_scene]


def _one(graph: Sequence[Question], category: str, number: int) -> list[Question]:
    among = [question for question in graph if question.category[0] == category]
    return [among[number % len(among)]] if among else []


def test_half_of_the_true_answers_are_yes_and_all_categories_are_asked(
    all_replies: list[GradedAnswer],
) -> None:
    for category in CATEGORIES:
        truths = [reply.truth for reply in all_replies if reply.category == category]
        assert len(truths) >= 240
        assert truths.count("yes") == truths.count("no")


def test_it_says_yes_or_no(all_replies: list[GradedAnswer]) -> None:
    assert {reply.text for reply in all_replies} == {"yes", "no"}


def test_it_is_right_overall(all_replies: list[GradedAnswer]) -> None:
    assert share_right(all_replies) >= LEAST_OVERALL, confusion(all_replies)


@pytest.mark.parametrize("category", CATEGORIES)
def test_it_is_right_in_each_category(all_replies: list[GradedAnswer], category: str) -> None:
    among = [reply for reply in all_replies if reply.category == category]
    assert share_right(among) >= LEAST_IN_A_CATEGORY, confusion(among)


def test_its_probabilities_are_calibrated(all_replies: list[GradedAnswer]) -> None:
    """Expected calibration error over ten bins of p(yes)."""
    p_yes = np.array([reply.p_yes for reply in all_replies], dtype=float)
    is_yes = np.array([reply.truth == "yes" for reply in all_replies], dtype=float)
    bins = np.minimum((p_yes * 10).astype(int), 9)
    gaps = [abs((is_yes - p_yes)[bins == number].sum()) for number in range(10)]
    assert sum(gaps) / len(all_replies) <= MOST_CALIBRATION_ERROR
