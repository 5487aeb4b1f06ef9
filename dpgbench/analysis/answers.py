"""Every answer of every run about every item, as each rule sees it, in compact form.

An answer is one letter, an item's answers one string: tile by tile, the item's questions by number.
Verdicts come from `domain.score`; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpgbench.analysis.verdict_letters import (
    FAILS,
    HOLDS,
    NONE,
    OTHER,
    RuleVerdicts,
    qids_of,
    rule_verdicts,
)
from dpgbench.domain.answer_text import NO, YES, is_missing, is_right, is_word
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.result import Result
from dpgbench.domain.rules import RULES
from dpgbench.domain.score import Answers
from dpgbench.domain.statistics.bootstrap import ratios
from dpgbench.errors import DpgBenchError
from dpgbench.store.run.answers import read_answer_table
from dpgbench.store.run.manifest import load_recorded_benchmark
from dpgbench.store.run.scores import RunRecord

SAME_SCORE = 1e-6
"""Points: figures closer than this are one figure that was computed in two ways."""


@dataclass(frozen=True)
class JudgeAnswers:
    """One judge's answers about one run.

    Attributes:
        letters: for each item as in `RuleVerdicts.letters`, before any rule; empty for an item
            without answers.
        other_texts: by item and place in its string, the words of an answer that is neither yes
            nor no, or to a question whose right answer is not yes.
        verdicts: by rule.
    """

    judge: str
    letters: tuple[str, ...]
    other_texts: Mapping[int, Mapping[int, str]]
    verdicts: Mapping[str, RuleVerdicts]


ItemScores = Sequence[float | None]
"""Of each item of a set, 0 to 100; None where there is none."""


@dataclass(frozen=True)
class RunAnswers:
    """A run and its answers.

    Attributes:
        index: the run's place among the runs of the board, from 0.
        judges: those that were asked the questions of the benchmark, where these are at hand.
        scores: of each item, by judge and rule: those of the answers, else as recorded.
    """

    index: int
    record: RunRecord
    judges: tuple[JudgeAnswers, ...]
    scores: Mapping[str, Mapping[str, ItemScores]]


@dataclass(frozen=True)
class ItemSet:
    """The items of runs on one benchmark.

    Attributes:
        items: ids in the benchmark's order.
        graphs: by item id; empty where the questions are not at hand.
        missing: why prompts or questions are not shown; empty where they are.
    """

    name: str
    benchmark: Benchmark | None
    missing: str
    items: tuple[str, ...]
    graphs: Mapping[str, PromptGraph]
    runs: tuple[RunAnswers, ...]


def item_sets(records: Sequence[RunRecord]) -> list[ItemSet]:
    """Return the items of each benchmark of `records`, with every run's answers about them."""
    named: dict[tuple[str, str], list[tuple[int, RunRecord]]] = {}
    for index, record in enumerate(records):
        about = record.manifest.benchmark
        key = (str(about.get("name", "")), str(about.get("prompts_sha256", "")))
        named.setdefault(key, []).append((index, record))
    return [_item_set(key[0], named[key]) for key in sorted(named)]


def _item_set(name: str, runs: Sequence[tuple[int, RunRecord]]) -> ItemSet:
    benchmark, missing = benchmark_of(runs[0][1])
    wanted = dict.fromkeys(item for _, record in runs for item in record.manifest.items)
    prompts = benchmark.prompts if benchmark else {}
    items = (
        *(item for item in prompts if item in wanted),
        *(item for item in wanted if item not in prompts),
    )
    all_graphs = benchmark.graphs if benchmark else {}
    graphs = {item: all_graphs[item] for item in items if item in all_graphs}
    qids = {item: qids_of(graph) for item, graph in graphs.items()}
    answers = []
    for index, record in runs:
        judges = _judges(record, benchmark, items, qids)
        answers.append(RunAnswers(index, record, judges, _scores(record, judges, items)))
    return ItemSet(name, benchmark, missing, items, graphs, tuple(answers))


def _scores(
    record: RunRecord, judges: Sequence[JudgeAnswers], items: Sequence[str]
) -> dict[str, dict[str, ItemScores]]:
    scores: dict[str, dict[str, ItemScores]] = {
        judge.judge: {rule: verdicts.scores for rule, verdicts in judge.verdicts.items()}
        for judge in judges
    }
    for result in sorted(record.results, key=lambda result: result.items_expected):
        at_hand = any(j.judge == result.judge and result.rule in j.verdicts for j in judges)
        if not at_hand and result.item_figures:  # the widest result of a rule stays
            figures = [result.item_figures.get(item) for item in items]
            recorded = [figure.score if figure else None for figure in figures]
            scores.setdefault(result.judge, {})[result.rule] = recorded
    return scores


def benchmark_of(record: RunRecord) -> tuple[Benchmark | None, str]:
    """Return the benchmark as the run saw it, or why it cannot be shown."""
    about = record.manifest.benchmark
    try:
        benchmark = load_recorded_benchmark(about)
    except DpgBenchError as error:
        return None, f"Prompts and questions are not shown: {error}"
    if benchmark.prompts_sha256 != about.get("prompts_sha256"):
        return None, (
            f"Prompts and questions are not shown: {benchmark.name} has changed since these runs."
        )
    return benchmark, ""


