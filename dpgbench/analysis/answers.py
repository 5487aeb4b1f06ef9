"""Every answer of every run about every item, as each rule sees it, in compact form.

An answer is one letter, an item's answers one string: tile by tile, the item's questions by number.
Verdicts come from `domain.score`; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpgbench.analysis.verdict_letters import FAILS, HOLDS, NONE, OTHER, Sheet, make_sheet, qids_of
from dpgbench.domain.answer_text import YES, is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rules import RULES
from dpgbench.domain.score import Answers
from dpgbench.errors import DpgBenchError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.answers import read_answers
from dpgbench.store.run.scores import RunRecord

NO = "no"


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
    answers = read_answers(record.run, judge)
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
        rule.name: make_sheet(
            rule, answers, tiles, first_row, items, letters, benchmark.items, graphs
        )
        for rule in rules
    }
    return JudgeEvidence(judge, tuple(letters), others, sheets)


def _letters(answers: Answers, item: str, qids: Sequence[int], tiles: int) -> str:
    kinds = {None: NONE, YES: HOLDS, NO: FAILS}
    given = [answers.get((item, tile), {}) for tile in range(tiles)]
    said = [tile.get(qid) for tile in given for qid in qids]
    return "".join(
        NONE if text is not None and is_missing(text) else kinds.get(text, OTHER) for text in said
    )
