"""What is wrong in a benchmark's file, and how much it matters.

`graph` finds what is wrong in the graph of one item, because a rule leaves such edges out; this
module adds what is wrong with names, categories and prompts, and gives each kind a severity.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.graph import Problem
from dpgbench.domain.rows import Category, QuestionRow
from dpgbench.domain.rules import RULES, ScoringRule

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

SEVERITY: Mapping[str, Severity] = {
    "duplicate_question": "error",
    "dependency_word": "error",
    "conflicting_text": "error",
    "empty_text": "error",
    "self_parent": "warning",
    "cycle_edge": "warning",
    "unknown_parent": "warning",
    "split_item": "warning",
    "empty_question": "warning",
    "empty_category": "warning",
    "category_spelling": "warning",
    "category_columns": "warning",
    "missing_text": "warning",
    "question_number": "warning",
    "ids_alike": "warning",
    "windows_name": "warning",
    "forward_parent": "note",
    "repeated_question": "note",
}
"""An error is what `score` or `generate` refuses; a warning can move a number or lose an item under
some rule; a note is worth knowing."""

LEFT_OUT: Mapping[str, str] = {
    "dependency_word": "dependency word",
    "self_parent": "self-parent",
    "unknown_parent": "unknown parent",
    "cycle_edge": "cycle edge",
}
"""What a rule that mends graphs leaves out of them, in words."""

_LARGE_NUMBER = 9_999
_WINDOWS_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{device}{number}" for device in ("COM", "LPT") for number in "123456789¹²³"
}


class BenchmarkFinding(NamedTuple):
    """Something wrong: how bad, what kind, at which row (None where there are no rows)."""

    severity: Severity
    kind: str
    row: int | None
    item_id: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}"


def check_benchmark(
    prompts: Mapping[str, str],
    items: Sequence[Sequence[QuestionRow]],
    problems: Iterable[Problem],
) -> list[BenchmarkFinding]:
    """Return everything that is wrong, in file order.

    Args:
        prompts: prompt by item id, in the file's order.
        items: the rows of each item; none where there are prompts alone.
        problems: of the items' graphs.
    """
    findings = [
        _finding(problem.kind, problem.row, problem.item_id, str(problem) + _effect(problem.kind))
        for problem in problems
    ]
    findings += [entry for rows in items for entry in _of_item(rows)]
    first = {rows[0].item_id: rows[0].row for rows in items}
    findings += _of_names(prompts, first)
    findings += [
        _about("missing_text", first.get(item_id), item_id, f"the prompt is the word {text!r}")
        for item_id, text in prompts.items()
        if text.strip() and is_missing(text)
    ]
    with_rows = set(first)
    findings += [
        _about("empty_text", None, item_id, "prompt is empty")
        for item_id, text in prompts.items()
        if not text.strip() and item_id not in with_rows
    ]
    return sorted(findings, key=lambda entry: entry.row or 0)


def count_kinds(findings: Iterable[BenchmarkFinding]) -> dict[str, int]:
    """Return how often each kind occurs, sorted by name."""
    return dict(sorted(Counter(entry.kind for entry in findings).items()))


def count_severities(findings: Iterable[BenchmarkFinding]) -> dict[str, int]:
    """Return how many errors, warnings and notes there are, in this order."""
    counts = Counter(entry.severity for entry in findings)
    return {severity: counts[severity] for severity in SEVERITIES}


def categories_as_typed(
    items: Iterable[Sequence[QuestionRow]], rule: ScoringRule
) -> list[tuple[QuestionRow, str]]:
    """Return the rows whose category `rule` keeps as typed though it is meant as another, with it.

    None for a rule that reads categories however they were typed.
    """
    if rule.gate == "ancestors":
        return []
    typed = [
        (row, row.column_category if rule.categories == "columns" else row.category)
        for rows in items
        for row in rows
    ]
    return [(row, category.l2) for row, category in typed if category.l2 != category.as_meant().l2]


def names(chosen: Iterable[ScoringRule]) -> str:
    """Return the names of rules as a list in words."""
    return ", ".join(rule.name for rule in chosen)


def _effect(kind: str) -> str:
    """Return what the rules do with a problem of a graph, to stand behind its message."""
    rules = list(RULES.values())
    walk = names(rule for rule in rules if rule.gate == "file-order")
    direct = names(rule for rule in rules if rule.gate == "direct")
    mends = names(rule for rule in rules if rule.gate == "ancestors")
    if kind == "self_parent":
        return f"; {mends} leaves that parent out, and under {walk}, {direct} it changes nothing"
    if kind == "cycle_edge":
        seen = names(r for r in rules if r.gate == "file-order" and r.unseen_parent == "answer")
        passed = names(r for r in rules if r.gate == "file-order" and r.unseen_parent == "passed")
        return (
            f"; {mends} leaves this parent out, {seen} take each parent as it stands when the "
            f"walk comes by, {passed} only parents further up, {direct} each parent's own answer"
        )
    if kind == "unknown_parent":
        fails = names(rule for rule in rules if rule.unknown_parent == "fail")
        passes = names(rule for rule in rules if rule.unknown_parent == "passed")
        return f"; {fails} can lose the item, {passes} pass over it"
    if kind == "split_item":
        last = names(rule for rule in rules if rule.rows == "consecutive")
        return f"; {last} takes the item's last run of rows alone"
    if kind == "dependency_word":
        refuse = names(rule for rule in rules if rule.bad_dependency == "refuse")
        ungated = names(rule for rule in rules if rule.bad_dependency == "ungated")
        return f"; {refuse} refuses the file, {ungated} does not zero the item"
    return ""


def _of_item(rows: Sequence[QuestionRow]) -> Iterator[BenchmarkFinding]:
    by_text: dict[str, int] = {}
    for row in rows:
        if row.qid < 1 or row.qid > _LARGE_NUMBER:
            yield _at("question_number", row, f"question number {row.qid}; they count from 1")
        asked = " ".join(row.question.split()).casefold()
        first = by_text.setdefault(asked, row.qid)
        if asked and first != row.qid:
            yield _at("repeated_question", row, f"question {row.qid} asks what {first} asks")
        yield from _of_category(row)


def _of_category(row: QuestionRow) -> Iterator[BenchmarkFinding]:
    by_tuple = [rule for rule in RULES.values() if rule.categories == "tuple"]
    by_column = names(rule for rule in RULES.values() if rule.categories == "columns")
    if row.category != row.meant_category:
        exact = names(rule for rule in by_tuple if rule.gate != "ancestors")
        mends = names(rule for rule in by_tuple if rule.gate == "ancestors")
        yield _at(
            "category_spelling",
            row,
            f"tuple writes category {row.category.l2!r}: {mends} reads {row.meant_category.l2!r}, "
            f"{exact} keep a category of its own",
        )
    columns = row.column_category
    if row.category.l1 and _key(columns) != _key(row.meant_category):
        yield _at(
            "category_columns",
            row,
            f"columns say {columns.l2!r} and tuple says {row.category.l2!r}: {by_column} reads the "
            f"columns, {names(by_tuple)} the tuple",
        )
    elif columns.l2 != columns.as_meant().l2 and columns.l1:
        yield _at(
            "category_spelling",
            row,
            f"columns write category {columns.l2!r} for {columns.as_meant().l2!r}: {by_column} "
            "keeps a category of its own",
        )


def _key(category: Category) -> tuple[str, str]:
    """Return a category without how it is written: `global -` and `global - -` are one."""
    meant = category.as_meant()
    return meant.l1, meant.l2.removeprefix(meant.l1).strip(" -")


def _of_names(prompts: Mapping[str, str], first: Mapping[str, int]) -> Iterator[BenchmarkFinding]:
    alike: dict[str, str] = {}
    for item_id in prompts:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", item_id).casefold())
        other = alike.setdefault(folded, item_id)
        if other != item_id:
            message = (
                f"its id and {other!r} differ in capitals or Unicode form alone: on macOS and "
                "Windows their images are one file"
            )
            yield _about("ids_alike", first.get(item_id), item_id, message)
        if _is_refused_by_windows(item_id):
            message = "Windows refuses a file of this name"
            yield _about("windows_name", first.get(item_id), item_id, message)


def _is_refused_by_windows(item_id: str) -> bool:
    device = item_id.split(".", maxsplit=1)[0].rstrip(" ").upper()
    return device in _WINDOWS_DEVICES or item_id.endswith((".", " "))


def _at(kind: str, row: QuestionRow, message: str) -> BenchmarkFinding:
    return _about(kind, row.row, row.item_id, message)


def _about(kind: str, row: int | None, item_id: str, message: str) -> BenchmarkFinding:
    place = f"item {item_id}" if row is None else f"row {row} (item {item_id})"
    return _finding(kind, row, item_id, f"{place}: {message}")


def _finding(kind: str, row: int | None, item_id: str, message: str) -> BenchmarkFinding:
    return BenchmarkFinding(SEVERITY[kind], kind, row, item_id, message)
