"""A benchmark in memory: prompts, question graphs, hashes, the choice of items, counts.

Pure; reading files is `dpgbench.store.benchmarks`.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.domain.answer_text import YES, is_word
from dpgbench.domain.benchmark_findings import BenchmarkFinding, check_benchmark
from dpgbench.domain.graph import Problem, PromptGraph, find_problems
from dpgbench.domain.plan import ItemPlan, plan_item
from dpgbench.domain.rows import QuestionRow, item_source
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.spec import canonical_json
from dpgbench.errors import DataError, SetupError, UsageError, counted, shortened, unknown_name

COLUMNS = (
    "item_id",
    "text",
    "keywords",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)
"""The columns of a file of questions, in DPG-Bench's order."""
ANSWER_COLUMN, TEMPLATE_COLUMN = "answer", "question_template"
"""Columns that such a file may have: each question's right answer, and how it is worded."""
ORIGINAL_COLUMN, REWRITTEN_COLUMN = "original_text", "rewritten_from"
"""What a file of rewritten prompts has in addition: the original prompt, and whose it was."""
QUESTIONS_FILE = "dpg_bench.csv"
"""The file of questions in a folder of upstream's layout."""
_BIN_WORDS = 20


@dataclass(frozen=True)
class Subset:
    """Items of a benchmark that are not all of it, and what a result over them is called.

    Attributes:
        items: how many there are.
        of: how many the benchmark has.
        items_sha256: over the sorted ids: the same items, however they were chosen; empty where it
            is not recorded.
        choice: in words: ``first 10``, ``source COCO``, or ``3 items``; empty where not recorded.
    """

    items: int
    of: int
    items_sha256: str = ""
    choice: str = ""

    @property
    def file_part(self) -> str:
        """What the subset's result files have after the rule's name."""
        return f"@{self.items_sha256[:8]}"

    @property
    def with_choice(self) -> str:
        """The same as `str` gives, with the choice whatever it says: ``(3 items)`` too."""
        return f"{self.items:,} of {self.of:,} items ({self.choice})"

    def __str__(self) -> str:
        """Return ``10 of 1,065 items (first 10)``; a choice that only counts is not repeated."""
        text = f"{self.items:,} of {self.of:,} {'item' if self.of == 1 else 'items'}"
        says_more = self.choice not in ("", counted(self.items, "item"))
        return f"{text} ({self.choice})" if says_more else text


@dataclass(frozen=True)
class WordCounts:
    """Words a prompt, split at white space."""

    mean: float
    median: float
    min: int
    max: int


@dataclass(frozen=True)
class BenchmarkCounts:
    """How much of what a benchmark holds; mappings are sorted by name.

    Attributes:
        items: prompts.
        sources: prompts by where they come from.
        l1: questions by category; `l2` likewise.
        lengths: prompts by ranges of 20 words, such as ``20-39``.
    """

    items: int
    questions: int
    sources: Mapping[str, int]
    l1: Mapping[str, int]
    l2: Mapping[str, int]
    words: WordCounts
    lengths: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


class OriginalBenchmark(NamedTuple):
    """The benchmark that prompts were rewritten from; its questions are asked about their images.

    Attributes:
        prompts_sha256: as `Benchmark` has it.
        questions_sha256: likewise; "-" where it has no questions.
        kept_sha256: the same, over the questions of the items that were rewritten.
        name: of the benchmark.
    """

    prompts_sha256: str
    questions_sha256: str
    kept_sha256: str
    name: str

    @classmethod
    def from_cell(cls, cell: str) -> OriginalBenchmark | None:
        """Return what a cell of `REWRITTEN_COLUMN` tells; None where it tells nothing."""
        parts = cell.split(" ", 3)
        return cls(*parts) if len(parts) == 4 else None