def _was_asked(record: RunRecord, judge: str, benchmark: Benchmark) -> bool:
    """Return whether `judge` was asked the questions that the benchmark has now."""
    return record.manifest.questions_sha256(judge) in (None, benchmark.questions_sha256)


def _judges(
    record: RunRecord,
    benchmark: Benchmark | None,
    items: Sequence[str],
    qids: Mapping[str, Sequence[int]],
) -> tuple[JudgeAnswers, ...]:
    if benchmark is None or not qids:
        return ()
    names = sorted({result.judge for result in record.results})
    return tuple(
        _judge(record, judge, benchmark, items, qids)
        for judge in names
        if _was_asked(record, judge, benchmark)
    )


def _judge(
    record: RunRecord,
    judge: str,
    benchmark: Benchmark,
    items: Sequence[str],
    qids: Mapping[str, Sequence[int]],
) -> JudgeAnswers:
    answers = read_answer_table(record.run.answers(judge))
    num_images = record.manifest.num_images
    of_run = set(record.manifest.items)
    letter_of, unlike_yes = _LetterOf(), _right_answers(benchmark)
    letters: list[str] = []
    other_texts: dict[int, dict[int, str]] = {}
    for place, item in enumerate(items):
        texts: list[str | None] = []
        if item in qids and item in of_run:
            texts = _texts(answers, item, qids[item], num_images)
        right = unlike_yes.get(item)
        if right and texts:
            expected = [right.get(qid, YES) for qid in qids[item]] * num_images
            letters.append("".join(map(_letter, texts, expected)))
        else:
            expected = []
            letters.append("".join([letter_of[text] for text in texts]))
        if right or OTHER in letters[-1]:
            other_texts[place] = {
                at: texts[at] or ""
                for at, letter in enumerate(letters[-1])
                if letter == OTHER or (expected and expected[at] != YES and letter != NONE)
            }
    verdicts = {
        name: rule_verdicts(
            RULES[name],
            answers,
            num_images,
            items,
            letters,
            plans=benchmark.plans(RULES[name]),
            qids=qids,
        )
        for name in dict.fromkeys(r.rule for r in record.results if r.judge == judge)
        if name in RULES
    }
    return JudgeAnswers(judge, tuple(letters), other_texts, verdicts)


def _texts(answers: Answers, item: str, qids: Sequence[int], num_images: int) -> list[str | None]:
    """Return an item's answers, tile by tile, the questions by number."""
    tiles = [answers.get((item, tile), {}) for tile in range(num_images)]
    return [tile.get(qid) for tile in tiles for qid in qids]


def _right_answers(benchmark: Benchmark) -> dict[str, dict[int, str]]:
    """Return the right answers that are not yes, by item and question number."""
    expected: dict[str, dict[int, str]] = {}
    for row in benchmark.rows:
        if row.expected != YES:
            expected.setdefault(row.item_id, {})[row.qid] = row.expected
    return expected


def _letter(text: str | None, expected: str) -> str:
    """Return the letter of a text before any rule, where `expected` is the right answer."""
    if text is None or is_missing(text):
        return NONE
    if is_right(text, expected, exact=True):
        return HOLDS
    return FAILS if is_word(expected) or text in (YES, NO) else OTHER


class _LetterOf(dict[str | None, str]):
    """The letter of each text before any rule; filled as it goes, since texts are few."""

    def __missing__(self, text: str | None) -> str:
        letter = {YES: HOLDS, NO: FAILS}.get(text or "", OTHER)
        self[text] = NONE if text is None or is_missing(text) else letter
        return self[text]


@dataclass(frozen=True)
class ScoredAnswers:
    """The answers that one result was scored from.

    Attributes:
        verdicts: of all items of the run's benchmark under the result's rule.
        positions: of each item of the result among these.
    """

    verdicts: RuleVerdicts
    positions: Mapping[str, int]

    def num_items(self, level: int) -> dict[str, int]:
        """Return over how many items each category is; `level` 0 is L1, 1 is L2."""
        categories = self.verdicts.levels[level]
        numbers = (categories.counts[[*self.positions.values()]] > 0).sum(axis=0)
        return {name: int(n) for name, n in zip(categories.names, numbers, strict=True)}


def scored_answers(sets: Sequence[ItemSet], index: int, result: Result) -> ScoredAnswers | None:
    """Return the answers that a result was scored from.

    Args:
        index: of the result's run.

    Returns:
        None where they are not at hand, or give other categories than the result has.
    """
    for items in sets:
        for run in items.runs:
            if run.index != index:
                continue
            for judge in run.judges:
                if judge.judge == result.judge and result.rule in judge.verdicts:
                    positions = {
                        item: n for n, item in enumerate(items.items) if item in result.item_figures
                    }
                    answers = ScoredAnswers(judge.verdicts[result.rule], positions)
                    return answers if _give(answers, result) else None
    return None


def _give(answers: ScoredAnswers, result: Result) -> bool:
    """Return whether the answers give the categories of the result."""
    positions = [*answers.positions.values()]
    for categories, figures in zip(answers.verdicts.levels, (result.l1, result.l2), strict=True):
        means = 100 * ratios(categories.sums[positions], categories.counts[positions])
        scores = {
            name: mean
            for name, mean in zip(categories.names, means, strict=True)
            if not np.isnan(mean)
        }
        if scores.keys() != figures.keys():
            return False
        for name, figure in figures.items():
            if figure.score is None or abs(scores[name] - figure.score) > SAME_SCORE:
                return False
    return True
