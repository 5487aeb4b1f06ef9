"""Judges against people: rank correlation of item scores with human scores of the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dpgbench.analysis.judges.answers import UNNAMED, JudgedSet
from dpgbench.domain.result import ItemScore
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.statistics.bootstrap import Vector, ratios
from dpgbench.domain.statistics.correlation import (
    Estimate,
    RankDraws,
    estimate,
    rank_draws,
)
from dpgbench.errors import DataError, UsageError, counted, shortened
from dpgbench.store.human_scores import HumanScores

Image = tuple[str, str]
"""Model and item: one sample."""


class RankCorrelation(NamedTuple):
    """How far item scores order samples as people do: Spearman's rho and Kendall's tau-b."""

    spearman: Estimate
    kendall: Estimate


class CorrelationDifference(NamedTuple):
    """How much better the first of two judges follows people: a difference of correlations."""

    judges: tuple[str, str]
    difference: RankCorrelation


class ModelMeans(NamedTuple):
    """One model's means over its samples.

    Attributes:
        human: on the people's own scale.
        judges: by judge, 0 to 100.
    """

    samples: int
    human: float
    judges: Mapping[str, float]


class LeftOut(NamedTuple):
    """How many rated images are no samples, and why."""

    of_other_models: int
    of_other_items: int
    without_a_score: int


@dataclass(frozen=True)
class HumanCorrelation:
    """Judges against people.

    Attributes:
        file: name of the file of human scores.
        ratings: rows of it that were averaged.
        samples: images that people rated and every judge can score.
        items: prompts of these.
        judges: by name.
        differences: of each two judges.
        models: by name.
    """

    file: str
    ratings: int
    samples: int
    items: int
    left_out: LeftOut
    judges: Mapping[str, RankCorrelation]
    differences: tuple[CorrelationDifference, ...]
    models: Mapping[str, ModelMeans]


def correlate_with_people(
    judged: JudgedSet,
    scores: Mapping[str, Mapping[Image, ItemScore]],
    rule: ScoringRule,
    human: HumanScores,
) -> HumanCorrelation:
    """Return Spearman's and Kendall's correlation of each judge's item scores with people's.

    A sample is an item of a model. The samples are those that people rated and every judge can
    score, so that judges can be compared; an item without a score counts 0 where the rule has it
    so. The bootstrap draws items, with the images of all models: one prompt is one cluster.

    Raises:
        UsageError: the models of the two sides cannot be matched.
        DataError: fewer than two samples are left.
    """
    rated = _by_models(judged, human)
    expected = {model: _expected_items(judged, model) for model in judged.models}
    ours = {image: score for image, score in rated.items() if image[1] in expected[image[0]]}
    values = {judge: _values(list(ours), of_judge, rule) for judge, of_judge in scores.items()}
    images = [image for image in ours if all(image in value for value in values.values())]
    if len(images) < 2:
        raise DataError(
            f"{human.path} has {counted(len(images), 'image')} that all judges scored; two are "
            f"needed: its items start with {shortened(sorted({item for _, item in rated}), 3)}"
        )
    people = np.array([ours[image] for image in images])
    clusters = np.unique([item for _, item in images], return_inverse=True)[1]
    judges = {j: np.array([value[image] for image in images]) for j, value in values.items()}
    draws = {judge: rank_draws(value, people, clusters) for judge, value in judges.items()}
    return HumanCorrelation(
        file=human.path.name,
        ratings=human.num_ratings,
        samples=len(images),
        items=len({item for _, item in images}),
        left_out=LeftOut(
            of_other_models=len(human.scores) - len(rated),
            of_other_items=len(rated) - len(ours),
            without_a_score=len(ours) - len(images),
        ),
        judges={judge: _correlation(draw) for judge, draw in draws.items()},
        differences=tuple(_differences(draws)),
        models=_models(images, people, judges),
    )


def _by_models(judged: JudgedSet, human: HumanScores) -> dict[Image, float]:
    """Return the human scores of models that were judged, by the names that our side uses."""
    ours, theirs = list(judged.models), human.models
    if len(ours) == len(theirs) == 1 and UNNAMED in (*ours, *theirs):
        return {(ours[0], item): score for (_, item), score in human.scores.items()}
    of_ours = {image: score for image, score in human.scores.items() if image[0] in judged.models}
    if not of_ours:
        raise UsageError(
            f"{human.path} is about models {_named(theirs)}, the answers about {_named(ours)}; "
            "choose rows with --human-where, or say with --model-column whose images "
            "the answers are about"
        )
    return of_ours


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
        if score is not None and score.score is not None:
            values[image] = score.score
        elif rule.unscored_item == "zero":
            values[image] = 0.0
    return values


def _correlation(draws: RankDraws) -> RankCorrelation:
    return RankCorrelation(estimate(draws.spearman), estimate(draws.kendall))


def _differences(draws: Mapping[str, RankDraws]) -> Iterator[CorrelationDifference]:
    """Yield, for each two judges, how much better the first follows people."""
    for first, second in combinations(draws, 2):
        difference = RankDraws(
            draws[first].spearman - draws[second].spearman,
            draws[first].kendall - draws[second].kendall,
        )
        yield CorrelationDifference((first, second), _correlation(difference))


def _models(
    images: Sequence[Image], people: Vector, judges: Mapping[str, Vector]
) -> dict[str, ModelMeans]:
    """Return each model's means over its samples: people's, and each judge's times 100."""
    models = np.array([model for model, _ in images])
    means = {}
    for model in np.unique(models):
        mine = models == model
        means[str(model)] = ModelMeans(
            int(mine.sum()),
            _mean(people[mine]),
            {judge: 100 * _mean(value[mine]) for judge, value in judges.items()},
        )
    return means


def _mean(values: Vector) -> float:
    column = values[:, None]
    return float(ratios(column, np.ones_like(column))[0])