@dataclass(frozen=True)
class Benchmark:
    """Prompts with their question graphs.

    Attributes:
        name: `dpg`, `shapes`, or a file's stem.
        path: the file or folder that it was read from.
        prompts: prompt by item id, in the file's order.
        items: rows by item id; empty where only prompts are at hand.
        is_list: it is a file of prompts, to which no questions belong.
        rewritten_from: the benchmark that its prompts were rewritten from, if any.
    """

    name: str
    path: Path
    prompts: dict[str, str]
    items: dict[str, tuple[QuestionRow, ...]]
    is_list: bool = False
    rewritten_from: OriginalBenchmark | None = None

    def as_original(self, items: Collection[str]) -> OriginalBenchmark:
        """Return what a benchmark of these items' prompts, rewritten, says of it."""
        kept = replace(self, items={i: rows for i, rows in self.items.items() if i in items})
        whole, part = (b.questions_sha256 if self.has_graphs else "-" for b in (self, kept))
        return OriginalBenchmark(self.prompts_sha256, whole, part, self.name)

    @property
    def has_graphs(self) -> bool:
        """Whether there are questions to ask."""
        return bool(self.items)

    @property
    def num_questions(self) -> int:
        """How many rows of questions there are."""
        return len(self.rows)

    @cached_property
    def rows(self) -> tuple[QuestionRow, ...]:
        """Every row, in the file's order."""
        return tuple(sorted((row for item in self.items.values() for row in item), key=_row))

    @cached_property
    def prompts_sha256(self) -> str:
        """SHA-256 over ids and prompts: what a generator sees of the benchmark."""
        return _digest(sorted(self.prompts.items()))

    @cached_property
    def questions_sha256(self) -> str:
        """SHA-256 over all questions: what a judge sees of the benchmark."""
        return _digest(sorted((r.item_id, r.qid, r.question, *_wording(r)) for r in self.rows))

    @cached_property
    def graphs_sha256(self) -> str:
        """SHA-256 over all rows in order: what a rule sees of the benchmark."""
        return _digest(
            [[r.item_id, r.qid, r.dependency, r.tuple, *_unlike_yes(r)] for r in self.rows]
        )

    @cached_property
    def word_questions(self) -> frozenset[tuple[str, int]]:
        """Item and number of each question whose right answer is a number or a word."""
        return frozenset((row.item_id, row.qid) for row in self.rows if is_word(row.expected))

    @property
    def is_worded(self) -> bool:
        """Whether a right answer is another than yes or no, or a question is worded by the file."""
        return bool(self.word_questions) or any(row.template for row in self.rows)

    @cached_property
    def graphs(self) -> Mapping[str, PromptGraph]:
        """The clean question graph of each item; empty where only prompts are at hand."""
        return {item_id: PromptGraph.from_rows(rows) for item_id, rows in self.items.items()}

    @cached_property
    def _plans(self) -> dict[ScoringRule, Mapping[str, ItemPlan]]:
        return {}

    def plans(self, rule: ScoringRule) -> Mapping[str, ItemPlan]:
        """Return each item's questions as `rule` walks them; made once a rule."""
        if rule not in self._plans:
            first_row = self.rows[0].row if self.rows else 0
            graphs = self.graphs if rule.gate == "ancestors" else {}
            self._plans[rule] = {
                item_id: plan_item(rows, rule, first_row, graphs.get(item_id))
                for item_id, rows in self.items.items()
            }
        return self._plans[rule]

    def problems(self) -> list[Problem]:
        """Return everything that is wrong in the graphs, in file order."""
        return find_problems(self.graphs.values())

    def findings(self) -> list[BenchmarkFinding]:
        """Return everything that is wrong in the file, with severities, in file order."""
        return check_benchmark(self.prompts, list(self.items.values()), self.problems())

    def counts(self) -> BenchmarkCounts:
        """Return how many items and questions there are, by source, category and length."""
        lengths = [len(text.split()) for text in self.prompts.values()]
        return BenchmarkCounts(
            items=len(self.prompts),
            questions=len(self.rows),
            sources=_sorted_counts(item_source(item_id) for item_id in self.prompts),
            l1=_sorted_counts(row.category.l1 for row in self.rows),
            l2=_sorted_counts(row.category.l2 for row in self.rows),
            words=WordCounts(
                statistics.fmean(lengths), statistics.median(lengths), min(lengths), max(lengths)
            ),
            lengths=_ranges(lengths),
        )

    def graph(self, item_id: str) -> PromptGraph:
        """Return the clean question graph of one item.

        Raises:
            UsageError: the benchmark has no such item.
            SetupError: it has no graphs.
        """
        self.require_graphs()
        if item_id not in self.items:
            raise unknown_name(
                "item", item_id, self.items, listing=f"dpgbench prompts list --bench {self.name}"
            )
        return self.graphs[item_id]

    def require_graphs(self) -> None:
        """Raise where there are prompts alone.

        Raises:
            SetupError: says which file is missing and the command that gets it.
        """
        if self.is_list:
            raise SetupError(
                f"{self.path} is a list of {counted(len(self.prompts), 'prompt')} without "
                "questions: it can be drawn, and scored by judges that make their own questions "
                "(blip-vqa, clipscore, spatial); a benchmark with questions is a CSV in the "
                "columns that docs/benchmarks.md tells; 'dpgbench prompts make' writes one"
            )
        if not self.has_graphs:
            raise SetupError(
                f"benchmark {self.name} has prompts but no questions: {self.path / QUESTIONS_FILE} "
                f"is missing; get it with 'dpgbench prompts pull', or 'dpgbench prompts pull "
                f"--from {QUESTIONS_FILE}' from a copy of your own"
            )

    def require_unique_questions(self, items: Iterable[str] | None = None) -> None:
        """Raise where an item has one question number twice: its answers could not be told apart.

        Args:
            items: ids to look at; all, in the file's order of rows, where None.

        Raises:
            DataError: names the row.
        """
        first_row: dict[tuple[str, int], int] = {}
        rows = self.rows if items is None else (r for i in items for r in self.items.get(i, ()))
        for row in rows:
            first = first_row.setdefault((row.item_id, row.qid), row.row)
            if first != row.row:
                raise DataError(
                    f"{self.path} row {row.row} (item {row.item_id}): question {row.qid} stands at "
                    f"row {first} already; number an item's questions uniquely"
                )

    def select(
        self,
        *,
        limit: int | None = None,
        items: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> list[str]:
        """Return the ids of chosen items in the benchmark's order.

        Args:
            limit: the first so many of what the other two leave.
            items: these ids only.
            sources: items whose id starts with one of these only.

        Raises:
            UsageError: an id is unknown, or nothing is left.
        """
        for item_id in items:
            if item_id not in self.prompts:
                raise unknown_name("item", item_id, self.prompts, listing="dpgbench prompts list")
        chosen = [
            item_id
            for item_id in self.prompts
            if (not items or item_id in items) and (not sources or _is_from(item_id, sources))
        ]
        if limit is not None and limit < 1:
            raise UsageError(f"--limit {limit}: at least 1 is needed")
        chosen = chosen[:limit]
        if not chosen:
            present = shortened(sorted({item_source(item_id) for item_id in self.prompts}), 20)
            raise UsageError(f"no item of {self.name} is left by the choice; sources: {present}")
        return chosen

    def subset(self, items: Iterable[str]) -> Subset | None:
        """Return what part of the benchmark `items` are; None where they are all of it."""
        chosen = set(items)
        if len(chosen) >= len(self.prompts):
            return None
        text = canonical_json(sorted(chosen))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return Subset(len(chosen), len(self.prompts), digest, self._choice(chosen))

    def _choice(self, chosen: set[str]) -> str:
        """Return the shortest words for which items were chosen, by what they are."""
        if chosen == set(list(self.prompts)[: len(chosen)]):
            return f"first {len(chosen):,}"
        sources = sorted({item_source(item_id) for item_id in chosen})
        if chosen == {item_id for item_id in self.prompts if item_source(item_id) in sources}:
            return f"source{'s' * (len(sources) > 1)} {', '.join(sources)}"
        return counted(len(chosen), "item")


def _row(row: QuestionRow) -> int:
    return row.row


def _unlike_yes(row: QuestionRow) -> tuple[str, ...]:
    """Return the right answer, where it is not yes: files without one keep their hashes."""
    return () if row.expected == YES else (row.expected,)


def _wording(row: QuestionRow) -> tuple[str, ...]:
    """Return what else than the question a judge may see of a row, where there is any."""
    return (row.expected, row.template) if row.template else _unlike_yes(row)


def _is_from(item_id: str, sources: Sequence[str]) -> bool:
    source = item_source(item_id)
    return any(source == prefix or item_id.startswith(prefix) for prefix in sources)


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _sorted_counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _ranges(lengths: Sequence[int]) -> dict[str, int]:
    bins = Counter(length // _BIN_WORDS for length in lengths)
    return {
        f"{number * _BIN_WORDS}-{(number + 1) * _BIN_WORDS - 1}": bins[number]
        for number in sorted(bins)
    }
