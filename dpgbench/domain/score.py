"""Answers to scores: which answer is right, what its parents zero, and the result of it all.

Averaging lives in `aggregate`; what a rule walks, in `plan`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dpgbench.domain.aggregate import make_result, measured_item, scored_item
from dpgbench.domain.answer_text import NO, YES, is_missing, is_right, read_yes_no
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.plan import UNKNOWN, ItemPlan
from dpgbench.domain.result import AnswerCensus, ItemScore, Origin, Result, Verdicts
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.errors import DataError, clipped, shortened

_NO_ANSWERS: Mapping[int, str] = {}
_NO_WORDS: frozenset[tuple[str, int]] = frozenset()


class Answer(NamedTuple):
    """A judge's raw answer to one question about one tile.

    `tile` counts from 0, row-major in the grid; `p_yes` is a probability, or None; `invalid` tells
    that the judge was asked for yes or no and said neither.
    """

    item_id: str
    tile: int
    qid: int
    answer: str
    p_yes: float | None = None
    invalid: bool = False


Answers = Mapping[tuple[str, int], Mapping[int, str]]
"""Answer text by (item_id, tile) and question number."""
Probabilities = Mapping[tuple[str, int], Mapping[int, float]]
"""Probability of yes by (item_id, tile) and question number; those without one are left out."""
_NO_PROBABILITIES: Mapping[int, float] = {}


class ItemFailedError(Exception):
    """The rule gives this item no score; the message says why."""


def verdict(answer: str, rule: ScoringRule, expected: str = YES) -> bool:
    """Return whether an answer is the `expected` one under `rule`."""
    return is_right(answer, expected, exact=rule.answers == "exact")


def collect(answers: Iterable[Answer]) -> dict[tuple[str, int], dict[int, str]]:
    """Return answer texts by (item_id, tile) and question number.

    The last answer of a question counts; one that holds nothing is no answer.
    """
    table: dict[tuple[str, int], dict[int, str]] = {}
    for answer in answers:
        if not is_missing(answer.answer):
            table.setdefault((answer.item_id, answer.tile), {})[answer.qid] = answer.answer
    return table


def collect_probabilities(answers: Iterable[Answer]) -> dict[tuple[str, int], dict[int, float]]:
    """Return probabilities of yes by (item_id, tile) and question number.

    Those of the answers that `collect` takes; an answer without one is left out: it is missing,
    not zero.
    """
    table: dict[tuple[str, int], dict[int, float]] = {}
    for answer in answers:
        if is_missing(answer.answer):
            continue
        of_tile = table.setdefault((answer.item_id, answer.tile), {})
        if answer.p_yes is None:
            of_tile.pop(answer.qid, None)
        else:
            of_tile[answer.qid] = answer.p_yes
    return table


def read_answers(
    answers: Iterable[Answer], words: Collection[tuple[str, int]] = _NO_WORDS
) -> tuple[list[Answer], int]:
    """Return the answers with every one that can be read as ``yes`` or ``no``, and how many were.

    What cannot be read stays as it is, and so do the answers to `words`, questions by item and
    number whose right answer is a word or a number: ``1`` is not ``yes`` there.
    """
    read: list[Answer] = []
    changed = 0
    for answer in answers:
        is_word = bool(words) and (answer.item_id, answer.qid) in words
        is_yes = None if is_word else read_yes_no(answer.answer)
        text = answer.answer if is_yes is None else YES if is_yes else NO
        changed += text != answer.answer
        read.append(answer._replace(answer=text))
    return read, changed


def take_census_of_answers(
    answers: Answers,
    keys: Iterable[tuple[str, int]] | None = None,
    words: Collection[tuple[str, int]] = _NO_WORDS,
) -> AnswerCensus:
    """Return how many answers are neither ``yes`` nor ``no``.

    Args:
        answers: text by (item_id, tile) and question number.
        keys: the images that count; all where None.
        words: questions, by item and number, that neither is the right answer to: theirs are
            among all, and never among those that should be yes or no.
    """
    texts: Counter[str] = Counter()
    spoken: Counter[str] = Counter()  # to questions whose right answer is a word
    for item_id, tile in answers if keys is None else keys:
        of_tile = answers.get((item_id, tile), _NO_ANSWERS)
        if words:
            spoken.update(text for qid, text in of_tile.items() if (item_id, qid) in words)
            texts.update(text for qid, text in of_tile.items() if (item_id, qid) not in words)
        else:
            texts.update(of_tile.values())
    texts, spoken = (
        Counter({text: n for text, n in counts.items() if not is_missing(text)})
        for counts in (texts, spoken)
    )
    neither = {text: n for text, n in texts.items() if text not in (YES, NO)}
    readable = {text for text in neither if read_yes_no(text) is not None}
    ranked = sorted(neither, key=lambda text: (text not in readable, -neither[text], text))
    return AnswerCensus(
        sum(texts.values()) + sum(spoken.values()),
        sum(neither.values()),
        sum(neither[text] for text in readable),
        ranked[0] if ranked else None,
    )


def stray_answers(answers: Iterable[Answer], benchmark: Benchmark, num_images: int) -> list[Answer]:
    """Return the answers that are about nothing in the benchmark and so count nowhere.

    Args:
        answers: as they were given.
        benchmark: that they should be about.
        num_images: that an item has; a tile beyond them is none.
    """
    asked = {(row.item_id, row.qid) for row in benchmark.rows}
    return [
        answer
        for answer in answers
        if not 0 <= answer.tile < num_images or (answer.item_id, answer.qid) not in asked
    ]


def score_benchmark(
    benchmark: Benchmark,
    answers: Answers,
    rule: ScoringRule,
    *,
    num_images: int,
    items: Iterable[str] | None = None,
    origin: Origin | None = None,
    probabilities: Probabilities | None = None,
) -> Result:
    """Return the result of `answers` under `rule`; nothing is written.

    Args:
        benchmark: with question graphs.
        answers: text by (item_id, tile) and question number; tiles count from 0.
        rule: that scores.
        num_images: tiles that each item must have answers for.
        items: ids to score; all where None.
        origin: where the answers came from.
        probabilities: of yes, for rules that are about them.

    Raises:
        SetupError: the benchmark has no questions.
        DataError: the rule refuses the benchmark, or needs probabilities and there are none.
    """
    benchmark.require_graphs()
    refuse_benchmark(benchmark, rule)
    chosen = benchmark.items.keys() if items is None else set(items)
    plans = benchmark.plans(rule)
    reading = Reading(rule)
    refuse_without_probabilities(rule, answers, probabilities or {}, origin)
    scored = [
        score_item(plans[item_id], answers, rule, num_images, reading, probabilities)
        for item_id in benchmark.items
        if item_id in chosen
    ]
    keys = [(item.item_id, tile) for item in scored for tile in range(num_images)]
    census = take_census_of_answers(answers, keys, benchmark.word_questions)
    if rule.image_score == "number":  # its answers are numbers: none is a yes or a no
        census = AnswerCensus(census.all, 0, 0, None)
    return make_result(benchmark, rule, scored, census, num_images, origin or Origin())


def refuse_without_probabilities(
    rule: ScoringRule, answers: Answers, probabilities: Probabilities, origin: Origin | None
) -> None:
    """Raise where a rule is about probabilities and the judge gives none.

    Raises:
        DataError: names the judge.
    """
    if rule.image_score == "product" and answers and not any(probabilities.values()):
        judge = f"judge {origin.judge}" if origin and origin.judge else "the judge"
        raise DataError(
            f"rule {rule.name} multiplies probabilities of yes, and {judge} gives none; take a "
            "judge that does (blip-vqa, mplug, hf:...), or another --rule"
        )


def refuse_benchmark(benchmark: Benchmark, rule: ScoringRule) -> None:
    """Raise where the rule cannot score the benchmark.

    Raises:
        DataError: names each row, and what to do.
    """
    if rule.rows == "all":
        benchmark.require_unique_questions()
    refuse_bad_dependencies(benchmark.rows, rule, str(benchmark.path))


def refuse_bad_dependencies(rows: Sequence[QuestionRow], rule: ScoringRule, name: str) -> None:
    """Raise where the rule refuses a file with dependencies that are not integers.

    Args:
        rows: every row of the file `name`, in file order.

    Raises:
        DataError: names each such row and item.
    """
    if rule.bad_dependency != "refuse":
        return
    considered = rows[1:] if rule.skip_first_row else rows
    bad = [row for row in considered if row.parents.words]
    if bad:
        named = [f"row {row.row} (item {row.item_id}: {row.dependency!r})" for row in bad]
        raise DataError(
            f"rule {rule.name} refuses {name}: dependency is not an integer at "
            f"{shortened(named, 20)}; mend these rows or use --rule corrected-v1"
        )


class Reading(dict[str, bool | None]):
    """What a rule makes of each text: is it the right answer; None where it is no answer.

    Filled as it goes.

    Args:
        rule: that reads.
        expected: the right answer; `of` gives the reading of another one.
    """

    def __init__(self, rule: ScoringRule, expected: str = YES) -> None:
        self._rule, self._expected = rule, expected
        self._others: dict[str, Reading] = {}

    def __missing__(self, text: str) -> bool | None:
        counts = None if is_missing(text) else verdict(text, self._rule, self._expected)
        self[text] = counts
        return counts

    def of(self, expected: str) -> Reading:
        """Return what the rule makes of each text where `expected` is the right answer."""
        if expected == self._expected:
            return self
        if expected not in self._others:
            self._others[expected] = Reading(self._rule, expected)
        return self._others[expected]


def score_item(
    plan: ItemPlan,
    answers: Answers,
    rule: ScoringRule,
    num_images: int,
    reading: Reading | None = None,
    probabilities: Probabilities | None = None,
) -> ItemScore:
    """Return one item's verdicts under `rule`, or why it has none.

    Args:
        plan: of the item under `rule`.
        answers: of all items; this item needs tiles 0 to `num_images` - 1.
        rule: that reads and gates.
        num_images: tiles of an item.
        reading: of `rule`, kept from item to item.
        probabilities: of yes, of all items, for rules that are about them.
    """
    reading = Reading(rule) if reading is None else reading
    texts = [answers.get((plan.item_id, tile), _NO_ANSWERS) for tile in range(num_images)]
    raw: list[Verdicts] = []
    gated: list[Verdicts] = []
    numbers: list[float] = []
    failure = plan.failure
    try:
        for tile, tile_texts in enumerate(texts if failure is None else ()):
            verdicts = _verdicts(plan, tile_texts, tile, reading)
            if rule.image_score == "verdicts":
                raw.append(verdicts)
                gated.append(_gate(plan, raw[-1], rule))
            else:
                p_yes = (probabilities or {}).get((plan.item_id, tile), _NO_PROBABILITIES)
                numbers.append(_image_score(plan, tile_texts, p_yes, tile, rule))
    except ItemFailedError as error:
        failure = str(error)
    complete = failure is None and len(plan.questions) == len(plan.qids)
    answered = complete or all(
        qid in tile and reading[tile[qid]] is not None for tile in texts for qid in plan.qids
    )
    if failure is not None:
        return ItemScore(plan.item_id, plan.questions, failure=failure, answered=answered)
    if rule.image_score != "verdicts":
        return measured_item(plan, numbers, answered=answered)
    return scored_item(plan, raw, gated, answered=answered)


def _verdicts(plan: ItemPlan, texts: Mapping[int, str], tile: int, reading: Reading) -> Verdicts:
    """Return whether each question's answer is the right one.

    Raises:
        ItemFailedError: one has no answer.
    """
    try:
        if plan.all_yes:
            values = [reading[texts[question.qid]] for question in plan.questions]
        else:
            values = [reading.of(q.expected)[texts[q.qid]] for q in plan.questions]
    except KeyError:
        values = [None]
    if None not in values:
        return tuple(map(bool, values))
    present = {qid for qid, text in texts.items() if reading[text] is not None}
    if not present:
        raise ItemFailedError(f"no answers for tile {tile}")
    missing = [question.qid for question in plan.questions if question.qid not in present]
    raise ItemFailedError(f"tile {tile} has no answer to question {shortened(missing)}")


def _image_score(
    plan: ItemPlan,
    texts: Mapping[int, str],
    probabilities: Mapping[int, float],
    tile: int,
    rule: ScoringRule,
) -> float:
    """Return the score of an image whose rule is not about verdicts.

    Raises:
        ItemFailedError: an answer has no probability, or is no number.
    """
    qids = [question.qid for question in plan.questions]
    if rule.image_score == "product":
        missing = [qid for qid in qids if qid not in probabilities]
        if missing:
            raise ItemFailedError(
                f"tile {tile}: the answer to question {shortened(missing)} has no probability"
            )
        return product_of([probabilities[qid] for qid in qids], rule.decimals)
    if len(qids) != 1:
        raise ItemFailedError(
            f"{len(qids)} questions where rule {rule.name} is about one number an image"
        )
    try:
        number = float(texts[qids[0]])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ItemFailedError(f"tile {tile}: the answer {clipped(texts[qids[0]])} is no number")
    return number


def product_of(probabilities: Sequence[float], decimals: int | None) -> float:
    """Return the product of probabilities, as T2I-CompBench has it where `decimals` is 4.

    Each is rounded to the digits first; the product is of float32, one after the other, and is
    rounded to the digits too. Of none it is 1.
    """
    if decimals is None:
        return math.prod(probabilities)
    product = np.float32(1)
    for probability in probabilities:
        product *= np.float32(f"{probability:.{decimals}f}")
    return float(f"{product:.{decimals}f}")


def _gate(plan: ItemPlan, raw: Verdicts, rule: ScoringRule) -> Verdicts:
    """Return the verdicts with questions zeroed whose parents failed, as the rule has it.

    A walk in file order meets parents further down as they were answered.

    Raises:
        ItemFailedError: a parent is none that the rule sees, and the rule loses such an item.
    """
    gated = list(raw)
    state = raw if rule.gate == "direct" else gated
    for place, parents in plan.gates:
        for number, parent in enumerate(parents):  # stops at the first failed, as the reference
            if parent == UNKNOWN:
                question = plan.questions[place]
                raise ItemFailedError(
                    f"question {question.qid} names parent {question.parents[number]}, "
                    "which is not among the questions that this rule sees"
                )
            if not state[parent]:
                gated[place] = False
                break
    return tuple(gated)
