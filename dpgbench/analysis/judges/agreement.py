"""Judges' answers side by side: agreement of two, of all, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dpgbench.analysis.judges.answers import AnswersByPlace, JudgedSet, Place
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answer, verdict
from dpgbench.domain.statistics.agreement import (
    Agreement,
    Booleans,
    GroupAgreement,
    agreements,
    fleiss,
)
from dpgbench.domain.statistics.correlation import Estimate, Indices, pearson
from dpgbench.errors import DataError

_LEVELS = ("l1", "l2")
_ALL = ("all", "")


class ProbabilityCorrelation(NamedTuple):
    """Pearson's correlation of two judges' probabilities of yes, over the questions of both."""

    questions: int
    pearson: Estimate


@dataclass(frozen=True)
class PairAgreement:
    """How far two judges agree on the questions that both answered.

    Attributes:
        only_first_answered: questions that the first answered and the second did not.
        only_second_answered: the other way round.
        l1: by category; `l2` alike.
        p_yes: None where not both give probabilities.
    """

    judges: tuple[str, str]
    questions: int
    only_first_answered: int
    only_second_answered: int
    overall: Agreement
    l1: Mapping[str, Agreement]
    l2: Mapping[str, Agreement]
    p_yes: ProbabilityCorrelation | None


@dataclass(frozen=True)
class DisputedQuestion:
    """A question about one image on which two judges differ, with what every judge answered."""

    place: Place
    row: QuestionRow
    answers: Mapping[str, Answer]

    @property
    def p_yes_gap(self) -> float:
        """The widest gap between two judges' probabilities of yes; 0 where none has any."""
        p_yes = [answer.p_yes for answer in self.answers.values() if answer.p_yes is not None]
        return max(p_yes) - min(p_yes) if p_yes else 0.0


@dataclass(frozen=True)
class AlignedAnswers:
    """All judges' answers, and the places in the order of models, benchmark, tiles and questions.

    Attributes:
        answers: by judge.
        rows: by item and question number.
        rule: that reads the answers.
    """

    answers: Mapping[str, AnswersByPlace]
    places: Sequence[Place]
    rows: Mapping[tuple[str, int], QuestionRow]
    rule: ScoringRule

    @classmethod
    def of(cls, judged: JudgedSet, rule: ScoringRule) -> AlignedAnswers:
        """Return the answers of a set; of rows that repeat a question the first counts."""
        models = {model: number for number, model in enumerate(judged.models)}
        items = {item: number for number, item in enumerate(judged.benchmark.items)}
        places = {place for answers in judged.answers.values() for place in answers}
        ordered = sorted(places, key=lambda p: (models[p.model], items[p.item_id], p.tile, p.qid))
        rows: dict[tuple[str, int], QuestionRow] = {}
        for of_item in judged.benchmark.items.values():
            for row in of_item:
                rows.setdefault((row.item_id, row.qid), row)
        return cls(judged.answers, ordered, rows, rule)

    def row(self, place: Place) -> QuestionRow:
        """Return the question that a place is about."""
        return self.rows[place.item_id, place.qid]

    def common(self, judges: Sequence[str]) -> list[Place]:
        """Return the places that all of `judges` have answered."""
        return [place for place in self.places if all(place in self.answers[j] for j in judges)]

    def are_yes(self, judge: str, places: Sequence[Place]) -> Booleans:
        """Return [Q] whether the judge answered yes, as the rule reads answers."""
        answers = self.answers[judge]
        return np.array(
            [verdict(answers[place].answer, self.rule) for place in places], dtype=np.bool_
        )


def compare_pair(aligned: AlignedAnswers, first: str, second: str) -> PairAgreement:
    """Return how far two judges agree, over all and by category.

    Raises:
        DataError: they have no question in common.
    """
    places = aligned.common((first, second))
    if not places:
        raise DataError(
            f"judges {first} and {second} have no question in common (model, item, tile and "
            "question number); check that both are about the same images"
        )
    by_group = agreements(
        aligned.are_yes(first, places),
        aligned.are_yes(second, places),
        _item_numbers(places),
        _groups(aligned, places),
    )
    l1, l2 = (
        {name: agreement for (level, name), agreement in by_group.items() if level == key}
        for key in _LEVELS
    )
    return PairAgreement(
        judges=(first, second),
        questions=len(places),
        only_first_answered=len(aligned.answers[first]) - len(places),
        only_second_answered=len(aligned.answers[second]) - len(places),
        overall=by_group[_ALL],
        l1=l1,
        l2=l2,
        p_yes=_p_yes(aligned, first, second, places),
    )


def compare_all(aligned: AlignedAnswers) -> GroupAgreement | None:
    """Return how far all judges agree on what all answered; None where that is nothing."""
    judges = list(aligned.answers)
    places = aligned.common(judges)
    if not places:
        return None
    num_yes = np.array([aligned.are_yes(judge, places) for judge in judges]).sum(axis=0)
    return fleiss(num_yes, len(judges), _item_numbers(places))


def disputed_questions(aligned: AlignedAnswers) -> list[DisputedQuestion]:
    """Return each question on which two judges differ, with what every judge answered."""
    disputed = []
    for place in aligned.places:
        answers = {j: of_j[place] for j, of_j in aligned.answers.items() if place in of_j}
        if len({verdict(answer.answer, aligned.rule) for answer in answers.values()}) > 1:
            disputed.append(DisputedQuestion(place, aligned.row(place), answers))
    return disputed


def _groups(aligned: AlignedAnswers, places: Sequence[Place]) -> dict[tuple[str, str], Booleans]:
    """Return which places belong to each category, by level and name; `_ALL` has all."""
    groups: dict[tuple[str, str], Booleans] = {_ALL: np.ones(len(places), dtype=np.bool_)}
    for level, key in enumerate(_LEVELS):
        names = np.array([aligned.row(place).category[level] for place in places])
        groups |= {(key, str(name)): names == name for name in np.unique(names)}
    return groups


def _item_numbers(places: Sequence[Place]) -> Indices:
    """Return [Q]: the number of each place's item; one prompt is one cluster for all models."""
    return np.unique([place.item_id for place in places], return_inverse=True)[1]


def _p_yes(
    aligned: AlignedAnswers, first: str, second: str, places: Sequence[Place]
) -> ProbabilityCorrelation | None:
    """Return Pearson's correlation of p_yes, where both judges give one."""
    one, other = aligned.answers[first], aligned.answers[second]
    both = [p for p in places if one[p].p_yes is not None and other[p].p_yes is not None]
    if len(both) < 2:
        return None
    x, y = (np.array([of_j[p].p_yes for p in both], dtype=np.float64) for of_j in (one, other))
    return ProbabilityCorrelation(len(both), pearson(x, y, _item_numbers(both)))
