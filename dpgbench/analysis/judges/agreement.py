"""Judges' answers side by side: agreement of two, of all, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dpgbench.analysis.judges.answers import AnswerKey, AnswersByKey, JudgedSet
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

    key: AnswerKey
    row: QuestionRow
    answers: Mapping[str, Answer]

    @property
    def p_yes_gap(self) -> float:
        """The widest gap between two judges' probabilities of yes; 0 where none has any."""
        p_yes = [answer.p_yes for answer in self.answers.values() if answer.p_yes is not None]
        return max(p_yes) - min(p_yes) if p_yes else 0.0


@dataclass(frozen=True)
class AlignedAnswers:
    """All judges' answers, and their keys in the order of models, benchmark, tiles and questions.

    Attributes:
        answers: by judge.
        rows: by item and question number.
        rule: that reads the answers.
    """

    answers: Mapping[str, AnswersByKey]
    keys: Sequence[AnswerKey]
    rows: Mapping[tuple[str, int], QuestionRow]
    rule: ScoringRule

    @classmethod
    def of(cls, judged: JudgedSet, rule: ScoringRule) -> AlignedAnswers:
        """Return the answers of a set; of rows that repeat a question the first counts."""
        models = {model: number for number, model in enumerate(judged.models)}
        items = {item: number for number, item in enumerate(judged.benchmark.items)}
        keys = {key for answers in judged.answers.values() for key in answers}
        ordered = sorted(keys, key=lambda p: (models[p.model], items[p.item_id], p.tile, p.qid))
        rows: dict[tuple[str, int], QuestionRow] = {}
        for of_item in judged.benchmark.items.values():
            for row in of_item:
                rows.setdefault((row.item_id, row.qid), row)
        return cls(judged.answers, ordered, rows, rule)

    def row(self, key: AnswerKey) -> QuestionRow:
        """Return the question that an answer is about."""
        return self.rows[key.item_id, key.qid]

    def common(self, judges: Sequence[str]) -> list[AnswerKey]:
        """Return the keys that all of `judges` have answered."""
        return [key for key in self.keys if all(key in self.answers[j] for j in judges)]

    def are_yes(self, judge: str, keys: Sequence[AnswerKey]) -> Booleans:
        """Return [Q] whether the judge gave the right answer (yes), as the rule reads answers."""
        return np.array([self.is_right(judge, key) for key in keys], dtype=np.bool_)

    def is_right(self, judge: str, key: AnswerKey) -> bool:
        """Return whether a judge's answer is the right one, as the rule reads answers."""
        return verdict(self.answers[judge][key].answer, self.rule, self.row(key).expected)


def compare_pair(aligned: AlignedAnswers, first: str, second: str) -> PairAgreement:
    """Return how far two judges agree, over all and by category.

    Raises:
        DataError: they have no question in common.
    """
    keys = aligned.common((first, second))
    if not keys:
        raise DataError(
            f"judges {first} and {second} have no question in common (model, item, tile and "
            "question number); check that both are about the same images"
        )
    by_group = agreements(
        aligned.are_yes(first, keys),
        aligned.are_yes(second, keys),
        _item_numbers(keys),
        _groups(aligned, keys),
    )
    l1, l2 = (
        {name: agreement for (level, name), agreement in by_group.items() if level == wanted}
        for wanted in _LEVELS
    )
    return PairAgreement(
        judges=(first, second),
        questions=len(keys),
        only_first_answered=len(aligned.answers[first]) - len(keys),
        only_second_answered=len(aligned.answers[second]) - len(keys),
        overall=by_group[_ALL],
        l1=l1,
        l2=l2,
        p_yes=_p_yes(aligned, first, second, keys),
    )


def compare_all(aligned: AlignedAnswers) -> GroupAgreement | None:
    """Return how far all judges agree on what all answered; None where that is nothing."""
    judges = list(aligned.answers)
    keys = aligned.common(judges)
    if not keys:
        return None
    num_yes = np.array([aligned.are_yes(judge, keys) for judge in judges]).sum(axis=0)
    return fleiss(num_yes, len(judges), _item_numbers(keys))


def disputed_questions(aligned: AlignedAnswers) -> list[DisputedQuestion]:
    """Return each question on which two judges differ, with what every judge answered."""
    disputed = []
    for key in aligned.keys:
        answers = {j: of_j[key] for j, of_j in aligned.answers.items() if key in of_j}
        if len({aligned.is_right(judge, key) for judge in answers}) > 1:
            disputed.append(DisputedQuestion(key, aligned.row(key), answers))
    return disputed


def _groups(aligned: AlignedAnswers, keys: Sequence[AnswerKey]) -> dict[tuple[str, str], Booleans]:
    """Return which keys belong to each category, by level and name; `_ALL` has all."""
    groups: dict[tuple[str, str], Booleans] = {_ALL: np.ones(len(keys), dtype=np.bool_)}
    for number, level in enumerate(_LEVELS):
        names = np.array([aligned.row(key).category[number] for key in keys])
        groups |= {(level, str(name)): names == name for name in np.unique(names)}
    return groups


def _item_numbers(keys: Sequence[AnswerKey]) -> Indices:
    """Return [Q]: the number of each key's item; one prompt is one cluster for all models."""
    return np.unique([key.item_id for key in keys], return_inverse=True)[1]


def _p_yes(
    aligned: AlignedAnswers, first: str, second: str, keys: Sequence[AnswerKey]
) -> ProbabilityCorrelation | None:
    """Return Pearson's correlation of p_yes, where both judges give one."""
    one, other = aligned.answers[first], aligned.answers[second]
    both = [p for p in keys if one[p].p_yes is not None and other[p].p_yes is not None]
    if len(both) < 2:
        return None
    x, y = (np.array([of_j[p].p_yes for p in both], dtype=np.float64) for of_j in (one, other))
    return ProbabilityCorrelation(len(both), pearson(x, y, _item_numbers(both)))
