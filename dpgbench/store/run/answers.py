"""A run's answers by picture and question, read in one go: a report reads hundreds of thousands."""

from __future__ import annotations

import json

from dpgbench.domain.score import collect
from dpgbench.store.run.directory import RunDir

AnswerTable = dict[tuple[str, int], dict[int, str]]


def read_answers(run: RunDir, judge: str) -> AnswerTable:
    """Return answer texts by (item_id, tile) and question number; the last of a question counts.

    Raises:
        DataError: a line is not an answer.
    """
    table = _at_once(run, judge)
    return collect(run.read_answers(judge)) if table is None else table


def _at_once(run: RunDir, judge: str) -> AnswerTable | None:
    """Return what `collect` would, parsed as one array; None where a line is not as expected."""
    path = run.answers(judge)
    try:
        text = path.read_bytes().decode()
        whole = text[: text.rfind("\n") + 1]  # a torn last line is ignored
        records = json.loads("[" + ",".join(whole.splitlines()) + "]")
        fields = [(r["item_id"], r["tile"], r["qid"], r["answer"]) for r in records]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    kinds = (str, int, int, str)
    if not all(all(map(isinstance, field, kinds)) for field in fields):
        return None
    if len(records) != whole.count("\n"):
        return None
    table: AnswerTable = {}
    for item, tile, qid, answer in fields:
        table.setdefault((item, tile), {})[qid] = answer
    repeated = sum(map(len, table.values())) < len(fields)
    return None if repeated else table  # do they contradict each other? the other reader looks
