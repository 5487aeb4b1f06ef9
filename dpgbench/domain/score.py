"""Answers to scores: which answer is right, what its parents zero, and the result of it all.

Averaging lives in `aggregate`; what a rule walks, in `plan`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dpgbench.domain.aggregate import make_result, mean_of, measured_item, scored_item
from dpgbench.domain.answer_forms import COUNTING, is_counting
from dpgbench.domain.answer_text import NO, YES, is_missing, is_right, is_word, read_yes_no
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
    that the judge was asked for yes or no and said neither; `p_answer` is the probability that the
    answer's first token is one of the right answer's forms (`answer_forms`), or None.
    """

    item_id: str
    tile: int
    qid: int
    answer: str
    p_yes: float | None = None
    invalid: bool = False
    p_answer: float | None = None


class Probability(NamedTuple):
    """How sure a judge was: of yes against no, and of the right answer; None where it is silent."""

    of_yes: float | None
    of_right_answer: float | None


Answers = Mapping[tuple[str, int], Mapping[int, str]]
"""Answer text by (item_id, tile) and question number."""
Probabilities = Mapping[tuple[str, int], Mapping[int, Probability]]
"""By (item_id, tile) and question number; answers without any are left out."""
_NO_PROBABILITIES: Mapping[int, Probability] = {}
_SILENT = Probability(None, None)


class ItemFailedError(Exception):
    """The rule gives this item no score; the message says why."""


class MissingProbabilityError(ItemFailedError):
    """An answer has no probability, and the rule is about them."""


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


def collect_probabilities(
    answers: Iterable[Answer],
) -> dict[tuple[str, int], dict[int, Probability]]:
    """Return probabilities by (item_id, tile) and question number.

    Those of the answers that `collect` takes; an answer without one is left out: it is missing,
    not zero.
    """
    table: dict[tuple[str, int], dict[int, Probability]] = {}
    for answer in answers:
        if is_missing(answer.answer):
            continue
        of_tile = table.setdefault((answer.item_id, answer.tile), {})
        if answer.p_yes is None and answer.p_answer is None:
            of_tile.pop(answer.qid, None)
        else:
            of_tile[answer.qid] = Probability(answer.p_yes, answer.p_answer)
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
        probabilities: for rules that are about them.

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
    origin = origin or Origin()
    if rule.of_right_answers:
        notes = probability_notes(rule, benchmark, scored, probabilities or {}, num_images)
        origin = replace(origin, notes=(*origin.notes, *notes))
    return make_result(benchmark, rule, scored, census, num_images, origin)


def probability_notes(
    rule: ScoringRule,
    benchmark: Benchmark,
    items: Sequence[ItemScore],
    probabilities: Probabilities,
    num_images: int,
) -> list[str]:
    """Return what must be said beside a score of probabilities of right answers.

    Args:
        rule: that scored.
        benchmark: that was scored.
        items: under the rule.
        probabilities: of all answers.
        num_images: tiles of an item.
    """
    asked = {(item.item_id, question.qid) for item in items for question in item.plan}
    of_items = [
        probabilities.get((item.item_id, tile), _NO_PROBABILITIES)
        for item in items
        if item.failure is None
        for tile in range(num_images)
    ]
    number = sum(map(len, of_items))
    against_no = sum(p.of_right_answer is None for tile in of_items for p in tile.values())
    zeros = sum(p == 0 for item in items for tile in item.probabilities for p in tile)
    not_yes = sum(
        row.expected != YES and not is_counting(row.question)
        for row in benchmark.rows
        if (row.item_id, row.qid) in asked
    )
    notes = []
    if against_no:
        notes.append(
            f"{against_no} of {number} probabilities are of yes against no alone, not among all "
            "words: these answers were given before the rule was asked for, or by a judge that "
            "gives no others"
        )
    if not_yes:
        notes.append(
            f"{not_yes} questions have another right answer than yes and do not begin with "
            f"'{COUNTING}': {rule.name} takes the probability of yes there, as its authors do"
        )
    if zeros and rule.image_score == "geometric-mean":
        notes.append(f"{zeros} of {number} probabilities are 0, each of which makes its image 0")
    return notes


