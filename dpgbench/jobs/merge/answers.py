"""The answers of several runs to the same questions: each once, and none against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError
from dpgbench.jobs.merge.sources import RunPart
from dpgbench.store.files import json_line
from dpgbench.store.run.answers import AnswerLine, read_answer_lines
from dpgbench.store.run.order import answer_position, in_order


class _Placed(NamedTuple):
    path: Path
    number: int
    line: AnswerLine


def merged_answers(
    sources: Sequence[RunPart], judge: str, benchmark: Benchmark, num_images: int
) -> list[AnswerLine]:
    """Return a judge's answers in all `sources`, in canonical order, equal ones once.

    An empty answer is none where another run has one. An invalid one, neither yes nor no, is none
    where another run was told yes or no, as one is that asked again; of two invalid ones the run
    that is merged into has the older.

    Raises:
        DataError: two runs have different answers to one question; shows both.
    """
    kept: dict[tuple[str, int, int], _Placed] = {}
    home = sources[0].run if sources and sources[0].shard is None else None
    for source in sources:
        if judge not in source.manifest.judges:
            continue
        path = source.run.answers(judge)
        for number, line in enumerate(read_answer_lines(path), 1):
            question = (line["item_id"], line["tile"], line["qid"])
            placed = _Placed(path, number, line)
            before = kept.setdefault(question, placed)
            is_older = home is not None and before.path == home.answers(judge)
            if before.line == line or _weight(line) < _weight(before.line):
                continue
            if _weight(line) == _weight(before.line) and not (is_older and _weight(line) < _VALID):
                _refuse(before, placed)
            kept[question] = placed
    position = answer_position(benchmark, num_images)
    return in_order([(placed.line, position(placed.line)) for placed in kept.values()])


_EMPTY, _INVALID, _VALID = range(3)


def _weight(line: AnswerLine) -> int:
    """Return how much a line says: nothing, neither yes nor no, or an answer."""
    if is_missing(line["answer"] or ""):
        return _EMPTY
    return _INVALID if line.get("invalid") is True else _VALID


def _refuse(first: _Placed, other: _Placed) -> None:
    line = first.line
    raise DataError(
        f"{first.path} line {first.number} and {other.path} line {other.number} have different "
        f"answers to question {line['qid']} of item {line['item_id']} tile {line['tile']}: "
        f"{json_line(line).strip()} and {json_line(other.line).strip()}; remove the wrong line, or "
        "leave one of the two runs out"
    )
