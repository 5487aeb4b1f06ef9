"""`answers/<judge>.jsonl`: a run's raw answers, a line a question; the one reader and writer.

Lines are appended as answers come, and read again by whoever scores, reports or compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, clipped
from dpgbench.store.files import json_line, read_jsonl, write_atomic
from dpgbench.store.typed_json import Range, first_fault

AnswerTable = dict[tuple[str, int], dict[int, str]]
"""Answer texts by (item_id, tile) and question number."""


class AnswerLine(TypedDict):
    """An answer to a question about one tile.

    Attributes:
        item_id: whose image.
        tile: the tile's number in it, from 0, row by row.
        qid: the question's number in the item.
        answer: what the judge said, word for word; null, as pandas writes it, is an empty answer.
        p_yes: probability of yes, where the judge gives one.
        truncated: the question was longer than the judge reads.
        invalid: the answer is neither yes nor no; it counts as no.
        p_answer: probability that the answer's first token is one of the right answer's forms,
            where a rule or the benchmark asked for it.
    """

    item_id: str
    tile: int
    qid: int
    answer: str | None
    p_yes: NotRequired[Annotated[float | None, Range(0, 1)]]
    truncated: NotRequired[bool | None]
    invalid: NotRequired[bool | None]
    p_answer: NotRequired[Annotated[float | None, Range(0, 1)]]


def answer_line(answer: Answer, *, truncated: bool = False) -> AnswerLine:
    """Return the line of an answer; what is not so is left out of it."""
    line: AnswerLine = {
        "item_id": answer.item_id,
        "tile": answer.tile,
        "qid": answer.qid,
        "answer": answer.answer,
    }
    if answer.p_yes is not None:
        line["p_yes"] = answer.p_yes
    if truncated:
        line["truncated"] = True
    if answer.invalid:
        line["invalid"] = True
    if answer.p_answer is not None:
        line["p_answer"] = answer.p_answer
    return line


def write_answer_file(path: Path, answers: Iterable[Answer], *, scratch: Path) -> None:
    """Make a file of answers hold exactly `answers`, atomically as `write_atomic` does."""
    lines = "".join(json_line(answer_line(answer)) for answer in answers)
    write_atomic(path, lines, scratch=scratch)


def answers_sha256(answers: Iterable[Answer]) -> str:
    """Return the hash that stands for recorded answers in a run's identity."""
    texts = sorted((a.item_id, a.tile, a.qid, a.answer, *_recorded_p(a)) for a in answers)
    lines = "".join("\t".join(map(str, text)) + "\n" for text in texts)
    return hashlib.sha256(lines.encode()).hexdigest()


def _recorded_p(answer: Answer) -> tuple[str, ...]:
    """Return the probability of the right answer where there is one; others keep their hashes."""
    return () if answer.p_answer is None else (repr(answer.p_answer),)


def read_answer_file(path: Path) -> list[Answer]:
    """Return the answers of a file in the order in which they were written; no file has none.

    Raises:
        DataError: a line lacks a field or has one of another type, or two lines give one question
            different answers.
    """
    return [
        Answer(
            line["item_id"],
            line["tile"],
            line["qid"],
            line["answer"] or "",
            line.get("p_yes"),
            line.get("invalid") is True,
            line.get("p_answer"),
        )
        for line in read_answer_lines(path)
    ]


def read_answer_table(path: Path) -> AnswerTable:
    """Return the texts of a file's answers, as a report of many runs needs them.

    Raises:
        DataError: as `read_answer_file`.
    """
    lines = _lines_of(path)
    table: AnswerTable = {}
    for line in lines:
        table.setdefault((line["item_id"], line["tile"]), {})[line["qid"]] = line["answer"] or ""
    if sum(map(len, table.values())) < len(lines):
        _refuse_contradiction(path, lines)
    return table


def drop_invalid_answers(path: Path, *, scratch: Path) -> int:
    """Take answers that are neither yes nor no out of a file, so that their questions are open.

    Returns:
        How many there were.
    """
    lines = _lines_of(path)
    kept = [line for line in lines if not _is_invalid(line)]
    if len(kept) < len(lines):
        write_atomic(path, "".join(map(json_line, kept)), scratch=scratch)
    return len(lines) - len(kept)


def _is_invalid(line: AnswerLine) -> bool:
    return line.get("invalid") is True or is_missing(line["answer"] or "")


def read_answer_lines(path: Path) -> Sequence[AnswerLine]:
    """Return the lines of a file, none of which contradict each other.

    Raises:
        DataError: as `read_answer_file`.
    """
    lines = _lines_of(path)
    if len({(line["item_id"], line["tile"], line["qid"]) for line in lines}) < len(lines):
        _refuse_contradiction(path, lines)
    return lines


def _lines_of(path: Path) -> Sequence[AnswerLine]:
    lines: list[Any] = read_jsonl(path)
    fault = first_fault(lines, AnswerLine)
    if fault:
        raise DataError(
            f"{path} line {fault[0] + 1} is not an answer (item_id, tile, qid, answer): "
            f"{fault[1]}; remove that line to go on"
        )
    return lines


def _refuse_contradiction(path: Path, lines: Sequence[AnswerLine]) -> None:
    first_lines: dict[tuple[str, int, int], tuple[int, AnswerLine]] = {}
    for number, line in enumerate(lines, 1):
        question = (line["item_id"], line["tile"], line["qid"])
        first, before = first_lines.setdefault(question, (number, line))
        if _verdict(before) != _verdict(line):
            raise DataError(
                f"{path} lines {first} and {number} contradict each other: item {line['item_id']} "
                f"tile {line['tile']} question {line['qid']} is {clipped(before['answer'] or '')} "
                f"and {clipped(line['answer'] or '')}; remove the wrong line"
            )


def _verdict(line: AnswerLine) -> tuple[str, bool]:
    return line["answer"] or "", line.get("invalid") is True
