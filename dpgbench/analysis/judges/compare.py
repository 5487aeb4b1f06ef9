"""Judges against each other and against people, from answers that are there; nothing is asked.

What each part is stands in `agreement` and `human`; here they are put together, with what the
choice of the judge does to the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from dpgbench.analysis.judges.agreement import (
    AlignedAnswers,
    DisputedQuestion,
    PairAgreement,
    compare_all,
    compare_pair,
    disputed_questions,
)
from dpgbench.analysis.judges.answers import AnswersByKey, JudgedSet
from dpgbench.analysis.judges.human import HumanCorrelation, Image, correlate_with_people
from dpgbench.domain.aggregate import is_counted, mean_of, pooled_parts
from dpgbench.domain.answer_text import NO, YES, read_yes_no
from dpgbench.domain.result import ItemScore
from dpgbench.domain.rules import ScoringRule, find_rule
from dpgbench.domain.score import (
    Answer,
    Reading,
    collect,
    refuse_bad_dependencies,
    score_item,
)
from dpgbench.domain.statistics.agreement import GroupAgreement
from dpgbench.domain.statistics.bootstrap import RatioTable, intervals, ratios
from dpgbench.domain.statistics.correlation import Estimate
from dpgbench.domain.statistics.paired import PairedDifference, paired_differences
from dpgbench.errors import UsageError
from dpgbench.store.csv_rows import csv_text
from dpgbench.store.human_scores import HumanScores


@dataclass(frozen=True)
class JudgeSummary:
    """One judge's answers, and the score by it alone.

    Attributes:
        answers: how many, to questions of the benchmark.
        yes_rate: share of these that count as yes, 0..1.
        invalid: answers that are neither yes nor no.
        with_p_yes: answers that have a probability.
        not_in_benchmark: further answers, about no question of the benchmark.
        overall: 0 to 100.
        grids_scored: items of models that have a score.
        grids_expected: items of models that were to be scored.
    """

    name: str
    answers: int
    yes_rate: float
    invalid: int
    with_p_yes: int
    not_in_benchmark: int
    overall: Estimate
    grids_scored: int
    grids_expected: int


@dataclass(frozen=True)
class ScoreEffect:
    """What the choice of one of two judges does to the score, on what both can score.

    Attributes:
        grids: items of models that both can score.
        first: overall by the first judge, 0 to 100; None over nothing.
        second: overall by the second.
        difference: first less second, paired by item.
    """

    grids: int
    first: float | None
    second: float | None
    difference: PairedDifference | None


@dataclass(frozen=True)
class PairComparison:
    """Two judges: how far they agree, and what the choice does to the score."""

    agreement: PairAgreement
    score: ScoreEffect


@dataclass(frozen=True)
class JudgeComparison:
    """Several judges against each other, and against people where these rated the images.

    Attributes:
        benchmark: its name.
        rule: the name of the scoring rule.
        models: whose images; the empty name where nothing says it.
        runs: the folders that judges were looked up in.
        judges: in the order named.
        pairs: of each two judges.
        all_judges: how far all agree; None for fewer than three, or where nothing is common.
        human: None without human scores.
        disputed: questions on which two judges differ.
    """

    benchmark: str
    rule: str
    models: tuple[str, ...]
    runs: tuple[Path, ...]
    judges: tuple[JudgeSummary, ...]
    pairs: tuple[PairComparison, ...]
    all_judges: GroupAgreement | None
    human: HumanCorrelation | None
    disputed: tuple[DisputedQuestion, ...]


def compare_judges(
    judged: JudgedSet, rule_name: str, human: HumanScores | None = None
) -> JudgeComparison:
    """Return how judges compare.

    Args:
        judged: the answers of two judges or more; of one where there are human scores.
        rule_name: scoring rule for scores and for the correlation with people.
        human: what people said of the same images.

    Raises:
        UsageError: one judge and no people, or an unknown rule.
        DataError: two judges have no question in common, or the rule refuses the benchmark.
    """
    rule = find_rule(rule_name)
    names = list(judged.answers)
    if len(names) < 2 and human is None:
        raise UsageError("one judge alone has nothing to agree with; name two, or give --human")
    scores = _score_all(judged, rule)
    aligned = AlignedAnswers.of(judged, rule)
    pairs = tuple(
        PairComparison(
            compare_pair(aligned, first, second), _effect(scores[first], scores[second], rule)
        )
        for first, second in combinations(names, 2)
    )
    return JudgeComparison(
        benchmark=judged.benchmark.name,
        rule=rule.name,
        models=tuple(judged.models),
        runs=tuple(judged.runs),
        judges=tuple(_summary(judged, aligned, name, scores[name]) for name in names),
        pairs=pairs,
        all_judges=compare_all(aligned) if len(names) > 2 else None,
        human=None if human is None else correlate_with_people(judged, scores, rule, human),
        disputed=tuple(disputed_questions(aligned)),
    )


def disputed_csv(comparison: JudgeComparison) -> str:
    """Return the questions that judges differ on as a table with a column for each judge."""
    judges = [judge.name for judge in comparison.judges]
    about = ("model", "item_id", "tile", "qid", "l1", "l2", "question")
    header = [*about, *judges, *(f"p_yes {judge}" for judge in judges)]
    rows: list[list[object]] = []
    for question in comparison.disputed:
        answers = [question.answers.get(judge) for judge in judges]
        texts = ["" if answer is None else answer.answer for answer in answers]
        p_yes = [None if answer is None else answer.p_yes for answer in answers]
        row = question.row
        rows.append([*question.key, *row.category, row.question, *texts, *p_yes])
    return csv_text(header, rows)


def _score_all(judged: JudgedSet, rule: ScoringRule) -> dict[str, dict[Image, ItemScore]]:
    """Return the score of each item of each model by each judge, or why it has none."""
    refuse_bad_dependencies(judged.benchmark.rows, rule, str(judged.benchmark.path))
    plans, reading = judged.benchmark.plans(rule), Reading(rule)
    scores: dict[str, dict[Image, ItemScore]] = {name: {} for name in judged.answers}
    for model, images in judged.models.items():
        answers = {name: _of_model(of_judge, model) for name, of_judge in judged.answers.items()}
        answered = {answer.item_id for of_judge in answers.values() for answer in of_judge}
        items = [item for item in judged.benchmark.items if item in answered]
        for name, of_judge in answers.items():
            table = collect(of_judge)
            for item_id in items if images.items is None else images.items:
                scores[name][model, item_id] = score_item(
                    plans[item_id], table, rule, images.num_images, reading
                )
    return scores


def _of_model(answers: AnswersByKey, model: str) -> list[Answer]:
    return [answer for key, answer in answers.items() if key.model == model]


def _summary(
    judged: JudgedSet, aligned: AlignedAnswers, name: str, scores: Mapping[Image, ItemScore]
) -> JudgeSummary:
    rule, words = aligned.rule, judged.benchmark.word_questions
    by_key = judged.answers[name]
    answers = by_key.values()
    to_yes_or_no = [a for a in answers if (a.item_id, a.qid) not in words] if words else answers
    counted = [image for image, score in scores.items() if is_counted(score, rule)]
    return JudgeSummary(
        name=name,
        answers=len(answers),
        yes_rate=mean_of([aligned.is_right(name, key) for key in by_key]),
        invalid=sum(answer.invalid or not _is_plain(answer, rule) for answer in to_yes_or_no),
        with_p_yes=sum(answer.p_yes is not None for answer in answers),
        not_in_benchmark=judged.not_in_benchmark[name],
        overall=_overalls(_parts([scores], counted, rule))[0],
        grids_scored=sum(score.failure is None for score in scores.values()),
        grids_expected=len(scores),
    )


def _is_plain(answer: Answer, rule: ScoringRule) -> bool:
    """Return whether an answer is yes or no as the rule reads answers."""
    if rule.answers == "read":
        return read_yes_no(answer.answer) is not None
    return answer.answer in (YES, NO)


def _effect(
    first: Mapping[Image, ItemScore], second: Mapping[Image, ItemScore], rule: ScoringRule
) -> ScoreEffect:
    """Return both overalls on the items that both can score, and first less second."""
    shared = [i for i in first if first[i].failure is None and second[i].failure is None]
    parts = _parts([first, second], shared, rule)
    one, other = _overalls(parts)
    difference = paired_differences(*parts, [(0, 1)])[0]
    return ScoreEffect(len(shared), one.value, other.value, difference)


def _parts(
    sides: Sequence[Mapping[Image, ItemScore]], images: Sequence[Image], rule: ScoringRule
) -> RatioTable:
    """Return what is averaged, by item and side: the images of an item are one cluster."""
    numbers = {item: number for number, item in enumerate(dict.fromkeys(i for _, i in images))}
    scores = [[side[image] for image in images] for side in sides]
    return pooled_parts(scores, [numbers[item] for _, item in images], rule)


def _overalls(parts: RatioTable) -> list[Estimate]:
    """Return the mean of each side, with its interval."""
    means = [None if np.isnan(mean) else float(mean) for mean in ratios(*parts)]
    return [Estimate(*pair) for pair in zip(means, intervals(*parts), strict=True)]