def refuse_without_probabilities(
    rule: ScoringRule, answers: Answers, probabilities: Probabilities, origin: Origin | None
) -> None:
    """Raise where a rule is about probabilities and the judge gives none.

    Raises:
        DataError: names the judge.
    """
    if rule.image_score in ("verdicts", "number") or not answers or any(probabilities.values()):
        return
    judge = f"judge {origin.judge}" if origin and origin.judge else "the judge"
    raise no_probabilities(rule, judge)


def no_probabilities(rule: ScoringRule, judge: str) -> DataError:
    """Return the error of a rule about probabilities and a judge that gives none."""
    if rule.of_right_answers:
        return DataError(
            f"rule {rule.name} averages probabilities of the right answers, and {judge} gives "
            "none; take a judge that does (mplug, hf:..., openai:... where the server gives "
            "logprobs), or another --rule"
        )
    return DataError(
        f"rule {rule.name} multiplies probabilities of yes, and {judge} gives none; take a judge "
        "that does (blip-vqa, mplug, hf:...), or another --rule"
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
    of_answers: list[Sequence[float]] = []
    failure, has_all = plan.failure, True
    try:
        for tile, tile_texts in enumerate(texts if failure is None else ()):
            verdicts = _verdicts(plan, tile_texts, tile, reading)
            if rule.image_score == "verdicts":
                raw.append(verdicts)
                gated.append(_gate(plan, raw[-1], rule))
            else:
                by_question = (probabilities or {}).get((plan.item_id, tile), _NO_PROBABILITIES)
                if rule.image_score != "number":
                    of_answers.append(_probabilities(plan, by_question, tile, rule))
                numbers.append(_image_score(plan, tile_texts, of_answers, tile, rule))
    except MissingProbabilityError as error:
        failure, has_all = str(error), False
    except ItemFailedError as error:
        failure = str(error)
    complete = failure is None and len(plan.questions) == len(plan.qids)
    answered = complete or (
        has_all
        and all(
            qid in tile and reading[tile[qid]] is not None for tile in texts for qid in plan.qids
        )
    )
    if failure is not None:
        return ItemScore(plan.item_id, plan.questions, failure=failure, answered=answered)
    if rule.image_score != "verdicts":
        shown = of_answers if rule.of_right_answers else ()
        return measured_item(plan, numbers, answered=answered, probabilities=shown)
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


def _probabilities(
    plan: ItemPlan, by_question: Mapping[int, Probability], tile: int, rule: ScoringRule
) -> list[float]:
    """Return the probability that each question has under a rule about them.

    Of a right answer that is no number, that of yes against no stands in where there is no other.

    Raises:
        MissingProbabilityError: an answer has none.
    """
    values: list[float] = []
    missing: list[int] = []
    for question in plan.questions:
        one = by_question.get(question.qid, _SILENT)
        value = one.of_right_answer if rule.of_right_answers else one.of_yes
        if value is None and not is_word(question.expected):
            value = one.of_yes
        if value is None:
            missing.append(question.qid)
        else:
            values.append(value)
    if missing:
        raise MissingProbabilityError(
            f"tile {tile}: the answer to question {shortened(missing)} has no probability"
        )
    return values


def _image_score(
    plan: ItemPlan,
    texts: Mapping[int, str],
    probabilities: Sequence[Sequence[float]],
    tile: int,
    rule: ScoringRule,
) -> float:
    """Return the score of an image whose rule is not about verdicts.

    Args:
        plan: of its item.
        texts: of its answers.
        probabilities: of its answers, as the last of those of tiles so far.
        tile: its number.
        rule: that scores.

    Raises:
        ItemFailedError: an answer is no number where it should be one.
    """
    match rule.image_score:
        case "product":
            return product_of(probabilities[-1], rule.decimals)
        case "arithmetic-mean":
            return mean_of(probabilities[-1])
        case "geometric-mean":
            return geometric_mean(probabilities[-1])
    qids = [question.qid for question in plan.questions]
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


def geometric_mean(probabilities: Sequence[float]) -> float:
    """Return the geometric mean of one probability or more; 0 where one of them is."""
    if not all(probabilities):
        return 0.0
    return math.exp(math.fsum(map(math.log, probabilities)) / len(probabilities))


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
