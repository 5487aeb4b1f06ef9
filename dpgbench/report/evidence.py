"""Every answer of every run about every item, as each rule sees it, in compact form.

An answer is one letter, an item's answers one string: tile by tile, the item's questions by number.
Verdicts come from `domain.score`; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import Category, QuestionRow
from dpgbench.domain.rules import RULES, ScoringRule
from dpgbench.domain.score import YES, Answers, ItemScore, Verdict, collect, score_item
from dpgbench.domain.stats import Matrix
from dpgbench.errors import DpgBenchError
from dpgbench.report.records import RunRecord
from dpgbench.store.benchmarks import Benchmark, load_benchmark

NO = "no"
_WIDE = 1 << 16  # more than there are categories
HOLDS, FAILS, ZEROED, OTHER, NONE, UNSEEN = "ynz?.-"


@dataclass(frozen=True)
class CategorySums:
    """Per item and category, what a rule averages: `sums` over `counts`, both [N, C]."""

    names: tuple[str, ...]
    sums: Matrix
    counts: Matrix


@dataclass(frozen=True)
class Sheet:
    """One judge's answers about one run under one rule, by place of the item in its set.

    Attributes:
        states: a letter for each tile and question: ``y`` holds, ``n`` no, ``z`` yes but zeroed by
            a parent, ``?`` neither yes nor no, ``.`` not answered, ``-`` not seen by the rule.
        scores: 0 to 100; None where the rule gives none.
        failures: why it gives none.
    """

    states: tuple[str, ...]
    scores: tuple[float | None, ...]
    failures: Mapping[int, str]
    l1: CategorySums
    l2: CategorySums


@dataclass(frozen=True)
class JudgeEvidence:
    """One judge's answers about one run.

    Attributes:
        answers: letters as in `Sheet.states`, before any rule; empty for an item without answers.
        others: by item and place in its string, the words of an answer that is neither.
        sheets: by rule.
    """

    judge: str
    answers: tuple[str, ...]
    others: Mapping[int, Mapping[int, str]]
    sheets: Mapping[str, Sheet]


@dataclass(frozen=True)
class RunEvidence:
    """A run, its place in the report, and its answers where the questions are at hand."""

    index: int
    record: RunRecord
    judges: tuple[JudgeEvidence, ...]


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
    runs: tuple[RunEvidence, ...]


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
    order = [item for item in benchmark.prompts if item in wanted] if benchmark else []
    items = (*order, *(item for item in wanted if item not in set(order)))
    graphs = {
        item: PromptGraph.from_rows(benchmark.items[item])
        for item in order
        if benchmark and item in benchmark.items
    }
    found = tuple(
        RunEvidence(index, record, _judges(record, benchmark, items, graphs))
        for index, record in runs
    )
    return ItemSet(name, benchmark, missing, items, graphs, found)


def benchmark_of(record: RunRecord) -> tuple[Benchmark | None, str]:
    """Return the benchmark as the run saw it, or why it cannot be shown."""
    about = record.manifest.benchmark
    path = Path(str(about.get("path", "")))
    try:
        benchmark = load_benchmark(path if path.is_file() else str(about.get("name", "")))
    except DpgBenchError as error:
        return None, f"Prompts and questions are not shown: {error}"
    if benchmark.prompts_sha256 != about.get("prompts_sha256"):
        return None, (
            f"Prompts and questions are not shown: {benchmark.name} has changed since these runs."
        )
    return benchmark, ""


def asked(record: RunRecord, judge: str, benchmark: Benchmark) -> bool:
    """Return whether `judge` was asked the questions that the benchmark has now."""
    known = record.manifest.judges.get(judge, {}).get("questions_sha256")
    known = known or record.manifest.benchmark.get("questions_sha256")
    return known in (None, benchmark.questions_sha256)


def _judges(
    record: RunRecord,
    benchmark: Benchmark | None,
    items: Sequence[str],
    graphs: Mapping[str, PromptGraph],
) -> tuple[JudgeEvidence, ...]:
    if benchmark is None or not graphs:
        return ()
    names = sorted({result.judge for result in record.results})
    return tuple(
        _judge(record, judge, benchmark, items, graphs)
        for judge in names
        if asked(record, judge, benchmark)
    )


def _judge(
    record: RunRecord,
    judge: str,
    benchmark: Benchmark,
    items: Sequence[str],
    graphs: Mapping[str, PromptGraph],
) -> JudgeEvidence:
    answers = collect(record.run.read_answers(judge))
    tiles = record.manifest.num_images
    mine = set(record.manifest.items)
    letters: list[str] = []
    others: dict[int, dict[int, str]] = {}
    for place, item in enumerate(items):
        known = item in graphs and item in mine
        letters.append(_letters(answers, item, qids_of(graphs[item]), tiles) if known else "")
        if OTHER in letters[-1]:
            words = [
                answers.get((item, tile), {}).get(qid, "")
                for tile in range(tiles)
                for qid in qids_of(graphs[item])
            ]
            others[place] = {at: words[at] for at, kind in enumerate(letters[-1]) if kind == OTHER}
    rules = [RULES[r.rule] for r in record.results if r.judge == judge and r.rule in RULES]
    first_row = min(rows[0].row for rows in benchmark.items.values())
    sheets = {
        rule.name: _sheet(rule, answers, tiles, first_row, items, letters, benchmark.items, graphs)
        for rule in rules
    }
    return JudgeEvidence(judge, tuple(letters), others, sheets)


def qids_of(graph: PromptGraph) -> list[int]:
    """Return an item's question numbers in the order in which its strings have them."""
    return sorted(graph.by_id)


def _letters(answers: Answers, item: str, qids: Sequence[int], tiles: int) -> str:
    kinds = {None: NONE, YES: HOLDS, NO: FAILS}
    given = [answers.get((item, tile), {}) for tile in range(tiles)]
    return "".join(kinds.get(tile.get(qid), OTHER) for tile in given for qid in qids)


def _sheet(
    rule: ScoringRule,
    answers: Answers,
    tiles: int,
    first_row: int,
    items: Sequence[str],
    letters: Sequence[str],
    rows: Mapping[str, tuple[QuestionRow, ...]],
    graphs: Mapping[str, PromptGraph],
) -> Sheet:
    states: list[str] = []
    scored: list[ItemScore | None] = []
    for item, text in zip(items, letters, strict=True):
        score = None
        if text:
            score = score_item(
                item, rows[item], answers, rule=rule, num_tiles=tiles, first_row=first_row
            )
        scored.append(score)
        states.append(_states(text, score, qids_of(graphs[item])) if score else "")
    return Sheet(
        states=tuple(states),
        scores=tuple(100 * s.score if s and s.tiles else None for s in scored),
        failures={n: s.failure for n, s in enumerate(scored) if s and s.failure is not None},
        l1=_sums(scored, rule, lambda category: category.l1),
        l2=_sums(scored, rule, lambda category: category.l2),
    )


def _states(letters: str, score: ItemScore, qids: Sequence[int]) -> str:
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
    column = np.array([names.index(known) for known in columns], dtype=np.int64)
    shape = (len(scored), len(names))
    index = flat // _WIDE * len(names) + (column[flat % _WIDE] if len(names) else 0)
    size = shape[0] * shape[1]
    sums = np.bincount(index, weights=np.array(values, dtype=np.float64), minlength=size)
    counts = np.bincount(index, minlength=size).astype(np.float64)
    return CategorySums(tuple(names), sums.reshape(shape), counts.reshape(shape))
