"""`questions/<judge>.jsonl`: the questions that a judge made of prompts itself, a line a question.

Written before the judge is asked, and read by whoever scores, merges or verifies: what was asked
does not depend on which release of a tagger is there later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.own_questions import OwnQuestion, with_own_questions
from dpgbench.errors import DataError
from dpgbench.store.files import json_line, read_jsonl, write_atomic
from dpgbench.store.run.directory import RunDir
from dpgbench.store.typed_json import first_fault


class OwnQuestionLine(TypedDict):
    """A question that a judge made of a prompt.

    Attributes:
        item_id: of the prompt.
        qid: number within the item, from 1.
        question: as it was asked; empty where the prompt gives nothing to ask.
        category: of the item.
        about: what of the prompt it is: a noun chunk, or the prompt.
    """

    item_id: str
    qid: int
    question: str
    category: str
    about: str


def write_own_questions(run: RunDir, judge: str, questions: Sequence[OwnQuestion]) -> None:
    """Write what a judge is asked, atomically; nothing where the file says the same already."""
    path, text = run.questions(judge), "".join(json_line(asked._asdict()) for asked in questions)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_atomic(path, text, scratch=run.path)


def read_own_questions(path: Path) -> list[OwnQuestion]:
    """Return the questions of a file in its order; no file has none.

    Raises:
        DataError: a line is no such question.
    """
    lines: list[Any] = read_jsonl(path)
    fault = first_fault(lines, OwnQuestionLine)
    if fault:
        raise DataError(
            f"{path} line {fault[0] + 1} is no question (item_id, qid, question, category, about): "
            f"{fault[1]}; remove the file, and score the run again"
        )
    return [OwnQuestion(*(line[name] for name in OwnQuestion._fields)) for line in lines]


def asked_benchmark(run: RunDir, judge: str, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with the questions that a judge was asked: its own, if it made some."""
    questions = read_own_questions(run.questions(judge))
    return with_own_questions(benchmark, questions) if questions else benchmark
