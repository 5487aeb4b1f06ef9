"""Benchmarks: find one by name or file, read it as text, check that it can be used.

Any CSV in DPG-Bench's columns is a benchmark; a list of prompts (`prompt_lists`) is one that can be
drawn only. Named ones: `dpg` (pulled into the user's cache)
and those that ship in `prompts/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dpgbench.domain.check import Finding, check_benchmark
from dpgbench.domain.graph import Problem, PromptGraph, find_problems
from dpgbench.domain.rows import QuestionRow, item_source, parse_whole_number
from dpgbench.domain.spec import canonical_json
from dpgbench.errors import DataError, SetupError, UsageError, clipped, shortened, unknown_name
from dpgbench.store.csv_rows import read_table, read_text
from dpgbench.store.folders import mended
from dpgbench.store.item_ids import check_item_id
from dpgbench.store.paths import cache_folder, data_folder
from dpgbench.store.prompt_lists import SUFFIXES, is_prompt_list, no_questions, read_prompt_list

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
DPG = "dpg"
QUESTIONS_FILE = "dpg_bench.csv"
PROMPTS_FOLDER = "prompts"


@dataclass(frozen=True)
class Benchmark:
    """Prompts with their question graphs.

    Attributes:
        name: `dpg`, `shapes`, or a file's stem.
        path: the file or folder that it was read from.
        prompts: prompt by item id, in the file's order.
        items: rows by item id; empty where only prompts are at hand.
    """

    name: str
    path: Path
    prompts: dict[str, str]
    items: dict[str, tuple[QuestionRow, ...]]

    @property
    def has_graphs(self) -> bool:
        """Whether there are questions to ask."""
        return bool(self.items)

    @property
    def is_list(self) -> bool:
        """Whether it is a file of prompts, to which no questions belong."""
        return not self.items and self.path.is_file()

    @property
    def num_questions(self) -> int:
        """How many rows of questions there are."""
        return sum(len(rows) for rows in self.items.values())

    @cached_property
    def prompts_sha256(self) -> str:
        """SHA-256 over ids and prompts: what a generator sees of the benchmark."""
        return _digest(sorted(self.prompts.items()))

    @cached_property
    def questions_sha256(self) -> str:
        """SHA-256 over all questions: what a judge sees of the benchmark."""
        return _digest(sorted((r.item_id, r.qid, r.question) for r in self._rows()))

    @cached_property
    def graphs_sha256(self) -> str:
        """SHA-256 over all rows in order: what a rule sees of the benchmark."""
        return _digest([[r.item_id, r.qid, r.dependency, r.tuple] for r in self._rows()])

    def _rows(self) -> list[QuestionRow]:
        return sorted((row for item in self.items.values() for row in item), key=lambda r: r.row)

    def problems(self) -> list[Problem]:
        """Return everything that is wrong in the graphs, in file order."""
        return find_problems(self.items.values())

    def findings(self) -> list[Finding]:
        """Return everything that is wrong in the file, with severities, in file order."""
        return check_benchmark(self.prompts, list(self.items.values()))

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
        return PromptGraph.from_rows(self.items[item_id])

    def require_graphs(self) -> None:
        """Raise where there are prompts alone.

        Raises:
            SetupError: says which file is missing and the command that gets it.
        """
        if self.is_list:
            raise SetupError(no_questions(self.path, len(self.prompts)))
        if not self.has_graphs:
            raise SetupError(
                f"benchmark {self.name} has prompts but no questions: {self.path / QUESTIONS_FILE} "
                f"is missing; get it with 'dpgbench prompts pull', or 'dpgbench prompts pull "
                f"--from {QUESTIONS_FILE}' from a copy of your own"
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
            if (not items or item_id in items) and (not sources or _from_source(item_id, sources))
        ]
        if limit is not None and limit < 1:
            raise UsageError(f"--limit {limit}: at least 1 is needed")
        chosen = chosen[:limit]
        if not chosen:
            known = shortened(sorted({item_source(item_id) for item_id in self.prompts}), 20)
            raise UsageError(f"no item of {self.name} is left by the choice; sources: {known}")
        return chosen


def load_benchmark(name: str | Path) -> Benchmark:
    """Return the benchmark with a name (`dpg`, `shapes`), in a CSV or TSV, or a list of prompts.

    Lists are `.txt` (a prompt a line), `.jsonl`, and tables without columns of questions.

    Raises:
        UsageError: an unknown name.
        SetupError: `dpg` was not pulled yet.
        DataError: the file is missing or cannot be read as a benchmark.
    """
    text = str(name)
    if text == DPG:
        return load_folder(mended(cache_folder() / "benchmarks" / DPG), DPG)
    packaged = data_folder("prompts") / f"{text}.csv"
    if text in packaged_names():
        return load_csv(packaged, text)
    path = Path(name).expanduser()
    if path.is_dir():
        named = path if path.name.strip(".") else path.resolve()  # `.` and `..` are no names
        return load_folder(path, named.name)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES and not path.exists() and "/" not in text:
        raise unknown_name(
            "benchmark", text, [DPG, *packaged_names()], listing="dpgbench prompts list"
        )
    if suffix in SUFFIXES and is_prompt_list(path):
        return Benchmark(path.stem, path, read_prompt_list(path), {})
    return load_csv(path, path.stem)


def packaged_names() -> list[str]:
    """Return the names of the benchmarks that ship with the toolkit."""
    return sorted(
        path.stem for path in data_folder("prompts").glob("*.csv") if path.stem != "index"
    )


def load_folder(folder: Path, name: str) -> Benchmark:
    """Return the benchmark of a folder in upstream's layout: `prompts/*.txt` and `dpg_bench.csv`.

    A prompt file counts before the same prompt's text in the CSV. The CSV may be absent.
    """
    texts = {
        path.stem: read_text(path).strip()
        for path in sorted((folder / PROMPTS_FOLDER).glob("*.txt"), key=lambda path: path.stem)
    }
    questions = folder / QUESTIONS_FILE
    if questions.exists():
        benchmark = load_csv(questions, name)
        prompts = {item: texts.get(item, text) for item, text in benchmark.prompts.items()}
        return Benchmark(name, folder, {**prompts, **texts}, benchmark.items)
    if not texts:
        raise SetupError(
            f"benchmark {name} is not on this machine (nothing in {folder}); "
            "get it with 'dpgbench prompts pull'"
        )
    for item_id in texts:
        check_item_id(item_id, str(folder))
    return Benchmark(name, folder, texts, {})


def load_csv(path: Path, name: str) -> Benchmark:
    """Return the benchmark of one CSV file.

    Raises:
        DataError: missing file, not UTF-8, wrong columns, no rows, a question number that is no
            integer, or an id that could escape a folder.
    """
    items: dict[str, list[QuestionRow]] = {}
    for row in _rows(path):
        items.setdefault(row.item_id, []).append(row)
    prompts = {item_id: rows[0].text.strip() for item_id, rows in items.items()}
    return Benchmark(name, path, prompts, {key: tuple(rows) for key, rows in items.items()})


def _rows(path: Path) -> Iterator[QuestionRow]:
    for position, (number, cells) in enumerate(read_table(path, COLUMNS)):
        check_item_id(cells["item_id"], f"{path} row {number}")
        qid = parse_whole_number(cells["proposition_id"])
        if qid is None:
            raise DataError(
                f"{path} row {number} (item {cells['item_id']}): proposition_id "
                f"{clipped(cells['proposition_id'])} is not a whole number of at most 9 digits"
            )
        values = {column: cells[column] for column in COLUMNS}
        question = values.pop("question_natural_language")
        values.pop("proposition_id")
        yield QuestionRow(row=number, qid=qid, question=question, position=position, **values)


def _from_source(item_id: str, sources: Sequence[str]) -> bool:
    source = item_source(item_id)
    return any(source == prefix or item_id.startswith(prefix) for prefix in sources)


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
