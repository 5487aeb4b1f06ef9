"""Answers to item scores: verdicts, zeroing, tile and item means under a rule.

Averaging over items and categories lives in `aggregate`; this module never looks past one item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dpgbench.domain.answer_text import NO, YES, is_missing, read_yes_no
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import Category, QuestionRow, parse_dependency
from dpgbench.domain.rules import ScoringRule
from dpgbench.errors import DataError, shortened

_MANY_UNREAD = 0.01
_MANY_UNREAD_OF_FEW = 0.05


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


class PlannedQuestion(NamedTuple):
    """A question as a rule sees it, in the order in which the rule walks."""

    qid: int
    parents: tuple[int, ...]
    category: Category


class Verdict(NamedTuple):
    """What became of one answer: was it `yes`, and is it still after zeroing."""

    raw: bool
    gated: bool


@dataclass(frozen=True)
class ItemScore:
    """An item under a rule: either `tiles` of verdicts, or the reason why it has no score.

    Attributes:
        tiles: for each tile, the verdict of each question, in the plan's order.
        failure: None for a scored item.
        answered: whether every question of the item has an answer on every tile; where not, it is
            incomplete, and no rule counts it as zero.
    """

    item_id: str
    plan: tuple[PlannedQuestion, ...]
    tiles: tuple[dict[int, Verdict], ...]
    failure: str | None = None
    answered: bool = True

    @property
    def tile_scores(self) -> tuple[float, ...]:
        """Share of questions that hold after zeroing, 0..1, for each tile."""
        return tuple(
            sum(verdict.gated for verdict in tile.values()) / len(tile) for tile in self.tiles
        )

    @property
    def score(self) -> float:
        """Mean of `tile_scores`, 0..1."""
        return sum(self.tile_scores) / len(self.tile_scores)


class ItemFailedError(Exception):
    """The rule gives this item no score; the message says why."""


def verdict(answer: str, rule: ScoringRule) -> bool:
    """Return whether an answer counts as yes under `rule`."""
    return answer == YES if rule.answers == "exact" else read_yes_no(answer) is True


def collect(answers: Iterable[Answer]) -> dict[tuple[str, int], dict[int, str]]:
    """Return answer texts by (item_id, tile) and question number.

    The last answer of a question counts; one that holds nothing is no answer.
    """
    table: dict[tuple[str, int], dict[int, str]] = {}
    for answer in answers:
        if not is_missing(answer.answer):
            table.setdefault((answer.item_id, answer.tile), {})[answer.qid] = answer.answer
    return table


def read_answers(answers: Iterable[Answer]) -> tuple[list[Answer], int]:
    """Return the answers with every one that can be read as ``yes`` or ``no``, and how many were.

    What cannot be read stays as it is.
    """
    read: list[Answer] = []
    changed = 0
    for answer in answers:
        said = read_yes_no(answer.answer)
        text = answer.answer if said is None else YES if said else NO
        changed += text != answer.answer
        read.append(answer._replace(answer=text))
    return read, changed


class AnswerCensus(NamedTuple):
    """How many answers there are, and how many are neither exactly ``yes`` nor ``no``.

    Attributes:
        all: answers that hold something.
        neither: of these, other texts than ``yes`` and ``no``.
        readable: of `neither`, those that only case, spaces or marks set apart from yes or no.
        example: the most common text of `neither`, a readable one first; None where there is none.
    """

    all: int
    neither: int
    readable: int
    example: str | None

    @property
    def suspicious(self) -> bool:
        """Whether these cannot be a VQA model's usual answers.

        mPLUG's real answers to DSG-1k are ``yes`` or ``no`` but for 14 of 11,858 (``no bus``), and
        none of these could be read as yes or no.
        """
        if self.readable:
            return True
        share = self.neither / self.all if self.all else 0.0
        return share >= (_MANY_UNREAD if self.neither > 1 else _MANY_UNREAD_OF_FEW)


def take_census_of_answers(
    answers: Answers, keys: Iterable[tuple[str, int]] | None = None
) -> AnswerCensus:
    """Return how many answers are neither ``yes`` nor ``no``.

    Args:
        answers: text by (item_id, tile) and question number.
        keys: the images that count; all where None.
    """
    texts: Counter[str] = Counter()
    for key in answers if keys is None else keys:
        texts.update(answers.get(key, {}).values())
    texts = Counter({text: n for text, n in texts.items() if not is_missing(text)})
    neither = {text: n for text, n in texts.items() if text not in (YES, NO)}
    readable = {text for text in neither if read_yes_no(text) is not None}
    ranked = sorted(neither, key=lambda text: (text not in readable, -neither[text], text))
    return AnswerCensus(
        sum(texts.values()),
        sum(neither.values()),
        sum(neither[text] for text in readable),
        ranked[0] if ranked else None,
    )


def is_answered(rows: Sequence[QuestionRow], answers: Answers, num_tiles: int) -> bool:
    """Return whether every question of an item has an answer on each of `num_tiles` tiles."""
    for tile in range(num_tiles):
        given = answers.get((rows[0].item_id, tile), {})
        if any(row.qid not in given or is_missing(given[row.qid]) for row in rows):
            return False
    return True


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
    bad = [row for row in considered if parse_dependency(row.dependency)[1]]
    if bad:
        places = [f"row {row.row} (item {row.item_id}: {row.dependency!r})" for row in bad]
        raise DataError(
            f"rule {rule.name} refuses {name}: dependency is not an integer at "
            f"{shortened(places, 20)}; mend these rows or use --rule corrected-v1"
        )


def score_item(
    item_id: str,
    rows: Sequence[QuestionRow],
    answers: Answers,
    *,
    rule: ScoringRule,
    num_tiles: int,
    first_row: int,
) -> ItemScore:
    """Return one item's verdicts under `rule`, or why it has none.

    Args:
        rows: the item's rows in file order.
        answers: of all items; this item needs tiles 0 to `num_tiles` - 1.
        first_row: row number of the file's first data row (a rule may skip it).
    """
    plan: tuple[PlannedQuestion, ...] = ()
    answered = is_answered(rows, answers, num_tiles)
    try:
        plan = plan_item(rows, rule, first_row)
        tiles = tuple(
            _gate(plan, _tile_answers(answers, item_id, tile, plan, rule), rule)
            for tile in range(num_tiles)
        )
    except ItemFailedError as failure:
        return ItemScore(item_id, plan, (), str(failure), answered)
    return ItemScore(item_id, plan, tiles, None, answered)


def plan_item(
    rows: Sequence[QuestionRow], rule: ScoringRule, first_row: int
) -> tuple[PlannedQuestion, ...]:
    """Return the item's questions as `rule` walks them.

    Raises:
        ItemFailedError: the rule leaves the item no question.
    """
    if rule.rows == "consecutive":
        rows = _last_consecutive(rows)
    if rule.skip_first_row:
        rows = [row for row in rows if row.row != first_row]
        if not rows:
            raise ItemFailedError("its only row is the file's first, which this rule skips")
    if rule.gate == "ancestors":
        graph = PromptGraph.from_rows(rows)
        return tuple(PlannedQuestion(q.qid, q.parents, q.category) for q in graph.questions)
    return _plan_as_written(rows, rule)


def _plan_as_written(rows: Sequence[QuestionRow], rule: ScoringRule) -> tuple[PlannedQuestion, ...]:
    parsed = {row.qid: parse_dependency(row.dependency) for row in rows}
    ungated = rule.bad_dependency == "ungated" and any(words for _, words in parsed.values())
    by_column = rule.categories == "columns"
    plan: dict[int, PlannedQuestion] = {}
    for row in rows:  # a repeated number replaces what it had, in its old place
        parents = () if ungated else tuple(parsed[row.qid][0])
        category = row.column_category if by_column else row.category
        plan[row.qid] = PlannedQuestion(row.qid, parents, category)
    return tuple(plan.values())


def _last_consecutive(rows: Sequence[QuestionRow]) -> Sequence[QuestionRow]:
    start = len(rows) - 1
    while start and rows[start - 1].place == rows[start].place - 1:
        start -= 1
    return rows[start:]


def _tile_answers(
    answers: Answers,
    item_id: str,
    tile: int,
    plan: Sequence[PlannedQuestion],
    rule: ScoringRule,
) -> dict[int, bool]:
    given = {q: t for q, t in answers.get((item_id, tile), {}).items() if not is_missing(t)}
    if not given:
        raise ItemFailedError(f"no answers for tile {tile}")
    missing = [question.qid for question in plan if question.qid not in given]
    if missing:
        raise ItemFailedError(f"tile {tile} has no answer to question {shortened(missing)}")
    return {question.qid: verdict(given[question.qid], rule) for question in plan}


def _gate(
    plan: Sequence[PlannedQuestion], raw: dict[int, bool], rule: ScoringRule
) -> dict[int, Verdict]:
    """Return verdicts with questions zeroed whose parents failed, as the rule has it."""
    seen_only = rule.gate == "file-order" and rule.unseen_parent == "passed"
    state: dict[int, bool] = {} if seen_only else dict(raw)
    gated: dict[int, bool] = {}
    for question in plan:
        zeroed = _parent_failed(question, state, rule)
        holds = raw[question.qid] and not zeroed
        gated[question.qid] = holds
        if rule.gate != "direct":
            state[question.qid] = holds
    return {qid: Verdict(raw[qid], gated[qid]) for qid in raw}


def _parent_failed(question: PlannedQuestion, state: Mapping[int, bool], rule: ScoringRule) -> bool:
    for parent in question.parents:  # stops at the first failed one, as the reference does
        if parent not in state:
            if rule.unknown_parent == "fail":
                raise ItemFailedError(
                    f"question {question.qid} names parent {parent}, "
                    "which is not among the questions that this rule sees"
                )
        elif not state[parent]:
            return True
    return False
