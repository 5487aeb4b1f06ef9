"""Judges against people: rank correlation of item scores with human scores of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dpgbench.analysis.judges.answers import UNNAMED, JudgedSet
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import ItemScore
from dpgbench.domain.statistics.correlation import RankDraws, Vector, estimate, rank_draws
from dpgbench.errors import DataError, UsageError, counted, shortened
from dpgbench.store.human_scores import HumanScores

Image = tuple[str, str]
"""Model and item: one sample."""
_METHODS = RankDraws._fields


def correlate_with_people(
    judged: JudgedSet,
    scores: Mapping[str, Mapping[Image, ItemScore]],
    rule: ScoringRule,
    human: HumanScores,
) -> dict[str, Any]:
    """Return Spearman's and Kendall's correlation of each judge's item scores with people's.

    A sample is an item of a model. The samples are those that people rated and every judge can
    score, so that judges can be compared; an item without a score counts 0 where the rule has it
    so. The bootstrap draws items, with the images of all models: one prompt is one cluster.

    Raises:
        UsageError: the models of the two sides cannot be matched.
        DataError: fewer than two samples are left.
    """
    rated = _by_known_models(judged, human)
    expected = {model: _expected_items(judged, model) for model in judged.models}
    ours = {image: score for image, score in rated.items() if image[1] in expected[image[0]]}
    values = {judge: _values(list(ours), given, rule) for judge, given in scores.items()}
    images = [image for image in ours if all(image in value for value in values.values())]
    if len(images) < 2:
        raise DataError(
            f"{human.path} has {counted(len(images), 'image')} that all judges scored; two are "
            f"needed: its items start with {shortened(sorted({item for _, item in rated}), 3)}"
        )
    people = np.array([ours[image] for image in images])
    clusters = np.unique([item for _, item in images], return_inverse=True)[1]
    judges = {j: np.array([value[image] for image in images]) for j, value in values.items()}
    draws = {judge: rank_draws(ours_, people, clusters) for judge, ours_ in judges.items()}
    return {
        "file": human.path.name,
        "ratings": human.num_ratings,
        "samples": len(images),
        "items": len({item for _, item in images}),
        "left_out": {
            "of_other_models": len(human.scores) - len(rated),
            "of_other_items": len(rated) - len(ours),
            "without_a_score": len(ours) - len(images),
        },
        "judges": {judge: _estimates(draw) for judge, draw in draws.items()},
        "differences": _differences(draws),
        "models": _models(images, people, judges),
    }


def _by_known_models(judged: JudgedSet, human: HumanScores) -> dict[Image, float]:
    """Return the human scores of models that were judged, by the names that our side uses."""
    ours, theirs = list(judged.models), human.models
    if len(ours) == len(theirs) == 1 and UNNAMED in (*ours, *theirs):
        return {(ours[0], item): score for (_, item), score in human.scores.items()}
    known = {image: score for image, score in human.scores.items() if image[0] in judged.models}
    if not known:
        raise UsageError(
            f"{human.path} is about models {_named(theirs)}, the answers about {_named(ours)}; "
            "choose rows with --human-where, or say with --model-column whose images "
            "the answers are about"
        )
    return known


def _named(models: Sequence[str]) -> str:
    return shortened([model or "(not named)" for model in models])


def _expected_items(judged: JudgedSet, model: str) -> set[str]:
    """Return the items of which a model was to draw images; all of the benchmark, if unknown."""
    items = judged.models[model].items
    return set(judged.benchmark.items if items is None else items)


def _values(
    images: Sequence[Image], scores: Mapping[Image, ItemScore], rule: ScoringRule
) -> dict[Image, float]:
    values = {}
    for image in images:
        score = scores.get(image)
        if score is not None and score.tiles:
            values[image] = score.score
        elif rule.unscored_item == "zero":
            values[image] = 0.0
    return values


def _estimates(draws: RankDraws) -> dict[str, Any]:
    return {name: estimate(getattr(draws, name))._asdict() for name in _METHODS}


def _differences(draws: Mapping[str, RankDraws]) -> list[dict[str, Any]]:
    """Return, for each two judges, how much better the first follows people."""
    return [
        {
            "judges": [first, second],
            **_estimates(
                RankDraws(
                    draws[first].spearman - draws[second].spearman,
                    draws[first].kendall - draws[second].kendall,
                )
            ),
        }
        for first, second in combinations(draws, 2)
    ]


def _models(
    images: Sequence[Image], people: Vector, judges: Mapping[str, Vector]
) -> dict[str, dict[str, Any]]:
    """Return each model's mean over its samples: people's, and each judge's times 100."""
    models = np.array([model for model, _ in images])
    return {
        str(model): {
            "samples": int((models == model).sum()),
            "human": float(people[models == model].mean()),
            "judges": {
                j: float(100 * value[models == model].mean()) for j, value in judges.items()
            },
        }
        for model in np.unique(models)
    }
