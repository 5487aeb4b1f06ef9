"""One run's answers as one rule sees them: a letter for each answer, sums for each category.

Verdicts come from `domain.score`; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpgbench.domain.answer_text import read_yes_no
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import Category, QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answers, ItemScore, Verdict, score_item
from dpgbench.domain.statistics.bootstrap import Matrix

HOLDS, FAILS, ZEROED, OTHER, NONE, UNSEEN = "ynz?.-"
_WIDE = 1 << 16  # more than there are categories


@dataclass(frozen=True)
class CategorySums:
    """Per item and category, what a rule averages: `sums` over `counts`, both [N, C]."""

    names: tuple[str, ...]
    sums: Matrix
    counts: Matrix


@dataclass(frozen=True)
class RuleVerdicts:
    """One judge's answers about one run under one rule, by place of the item in its set.

    Attributes:
        letters: a letter for each tile and question: ``y`` holds, ``n`` no, ``z`` yes but zeroed by
            a parent, ``?`` neither yes nor no, ``.`` not answered, ``-`` not seen by the rule.
        scores: 0 to 100; None where the rule gives none.
        tile_scores: of each tile, 0 to 100; empty where the rule gives none.
        failures: why it gives none.
        l1: what its category averages are made of; `l2` alike.
    """

    letters: tuple[str, ...]
    scores: tuple[float | None, ...]
    tile_scores: tuple[tuple[float, ...], ...]
    failures: Mapping[int, str]
    l1: CategorySums
    l2: CategorySums

    @property
    def levels(self) -> tuple[CategorySums, CategorySums]:
        """L1 and L2."""
        return self.l1, self.l2


def qids_of(graph: PromptGraph) -> list[int]:
    """Return an item's question numbers in the order in which its strings have them."""
    return sorted(graph.by_id)


def rule_verdicts(
    rule: ScoringRule,
    answers: Answers,
    num_images: int,
    first_row: int,
    items: Sequence[str],
    letters: Sequence[str],
    rows: Mapping[str, tuple[QuestionRow, ...]],
    graphs: Mapping[str, PromptGraph],
) -> RuleVerdicts:
    """Return `answers` under `rule`.

    Args:
        letters: each item's answers before any rule; empty for an item that is left out.
        rows: of every item of the benchmark.
    """
    under_rule: list[str] = []
    scored: list[ItemScore | None] = []
    for item, text in zip(items, letters, strict=True):
        score = None
        if text:
            score = score_item(
                item, rows[item], answers, rule=rule, num_tiles=num_images, first_row=first_row
            )
        scored.append(score)
        under_rule.append(
            "" if score is None else _letters(text, score, answers, graphs[item], rule)
        )
    return RuleVerdicts(
        letters=tuple(under_rule),
        scores=tuple(100 * s.score if s and s.tiles else None for s in scored),
        tile_scores=tuple(tuple(100 * t for t in s.tile_scores) if s else () for s in scored),
        failures={n: s.failure for n, s in enumerate(scored) if s and s.failure is not None},
        l1=_sums(scored, rule, lambda category: category.l1),
        l2=_sums(scored, rule, lambda category: category.l2),
    )


def _letters(
    text: str, score: ItemScore, answers: Answers, graph: PromptGraph, rule: ScoringRule
) -> str:
    qids = qids_of(graph)
    read = _as_read(text, answers, score.item_id, qids) if rule.answers == "read" else text
    return _gated(read, score, qids)


def _as_read(letters: str, answers: Answers, item: str, qids: Sequence[int]) -> str:
    """Return `letters` with answers that are read as yes or no as such."""
    if OTHER not in letters:
        return letters
    marked = list(letters)
    for at, letter in enumerate(letters):
        if letter == OTHER:
            tile, place = divmod(at, len(qids))
            holds = read_yes_no(answers.get((item, tile), {}).get(qids[place], ""))
            marked[at] = OTHER if holds is None else HOLDS if holds else FAILS
    return "".join(marked)


def _gated(letters: str, score: ItemScore, qids: Sequence[int]) -> str:
    """Return `letters` with what the rule zeroed or did not see."""
    seen = {question.qid for question in score.plan}
    verdicts: list[Verdict | None] = [tile.get(qid) for tile in score.tiles for qid in qids]
    if not verdicts:
        verdicts = [None] * len(letters)
    marked = []
    for at, letter in enumerate(letters):
        verdict = verdicts[at]
        if qids[at % len(qids)] not in seen:
            marked.append(UNSEEN)
        elif verdict is not None and verdict.raw and not verdict.gated:
            marked.append(ZEROED)
        else:
            marked.append(letter)
    return "".join(marked)


def _sums(
    scored: Sequence[ItemScore | None], rule: ScoringRule, name: Callable[[Category], str]
) -> CategorySums:
    """Return the sums that category averages are made of, as the rule takes them."""
    columns: dict[str, int] = {}
    cells: list[int] = []
    values: list[bool] = []
    gated = rule.category_stage == "gated"
    for number, item in enumerate(scored):
        if item is None or not item.tiles:
            continue
        places = [columns.setdefault(name(q.category), len(columns)) for q in item.plan]
        qids = [question.qid for question in item.plan]
        for tile in item.tiles[-1:] if rule.category_tiles == "last" else item.tiles:
            cells += [number * _WIDE + place for place in places]
            values += [tile[qid].gated if gated else tile[qid].raw for qid in qids]
    names = sorted(columns)
    flat = np.array(cells, dtype=np.int64)
    column = np.array([names.index(name) for name in columns], dtype=np.int64)
    shape = (len(scored), len(names))
    index = flat // _WIDE * len(names) + (column[flat % _WIDE] if names else 0)
    size = shape[0] * shape[1]
    weights = np.array(values, dtype=np.float64)
    sums = np.bincount(index, weights=weights, minlength=size).astype(np.float64)
    counts = np.bincount(index, minlength=size).astype(np.float64)
    return CategorySums(tuple(names), sums.reshape(shape), counts.reshape(shape))
