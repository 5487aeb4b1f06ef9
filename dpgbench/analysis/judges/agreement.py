"""Judges' answers side by side: agreement of two, of all, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpgbench.analysis.judges.answers import JudgedSet, Place
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answer, verdict
from dpgbench.domain.statistics.agreement import Agreement, Booleans, agreements, fleiss
from dpgbench.domain.statistics.correlation import Indices, pearson
from dpgbench.errors import DataError

_LEVELS = ("l1", "l2")


@dataclass(frozen=True)
class AnswerTable:
    """All answers, and the places in the order of models, benchmark, tiles and questions."""

    answers: Mapping[str, Mapping[Place, Answer]]
    places: Sequence[Place]
    rows: Mapping[tuple[str, int], QuestionRow]
    rule: ScoringRule

    @classmethod
    def of(cls, judged: JudgedSet, rule: ScoringRule) -> AnswerTable:
        """Return the table of a set; of rows that repeat a question the first counts."""
        models = {model: number for number, model in enumerate(judged.models)}
        items = {item: number for number, item in enumerate(judged.benchmark.items)}
        places = {place for given in judged.answers.values() for place in given}
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

    def said_yes(self, judge: str, places: Sequence[Place]) -> Booleans:
        """Return [Q] whether the judge said yes, as the rule reads answers."""
        given = self.answers[judge]
        said = [verdict(given[place].answer, self.rule) for place in places]
        return np.array(said, dtype=np.bool_)


def compare_pair(table: AnswerTable, first: str, second: str) -> dict[str, Any]:
    """Return how far two judges agree, over all and by category.

    Raises:
        DataError: they have no question in common.
    """
    places = table.common((first, second))
    if not places:
        raise DataError(
            f"judges {first} and {second} have no question in common (model, item, tile and "
            "question number); check that both are about the same images"
        )
    found = agreements(
        table.said_yes(first, places),
        table.said_yes(second, places),
        _item_numbers(places),
        _groups(table, places),
    )
    levels = {
        key: {name: _plain(entry) for (level, name), entry in found.items() if level == key}
        for key in _LEVELS
    }
    return {
        "judges": [first, second],
        "questions": len(places),
        "only_first_answered": len(table.answers[first]) - len(places),
        "only_second_answered": len(table.answers[second]) - len(places),
        **_plain(found["all", ""]),
        **levels,
        "p_yes": _p_yes(table, first, second, places),
    }


def compare_all(table: AnswerTable) -> dict[str, Any] | None:
    """Return how far all judges agree on what all answered; None where that is nothing."""
    judges = list(table.answers)
    places = table.common(judges)
    if not places:
        return None
    num_yes = np.array([table.said_yes(judge, places) for judge in judges]).sum(axis=0)
    found = fleiss(num_yes, len(judges), _item_numbers(places))
    return {
        "judges": judges,
        "questions": found.questions,
        "all_agree": found.all_agree._asdict(),
        "kappa": found.kappa._asdict(),
    }


def differences(table: AnswerTable) -> list[dict[str, Any]]:
    """Return each question on which two judges differ, with what every judge said of it."""
    found = []
    for place in table.places:
        given = {j: answers[place] for j, answers in table.answers.items() if place in answers}
        if len({verdict(answer.answer, table.rule) for answer in given.values()}) < 2:
            continue
        row = table.row(place)
        found.append(
            {
                **place._asdict(),
                **row.category._asdict(),
                "question": row.question,
                "answers": {judge: answer.answer for judge, answer in given.items()},
                "p_yes": {judge: answer.p_yes for judge, answer in given.items()},
            }
        )
    return found


def _groups(table: AnswerTable, places: Sequence[Place]) -> dict[tuple[str, str], Booleans]:
    """Return which places belong to each category, by level and name; ("all", "") has all."""
    groups: dict[tuple[str, str], Booleans] = {("all", ""): np.ones(len(places), dtype=np.bool_)}
    for level, key in enumerate(_LEVELS):
        names = np.array([table.row(place).category[level] for place in places])
        groups |= {(key, str(name)): names == name for name in np.unique(names)}
    return groups


def _item_numbers(places: Sequence[Place]) -> Indices:
    """Return [Q]: the number of each place's item; one prompt is one cluster for all models."""
    return np.unique([place.item_id for place in places], return_inverse=True)[1]


def _plain(found: Agreement) -> dict[str, Any]:
    return {
        "counts": {**found.counts._asdict(), "all": sum(found.counts)},
        "agreement": found.agreement._asdict(),
        "kappa": found.kappa._asdict(),
    }


def _p_yes(
    table: AnswerTable, first: str, second: str, places: Sequence[Place]
) -> dict[str, Any] | None:
    """Return Pearson's correlation of p_yes, where both judges give one."""
    one, other = table.answers[first], table.answers[second]
    both = [p for p in places if one[p].p_yes is not None and other[p].p_yes is not None]
    if len(both) < 2:
        return None
    x, y = (np.array([given[p].p_yes for p in both], dtype=np.float64) for given in (one, other))
    found = pearson(x, y, _item_numbers(both))
    return {"questions": len(both), "pearson": found._asdict()}
