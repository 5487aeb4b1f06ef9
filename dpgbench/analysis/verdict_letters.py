"""One run's answers as one rule sees them: a letter for each answer, sums for each category.

Verdicts come from `domain.score`; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpgbench.domain.aggregate import CategoryTable, category_table
from dpgbench.domain.answer_text import NO, read_yes_no
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.plan import ItemPlan
from dpgbench.domain.result import ItemScore
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answers, Reading, score_item

HOLDS, FAILS, ZEROED, OTHER, NONE, UNSEEN = "ynz?.-"


@dataclass(frozen=True)
class RuleVerdicts:
    """One judge's answers about one run under one rule, by place of the item in its set.

    Attributes:
        letters: a letter for each tile and question: ``y`` holds (yes, or whatever else is the
            right answer), ``n`` does not, ``z`` holds but zeroed by a parent, ``?`` neither yes nor
            no where one of them is right, ``.`` not answered, ``-`` not seen by the rule.
        scores: 0 to 100; None where the rule gives none.
        tile_scores: of each tile, 0 to 100; empty where the rule gives none.
        failures: why it gives none.
        l1: what its category averages are made of; `l2` alike.
    """

    letters: tuple[str, ...]
    scores: tuple[float | None, ...]
    tile_scores: tuple[tuple[float, ...], ...]
    failures: Mapping[int, str]
    l1: CategoryTable
    l2: CategoryTable

    @property
    def levels(self) -> tuple[CategoryTable, CategoryTable]:
        """L1 and L2."""
        return self.l1, self.l2


def qids_of(graph: PromptGraph) -> list[int]:
    """Return an item's question numbers in the order in which its strings have them."""
    return sorted(graph.by_id)


def rule_verdicts(
    rule: ScoringRule,
    answers: Answers,
    num_images: int,
    items: Sequence[str],
    letters: Sequence[str],
    *,
    plans: Mapping[str, ItemPlan],
    qids: Mapping[str, Sequence[int]],
) -> RuleVerdicts:
    """Return `answers` under `rule`.

    Args:
        letters: each item's answers before any rule; empty for an item that is left out.
        plans: of every item under `rule`.
        qids: of each item with questions, as `qids_of` has them.
    """
    under_rule: list[str] = []
    scored: list[ItemScore | None] = []
    reading = Reading(rule)
    for item, text in zip(items, letters, strict=True):
        score = None
        if text:
            score = score_item(plans[item], answers, rule, num_images, reading)
        scored.append(score)
        under_rule.append("" if score is None else _letters(text, score, answers, qids[item], rule))
    return RuleVerdicts(
        letters=tuple(under_rule),
        scores=tuple(100 * s.score if s and s.score is not None else None for s in scored),
        tile_scores=tuple(tuple(100 * t for t in s.tile_scores) if s else () for s in scored),
        failures={n: s.failure for n, s in enumerate(scored) if s and s.failure is not None},
        l1=category_table(scored, rule, 0),
        l2=category_table(scored, rule, 1),
    )


def _letters(
    text: str, score: ItemScore, answers: Answers, qids: Sequence[int], rule: ScoringRule
) -> str:
    read = text
    if rule.answers == "read":
        expected = {question.qid: question.expected for question in score.plan}
        read = _as_read(text, answers, score.item_id, qids, expected)
    return _gated(read, score, qids)


def _as_read(
    letters: str,
    answers: Answers,
    item: str,
    qids: Sequence[int],
    expected: Mapping[int, str],
) -> str:
    """Return `letters` with answers that are read as yes or no as such."""
    if OTHER not in letters:
        return letters
    marked = list(letters)
    for at, letter in enumerate(letters):
        if letter == OTHER:
            tile, place = divmod(at, len(qids))
            is_yes = read_yes_no(answers.get((item, tile), {}).get(qids[place], ""))
            if is_yes is not None:
                right = is_yes != (expected.get(qids[place]) == NO)
                marked[at] = HOLDS if right else FAILS
    return "".join(marked)


def _gated(letters: str, score: ItemScore, qids: Sequence[int]) -> str:
    """Return `letters` with what the rule zeroed or did not see."""
    size = len(qids)
    columns = {qid: column for column, qid in enumerate(qids)}
    seen = [columns[question.qid] for question in score.plan]
    if len(seen) == size and score.raw == score.gated:
        return letters
    marked = list(letters)
    for tile, (raw, gated) in enumerate(zip(score.raw, score.gated, strict=True)):
        for column, is_yes, holds in zip(seen, raw, gated, strict=True):
            if is_yes and not holds:
                marked[tile * size + column] = ZEROED
    for column in set(columns.values()) - set(seen):
        marked[column::size] = UNSEEN * (len(letters) // size)
    return "".join(marked)
