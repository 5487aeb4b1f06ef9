"""Benchmarks: find one by name or file, read it as text, check that it can be used.

Any CSV in DPG-Bench's columns is a benchmark; a list of prompts (`prompt_lists`) is one that can be
drawn only. Named ones are those of the table (`benchmark_table`), pulled into the user's cache or
shipped in `prompts/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpgbench.domain.answer_text import is_missing, read_expected
from dpgbench.domain.benchmark import (
    ANSWER_COLUMN,
    COLUMNS,
    QUESTIONS_FILE,
    REWRITTEN_COLUMN,
    TEMPLATE_COLUMN,
    Benchmark,
    OriginalBenchmark,
)
from dpgbench.domain.draft_flags import REVIEW_COLUMN
from dpgbench.domain.rows import QUESTION_SLOT, QuestionRow, parse_whole_number
from dpgbench.errors import DataError, SetupError, clipped, unknown_name
from dpgbench.store.benchmark_table import DPG, NamedBenchmark, named_benchmarks, pulled_folder
from dpgbench.store.compbench import COMPBENCH, is_compbench_folder, load_compbench
from dpgbench.store.csv_rows import read_header, read_table, read_text
from dpgbench.store.files import mended, read_json
from dpgbench.store.hashes import sha256_file
from dpgbench.store.paths import check_item_id, data_folder, user_path
from dpgbench.store.prompt_lists import SUFFIXES, is_prompt_list, read_prompt_list

PROMPTS_FOLDER = "prompts"
SOURCE_FILE = "source.json"
"""In the cache, beside the files of a pulled benchmark: where they came from."""


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
        folder = mended(pulled_folder(DPG))
        _refuse_changed(folder / QUESTIONS_FILE, DPG)
        return load_folder(folder, DPG)
    entry = named_benchmarks().get(text)
    if entry is not None and not entry.ships:
        pulled = _load_pulled(entry)
        if pulled is None and not user_path(text).exists():
            raise _not_here(entry)
        if pulled is not None:
            return pulled
    packaged = data_folder("prompts") / f"{text}.csv"
    if text in packaged_names():
        return load_csv(packaged, text)
    path = user_path(name)
    if path.is_dir() and is_compbench_folder(path):
        return load_compbench(path)
    if path.is_dir():
        named = path if path.name.strip(".") else path.resolve()  # `.` and `..` are no names
        return load_folder(path, named.name)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES and not path.exists() and "/" not in text:
        raise unknown_name("benchmark", text, named_benchmarks(), listing="dpgbench prompts list")
    if suffix in SUFFIXES and is_prompt_list(path):
        return Benchmark(path.stem, path, read_prompt_list(path), {}, is_list=True)
    return load_csv(path, path.stem)


def _load_pulled(entry: NamedBenchmark) -> Benchmark | None:
    """Return a benchmark as it was pulled; None where it was not."""
    folder = mended(pulled_folder(entry.name))
    table = folder / f"{entry.name}.csv"
    if entry.name == COMPBENCH and is_compbench_folder(folder):
        return load_compbench(folder)
    if table.is_file():
        _refuse_changed(table, entry.name)
        return load_csv(table, entry.name)
    return None


def _refuse_changed(table: Path, name: str) -> None:
    """Refuse a table of questions that is no longer the one that was pulled.

    What earlier versions pulled has no hash beside it and is taken as it is.

    Raises:
        DataError: the table was changed after it was pulled.
    """
    record = _source_record(table.parent)
    recorded = record.get("sha256") if table.is_file() else None
    if isinstance(recorded, str) and recorded != sha256_file(table):
        raise DataError(
            f"{table} was changed after it was pulled, so it is not benchmark {name}: get it again "
            f"with 'dpgbench prompts pull {name}', or give a file of your own by its path"
        )


def _not_here(entry: NamedBenchmark) -> SetupError:
    folder = pulled_folder(entry.name)
    return SetupError(
        f"benchmark {entry.name} is not on this machine (nothing in {folder}); get it with "
        f"'dpgbench prompts pull {entry.name}', or from a copy of your own with --from"
    )


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


def questions_source(folder: Path) -> str | None:
    """Return where a pulled benchmark's question file came from; None where nothing says."""
    origin = _source_record(folder).get("questions_from")
    return origin if isinstance(origin, str) else None


def _source_record(folder: Path) -> dict[str, object]:
    """Return what stands beside a pulled benchmark; nothing where it cannot be read."""
    if not (folder / SOURCE_FILE).is_file():  # a benchmark can be one file, too
        return {}
    try:
        record = read_json(folder / SOURCE_FILE)
    except DataError:
        return {}
    return record if isinstance(record, dict) else {}


def flagged_rows(path: Path) -> int | None:
    """Return how many rows of a question file have something in the column of flags.

    None where it has no such column. No score depends on it.

    Raises:
        DataError: the file cannot be read.
    """
    if not path.is_file() or REVIEW_COLUMN not in read_header(path):
        return None
    return sum(bool(cells[REVIEW_COLUMN].strip()) for _, cells in read_table(path))


def load_csv(path: Path, name: str) -> Benchmark:
    """Return the benchmark of one CSV file.

    Raises:
        DataError: missing file, not UTF-8, wrong columns, no rows, a question number that is no
            integer, a template without its question, or an id that could escape a folder.
    """
    items: dict[str, list[QuestionRow]] = {}
    origin = None
    for row, origin_cell in _rows(path):
        items.setdefault(row.item_id, []).append(row)
        origin = origin or OriginalBenchmark.from_cell(origin_cell)
    prompts = {item_id: rows[0].text.strip() for item_id, rows in items.items()}
    rows_of = {key: tuple(rows) for key, rows in items.items()}
    return Benchmark(name, path, prompts, rows_of, rewritten_from=origin)


def _rows(path: Path) -> Iterator[tuple[QuestionRow, str]]:
    """Yield each row, and what its file says of the benchmark that it was rewritten from."""
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
        where = f"{path} row {number} (item {cells['item_id']})"
        row = QuestionRow(
            row=number,
            qid=qid,
            question=question,
            position=position,
            expected=_expected(cells.get(ANSWER_COLUMN, ""), where),
            template=_template(cells.get(TEMPLATE_COLUMN, ""), where),
            **values,
        )
        yield row, cells.get(REWRITTEN_COLUMN, "")


def _expected(cell: str, where: str) -> str:
    """Return the right answer that a cell names.

    Raises:
        DataError: it is what tables write for nothing, which no answer can be.
    """
    if cell.strip() and is_missing(cell):
        raise DataError(
            f"{where}: {ANSWER_COLUMN} {cell.strip()!r} stands for nothing in tables, so that no "
            "answer could be right; leave the cell empty for yes"
        )
    return read_expected(cell)


def _template(cell: str, where: str) -> str:
    """Return how a question is worded; empty where the judge is to word it.

    Raises:
        DataError: the question has no place in it, or several.
    """
    if cell.strip() and cell.count(QUESTION_SLOT) != 1:
        raise DataError(
            f"{where}: {TEMPLATE_COLUMN} {clipped(cell)} must have {QUESTION_SLOT} once, where the "
            "question stands"
        )
    return cell.strip()
