"""Recorded answers of other people's judges, from a CSV or the JSON lines of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from dpgbench.domain.rows import parse_whole_number
from dpgbench.domain.score import Answer
from dpgbench.domain.spec import TILE_COUNTS
from dpgbench.errors import DataError, UsageError, clipped, shortened
from dpgbench.store.csv_rows import read_table
from dpgbench.store.run.answers import read_answer_file

_QUESTION_COLUMNS = ("question_id", "qid", "proposition_id")


def read_recorded_answers(path: Path, where: Mapping[str, str]) -> list[Answer]:
    """Return the answers of a CSV, or of JSON lines as a run has them, in file order.

    Args:
        path: ``.jsonl``, or a CSV with columns `item_id`; `question_id`, `qid` or `proposition_id`;
            `answer`; optional `tile`, counted from 0, and the probabilities `p_yes` and `p_answer`.
        where: only rows in which each of these columns has this value.

    Raises:
        DataError: wrong columns, a number that is none, or one question answered in two ways.
        UsageError: a column of `where` is not in the file, or no row is left.
    """
    if path.suffix.lower() == ".jsonl":
        return _read_lines(path, where)
    answers: dict[tuple[str, int, int], Answer] = {}
    question_column = ""
    for number, cells in read_table(path, ("item_id", "answer")):
        question_column = question_column or _question_column(path, cells)
        _check_where(path, cells, where)
        if any(cells[column] != value for column, value in where.items()):
            continue
        answer = _answer(path, number, cells, question_column)
        first = answers.setdefault((answer.item_id, answer.tile, answer.qid), answer)
        if first.answer != answer.answer:
            raise DataError(
                f"{path} row {number}: question {answer.qid} of item {answer.item_id}, tile "
                f"{answer.tile}, is answered twice: {first.answer!r} and {answer.answer!r}; "
                "choose rows with --where column=value"
            )
        if column := _differing_probability(first, answer):
            raise DataError(
                f"{path} row {number}: {_two_values(first, answer, column)}; choose rows with "
                "--where column=value"
            )
    if not answers:
        chosen = ", ".join(f"{column}={value}" for column, value in where.items())
        raise UsageError(f"{path} has no row with {chosen}")
    return list(answers.values())


def _read_lines(path: Path, where: Mapping[str, str]) -> list[Answer]:
    if where:
        raise UsageError(f"{path}: --where chooses rows of a CSV; JSON lines have no columns")
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a file of recorded answers")
    content = path.read_bytes()
    if not content.strip():
        raise DataError(f"{path} is empty; it needs an answer at least")
    if not content.endswith(b"\n"):
        raise DataError(f"{path} has a last line without its end; is it whole? then add a line end")
    answers = read_answer_file(path)
    firsts: dict[tuple[str, int, int], Answer] = {}
    for number, answer in enumerate(answers, 1):
        _check_tile(f"{path} line {number}", answer.tile)
        first = firsts.setdefault((answer.item_id, answer.tile, answer.qid), answer)
        if column := _differing_probability(first, answer):
            raise DataError(
                f"{path} line {number}: {_two_values(first, answer, column)}; remove the wrong line"
            )
    return answers


def _differing_probability(first: Answer, second: Answer) -> str | None:
    """Return which probability one question's answer has twice with two values."""
    for column in ("p_yes", "p_answer"):
        before, after = getattr(first, column), getattr(second, column)
        if before is not None and after is not None and before != after:
            return column
    return None


def _two_values(first: Answer, second: Answer, column: str) -> str:
    return (
        f"question {first.qid} of item {first.item_id}, tile {first.tile}, has two values of "
        f"{column}: {getattr(first, column)} and {getattr(second, column)}"
    )


def _question_column(path: Path, cells: Mapping[str, str]) -> str:
    for column in _QUESTION_COLUMNS:
        if column in cells:
            return column
    raise DataError(
        f"{path} has no column for the question's number ({', '.join(_QUESTION_COLUMNS)}); "
        f"its columns are {shortened(list(cells), 12)}"
    )


def _check_where(path: Path, cells: Mapping[str, str], where: Mapping[str, str]) -> None:
    for column in where:
        if column not in cells:
            raise UsageError(
                f"--where {column}: {path} has no such column; it has {shortened(list(cells), 12)}"
            )


def _answer(path: Path, number: int, cells: Mapping[str, str], question_column: str) -> Answer:
    tile = cells.get("tile") or "0"
    tile_number, qid = parse_whole_number(tile), parse_whole_number(cells[question_column])
    if tile_number is None or qid is None:
        raise DataError(
            f"{path} row {number}: tile {tile!r} or {question_column} "
            f"{cells[question_column]!r} is not a whole number"
        )
    _check_tile(f"{path} row {number}", tile_number)
    where = f"{path} row {number}"
    return Answer(
        *(cells["item_id"], tile_number, qid, cells["answer"]),
        p_yes=_probability(cells, "p_yes", where),
        p_answer=_probability(cells, "p_answer", where),
    )


def _probability(cells: Mapping[str, str], column: str, where: str) -> float | None:
    """Return a cell's probability; None where the column is not there or the cell is empty.

    Raises:
        DataError: it is no number from 0 to 1.
    """
    cell = cells.get(column, "").strip()
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise DataError(
            f"{where}: {column} {clipped(cell)} is no probability from 0 to 1; leave the cell "
            "empty where there is none"
        )
    return number


def _check_tile(where: str, tile: int) -> None:
    if not 0 <= tile < TILE_COUNTS[-1]:
        raise DataError(f"{where}: tile {tile}; tiles count from 0 to {TILE_COUNTS[-1] - 1}")
